"""What the scanner says of a case's artefacts as findings: one for each artefact that is not ``safe``.

The rule is the gravest reason's; every reason stands in ``why``.  The records do not say when an artefact was brought
in or whether anybody loaded it, so a finding has no time and no outcome.  What could not be read whole shows no
technique: only what was read can.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from casemate.detect.artifacts.contract import (
    COMMAND_INTERPRETER,
    CORRUPT_MODEL,
    EMBED_MALWARE,
    MALICIOUS_PACKAGE,
    MASQUERADING,
    SUPPLY_CHAIN_DATA,
    SUPPLY_CHAIN_MODEL,
    SUPPLY_CHAIN_SOFTWARE,
    UNSAFE_ARTIFACT,
    Reason,
    Verdict,
)
from casemate.detect.artifacts.folders import judged_together
from casemate.detect.artifacts.stored import verdict_of_row
from casemate.schema.artifacts import WHOLE
from casemate.schema.findings import FINDING_RECORDS, FINDINGS, finding_id

DETECTOR = "artifact"
RULE_VERSION = "1"
REASONS_TOLD = 20
PLACES_TOLD = 20
UNKNOWN = "format.unknown"

TACTICS: Mapping[str, tuple[str, ...]] = {
    # ATLAS, release of May 2026
    UNSAFE_ARTIFACT: ("execution",),
    MALICIOUS_PACKAGE: ("execution",),
    SUPPLY_CHAIN_SOFTWARE: ("initial-access",),
    SUPPLY_CHAIN_DATA: ("initial-access",),
    SUPPLY_CHAIN_MODEL: ("initial-access",),
    EMBED_MALWARE: ("ai-attack-staging", "persistence"),
    COMMAND_INTERPRETER: ("execution",),
    MASQUERADING: ("defense-evasion",),
    CORRUPT_MODEL: ("defense-evasion",),
}
SEVERITIES: Mapping[str, str] = {"malicious": "high", "suspicious": "medium", "unscannable": "low"}
CONFIDENCES: Mapping[str, str] = {"malicious": "high", "suspicious": "medium", "unscannable": "low"}
MEANS: Mapping[str, str] = {
    "malicious": "whoever loads it runs what is in it or lets it reach out; whether anybody did is not said",
    "suspicious": "loading it may run code or mislead whoever does; whether anybody did is not said",
    "unscannable": "it was not read or not understood whole, so nothing says that it is safe",
}


def findings(
    rows: Iterable[Mapping[str, Any]], places: Mapping[str, Sequence[str]]
) -> tuple[pa.Table, pa.Table]:  # fmt: skip
    """Rows of ``findings`` and ``finding_records``.

    Args:
        rows: of ``artifacts``.
        places: where each evidence was received, as told to people.
    """
    by_path = sorted(rows, key=lambda row: (str(PurePath(row["path"]).parent), row["path"], row["evidence"]))
    verdicts = judged_together(verdict_of_row(row) for row in by_path)
    dated = {row["evidence"]: row["dated"] for row in by_path}
    found = [
        _row(verdict, dated[verdict.sha256 or ""], places.get(verdict.sha256 or "", ()))
        for verdict in verdicts
        if verdict.verdict != "safe"
    ]
    found.sort(key=lambda one: one[0]["id"])
    records = [{"finding": row["id"], "evidence": evidence, "record": WHOLE} for row, evidence in found]
    return (
        pa.Table.from_pylist([row for row, _ in found], schema=FINDINGS),
        pa.Table.from_pylist(records, schema=FINDING_RECORDS),
    )


def _row(verdict: Verdict, dated: Any, places: Sequence[str]) -> tuple[dict[str, Any], str]:
    evidence = verdict.sha256 or ""
    first = verdict.reasons[0]
    telling = [reason for reason in verdict.reasons if reason.severity in ("malicious", "suspicious")]
    techniques = sorted({reason.technique for reason in telling if reason.technique})
    rule = f"casemate.artifact.{first.code}"
    low = verdict.verdict == "unscannable" and {reason.code for reason in verdict.reasons} == {UNKNOWN}
    row = {
        "id": finding_id(rule, [(evidence, WHOLE)]),
        "time": None,
        "time_end": None,
        "detector": DETECTOR,
        "rule_id": rule,
        "rule_version": RULE_VERSION,
        "title": f"{verdict.verdict.capitalize()} artefact: {first.code}",
        "severity": "informational" if low else SEVERITIES[verdict.verdict],
        "techniques": techniques,
        "tactics": sorted({tactic for technique in techniques for tactic in TACTICS.get(technique, ())}),
        "source": {"kind": "unknown", "value": None},
        "target": {"kind": "resource", "value": verdict.path, "service": None},
        "vector": "artifact",
        "outcome": "unknown",
        "confidence": CONFIDENCES[verdict.verdict],
        "why": json.dumps(_why(verdict, dated, places), ensure_ascii=False, sort_keys=True),
    }
    return row, evidence


def _why(verdict: Verdict, dated: Any, places: Sequence[str]) -> dict[str, Any]:
    telling = [reason for reason in verdict.reasons if reason.severity != "note"]
    return {
        "artifact": {
            "path": verdict.path,
            "sha256": verdict.sha256,
            "bytes": verdict.bytes,
            "format": verdict.format,
            "verdict": verdict.verdict,
            "dated": None if dated is None else dated.isoformat().replace("+00:00", "Z"),
            "bytes_skipped": verdict.bytes_skipped,
        },
        "received": list(places[:PLACES_TOLD]),
        "received_count": len(places),
        "means": MEANS[verdict.verdict],
        "reasons": [_told(reason, verdict.path) for reason in telling[:REASONS_TOLD]],
        "reasons_left_off": len(telling) - len(telling[:REASONS_TOLD]) + verdict.reasons_left_off,
    }


def _told(reason: Reason, path: str) -> dict[str, Any]:
    return {
        "code": reason.code,
        "severity": reason.severity,
        "text": reason.text,
        "where": f"{path}!/{reason.path_inside}" if reason.path_inside else path,
        "offset": reason.offset,
        "technique": reason.technique,
        "loader_effect": reason.loader_effect,
    }
