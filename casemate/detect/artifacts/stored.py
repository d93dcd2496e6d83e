"""Evidence of a case through the scanner: contents as the case keeps them, read by the fenced process.

:func:`look_task` is a plain function of picklable values, so that it runs here, in worker processes or on a cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from casemate.detect.artifacts.candidates import Candidate
from casemate.detect.artifacts.child import Child
from casemate.detect.artifacts.contract import Reason, Rule, Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.marks import LOOKED_AT, kinds_of
from casemate.engine.state import Blob
from casemate.errors import CasemateError
from casemate.evidence.blobs import FileSource, source_of
from casemate.evidence.readers.base import Source
from casemate.schema.artifacts import WHOLE

COPY_BYTES = 1 << 20
IN_MEMORY = 64 << 20
"""A larger content is unpacked to a file that has no name."""
GONE = Rule("file.unreadable", "unscannable", None, "reads it where it is still there")
LISTED_IF: Mapping[str, frozenset[str]] = {
    "python": frozenset({"malicious"}),
    "mail": frozenset({"malicious", "suspicious"}),
}
"""Kinds of text of which every host has many, and the verdicts that make them artefacts of a case: a script is run by
whoever runs it, and most of what is attached to mail is nothing that the scanner reads."""
_ANY_TEXT = frozenset({"text", "json"})


@dataclass(frozen=True)
class LookTask:
    """Evidence to look at together, with the blobs that hold it.

    Args:
        root: the case folder.
        blobs: where the contents lie.
        items: what to look at.
        scratch: a folder for contents that are too large for memory.
        options: limits of the scanner.
    """

    root: str
    blobs: Mapping[str, Blob]
    items: tuple[Candidate, ...]
    scratch: str
    options: Options


@dataclass(frozen=True)
class Looked:
    """What came of one candidate: a row of ``artifacts``, or None where it is no artefact.

    A content of no known format has a row and is not called an artefact: what lies beside it is not part of one.
    """

    evidence: str
    marked: bool
    row: dict[str, Any] | None

    @property
    def artifact(self) -> bool:
        """Whether it is one."""
        return self.row is not None and self.row["format"] != "unknown"


def look_task(task: LookTask) -> list[Looked]:
    """Look at every item.

    Raises:
        CannotFinish: the reading process cannot be started.
    """
    found = []
    with Child(task.options) as child:
        for item in task.items:
            kinds: frozenset[str] = frozenset()
            if item.marked:
                kinds = _marks(task, item)
                if not kinds:
                    found.append(Looked(item.evidence, True, None))
                    continue
            try:
                verdict = _verdict(task, item, child)
            except CasemateError as error:
                reason = Reason(GONE.code, error.what[:500], GONE.severity, "", None, None, GONE.loader_effect)
                verdict = Verdict(item.place.shown, "unscannable", (reason,), "unknown", item.evidence, item.bytes)
            row = row_of(item, verdict) if _is_artifact(item, kinds, verdict) else None
            found.append(Looked(item.evidence, item.marked, row))
    return found


def _is_artifact(item: Candidate, kinds: frozenset[str], verdict: Verdict) -> bool:
    if not item.marked:
        return True
    formats = set(verdict.format.split("+"))
    if not kinds & formats:
        return False
    told = [verdicts for kind, verdicts in LISTED_IF.items() if kind in formats]
    if told and formats <= LISTED_IF.keys() | _ANY_TEXT:
        return any(verdict.verdict in verdicts for verdicts in told)
    return True


def _marks(task: LookTask, item: Candidate) -> frozenset[str]:
    blob = task.blobs[item.evidence]
    # a log that was left in place is not hashed only to look at its beginning
    source: Source
    if blob.path is None and blob.reference is not None:
        source = FileSource(Path(blob.reference), item.bytes)
    else:
        source = _source(task, item)
    try:
        with source.open() as stream:
            return kinds_of(stream.read(LOOKED_AT))
    except CasemateError:
        return frozenset()  # what reads it as a log says so


def _verdict(task: LookTask, item: Candidate, child: Child) -> Verdict:
    with _source(task, item).open() as stream, _copied(stream, item.bytes, task.scratch) as file:
        return child.verdict(item.place.shown, file.fileno())


def _source(task: LookTask, item: Candidate) -> Source:
    return source_of(Path(task.root), task.blobs, item.evidence)


def _copied(stream: BinaryIO, size: int, scratch: str) -> BinaryIO:
    """The content in a file that only this process has."""
    if size <= IN_MEMORY and hasattr(os, "memfd_create"):
        file: Any = os.fdopen(os.memfd_create("artifact", os.MFD_CLOEXEC), "w+b")
    else:
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it
    try:
        while data := stream.read(COPY_BYTES):
            file.write(data)
        file.flush()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def row_of(item: Candidate, verdict: Verdict) -> dict[str, Any]:
    """A row of ``artifacts``."""
    told = verdict.as_dict()
    return {
        "evidence": item.evidence,
        "record": WHOLE,
        "offset": 0,
        "length": item.bytes,
        "path": item.place.shown.encode("utf-8", "backslashreplace").decode(),
        "dated": item.place.dated,
        "format": told["format"],
        "verdict": told["verdict"],
        "reasons": told["reasons"],
        "reasons_left_off": told["reasons_left_off"],
        "bytes_skipped": told["bytes_skipped"],
    }


def verdict_of_row(row: Mapping[str, Any]) -> Verdict:
    """The verdict that a row of ``artifacts`` keeps."""
    reasons = tuple(Reason(**reason) for reason in row["reasons"])
    return Verdict(
        row["path"], row["verdict"], reasons, row["format"], row["evidence"], row["length"], row["bytes_skipped"],
        row["reasons_left_off"],
    )  # fmt: skip
