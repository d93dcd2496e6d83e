"""A tuning on findings that a finding missed by one part is told, whatever detector made the finding."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from casemate.detect.tuning.nearly import near_tunings
from casemate.detect.tuning.tunings import FINDING_LOG_SOURCE, Tuning, make_tuning
from casemate.detect.tuning.where import parse_where
from casemate.schema.findings import FINDINGS

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RULE = "casemate.behaviour.horizontal_scan"


def tuning(where: str, rule: str = RULE, kind: str = "suppress") -> Tuning:
    return make_tuning(
        kind=kind, scope="case", about="finding", rules=(rule,), log_source=FINDING_LOG_SOURCE,
        detection=parse_where([where]), severity="low" if kind == "severity" else None, reason="our scanner",
        until=None, who="ann", at=NOW,
    )  # fmt: skip


def finding(**changes: Any) -> pa.RecordBatch:
    row = {
        "id": "a" * 32, "time": NOW, "time_end": NOW, "detector": "behaviour.scans", "rule_id": RULE,
        "rule_version": "1", "title": "Many own hosts tried", "severity": "medium", "techniques": ["T1046"],
        "tactics": ["discovery"], "source": {"kind": "address", "value": "198.51.100.61"},
        "target": {"kind": "own_network", "value": "own network", "service": "445/tcp"}, "vector": "network",
        "outcome": "failed", "confidence": "high", "why": '{"analytic":"scans","counts":{"hosts":12}}', **changes,
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([row], FINDINGS)


def test_the_one_part_that_did_not_hold_is_named() -> None:
    [miss] = near_tunings([tuning("source: 198.51.100.61 and service: 22/tcp")], finding())
    assert miss.filter == f"tuning {tuning('source: 198.51.100.61 and service: 22/tcp').short}"
    assert (miss.missing.field, miss.missing.wanted, miss.missing.value) == ("service", ("22/tcp",), "445/tcp")
    assert [part.field for part in miss.held] == ["source"]


def test_counts_that_a_behaviour_states_can_be_what_lacks() -> None:
    [miss] = near_tunings([tuning("source: 198.51.100.61 and counts.hosts: 11")], finding())
    assert (miss.missing.field, miss.missing.value) == ("counts.hosts", "12")


@pytest.mark.parametrize(
    "given",
    [
        tuning("source: 198.51.100.9 and service: 22/tcp"),  # two parts lack
        tuning("source: 198.51.100.61 and service: 445/tcp"),  # it holds: the finding is taken out, not nearly
        tuning("source: 198.51.100.61 and service: 22/tcp", rule="another"),
        tuning("source: 198.51.100.61 and service: 22/tcp", kind="severity"),
    ],
)
def test_what_is_not_near_is_not_told(given: Tuning) -> None:
    assert near_tunings([given], finding()) == ()
