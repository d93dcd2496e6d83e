"""Rule files from folders, zip archives and single files, not parsed yet."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from casemate.errors import BadInput

RULE_SUFFIXES = (".yml", ".yaml")
FILE_BYTES = 32 * 1024 * 1024
"""Largest rule file that is parsed."""
TOTAL_BYTES = 512 * 1024 * 1024
"""Most bytes of one rule set."""
FILES = 200_000
"""Most rule files of one rule set."""
MEMBER_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError)
"""What a damaged, encrypted or strangely compressed member raises."""


@dataclass(frozen=True)
class RuleFile:
    """One file of rules: the name a person finds it by, and its content; None where `fault` says why not."""

    name: str
    content: bytes | None
    fault: str = ""


def read_rule_files(paths: Sequence[Path]) -> list[RuleFile]:
    """All rule files under `paths` (folders, zip archives, files), in a stable order.

    Raises:
        BadInput: a path does not exist, is no archive, holds no rule file, or too many, or too large ones.
    """
    found: list[RuleFile] = []
    size = 0
    for path in paths:
        before = len(found)
        for file in _files_of(path):
            found.append(file)
            size += len(file.content or b"")
            if len(found) > FILES:
                raise BadInput(f"more than {FILES} rule files", where=str(path))
            if size > TOTAL_BYTES:
                raise BadInput(f"more than {TOTAL_BYTES} bytes of rules", where=str(path))
        if len(found) == before:
            raise BadInput(f"holds no rule file ({', '.join(RULE_SUFFIXES)})", where=str(path))
    return found


def hash_rule_files(files: Iterable[RuleFile]) -> str:
    """SHA-256 over the contents of a rule set, whatever the files are called."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.content if file.content is not None else file.name.encode()).digest())
    return digest.hexdigest()


def _files_of(path: Path) -> Iterator[RuleFile]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in RULE_SUFFIXES and file.is_file():
                yield _read(file, file.relative_to(path).as_posix())
    elif not path.is_file():
        raise BadInput("no such rule file, folder or archive", where=str(path))
    elif zipfile.is_zipfile(path):
        yield from _members_of(path)
    else:
        yield _read(path, path.name)


def _read(path: Path, name: str) -> RuleFile:
    try:
        with path.open("rb") as stream:
            return _bounded(name, stream.read(FILE_BYTES + 1))
    except OSError as error:
        return RuleFile(name, None, f"cannot be read: {error.strerror}")


def _bounded(name: str, content: bytes) -> RuleFile:
    if len(content) > FILE_BYTES:
        return RuleFile(name, None, f"larger than {FILE_BYTES} bytes")
    return RuleFile(name, content)


def _members_of(path: Path) -> Iterator[RuleFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
            if len(members) > FILES:
                raise BadInput(f"more than {FILES} files in the archive of rules", where=str(path))
            for member in members:
                name = member.filename
                if member.is_dir() or not name.lower().endswith(RULE_SUFFIXES) or "__MACOSX/" in name:
                    continue
                try:
                    with archive.open(member) as stream:
                        yield _bounded(name, stream.read(FILE_BYTES + 1))
                except MEMBER_FAULTS as error:
                    yield RuleFile(name, None, f"cannot be unpacked: {error}")
    except (zipfile.BadZipFile, OSError) as error:
        raise BadInput(f"cannot read the archive of rules: {error}", where=str(path)) from error
