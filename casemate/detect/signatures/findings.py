"""Events of signatures as findings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from casemate.detect.signatures.model import UNKNOWN_TOOL, Event
from casemate.detect.signatures.suricata import Burst, finding, split, told
from casemate.schema.findings import FINDING_RECORDS, FINDINGS, finding_id

DETECTOR = "signature"


def findings(events: Iterable[Event], alerts: Iterable[Burst] = ()) -> tuple[pa.Table, pa.Table]:
    """Rows of ``findings`` and ``finding_records`` of events and of Suricata's alerts; equal findings stand once."""
    events = list(events)
    own, same = split(list(alerts), events)
    rows: dict[str, dict[str, Any]] = {}
    records: list[dict[str, Any]] = []
    for index, event in enumerate(events):
        addresses = [(event.evidence, record) for record in event.records]
        identity = finding_id(event.signature.rule_id(event.result), addresses)
        if identity in rows:
            continue
        rows[identity] = _row(identity, event, [told(burst) for burst in same.get(index, ())])
        records.extend({"finding": identity, "evidence": evidence, "record": record} for evidence, record in addresses)
    for burst in own:
        row = finding(burst)
        if row["id"] not in rows:
            rows[row["id"]] = row
            records.extend(
                {"finding": row["id"], "evidence": where, "record": number} for where, number in burst.records
            )
    ordered = [rows[identity] for identity in sorted(rows)]
    return pa.Table.from_pylist(ordered, schema=FINDINGS), pa.Table.from_pylist(records, schema=FINDING_RECORDS)


def _row(identity: str, event: Event, also: list[dict[str, Any]]) -> dict[str, Any]:
    signature = event.signature
    return {
        "id": identity,
        "time": event.time,
        "time_end": event.time_end,
        "detector": DETECTOR,
        "rule_id": signature.rule_id(event.result),
        "rule_version": signature.version,
        "title": signature.weakness_title if event.result == UNKNOWN_TOOL else f"{signature.title} ({event.result})",
        "severity": "critical" if event.outcome != "failed" else "high",
        "techniques": sorted(signature.techniques),
        "tactics": sorted(signature.tactics),
        "source": {"kind": "address", "value": event.source},
        "target": {"kind": "address", "value": event.target, "service": f"{event.port}/tcp"},
        "vector": "network",
        "outcome": event.outcome,
        "confidence": "low" if event.result == UNKNOWN_TOOL else event.confidence,
        "why": json.dumps({**why(event), **({"also": also} if also else {})}, ensure_ascii=False, sort_keys=True),
    }


def why(event: Event) -> dict[str, Any]:
    """The tree of features of an event."""
    said = {True: "agrees", False: "differs", None: "cannot be told"}
    return {
        "signature": event.signature.name,
        "tool": None if event.result == UNKNOWN_TOOL else event.signature.title,
        "result": event.result,
        "outcome": {"outcome": event.outcome, "because": event.because},
        "checked": event.signature.checked,
        "connections": list(event.connections),
        "features": [
            {
                "name": one.feature.name,
                "kind": one.feature.kind,
                "agrees": said[one.agrees],
                "seen": one.seen,
                "states": one.feature.states,
                "because": one.feature.because,
                "source": one.feature.source,
            }
            for one in event.seen
        ],
    }
