"""OCSF 1.8: one ``detection_finding`` event (class 2004) per finding.

https://schema.ocsf.io/1.8.0/classes/detection_finding.  ``time`` (milliseconds since 1970) is
required; where no time is known it is 0 and ``unmapped.time_known`` is false.  The reason and all
that the class has no place for stand under ``unmapped``; record addresses in
``finding_info.related_events``.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

import orjson

from casemate import __version__
from casemate.export.content import Endpoint, ExportedFinding, microseconds
from casemate.schema.ocsf import OCSF_VERSION

CLASS_UID, CATEGORY_UID, CREATE, NEW = 2004, 2, 1, 1
RECORDS_LISTED = 100
SEVERITIES: dict[str, tuple[int, str]] = {
    "informational": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
CONFIDENCES: dict[str, tuple[int, str]] = {"low": (1, "Low"), "medium": (2, "Medium"), "high": (3, "High")}
RULE, BEHAVIORAL = (1, "Rule"), (2, "Behavioral")
HOSTNAME, IP_ADDRESS, USER_NAME, PROCESS_NAME, OTHER = 1, 2, 4, 9, 99
OBSERVABLES: dict[str, tuple[int, str]] = {
    "address": (IP_ADDRESS, "IP Address"),
    "host": (HOSTNAME, "Hostname"),
    "user": (USER_NAME, "User Name"),
    "process": (PROCESS_NAME, "Process Name"),
}


def finding(found: ExportedFinding) -> dict[str, Any]:
    """One finding as an OCSF event."""
    severity_id, severity = SEVERITIES.get(found.severity, (0, "Unknown"))
    confidence_id, confidence = CONFIDENCES.get(found.confidence, (0, "Unknown"))
    event: dict[str, Any] = {
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": CATEGORY_UID,
        "category_name": "Findings",
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": CLASS_UID * 100 + CREATE,
        "type_name": "Detection Finding: Create",
        "time": _milliseconds(found.time) if found.time else 0,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": NEW,
        "status": "New",
        "confidence_id": confidence_id,
        "confidence": confidence,
        "count": max(found.record_count, 1),
        "message": found.sentence,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": found.id,
            "product": {"name": "Casemate", "version": __version__},
        },
        "finding_info": _info(found),
        "unmapped": {
            "time_known": found.time is not None,
            "vector": found.vector,
            "outcome": found.outcome,
            "source": vars(found.source) if found.source else None,
            "target": vars(found.target) if found.target else None,
            "why": orjson.dumps(found.why).decode(),
        },
    }
    if found.said is not None:
        event["unmapped"]["annotation"] = found.said.plain
        event["comment"] = found.said.sentence
    if found.time is not None:
        event["start_time"] = _milliseconds(found.time)
        if found.time_end is not None:
            event["end_time"] = _milliseconds(found.time_end)
    observables = [
        _observable(side, end) for side, end in (("source", found.source), ("target", found.target)) if end is not None
    ]
    if observables:
        event["observables"] = observables
    evidence = _evidence(found)
    if evidence:
        event["evidences"] = [evidence]
    return event


def _info(found: ExportedFinding) -> dict[str, Any]:
    type_id, kind = BEHAVIORAL if found.detector.startswith("behaviour.") else RULE
    info: dict[str, Any] = {
        "uid": found.id,
        "title": found.title,
        "analytic": {
            "uid": found.rule_id,
            "name": found.title,
            "version": found.rule_version,
            "category": found.detector,
            "type_id": type_id,
            "type": kind,
        },
        "related_events": [{"uid": address} for address in found.records[:RECORDS_LISTED]],
        "related_events_count": found.record_count,
    }
    if found.time is not None:
        info["first_seen_time"] = _milliseconds(found.time)
    if found.time_end is not None:
        info["last_seen_time"] = _milliseconds(found.time_end)
    attacks: list[dict[str, Any]] = [_technique(one) for one in found.techniques]
    attacks += [{"tactic": {"name": one}} for one in found.tactics] if not attacks else []
    if attacks:
        info["attacks"] = attacks
    return info


def _technique(technique: str) -> dict[str, Any]:
    """A technique as an ATT&CK object: the sub-technique beneath its technique."""
    atlas = technique.startswith("AML.")
    number, _, part = technique.removeprefix("AML.").partition(".")
    parent = f"AML.{number}" if atlas else number
    attack: dict[str, Any] = {"technique": {"uid": parent}}
    if part:
        attack["sub_technique"] = {"uid": technique}
    return attack


def _evidence(found: ExportedFinding) -> dict[str, Any]:
    """The ends of the finding as endpoints, where they are such."""
    evidence: dict[str, Any] = {}
    for name, end in (("src_endpoint", found.source), ("dst_endpoint", found.target)):
        if end is None:
            continue
        endpoint: dict[str, Any] = {}
        if end.kind == "address" and _is_address(end.value):
            endpoint["ip"] = end.value
        elif end.kind == "host":
            endpoint["name"] = end.value
        if end.service and name == "dst_endpoint":
            endpoint["svc_name"] = end.service
        if endpoint:
            evidence[name] = endpoint
        if end.kind == "user":
            evidence.setdefault("user", {"name": end.value})
    return evidence


def _observable(side: str, end: Endpoint) -> dict[str, Any]:
    type_id, kind = OBSERVABLES.get(end.kind, (OTHER, end.kind))
    if end.kind == "address" and not _is_address(end.value):
        type_id, kind = OTHER, "address"
    return {"name": f"unmapped.{side}.value", "type_id": type_id, "type": kind, "value": end.value}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _milliseconds(time: datetime) -> int:
    return microseconds(time) // 1_000
