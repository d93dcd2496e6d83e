"""Alerts of Suricata as findings: what its rules said, in bursts, each once.

Definition: "EVE JSON Format", event type *alert*, of Suricata's user guide.  One finding for a rule, a source, a target
and a service in one burst (alerts at most five minutes apart, as for behaviour: attempts join bursts).  Who did it to
whom: the rule's own ``target`` where it states one, else the flow's client and server, else the packet's addresses.

An alert that says what a signature of ours says (the same two addresses and service, the same time, and words that name
the same weakness) makes no finding of its own: it is told in the finding of ours, with its records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from casemate.detect.signatures.model import Event
from casemate.schema.findings import finding_id

TABLE = "suricata_event"
DETECTOR = "suricata"
GAP = timedelta(minutes=5)
SEVERITIES = {"1": "high", "2": "medium", "3": "low"}
"""Suricata's priorities; anything else is informational."""
CONFIDENCES = ("low", "medium", "high")
SAME_WEAKNESS = re.compile(r"ms17.?010|cve.2017.014[3-8]|eternal|doublepulsar|smb.{0,20}(fea|trans2)", re.IGNORECASE)
"""Words of rules on the weaknesses that signatures of ours are about."""
TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?")
COLUMNS = (
    *("evidence", "record", "time", "event_type", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "direction"),
    *("alert.action", "alert.gid", "alert.signature_id", "alert.rev", "alert.signature", "alert.category"),
    *("alert.severity", "alert.source.ip", "alert.target.ip", "alert.metadata.confidence", "alert.metadata.cve"),
    *("alert.metadata.mitre_technique_id", "alert.metadata.mitre_tactic_name"),
    *("flow.src_ip", "flow.dest_ip", "flow.dest_port"),
)
"""What is read of ``suricata_event``."""
RECORDS_TOLD = 100


@dataclass
class Burst:
    """Alerts of one rule, source, target and service."""

    first: Mapping[str, Any]
    source: str
    target: str
    service: str
    begun: datetime | None
    ended: datetime | None
    records: list[tuple[str, int]] = field(default_factory=list)
    blocked: int = 0


def bursts(rows: Iterable[Mapping[str, Any]]) -> list[Burst]:
    """Alerts among rows of ``suricata_event`` (columns :data:`COLUMNS`), in any order."""
    grouped: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["event_type"] == "alert" and row["alert.signature_id"]:
            rule = row["alert.gid"] or "1", row["alert.signature_id"]
            grouped.setdefault((*rule, *_ends(row)), []).append(row)
    found: list[Burst] = []
    for key, several in sorted(grouped.items()):
        several.sort(key=lambda row: (row["time"] is None, row["time"] or 0, row["record"], row["evidence"]))
        current: Burst | None = None
        for row in several:
            time = row["time"]
            if current is None or (time is not None and current.ended is not None and time - current.ended > GAP):
                current = Burst(row, key[2], key[3], key[4], time, time)
                found.append(current)
            current.ended = time if time is not None else current.ended
            current.records.append((row["evidence"], row["record"]))
            current.blocked += row["alert.action"] == "blocked"
    return found


def _ends(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Source, target and service."""
    source, target, port = row["src_ip"], row["dest_ip"], row["dest_port"]
    if row["flow.src_ip"] and row["flow.dest_ip"]:
        source, target, port = row["flow.src_ip"], row["flow.dest_ip"], row["flow.dest_port"] or port
    elif row["direction"] == "to_client":
        source, target, port = target, source, row["src_port"]
    if row["alert.source.ip"] and row["alert.target.ip"]:
        source, target = row["alert.source.ip"], row["alert.target.ip"]
    protocol = (row["proto"] or "").lower()
    return source or "", target or "", f"{port}/{protocol}" if port and protocol else protocol


def split(found: Sequence[Burst], events: Sequence[Event]) -> tuple[list[Burst], dict[int, list[Burst]]]:
    """Bursts that stand on their own, and those that an event of ours says already, by its place in `events`."""
    own: list[Burst] = []
    same: dict[int, list[Burst]] = {}
    for burst in found:
        place = next((index for index, event in enumerate(events) if _same(burst, event)), None)
        if place is None:
            own.append(burst)
        else:
            same.setdefault(place, []).append(burst)
    return own, same


def _same(burst: Burst, event: Event) -> bool:
    said = f"{burst.first['alert.signature'] or ''} {burst.first['alert.metadata.cve'] or ''}"
    if {burst.source, burst.target} != {event.source, event.target} or not SAME_WEAKNESS.search(said):
        return False
    ports = {burst.first[name] for name in ("src_port", "dest_port", "flow.dest_port")} - {None, ""}
    if ports and str(event.port) not in ports:
        return False
    if burst.begun is None or burst.ended is None or event.time is None or event.time_end is None:
        return False
    return burst.begun <= event.time_end + GAP and burst.ended >= event.time - GAP


def told(burst: Burst) -> dict[str, Any]:
    """A burst inside the reason of another finding."""
    return {
        "suricata": burst.first["alert.signature_id"],
        "signature": burst.first["alert.signature"],
        "alerts": len(burst.records),
        "records": [f"{evidence}:{record}" for evidence, record in burst.records[:RECORDS_TOLD]],
    }


def finding(burst: Burst) -> dict[str, Any]:
    """A row of ``findings``."""
    row = burst.first
    rule = f"suricata.{row['alert.gid'] or '1'}.{row['alert.signature_id']}"
    confidence = (row["alert.metadata.confidence"] or "").lower()
    tactics = re.split(r"[\n,]", row["alert.metadata.mitre_tactic_name"] or "")
    why = {
        "rule": row["alert.signature"],
        "category": row["alert.category"],
        "alerts": len(burst.records),
        "blocked": burst.blocked,
        "means": "a rule of Suricata fired; what it looks for stands in that rule",
    }
    return {
        "id": finding_id(rule, burst.records),
        "time": burst.begun,
        "time_end": burst.ended,
        "detector": DETECTOR,
        "rule_id": rule,
        "rule_version": row["alert.rev"] or "",
        "title": row["alert.signature"] or rule,
        "severity": SEVERITIES.get(row["alert.severity"] or "", "informational"),
        "techniques": sorted(set(TECHNIQUE.findall(row["alert.metadata.mitre_technique_id"] or ""))),
        "tactics": sorted({name.strip().lower().replace("_", "-") for name in tactics if name.strip()}),
        "source": {"kind": "address" if burst.source else "unknown", "value": burst.source or None},
        "target": {
            "kind": "address" if burst.target else "unknown",
            "value": burst.target or None,
            "service": burst.service or None,
        },
        "vector": "network",
        "outcome": "blocked" if burst.blocked == len(burst.records) else "unknown",
        "confidence": confidence if confidence in CONFIDENCES else "medium",
        "why": json.dumps(why, ensure_ascii=False, sort_keys=True),
    }
