"""Splunk: envelopes of the HTTP Event Collector, one per line, for its ``/services/collector/event``.

https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector: ``time`` in
seconds since 1970 (left out where no time is known; Splunk then takes the time of arrival), ``host``,
``source``, ``sourcetype``, ``event``, and ``fields`` that are indexed (flat text or lists of text).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from casemate.export.content import ExportedEvent, ExportedFinding, iso, microseconds

SOURCE = "casemate"


def finding(found: ExportedFinding) -> dict[str, Any]:
    """One finding as an envelope."""
    body = {
        "finding_id": found.id,
        "time": iso(found.time),
        "time_end": iso(found.time_end),
        "message": found.sentence,
        "detector": found.detector,
        "rule_id": found.rule_id,
        "rule_version": found.rule_version,
        "title": found.title,
        "severity": found.severity,
        "techniques": list(found.techniques),
        "tactics": list(found.tactics),
        "source": vars(found.source) if found.source else None,
        "target": vars(found.target) if found.target else None,
        "vector": found.vector,
        "outcome": found.outcome,
        "confidence": found.confidence,
        "why": found.why,
        "records": list(found.records),
        "record_count": found.record_count,
    }
    if found.said is not None:
        body["annotation"] = found.said.plain
    indexed = {"finding_id": found.id, "rule_id": found.rule_id, "severity": found.severity, "outcome": found.outcome}
    host = found.target.value if found.target and found.target.kind == "host" else None
    return _envelope(found.time, host, "casemate:finding", body, indexed)


def event(record: ExportedEvent) -> dict[str, Any]:
    """One record as an envelope."""
    body = {
        "record_id": record.address,
        "time": iso(record.time),
        "table": record.table,
        "findings": list(record.findings),
        **{name: value for name, value in record.fields.items() if name not in ("time", "table", "findings")},
    }
    if record.said is not None:
        body["annotation"] = record.said.plain
    return _envelope(record.time, record.host, f"casemate:{record.table}", body, {"record_id": record.address})


def _envelope(
    time: datetime | None, host: str | None, kind: str, body: dict[str, Any], indexed: dict[str, Any]
) -> dict[str, Any]:
    envelope: dict[str, Any] = {}
    if time is not None:
        # as text: a float cannot hold microseconds of today exactly
        whole, part = divmod(microseconds(time), 1_000_000)
        envelope["time"] = f"{whole}.{part:06d}"
    if host:
        envelope["host"] = host
    return envelope | {"source": SOURCE, "sourcetype": kind, "event": body, "fields": indexed}
