"""Timesketch: JSON lines with its required fields.

https://timesketch.org/guides/user/import-from-json-csv/: ``message``, ``datetime`` (ISO 8601),
``timestamp_desc``; ``timestamp`` in microseconds since 1970 as a whole number; ``tag`` is a list.
OpenSearch, beneath it, refuses keyword values above 32,766 bytes and has a limit on fields, so long
values are cut and a record's other fields stand in one text, ``record_fields``.

A finding or record without a time is told at 1970-01-01 with ``timestamp_desc`` "No time recorded".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from casemate.export.content import ExportedEvent, ExportedFinding, Said, iso, microseconds, short

MESSAGE_CHARACTERS = 1_000
VALUE_CHARACTERS = 4_000
RECORDS_LISTED = 20
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def finding(found: ExportedFinding) -> dict[str, Any]:
    """One finding as one event at its first record."""
    return {
        **_times(found.time, "Finding"),
        "message": short(found.sentence, MESSAGE_CHARACTERS),
        "data_type": "casemate:finding",
        "finding_id": found.id,
        "finding_end": iso(found.time_end),
        "detector": found.detector,
        "rule_id": found.rule_id,
        "rule_version": found.rule_version,
        "title": found.title,
        "severity": found.severity,
        "techniques": list(found.techniques),
        "tactics": list(found.tactics),
        "source": short(str(found.source), VALUE_CHARACTERS) if found.source else None,
        "target": short(str(found.target), VALUE_CHARACTERS) if found.target else None,
        "vector": found.vector,
        "outcome": found.outcome,
        "confidence": found.confidence,
        "why": short(orjson.dumps(found.why).decode(), VALUE_CHARACTERS),
        "records": list(found.records[:RECORDS_LISTED]),
        "record_count": found.record_count,
        **_said(found.said),
        "tag": [found.severity, *found.techniques, *_tags(found.said)],
    }


def event(record: ExportedEvent) -> dict[str, Any]:
    """One record as one event."""
    return {
        **_times(record.time, "Event Logged"),
        "message": short(record.sentence, MESSAGE_CHARACTERS),
        "data_type": f"casemate:{record.table}",
        "record_id": record.address,
        "host": record.host,
        "findings": list(record.findings[:RECORDS_LISTED]),
        "finding_count": len(record.findings),
        "record_fields": short(orjson.dumps(record.fields).decode(), VALUE_CHARACTERS),
        **_said(record.said),
        "tag": [*(["finding"] if record.findings else []), *_tags(record.said)],
    }


def _said(said: Said | None) -> dict[str, Any]:
    return {"verdict": said.verdict, "comment": short(said.sentence, VALUE_CHARACTERS)} if said else {}


def _tags(said: Said | None) -> list[str]:
    return [*([f"verdict:{said.verdict}"] if said.verdict else []), *said.tags] if said else []


def _times(time: datetime | None, description: str) -> dict[str, Any]:
    at = time or NO_TIME
    return {
        "datetime": iso(at),
        "timestamp": microseconds(at),
        "timestamp_desc": description if time else "No time recorded",
    }
