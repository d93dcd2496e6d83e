"""SARIF 2.1.0 (OASIS) for systems that build and review: one result per reason, and one per rule that refused."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from casemate import __version__
from casemate.gate.decide import Decision

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"malicious": "error", "suspicious": "warning", "unscannable": "warning", "note": "note"}


def sarif(decision: Decision) -> dict[str, Any]:
    """The log of one decision."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    for verdict in decision.verdicts:
        for reason in verdict.reasons:
            rules.setdefault(
                reason.code,
                {
                    "id": reason.code,
                    "shortDescription": {"text": reason.loader_effect or reason.code},
                    "defaultConfiguration": {"level": LEVELS[reason.severity]},
                    "properties": {"tags": [reason.technique] if reason.technique else []},
                },
            )
            results.append(
                {
                    "ruleId": reason.code,
                    "level": LEVELS[reason.severity],
                    "message": {"text": f"{reason.text}; a loader: {reason.loader_effect}"},
                    "locations": [_location(verdict.path, reason.path_inside, reason.offset)],
                    "properties": {"verdict": verdict.verdict, "format": verdict.format},
                }
            )
    for result in decision.rules:
        name = f"gate.{result.rule}"
        rules.setdefault(name, {"id": name, "shortDescription": {"text": f"the gate's rule {result.rule}"}})
        if not result.passed:
            results.append(
                {
                    "ruleId": name,
                    "level": "error",
                    "message": {"text": result.text},
                    "locations": [_location(decision.path, "", None)],
                }
            )
    order = list(rules)
    for entry in results:
        entry["ruleIndex"] = order.index(entry["ruleId"])
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "casemate", "version": __version__, "rules": list(rules.values())}},
                "invocations": [
                    {"executionSuccessful": True, "endTimeUtc": decision.time.isoformat().replace("+00:00", "Z")}
                ],
                "results": results,
                "properties": {"allowed": decision.allowed, "digest": decision.digest},
            }
        ],
    }


def _location(path: str, inside: str, offset: int | None) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(path).as_posix())}}
    if offset is not None and not inside:
        place["region"] = {"byteOffset": offset, "byteLength": 1}
    location: dict[str, Any] = {"physicalLocation": place}
    if inside:
        where = f"{inside} byte {offset}" if offset is not None else inside
        location["logicalLocations"] = [{"fullyQualifiedName": where}]
    return location
