"""Attempts against a plain Python oracle, and the properties the design promises."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.incident.attempts import (
    Attempts,
    attempts,
    beginnings,
    definition,
    rebuild,
    touched_keys,
)
from casemate.incident.intents import intent_rank
from casemate.intel.tactics import TACTIC_INTENTS, intent_of
from casemate.schema.attempts import ATTEMPT_FINDINGS, ATTEMPTS
from casemate.schema.findings import FINDINGS

START = datetime(2024, 4, 19, tzinfo=UTC)
RANKED = ["disruption", "exfiltration", "lateral_movement", "infiltration", "reconnaissance", "unspecified"]
INTENT = {"impact": 0, "exfiltration": 1, "lateral-movement": 2, "initial-access": 3, "reconnaissance": 4}
OUTCOMES = ["succeeded", "failed", "blocked", "unknown"]


def finding(
    identity: str,
    minute: float | None,
    *,
    length: float | None = 0.0,
    source: tuple[str, str] | None = ("address", "192.0.2.1"),
    target: tuple[str, str, str | None] | None = ("address", "10.0.0.5", "22/tcp"),
    vector: str = "network",
    outcome: str = "unknown",
    tactics: tuple[str, ...] = (),
) -> dict:
    time = None if minute is None else START + timedelta(minutes=minute)
    end = None if time is None or length is None else time + timedelta(minutes=length)
    return {
        "id": identity,
        "time": time,
        "time_end": end,
        "detector": "behaviour.test",
        "rule_id": "r",
        "rule_version": "1",
        "title": "t",
        "severity": "low",
        "techniques": [],
        "tactics": list(tactics),
        "source": None if source is None else {"kind": source[0], "value": source[1]},
        "target": None if target is None else {"kind": target[0], "value": target[1], "service": target[2]},
        "vector": vector,
        "outcome": outcome,
        "confidence": "low",
        "why": "{}",
    }


@pytest.fixture(scope="module")
def connection() -> ibis.BaseBackend:
    return ibis.duckdb.connect()


def table(connection, rows: list[dict], name: str = "findings"):
    return connection.create_table(name, pa.Table.from_pylist(rows, schema=FINDINGS), overwrite=True, temp=True)


def rows_of(expr, key: str) -> list[dict]:
    return sorted(expr.to_pyarrow().to_pylist(), key=lambda row: row[key])


def plain(made: Attempts) -> tuple[list[dict], list[dict]]:
    return rows_of(made.attempts, "id"), rows_of(made.attempt_findings, "finding")


def key_of(row: dict) -> tuple:
    source = row["source"] or {"kind": "unknown", "value": ""}
    target = row["target"] or {"kind": "unknown", "value": "", "service": None}
    service, kind, value = target["service"] or "", target["kind"], target["value"]
    if kind != "own_network" and service:
        kind, value = "service", f"{value} {service}" if value else service
    elif kind in ("address", "host", "service"):
        kind = "host"
    return source["kind"], source["value"], kind, value, row["vector"]


def oracle(findings: list[dict], gap_seconds: int) -> list[dict]:
    groups = defaultdict(list)
    for row in findings:
        groups[(*key_of(row), row["time"] is not None)].append(row)
    made = []
    for key, rows in groups.items():
        rows.sort(key=lambda row: (row["time"] or START, row["time_end"] or row["time"] or START, row["id"]))
        parts: list[list[dict]] = []
        latest = None
        for row in rows:
            end = row["time_end"] or row["time"]
            if not parts or (latest and row["time"] and (row["time"] - latest).total_seconds() > gap_seconds):
                parts.append([])
            parts[-1].append(row)
            latest = max(latest, end) if latest and end else end or latest
        for part in parts:
            ids = sorted(row["id"] for row in part)
            ranks = [INTENT.get(tactic, 5) for row in part for tactic in row["tactics"]]
            made.append(
                {
                    "id": hashlib.sha256(("attempt\n" + "\n".join(ids)).encode()).hexdigest()[:32],
                    "source": {"kind": key[0], "value": key[1]},
                    "scope": {"kind": key[2], "value": key[3]},
                    "vector": key[4],
                    "started": min((row["time"] for row in part if row["time"]), default=None),
                    "ended": max((row["time_end"] or row["time"] for row in part if row["time"]), default=None),
                    "intent": RANKED[min(ranks, default=5)],
                    "outcome": OUTCOMES[min(OUTCOMES.index(row["outcome"]) for row in part)],
                    "findings": len(part),
                    "gap_seconds": gap_seconds,
                }
            )
    return sorted(made, key=lambda row: row["id"])


shapes = st.builds(
    dict,
    minute=st.one_of(st.none(), st.integers(0, 300)),
    length=st.one_of(st.none(), st.integers(0, 90)),
    source=st.sampled_from([("address", "192.0.2.1"), ("network", "192.0.2.0/24"), None]),
    target=st.sampled_from(
        [
            ("address", "10.0.0.5", "22/tcp"),
            ("address", "10.0.0.5", None),
            ("own_network", "own network", "22/tcp"),
            None,
        ]
    ),
    vector=st.sampled_from(["network", "credential"]),
    outcome=st.sampled_from(OUTCOMES),
    tactics=st.sampled_from([(), ("reconnaissance",), ("impact", "reconnaissance"), ("stealth",)]),
)
lists = st.lists(shapes, min_size=1, max_size=25)


def build(drawn: list[dict]) -> list[dict]:
    return [finding(f"{index:032x}", **shape) for index, shape in enumerate(drawn)]


@settings(max_examples=25, deadline=None)
@given(drawn=lists, gap=st.sampled_from([600, 1800, 7200]))
def test_attempts_equal_a_plain_oracle_and_hold_every_finding_once(connection, drawn, gap):
    rows = build(drawn)
    made, links = plain(attempts(table(connection, rows), gap))
    assert made == oracle(rows, gap)
    assert [link["finding"] for link in links] == sorted(row["id"] for row in rows)
    assert {link["attempt"] for link in links} == {row["id"] for row in made}


@settings(max_examples=8, deadline=None)
@given(drawn=lists, cut=st.integers(0, 25), gap=st.sampled_from([600, 1800]))
def test_late_findings_give_the_same_attempts_as_building_from_scratch(connection, drawn, cut, gap):
    rows = build(drawn)
    early, late = table(connection, rows[:cut], "early"), table(connection, rows[cut:], "late")
    everything = table(connection, rows)
    before = attempts(early, gap)
    stored = Attempts(
        connection.create_table("attempts", before.attempts.to_pyarrow(), overwrite=True, temp=True),
        connection.create_table("links", before.attempt_findings.to_pyarrow(), overwrite=True, temp=True),
    )
    after = rebuild(stored, everything, touched_keys(late), gap)
    assert plain(after) == plain(attempts(everything, gap))


def test_a_late_finding_that_bridges_two_attempts_merges_them(connection):
    apart = [finding("a" * 32, 0), finding("b" * 32, 50)]
    assert attempts(table(connection, apart)).attempts.count().to_pyarrow().as_py() == 2
    bridged = [*apart, finding("c" * 32, 25)]
    [merged] = plain(attempts(table(connection, bridged)))[0]
    assert merged["findings"] == 3
    assert merged["ended"] - merged["started"] == timedelta(minutes=50)


def test_the_gap_runs_from_the_latest_end_not_from_the_finding_before(connection):
    rows = [finding("a" * 32, 0, length=100), finding("b" * 32, 10, length=0), finding("c" * 32, 120)]
    assert attempts(table(connection, rows)).attempts.count().to_pyarrow().as_py() == 1


def test_a_gap_of_exactly_the_setting_does_not_divide(connection):
    rows = [finding("a" * 32, 0), finding("b" * 32, 30), finding("c" * 32, 60.001)]
    assert attempts(table(connection, rows)).attempts.count().to_pyarrow().as_py() == 2


def test_columns_are_those_of_the_schema(connection):
    made = attempts(table(connection, [finding("a" * 32, 0)]))
    assert made.attempts.to_pyarrow().cast(ATTEMPTS).num_rows == 1
    assert made.attempt_findings.to_pyarrow().cast(ATTEMPT_FINDINGS).num_rows == 1


def test_counts_at_the_reported_gaps(connection):
    rows = [finding("a" * 32, 0), finding("b" * 32, 20), finding("c" * 32, 80)]
    for gap in (60, 1800, 1_000_000):
        counted = beginnings(attempts(table(connection, rows), gap).attempt_findings)
        counted = counted.label.value_counts(name="n").to_pyarrow().to_pylist()
        assert {row["label"]: row["n"] for row in counted} == {"10": 3, "30": 2, "120": 1}


@settings(max_examples=10, deadline=None)
@given(drawn=lists, built=st.sampled_from([600, 1800, 7200]), asked=st.sampled_from([10, 30, 120]))
def test_the_attempts_of_any_gap_are_told_by_those_of_another(connection, drawn, built, asked):
    rows = build(drawn)
    found = beginnings(attempts(table(connection, rows), built).attempt_findings, [asked])
    assert found.count().to_pyarrow().as_py() == len(oracle(rows, asked * 60))


def test_the_intent_of_findings_is_that_of_the_table_of_tactics(connection):
    lists = [[], ["stealth"], *([tactic] for tactic in TACTIC_INTENTS), ["impact", "discovery"], ["unheard-of"]]
    rows = [finding(f"{number:032x}", 0, tactics=tuple(tactics)) for number, tactics in enumerate(lists)]
    ranked = table(connection, rows).select("id", rank=lambda findings: intent_rank(findings.tactics)).order_by("id")
    assert [RANKED[rank] for rank in ranked.to_pyarrow()["rank"].to_pylist()] == [intent_of(one) for one in lists]


def test_definition_names_the_gap():
    assert "30 minutes" in definition(1800)
