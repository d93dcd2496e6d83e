"""What a release file holds, told by its content: a Sigma or YARA rule set, ATT&CK or ATLAS.

Nothing is taken from the file's name.  Compressed files are unpacked in memory up to a limit.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import zstandard

from casemate.errors import BadInput, LimitReached
from casemate.intel.attack import Knowledge, parse_atlas, parse_attack
from casemate.limits import MIB

UNPACKED_BYTES = 512 * MIB
"""Most bytes that one release file may unpack to."""
ZIP_MAGIC = b"PK\x03\x04"
RULE_FILES = 200_000
RULE_BYTES = 32 * MIB
"""Largest rule file that is counted; the rule reader's own limit, which names what it does not read."""
RULE_SUFFIXES = (".yml", ".yaml")
YARA_SUFFIXES = (".yar", ".yara")
YARA_RULE = re.compile(rb"^[ \t]*(?:(?:private|global)[ \t]+)*rule[ \t]+[A-Za-z_]\w{0,127}[ \t\r\n]*[:{]", re.MULTILINE)
YARA_DAYS = re.compile(rb"\b(?:date|modified)[ \t]*=[ \t]*\"(\d{4}[-/][01]\d[-/][0-3]\d)\b")
DOCUMENT_KINDS = re.compile(rb"^(detection|correlation|filter)[ \t]*:", re.MULTILINE)
"""What a Sigma document is, by its key at the beginning of a line."""

RULE_DAYS = re.compile(rb"^(?:date|modified)[ \t]*:[ \t]*['\"]?(\d{4}[-/][01]\d[-/][0-3]\d)\b", re.MULTILINE)
"""When a rule was written or changed; the days of files in an archive say only when it was packed."""


@dataclass(frozen=True)
class Contents:
    """What a release file turned out to be.

    Args:
        dataset: ``sigma``, ``yara``, ``attack`` or ``atlas``.
        version: the release's own name for itself, if it has one.
        dated: day of its newest part, ``YYYY-MM-DD``, if it says.
        counts: what is in it.
        suffix: how the stored file's name ends.
        knowledge: techniques, for ATT&CK and ATLAS.
    """

    dataset: str
    version: str | None
    dated: str | None
    counts: dict[str, int]
    suffix: str
    knowledge: Knowledge | None = None


def read_contents(path: Path) -> Contents:
    """Recognise and read a release file.

    Raises:
        BadInput: it is none of the known datasets, or damaged.
        LimitReached: it unpacks to too much.
    """
    if zipfile.is_zipfile(path):
        return _rules(path)
    content, packed = unpacked(path)
    head = content[:4096].lstrip()
    if not head:
        raise BadInput("is empty", where=str(path))
    if head.startswith(ZIP_MAGIC):
        raise BadInput("a zip archive that is cut short or damaged", where=str(path))
    if head[:1] == b"{" and b'"matrices"' not in head:
        try:
            return _knowledge("attack", parse_attack(content), ".json" + packed)
        except BadInput:
            if b'"bundle"' in head:
                raise
    if head[:1] == b"{":
        return _knowledge("atlas", parse_atlas(content), ".json" + packed)
    if YARA_RULE.search(content) and not DOCUMENT_KINDS.search(content):
        if packed:
            raise BadInput("YARA rules are taken as .zip or plain text", where=str(path), hint="unpack the file first")
        return _yara_contents([content], ".yar")
    if DOCUMENT_KINDS.search(content):
        if packed:
            raise BadInput("Sigma rules are taken as .zip or plain YAML", where=str(path), hint="unpack the file first")
        return _rule_contents([content], ".yml")
    try:
        return _knowledge("atlas", parse_atlas(content), ".yaml" + packed)
    except BadInput as error:
        reason = (
            f"neither Sigma rules (.zip, .yml) nor YARA rules (.zip, .yar) nor ATT&CK (STIX) nor ATLAS: {error.what}"
        )
        raise BadInput(reason, where=str(path)) from error


def pack_rules(folder: Path, destination: Path, suffixes: tuple[str, ...] = RULE_SUFFIXES) -> None:
    """Put the rule files below `folder` (names that end so) into a zip that depends on nothing but their content.

    Raises:
        BadInput: no rule files, too many, one that is too large, or a link that leads out of the folder.
    """
    files = sorted(one for one in folder.rglob("*") if one.suffix.lower() in suffixes and one.is_file())
    if not files:
        kind = "Sigma" if suffixes == RULE_SUFFIXES else "YARA"
        raise BadInput(f"no {kind} rule files ({suffixes[0]}) below this folder", where=str(folder))
    if len(files) > RULE_FILES:
        raise BadInput(f"more than {RULE_FILES} rule files", where=str(folder))
    with zipfile.ZipFile(destination, "x", zipfile.ZIP_DEFLATED) as archive:
        for one in files:
            if not one.resolve().is_relative_to(folder.resolve()):
                raise BadInput("a link that leads out of the folder", where=str(one))
            if one.stat().st_size > RULE_BYTES:
                raise BadInput(f"larger than {RULE_BYTES} bytes", where=str(one))
            entry = zipfile.ZipInfo(one.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, one.read_bytes())


def _knowledge(dataset: str, knowledge: Knowledge, suffix: str) -> Contents:
    return Contents(dataset, knowledge.version, knowledge.dated, knowledge.counts(), suffix, knowledge)


def _rules(path: Path) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.lower().endswith(RULE_SUFFIXES)]
            yara = [one for one in archive.infolist() if one.filename.lower().endswith(YARA_SUFFIXES)]
            if yara and not members:
                members, count = yara, _yara_contents
            else:
                count = _rule_contents
            if len(members) > RULE_FILES:
                raise BadInput(f"more than {RULE_FILES} rule files", where=str(path))
            if sum(one.file_size for one in members) > UNPACKED_BYTES:
                raise LimitReached(f"unpacks to more than {UNPACKED_BYTES} bytes", where=str(path))
            contents = (_member(archive, one) for one in members if one.file_size <= RULE_BYTES)
            return count(contents, ".zip", where=str(path))
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise BadInput(f"not a readable zip archive: {error}", where=str(path)) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        return stream.read(RULE_BYTES + 1)


def _yara_contents(contents: Iterable[bytes], suffix: str, where: str | None = None) -> Contents:
    counts = {"files": 0, "rules": 0}
    dated = None
    for content in contents:
        days = [day.decode().replace("/", "-") for day in YARA_DAYS.findall(content)]
        dated = max([dated or "", *days]) or None
        found = len(YARA_RULE.findall(content))
        counts["files"] += bool(found)
        counts["rules"] += found
    if not counts["files"]:
        raise BadInput("holds no YARA rules", where=where)
    return Contents("yara", None, dated, counts, suffix)


def _rule_contents(contents: Iterable[bytes], suffix: str, where: str | None = None) -> Contents:
    counts = {"files": 0, "rules": 0, "correlations": 0, "filters": 0}
    names = {b"detection": "rules", b"correlation": "correlations", b"filter": "filters"}
    dated = None
    for content in contents:
        days = [day.decode().replace("/", "-") for day in RULE_DAYS.findall(content)]
        dated = max([dated or "", *days]) or None
        found = DOCUMENT_KINDS.findall(content)
        counts["files"] += bool(found)
        for kind in found:
            counts[names[kind]] += 1
    if not counts["files"]:
        raise BadInput("holds no Sigma rules", where=where)
    return Contents("sigma", None, dated, counts, suffix)


def unpacked(path: Path) -> tuple[bytes, str]:
    """The content of a plain, gzip or zstandard file, and how a packed one's name should end."""
    with path.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        try:
            if magic[:2] == b"\x1f\x8b":
                return _bounded(gzip.GzipFile(fileobj=stream), path), ".gz"
            if magic == b"\x28\xb5\x2f\xfd":
                return _bounded(zstandard.ZstdDecompressor().stream_reader(stream), path), ".zst"
            return _bounded(stream, path), ""
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise BadInput(f"damaged: {error}", where=str(path)) from error


def _bounded(stream: io.BufferedIOBase | gzip.GzipFile | zstandard.ZstdDecompressionReader, path: Path) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(MIB):
        size += len(piece)
        if size > UNPACKED_BYTES:
            raise LimitReached(f"unpacks to more than {UNPACKED_BYTES} bytes", where=str(path))
        pieces.append(piece)
    return b"".join(pieces)
