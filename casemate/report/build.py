"""Makes the report of a case and writes it as one file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from casemate.case import Case
from casemate.export.run import replaced
from casemate.report.gather import gather
from casemate.report.page import page

DEFAULT_NAME = "report.html"


@dataclass(frozen=True)
class Report:
    """What was written: the file, and how much of the case it shows in detail."""

    path: Path
    bytes: int
    sha256: str
    findings: int
    findings_in_detail: int
    records_shown: int


def build(case: Case, out: Path, *, made_at: datetime, shown: str) -> Report:
    """Write the report of `case` to `out`; a file that is there is replaced as a whole, or not at all.

    Args:
        made_at: the time that the report names as its own (UTC).
        shown: the case's path as the user wrote it, for the commands shown.

    Raises:
        BadInput: `out` cannot be made.
        CannotFinish: the disk is full or fails.
    """
    given = gather(case, made_at, shown)
    digest, length = hashlib.sha256(), 0
    with replaced(out) as stream:
        for piece in page(given):
            # what no encoding can write (lone surrogates) was written as its code already
            data = piece.encode("utf-8", "backslashreplace")
            digest.update(data)
            length += len(data)
            stream.write(data)
    return Report(out, length, digest.hexdigest(), given.total_findings, len(given.findings), len(given.records))
