"""Are the stored files of a case, and the content of its evidence, byte for byte what the custody log says?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from casemate.engine.files import inside, open_regular
from casemate.engine.state import Blob, LiveState
from casemate.errors import CasemateError
from casemate.evidence.blobs import FileSource, open_blob

READ_BYTES = 4 * 1024 * 1024
Progress = Callable[[int, int, str], None]
"""Called with bytes checked, bytes to check, and what is being checked."""


@dataclass(frozen=True)
class Problem:
    """One thing that is not as the log says: the file (and place in it), and what is wrong."""

    where: str
    what: str


@dataclass
class Report:
    """What was found so far."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Meter:
    """Counts bytes for the progress callback."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self._progress = total, 0, progress

    def add(self, count: int, what: str) -> None:
        """So many bytes more of `what` were checked."""
        self.done += count
        if self._progress is not None:
            self._progress(self.done, self.total, what)


def check_file(root: Path, path: str, size: int, sha256: str, meter: Meter, report: Report) -> bool:
    """Compare a stored file's length and hash with what the log says."""
    try:
        with os.fdopen(open_regular(inside(root, path)), "rb", buffering=0) as stream:
            length, digest = _hash(stream, hashlib.sha256(), path, meter)
    except (OSError, CasemateError) as error:
        what = error.what if isinstance(error, CasemateError) else f"cannot be read: {error.strerror}"
        report.problems.append(Problem(path, what))
        return False
    if length != size:
        report.problems.append(Problem(path, f"is {length} bytes long where the custody log says {size}"))
        return False
    if digest.hexdigest() != sha256:
        report.problems.append(Problem(path, "has bytes that were changed (its SHA-256 is not the one in the log)"))
        return False
    return True


def _hash(stream: BinaryIO | Any, digest: Any, what: str, meter: Meter) -> tuple[int, Any]:
    length = 0
    while data := stream.read(READ_BYTES):
        digest.update(data)
        length += len(data)
        meter.add(len(data), what)
    return length, digest


def check_blobs(root: Path, live: LiveState, meter: Meter, report: Report) -> None:
    """Check stored bytes and content of all evidence, each beginning hashed once for all that continue it."""
    following: dict[str | None, list[Blob]] = {}
    for blob in live.blobs.values():
        following.setdefault(None if blob.reference else blob.continues, []).append(blob)
    waiting: list[tuple[Blob, Any]] = [(blob, hashlib.sha256()) for blob in reversed(following.get(None, []))]
    while waiting:
        blob, digest = waiting.pop()
        digest = _check_blob(root, blob, digest, meter, report)
        waiting.extend((after, digest and digest.copy()) for after in reversed(following.get(blob.evidence, [])))


def _check_blob(root: Path, blob: Blob, digest: Any, meter: Meter, report: Report) -> Any:
    """Check one piece of evidence; the digest of its whole content, None if that cannot be told."""
    stream: BinaryIO
    where = blob.path or f"evidence {blob.evidence[:16]} left in place at {blob.reference}"
    sound = True
    try:
        if blob.path is None:
            stream = FileSource(Path(str(blob.reference)), blob.size).open()
        else:
            sound = check_file(root, blob.path, blob.stored_bytes, str(blob.sha256), meter, report)
            stream = open_blob(inside(root, blob.path))
    except (OSError, CasemateError) as error:
        what = error.what if isinstance(error, CasemateError) else f"cannot be read: {error}"
        _say_once(where, what, sound, report)
        return None
    if digest is None and sound:
        stream.close()
        report.notes.append(f"{where}: its content was not checked, because the evidence it continues is damaged")
        return None
    try:
        with stream:
            length, digest = _hash(stream, digest or hashlib.sha256(), where, meter)
    except CasemateError as error:
        _say_once(where, error.what, sound, report)
        return None
    if not sound:
        return None
    wanted = blob.size if blob.reference else blob.bytes
    if length != wanted:
        report.problems.append(Problem(where, f"holds {length} bytes of content where the custody log says {wanted}"))
        return None
    if digest.hexdigest() != blob.evidence:
        report.problems.append(Problem(where, "its content is not the evidence of this name"))
        return None
    return digest


def _say_once(where: str, what: str, first: bool, report: Report) -> None:
    """A problem, or only a note that tells more about a file whose bytes were already said to be wrong."""
    if first:
        report.problems.append(Problem(where, what))
    else:
        report.notes.append(f"{where}: {what}")
