"""What people say of findings, attempts and records, kept as custody lines.

:func:`mark` writes one line; :func:`rebuild` derives the table ``annotations`` from all of them.
"""

from __future__ import annotations

from casemate.triage.annotations import Annotation, annotations_of, rebuild
from casemate.triage.mark import Marked, mark
from casemate.triage.marks import Change, MarkLine, mark_lines
from casemate.triage.subjects import Subject, find_subject

__all__ = [
    "Annotation",
    "Change",
    "MarkLine",
    "Marked",
    "Subject",
    "annotations_of",
    "find_subject",
    "mark",
    "mark_lines",
    "rebuild",
]
