"""Casemate's own findings as a log source: filters may name their fields."""

from __future__ import annotations

from casemate.detect.sigma.logsources.source import EventSource, LogSource

FINDING_TABLE = "finding"
FINDINGS: dict[LogSource, tuple[EventSource, ...]] = {
    ("casemate", None, "finding"): (EventSource("findings", FINDING_TABLE),),
}
