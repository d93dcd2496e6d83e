"""The custody log: an append-only JSONL file in which each line holds its own hash and the one before.

A line is one JSON object with exactly these members in this order::

    {"sequence":1,"time":"2026-01-02T03:04:05.000006Z","kind":"case","facts":{...},
     "previous":"<hash of the line before, 64 zeros for the first>","hash":"<own hash>"}

The hash is the SHA-256 of the line's bytes up to ``,"hash"`` followed by ``}``.  Any changed,
missing or added byte breaks it, except whole lines cut from the end, which only a seal can show.

Kinds: ``case`` (creation), ``registration``, ``commit`` (see :mod:`casemate.engine.state`), ``note``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from casemate.engine.files import disk_errors, open_regular, sync_folder
from casemate.errors import CannotFinish, CaseDamaged

KINDS = ("case", "registration", "commit", "note")
FIRST_PREVIOUS = "0" * 64
LINE_BYTES = 256 * 1024 * 1024
_HASH_LENGTH = len(',"hash":"') + 64 + len('"}')
_MEMBERS = ["sequence", "time", "kind", "facts", "previous", "hash"]


@dataclass(frozen=True)
class CustodyLine:
    """One line of the log.  `time` is UTC, ISO 8601 with microseconds."""

    sequence: int
    time: str
    kind: str
    facts: dict[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Damage:
    """A line that is not what was written: its number (1-based), byte offset and what is wrong."""

    line: int
    offset: int
    what: str


@dataclass(frozen=True)
class TornTail:
    """Bytes after the last line end: a write that was interrupted.  Readers ignore them."""

    offset: int
    content: bytes


def make_line(sequence: int, time: datetime, kind: str, facts: Mapping[str, Any], previous: str) -> tuple[bytes, str]:
    """One line (with its line end) and its hash."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of custody line: {kind}")
    stamp = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    members = {"sequence": sequence, "time": stamp, "kind": kind, "facts": dict(facts), "previous": previous}
    body = orjson.dumps(members)
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', digest


def parse_line(line: bytes, sequence: int, previous: str) -> CustodyLine | str:
    """A line without its line end, or what is wrong with it."""
    body, tail = line[:-_HASH_LENGTH] + b"}", line[-_HASH_LENGTH:]
    digest = hashlib.sha256(body).hexdigest()
    if tail != b',"hash":"' + digest.encode() + b'"}':
        return "its bytes do not give its hash"
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "is not JSON"
    if not isinstance(members, dict) or list(members) != _MEMBERS or not isinstance(members["facts"], dict):
        return "does not have the members of a custody line"
    if members["sequence"] != sequence:
        return f"has the sequence number {members['sequence']!r} where {sequence} belongs"
    if members["previous"] != previous:
        return "does not follow the line before it"
    if members["kind"] not in KINDS:
        return f"is of an unknown kind {members['kind']!r}"
    return CustodyLine(**members)


def read_log(path: Path) -> Iterator[CustodyLine | Damage | TornTail]:
    """Lines of the log in order, each checked; goes on after damage as well as it can.

    Raises:
        CaseDamaged: it is missing or not a regular file.
    """
    try:
        descriptor = open_regular(path)
    except OSError as error:
        raise CaseDamaged(f"cannot be read: {error.strerror}", where=str(path)) from None
    with os.fdopen(descriptor, "rb") as stream:
        offset, number, previous = 0, 0, FIRST_PREVIOUS
        while raw := stream.readline(LINE_BYTES + 1):
            if not raw.endswith(b"\n"):
                if len(raw) > LINE_BYTES:
                    yield Damage(number + 1, offset, "is longer than a custody line can be")
                elif isinstance(parse_line(raw[:-1], number + 1, previous), CustodyLine):
                    yield Damage(number + 1, offset, "its line end was changed")
                else:
                    yield TornTail(offset, raw)
                return
            number += 1
            parsed = parse_line(raw[:-1], number, previous)
            if isinstance(parsed, CustodyLine):
                yield parsed
                previous = parsed.hash
            else:
                yield Damage(number, offset, parsed)
                previous = _claimed_hash(raw)
            offset += len(raw)


def _claimed_hash(raw: bytes) -> str:
    """The hash a damaged line says it has, so that sound lines after it are not called damaged."""
    return raw[-67:-3].decode("ascii", "replace")


def intact_lines(path: Path) -> Iterator[CustodyLine]:
    """Lines of the log; a torn last line is ignored.

    Raises:
        CaseDamaged: at the first line that is not what was written.
    """
    for item in read_log(path):
        if isinstance(item, Damage):
            raise CaseDamaged(
                f"line {item.line} (byte {item.offset}) {item.what}",
                where=str(path),
                hint="the case was changed by something else than Casemate; see 'casemate custody verify'",
            )
        if isinstance(item, CustodyLine):
            yield item


class CustodyLog:
    """The log, open for appending.  Implements :class:`casemate.engine.store.Ledger`.

    Args:
        path: the log; made when missing.
        clock: gives the time of each line.

    Raises:
        CaseDamaged: the log is not what was written.  A torn last line is cut off.
        CannotFinish: it cannot be opened or written.
    """

    def __init__(self, path: Path, clock: Any = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._broken = False
        with disk_errors(path):
            new = not path.exists() and not path.is_symlink()
            self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            if new:
                sync_folder(path.parent)
        self.cut = 0
        """Bytes of a torn last line that were cut off at opening."""
        self.sequence, self.head = 0, FIRST_PREVIOUS
        self._length = 0

    def replay(self) -> Iterator[CustodyLine]:
        """All lines; afterwards the log is ready for appending.

        Raises:
            CaseDamaged: at the first line that is not what was written.
        """
        for line in intact_lines(self.path):
            self.sequence, self.head = line.sequence, line.hash
            yield line
        self._length = _whole_lines(self.path)
        size = os.fstat(self._descriptor).st_size
        if size > self._length:
            with disk_errors(self.path):
                os.ftruncate(self._descriptor, self._length)
                os.fsync(self._descriptor)
            self.cut = size - self._length

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Append one line of any kind, durably."""
        line, _ = make_line(self.sequence + 1, self._clock(), kind, facts, self.head)
        self.append(line)

    def prepare(self, commit: Mapping[str, Any]) -> bytes:
        """The line of a commit; not written yet."""
        line, _ = make_line(self.sequence + 1, self._clock(), "commit", commit, self.head)
        return line

    def append(self, line: bytes) -> None:
        """Write and fsync a prepared line.

        Raises:
            CannotFinish: it could not be written; the log is as it was.
        """
        if self._broken or self._descriptor < 0:
            raise CannotFinish("the custody log is not open for writing", where=str(self.path))
        try:
            with disk_errors(self.path):
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
                os.fsync(self._descriptor)
        except BaseException:
            self._take_back()
            raise
        self.sequence += 1
        self.head = line[-67:-3].decode("ascii")
        self._length += len(line)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._length)
            os.fsync(self._descriptor)
        except OSError:
            self._broken = True


def _whole_lines(path: Path) -> int:
    """Bytes up to and including the last line end."""
    with os.fdopen(open_regular(path), "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - 65536)
            stream.seek(begin)
            position = stream.read(end - begin).rfind(b"\n")
            if position >= 0:
                return begin + position + 1
            end = begin
    return 0
