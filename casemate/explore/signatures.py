"""What signatures of exploit tools found, for the summary."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from typing import Any

import orjson

from casemate.detect.signatures.findings import DETECTOR
from casemate.engine.measures import Collect, Tables

LIMIT = 1_000
"""Most entries of a summary; ``show findings`` has all."""


def signature_entries(tables: Tables, collect: Collect) -> list[dict[str, Any]]:
    """One entry for each finding of a signature, in the order of time: an empty list where nothing was found."""
    if "findings" not in tables:
        return []
    table = tables["findings"]
    found = table.filter(table.detector == DETECTOR).order_by(["time", "id"]).limit(LIMIT)
    return [_entry(row) for row in collect(found).to_pylist()]


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    because = orjson.loads(row["why"])
    because = because if isinstance(because, dict) else {}
    features = because.get("features") or []
    result = because.get("result")
    return {
        "finding": row["id"],
        "rule_id": row["rule_id"],
        "tool": because.get("signature") if because.get("tool") else None,
        "title": row["title"],
        "result": result,
        "outcome": row["outcome"],
        "because": (because.get("outcome") or {}).get("because"),
        "confidence": row["confidence"],
        "time": None if row["time"] is None else row["time"].isoformat().replace("+00:00", "Z"),
        "source": row["source"],
        "target": row["target"],
        "agree": [feature["name"] for feature in features if feature["agrees"] == "agrees"],
        "differ": [feature["name"] for feature in features if feature["agrees"] == "differs"],
    }
