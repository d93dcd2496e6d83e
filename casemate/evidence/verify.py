"""``custody verify``: is every byte of the case what the custody log says?

Checked are the log's chain, each part's and blob's length and SHA-256, the content hash of every
piece of evidence (also of what was left in place), the manifest, and that nothing lies in the
folder that nobody names.  Not checked are ``case.toml``, ``lock``, ``report.html``, ``derived/``
and ``staging/``: they are for people to change or can be made again.

Whole lines cut from the end of the log leave a shorter, sound log; only a seal can show that.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from casemate.engine.files import inside, read_regular
from casemate.engine.state import LiveState
from casemate.engine.store import INTENT, MANIFEST_BYTES
from casemate.errors import BadInput, CasemateError
from casemate.evidence.custody import LINE_BYTES, CustodyLine, Damage, TornTail, read_log
from casemate.evidence.seal import FOLDER as SEALS
from casemate.evidence.seal import Seal, check_seals, check_timestamps, kept_seals, kept_timestamps
from casemate.evidence.timestamp import Timestamp
from casemate.evidence.verify_content import Meter, Problem, Progress, Report, check_blobs, check_file

CUT_LINES = "whole lines cut from the end of custody.jsonl cannot be seen without a seal"
UNCHECKED_FILES = frozenset({"case.toml", "lock", "report.html"})
UNCHECKED_FOLDERS = frozenset({"staging", "derived"})
SEAL_PATH = re.compile(r"seals/[0-9]{1,12}-[0-9a-f]{16}\.json(?:\.tsr)?")


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Args:
        problems: everything that is not as it should be; empty if all is well.
        notes: what a reader should know besides: limits of the check, traces of interrupted runs.
        lines, parts, blobs, bytes: how much was checked.
        head: hash of the last sound line of the log.
        stamps: the timestamps that fit their seals, each with the number of lines of the seal.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    lines: int
    parts: int
    blobs: int
    bytes: int
    head: str
    stamps: tuple[tuple[Timestamp, int], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


@dataclass
class _Log:
    """The log as read: what it names, and what is wrong with it."""

    state: LiveState = field(default_factory=LiveState)
    before: LiveState = field(default_factory=LiveState)  # without the last commit
    last: bytes = b""  # hash of the last commit
    lines: int = 0
    head: str = ""
    hashes: list[str] = field(default_factory=list)  # of each line, "" for a damaged one
    problems: list[Problem] = field(default_factory=list)
    torn: TornTail | None = None


def verify(
    root: Path,
    progress: Progress | None = None,
    *,
    trusted: Sequence[Ed25519PublicKey] = (),
    seals: Sequence[Seal] = (),
    authorities: Sequence[x509.Certificate] = (),
    stamp_files: Sequence[tuple[str, Path]] = (),
) -> Verification:
    """Verify the case at `root`.  It may be read-only, and a writer may be at work.

    Args:
        root: the case folder.
        progress: called from time to time.
        trusted: public keys whose seals are believed; without any, seals only show that they fit.
        seals: copies of seals kept elsewhere, besides those in the case.
        authorities: certificates of timestamp authorities whose timestamps are believed.
        stamp_files: timestamps kept elsewhere (name, path), each beside its seal.

    Raises:
        BadInput: there is no case.
        CaseDamaged: there is no custody log to verify by.
    """
    if not any(os.path.lexists(root / name) for name in ("custody.jsonl", "case.toml")):
        raise BadInput("there is no case here", where=str(root), hint="name the folder of a case")
    for attempt in range(4):
        size = (root / "custody.jsonl").stat().st_size if (root / "custody.jsonl").exists() else 0
        result = _verify(root, progress, trusted, seals, authorities, stamp_files)
        if result.holds or attempt == 3 or (root / "custody.jsonl").stat().st_size == size:
            return result
    raise AssertionError("unreachable")


def _verify(
    root: Path,
    progress: Progress | None,
    trusted: Sequence[Ed25519PublicKey],
    seals: Sequence[Seal],
    authorities: Sequence[x509.Certificate],
    stamp_files: Sequence[tuple[str, Path]],
) -> Verification:
    kept = list(kept_seals(root))  # before the log, which may only grow meanwhile
    log = _read_log(root)
    intents = list(_intents(root))
    sealed = check_seals([*kept, *seals], log.hashes, trusted)
    stamped = check_timestamps([*kept_timestamps(root), *stamp_files], authorities, needed=bool(authorities))
    beyond = f" after line {sealed.sealed_lines}" if sealed.sealed_lines else ""
    report = Report(
        [*log.problems, *(Problem(where, what) for where, what in (*sealed.problems, *stamped.problems))],
        [CUT_LINES.replace("custody.jsonl", f"custody.jsonl{beyond}"), *sealed.notes, *stamped.notes],
    )
    _check_torn(log, intents, report)
    _check_manifest(root, log, intents, report)
    _check_names(root, log, intents, report)
    live = log.state
    total = sum(part.bytes for part in live.parts.values())
    total += sum(blob.bytes + blob.stored_bytes for blob in live.blobs.values())
    meter = Meter(total, progress)
    kept_for_now = (part for part in live.superseded.values() if os.path.lexists(root / part.path))
    for part in (*live.parts.values(), *kept_for_now):
        check_file(root, part.path, part.bytes, part.sha256, meter, report)
    check_blobs(root, live, meter, report)
    return Verification(
        problems=tuple(report.problems),
        notes=tuple(report.notes),
        lines=log.lines,
        parts=len(live.parts),
        blobs=len(live.blobs),
        bytes=meter.done,
        head=log.head,
        stamps=stamped.stamps,
    )


def _read_log(root: Path) -> _Log:
    log = _Log()
    path = root / "custody.jsonl"
    for item in read_log(path):
        if isinstance(item, TornTail):
            log.torn = item
        elif isinstance(item, Damage):
            log.lines += 1
            log.hashes.append("")
            log.problems.append(Problem(f"custody.jsonl line {item.line}, byte {item.offset}", item.what))
        else:
            log.lines += 1
            log.head = item.hash
            log.hashes.append(item.hash)
            _fold(log, item)
    if not log.lines:
        log.problems.append(Problem("custody.jsonl", "holds no line"))
    return log


def _fold(log: _Log, line: CustodyLine) -> None:
    if line.kind != "commit":
        return
    log.before.parts, log.before.tables = dict(log.state.parts), dict(log.state.tables)
    log.before.schemas, log.before.columns = dict(log.state.schemas), dict(log.state.columns)
    log.before.commits = log.state.commits
    log.before.superseded = log.state.superseded
    try:
        log.state.apply(line.facts)
    except CasemateError as error:
        log.problems.append(Problem(f"custody.jsonl line {line.sequence}", str(error)))
        return
    log.last = line.hash.encode()


def _intents(root: Path) -> Iterator[bytes]:
    """Lines that interrupted (or running) commits were about to append."""
    try:
        stages = list((root / "staging").iterdir())
    except OSError:
        return
    for stage in stages:
        try:
            yield read_regular(inside(root, f"staging/{stage.name}/{INTENT}"), LINE_BYTES)
        except (OSError, CasemateError):
            continue


def _was_interrupted(log: _Log, intents: list[bytes]) -> bool:
    """Whether the last commit was made but not tidied up after."""
    return bool(log.last) and any(line[-67:-3] == log.last for line in intents)


def _check_torn(log: _Log, intents: list[bytes], report: Report) -> None:
    if log.torn is None:
        return
    place = f"custody.jsonl, byte {log.torn.offset}"
    if any(line.startswith(log.torn.content) for line in intents):
        report.notes.append(f"{place}: an interrupted commit left half a line, which the next run cuts off")
    else:
        report.problems.append(Problem(place, f"{len(log.torn.content)} bytes after the last whole line"))


def _check_manifest(root: Path, log: _Log, intents: list[bytes], report: Report) -> None:
    try:
        found = read_regular(inside(root, "manifest"), MANIFEST_BYTES)
    except (OSError, CasemateError) as error:
        report.problems.append(Problem("manifest", f"{error} (it is rebuilt when the case is next written to)"))
        return
    wanted = log.state.manifest()
    if found == wanted:
        return
    if _was_interrupted(log, intents) and found == log.before.manifest():
        report.notes.append("manifest: from before the last commit, which was interrupted; the next run rebuilds it")
        return
    shorter = min(len(found), len(wanted))
    same = next((at for at in range(shorter) if found[at] != wanted[at]), shorter)
    report.problems.append(Problem(f"manifest, byte {same}", "is not what the custody log gives"))


def _check_names(root: Path, log: _Log, intents: list[bytes], report: Report) -> None:
    """Find files that nobody names."""
    named = {*log.state.parts, *log.state.superseded, *(blob.path for blob in log.state.blobs.values() if blob.path)}
    found = list(_walk(root, "", report))
    # Again after the walk: a writer may have begun a commit since, whose files the walk has met.
    intents = [*intents, *_intents(root)]
    left = set(log.before.superseded) if _was_interrupted(log, intents) else set()
    for line in intents:
        left |= _named_by(line)
    folders = {"evidence", "tables", *(f"tables/{table}" for table in log.state.tables)}
    folders |= {path.rpartition("/")[0] for path in left}
    for relative, mode in found:
        if (SEAL_PATH.fullmatch(relative) and stat.S_ISREG(mode)) or (relative == SEALS and stat.S_ISDIR(mode)):
            continue  # held against the log by itself
        if relative in named or relative in ("custody.jsonl", "manifest"):
            continue  # their kind is checked where they are read
        if relative in UNCHECKED_FILES:
            if not stat.S_ISREG(mode):
                report.problems.append(Problem(relative, "is not a regular file"))
        elif stat.S_ISDIR(mode) and (relative in folders or relative in UNCHECKED_FOLDERS):
            continue
        elif relative in left and stat.S_ISREG(mode):
            report.notes.append(f"{relative}: left by an interrupted commit; the next run deletes it")
        elif relative in ("manifest.new", "case.toml.new") and stat.S_ISREG(mode):
            report.notes.append(f"{relative}: left by an interrupted run; the next run deletes it")
        else:
            kind = "link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "file"
            hint = " (a damaged line of the log may have named it)" if log.problems else ""
            report.problems.append(Problem(relative, f"{kind} that no line of the custody log names{hint}"))


def _named_by(line: bytes) -> set[str]:
    try:
        facts = orjson.loads(line)["facts"]
        return {str(entry["path"]) for entry in (*facts["added"], *facts["blobs"]) if entry["path"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return set()


def _walk(root: Path, prefix: str, report: Report) -> Iterator[tuple[str, int]]:
    """Everything in the case with its mode, links not followed, unchecked folders not entered."""
    try:
        with os.scandir(root / prefix if prefix else root) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        report.problems.append(Problem(prefix or ".", f"folder cannot be read: {error.strerror}"))
        return
    for entry in found:
        relative = f"{prefix}/{entry.name}" if prefix else entry.name
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue  # a writer is at work
        yield relative, mode
        if stat.S_ISDIR(mode) and relative not in UNCHECKED_FOLDERS and relative.count("/") < 8:
            yield from _walk(root, relative, report)
