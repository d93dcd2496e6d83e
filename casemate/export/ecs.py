"""Elastic Common Schema 9: newline-delimited JSON, and the index template that gives the fields their types.

https://www.elastic.co/guide/en/ecs/current/: findings are ``event.kind: alert``, records ``event.kind:
event``.  What ECS has no place for stands under ``casemate``; a record's own fields under
``casemate.fields`` (``flattened``, so a thousand different names make one field of the index).

``@timestamp`` is required; where no time is known it is 1970-01-01 and ``casemate.time_known`` false.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import orjson

from casemate.export.content import Endpoint, ExportedEvent, ExportedFinding, Said, iso, short

ECS_VERSION = "9.0.0"
INDEX_PATTERN = "casemate-*"
KEYWORD_CHARACTERS = 1_024
LONG_CHARACTERS = 30_000
SEVERITY_NUMBERS: dict[str, int] = {"informational": 1, "low": 21, "medium": 47, "high": 73, "critical": 99}
"""The numbers by which Elastic's own rules order severities (21, 47, 73, 99)."""
OUTCOMES: dict[str, str] = {"succeeded": "success", "failed": "failure", "blocked": "failure", "unknown": "unknown"}
CATEGORIES: dict[str, list[str]] = {
    "network": ["network", "intrusion_detection"],
    "credential": ["authentication", "intrusion_detection"],
    "web": ["web", "intrusion_detection"],
    "email": ["email", "intrusion_detection"],
    "host": ["host", "intrusion_detection"],
    "cloud_api": ["api", "intrusion_detection"],
    "cluster_api": ["api", "intrusion_detection"],
    "artifact": ["file", "malware"],
    "unknown": ["intrusion_detection"],
}
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def finding(found: ExportedFinding) -> dict[str, Any]:
    """One finding as an ECS document."""
    document: dict[str, Any] = {
        "@timestamp": iso(found.time or _NO_TIME),
        "ecs": {"version": ECS_VERSION},
        "message": short(found.sentence, LONG_CHARACTERS),
        "event": {
            "id": found.id,
            "kind": "alert",
            "category": CATEGORIES.get(found.vector, ["intrusion_detection"]),
            "type": ["denied", "info"] if found.outcome == "blocked" else ["info"],
            "module": "casemate",
            "dataset": "casemate.finding",
            "provider": found.detector,
            "severity": SEVERITY_NUMBERS.get(found.severity, 0),
            "outcome": OUTCOMES.get(found.outcome, "unknown"),
        },
        "rule": {"id": found.rule_id, "name": found.title, "version": found.rule_version, "ruleset": found.detector},
        "casemate": {
            "time_known": found.time is not None,
            "severity": found.severity,
            "vector": found.vector,
            "outcome": found.outcome,
            "confidence": found.confidence,
            "why": short(orjson.dumps(found.why).decode(), LONG_CHARACTERS),
            "records": list(found.records),
            "record_count": found.record_count,
            "source": _plain(found.source),
            "target": _plain(found.target),
        },
    }
    if found.said is not None:
        document |= _said(document, found.said)
    if found.time is not None:
        document["event"]["start"] = iso(found.time)
    if found.time_end is not None:
        document["event"]["end"] = iso(found.time_end)
    threat = _threat(found)
    if threat:
        document["threat"] = threat
    _place(document, "source", found.source)
    _place(document, "destination", found.target)
    if document.get("related"):
        document["related"] = {name: sorted(values) for name, values in document["related"].items()}
    return document


def event(record: ExportedEvent) -> dict[str, Any]:
    """One record as an ECS document."""
    document: dict[str, Any] = {
        "@timestamp": iso(record.time or _NO_TIME),
        "ecs": {"version": ECS_VERSION},
        "message": short(record.sentence, LONG_CHARACTERS),
        "event": {"id": record.address, "kind": "event", "module": "casemate", "dataset": f"casemate.{record.table}"},
        "casemate": {
            "time_known": record.time is not None,
            "table": record.table,
            "evidence": record.evidence,
            "record": record.record,
            "findings": list(record.findings),
            "fields": {name: _keyword(value) for name, value in record.fields.items()},
        },
    }
    if record.said is not None:
        document |= _said(document, record.said)
    if record.host:
        document["host"] = {"name": record.host}
    return document


def _said(document: dict[str, Any], said: Said) -> dict[str, Any]:
    """Tags where ECS has them (``tags``), the rest under ``casemate.annotation``."""
    plain = said.plain | {"note": short(said.note, LONG_CHARACTERS) if said.note else None}
    return {"casemate": {**document["casemate"], "annotation": plain}, "tags": list(said.tags)}


def index_template() -> dict[str, Any]:
    """The body of ``PUT _index_template/casemate``: only the fields written here, with ECS's own types."""
    keyword: dict[str, Any] = {"type": "keyword", "ignore_above": KEYWORD_CHARACTERS}
    date = {"type": "date"}
    number = {"type": "long"}
    end = _object(ip={"type": "ip"}, address=keyword, domain=keyword)
    plain = _object(kind=keyword, value=keyword, service=keyword)
    named = _object(id=keyword, name=keyword)
    return {
        "index_patterns": [INDEX_PATTERN],
        "priority": 200,
        "_meta": {"description": "What Casemate exports, ECS", "ecs_version": ECS_VERSION},
        "template": {
            "settings": {"index": {"mapping": {"total_fields": {"limit": 1000}}}},
            "mappings": {
                "dynamic": False,
                "date_detection": False,
                "properties": {
                    "@timestamp": date,
                    "message": {"type": "match_only_text"},
                    "ecs": _object(version=keyword),
                    "event": _object(
                        **dict.fromkeys(
                            ("id", "kind", "category", "type", "module", "dataset", "provider", "outcome"), keyword
                        ),
                        severity=number,
                        start=date,
                        end=date,
                    ),
                    "host": _object(name=keyword),
                    "user": _object(name=keyword),
                    "process": _object(name=keyword),
                    "rule": _object(id=keyword, name=keyword, version=keyword, ruleset=keyword),
                    "source": end,
                    "destination": end,
                    "service": _object(name=keyword),
                    "related": _object(ip={"type": "ip"}, user=keyword, hosts=keyword),
                    "threat": _object(
                        framework=keyword,
                        tactic=named,
                        technique=_object(id=keyword, name=keyword, subtechnique=named),
                    ),
                    "casemate": _object(
                        time_known={"type": "boolean"},
                        **dict.fromkeys(
                            ("severity", "vector", "outcome", "confidence", "records", "table", "evidence", "findings"),
                            keyword,
                        ),
                        why={"type": "match_only_text"},
                        record=number,
                        record_count=number,
                        source=plain,
                        target=plain,
                        fields={"type": "flattened", "ignore_above": KEYWORD_CHARACTERS},
                        annotation=_object(
                            **dict.fromkeys(
                                ("verdict", "duplicate_of", "tags", "marked_by", "inherited_from"), keyword
                            ),
                            note={"type": "match_only_text"},
                            marked_at=date,
                        ),
                    ),
                    "tags": keyword,
                },
            },
        },
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


def _threat(found: ExportedFinding) -> dict[str, Any]:
    """Tactics by name; techniques and sub-techniques by id, as ECS parts them."""
    if not found.techniques and not found.tactics:
        return {}
    threat: dict[str, Any] = {"framework": "MITRE ATT&CK"}
    if found.techniques and all(one.startswith("AML.") for one in found.techniques):
        threat["framework"] = "MITRE ATLAS"
    if found.tactics:
        threat["tactic"] = {"name": list(found.tactics)}
    parents = sorted({_parent(one) for one in found.techniques})
    parts = [one for one in found.techniques if _parent(one) != one]
    if parents:
        threat["technique"] = dict[str, Any](id=parents)
        if parts:
            threat["technique"]["subtechnique"] = {"id": parts}
    return threat


def _parent(technique: str) -> str:
    prefix, _, number = technique.rpartition("AML.")
    return f"{'AML.' if technique.startswith('AML.') else prefix}{number.partition('.')[0]}"


def _place(document: dict[str, Any], side: str, end: Endpoint | None) -> None:
    """An endpoint where ECS looks for its kind, and under ``related``."""
    if end is None:
        return
    related = document.setdefault("related", {})
    if end.kind == "address" and _is_address(end.value):
        document[side] = {"ip": end.value, "address": end.value}
        related.setdefault("ip", set()).add(end.value)
    elif end.kind == "host":
        document[side] = {"address": end.value, "domain": end.value}
        document.setdefault("host", {"name": end.value})
        related.setdefault("hosts", set()).add(end.value)
    elif end.kind == "user":
        document.setdefault("user", {"name": end.value})
        related.setdefault("user", set()).add(end.value)
    elif end.kind == "process":
        document.setdefault("process", {"name": end.value})
    if end.service and side == "destination":
        document["service"] = {"name": end.service}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(end: Endpoint | None) -> dict[str, str | None] | None:
    return vars(end) if end else None


def _keyword(value: Any) -> Any:
    if isinstance(value, str):
        return short(value, KEYWORD_CHARACTERS)
    return short(orjson.dumps(value).decode(), KEYWORD_CHARACTERS)
