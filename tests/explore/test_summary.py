"""The summary: the JSON contract, and forty lines a person can act on."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from casemate.detect.coverage import SourceCoverage
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.measures import listing, rows_behind, value, values
from casemate.engine.protocol import StoredTable, StoredTables
from casemate.explore.escape import visible
from casemate.explore.overview import measurable
from casemate.explore.summary import (
    MEASURES,
    FirstLook,
    Ranked,
    Reach,
    RunFacts,
    SummaryInput,
    Timeline,
    gather,
    summary,
)
from casemate.explore.terminal import answer, render
from casemate.incident.attempts import attempts
from casemate.schema.attempts import ATTEMPT_FINDINGS
from casemate.schema.case_tables import EVIDENCE, REGISTRATIONS
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

START = datetime(2024, 4, 19, tzinfo=UTC)
CONTRACT = [
    "run",
    "evidence",
    "findings",
    "suppressed",
    "attempts",
    "campaigns",
    "origins",
    "assets",
    "coverage",
    "judgement",
    "signatures",
    "tuning",
]


def finding(identity: str, minute: int, **changes) -> dict:
    row = {
        "id": identity * 32,
        "time": START + timedelta(minutes=minute),
        "time_end": None,
        "detector": "sigma",
        "rule_id": "r1",
        "rule_version": "1",
        "title": "t",
        "severity": "low",
        "techniques": [],
        "tactics": ["reconnaissance"],
        "source": {"kind": "address", "value": "192.0.2.1"},
        "target": {"kind": "address", "value": "10.0.0.5", "service": "22/tcp"},
        "vector": "network",
        "outcome": "failed",
        "confidence": "low",
        "why": "{}",
    }
    return {**row, **changes}


ROWS = [
    finding("a", 0),
    finding("b", 20),
    finding("c", 80, rule_id="r2"),
    finding(
        "d",
        300,
        rule_id="r3",
        severity="high",
        outcome="succeeded",
        vector="credential",
        tactics=["initial-access"],
        title="Success after guessing",
        source={"kind": "address", "value": "198.51.100.7"},
    ),
]


@pytest.fixture
def case():
    connection = ibis.duckdb.connect()

    def put(name, rows, schema):
        return connection.create_table(name, pa.Table.from_pylist(rows, schema=schema), temp=True)

    evidence = {"bytes": 1, "format": "x", "structure": 0, "reader_version": 1, "continues": None, "notes": None}
    registered = {"member_path": None, "registered_at": START, "registered_by": "x"}
    times = [{"time": START + timedelta(minutes=minute)} for minute in [*range(60), *range(240, 320)]]
    findings = put("findings", ROWS, FINDINGS)
    made = attempts(findings, 1800)
    tables = {
        "evidence": put(
            "evidence",
            [
                {**evidence, "evidence": "a" * 64, "records": 10, "kept": 8, "rejected": 2},
                {**evidence, "evidence": "b" * 64, "records": 0, "kept": 0, "rejected": 0},
            ],
            EVIDENCE,
        ),
        "registrations": put(
            "registrations",
            [
                {**registered, "evidence": "a" * 64, "path": "x.zip", "parent": "b" * 64},
                {**registered, "evidence": "b" * 64, "path": "x.zip", "parent": None},
            ],
            REGISTRATIONS,
        ),
        "findings": findings,
        "finding_records": put(
            "finding_records", [{"finding": "d" * 32, "evidence": "a" * 64, "record": 7}], FINDING_RECORDS
        ),
        "attempts": connection.create_table("attempts", made.attempts.to_pyarrow(), temp=True),
        "attempt_findings": connection.create_table("links", made.attempt_findings.to_pyarrow(), temp=True),
    }
    native = {"zeek_ssh": put("zeek_ssh", times, pa.schema([("time", pa.timestamp("us", tz="UTC"))]))}
    return tables, native


def collect(expr):
    return expr.to_pyarrow()


def gathered(case) -> SummaryInput:
    tables, native = case
    return gather(tables, native, collect, RunFacts(run="run-1", case="lab case"))


def test_a_case_of_a_version_that_did_not_note_gaps_counts_attempts_at_them_even_so(case, tmp_path: Path):
    tables, _native = case
    parts = {"findings": tmp_path / "findings.parquet", "attempt_findings": tmp_path / "links.parquet"}
    pq.write_table(tables["findings"].to_pyarrow(), parts["findings"])
    pq.write_table(tables["attempt_findings"].drop("apart").to_pyarrow(), parts["attempt_findings"])
    stored = StoredTables(
        {
            "findings": StoredTable(FINDINGS, (parts["findings"],)),
            "attempt_findings": StoredTable(
                ATTEMPT_FINDINGS, (parts["attempt_findings"],), {parts["attempt_findings"]: frozenset({"apart"})}
            ),
        }
    )
    engine = DuckDBEngine()
    engine.use(stored)
    older = measurable(engine, stored, ("findings", "attempt_findings"))
    [measure] = [one for one in MEASURES if one.name == "attempts.at_gap"]
    assert value(measure, older, engine.collect) == value(measure, tables, collect) == {"10": 4, "120": 2, "30": 3}


def test_json_has_exactly_the_keys_of_the_contract(case):
    made = summary(gathered(case))
    assert list(made) == CONTRACT
    assert made["evidence"] == {"files": 1, "records": 10, "kept": 8, "rejected": 2}
    assert made["findings"] == 4
    assert made["attempts"]["total"] == 3
    assert made["attempts"]["at_gap"] == {"10": 4, "30": 3, "120": 2}
    assert made["attempts"]["by_outcome"] == {"blocked": 0, "failed": 2, "succeeded": 1, "unknown": 0}
    assert "30 minutes" in made["attempts"]["definition"]
    json.dumps(made)


def test_parts_not_built_are_null(case):
    made = summary(gathered(case))
    assert [made[name] for name in ("campaigns", "origins", "assets", "judgement")] == [None] * 4
    assert made["signatures"] == []  # looked and found none


def test_json_follows_its_published_schema(case):
    schema = json.loads((Path(__file__).parents[2] / "docs/schemas/summary.schema.json").read_text())
    made = summary(gathered(case))
    assert set(schema["required"]) == set(made)
    for part in ("evidence", "attempts", "coverage"):
        assert set(schema["properties"][part]["required"]) <= set(made[part])


def test_the_silence_is_the_blind_spot(case):
    blind = summary(gathered(case))["coverage"]["largest_blind_spot"]
    assert (blind["table"], blind["longest_silence_seconds"]) == ("zeek_ssh", 181 * 60)
    assert blind["silence_from"] == "2024-04-19T00:59:00Z"


def test_a_success_comes_before_volume_in_sources(case):
    assert [row.value for row in gathered(case).top_sources] == ["198.51.100.7", "192.0.2.1"]


def test_the_first_look_is_the_success_and_names_a_record(case):
    look = gathered(case).first_look
    assert look is not None
    assert (look.title, look.record) == ("Success after guessing", "a" * 64 + ":7")


def test_every_number_can_be_asked_for_its_rows(case):
    tables, _ = case
    for measure in MEASURES:
        number = value(measure, tables, collect)
        for label, counted in number.items() if isinstance(number, dict) else [(None, number)]:
            rows = collect(rows_behind(measure, tables, label))
            behind = sum(rows[measure.add].to_pylist()) if measure.add else rows.num_rows
            assert behind == counted, measure.name
    assert all(f"`{measure.name}`" in listing(MEASURES) for measure in MEASURES)


def test_a_number_is_the_same_whether_asked_alone_or_with_others(case):
    tables, _native = case
    assert values(MEASURES, tables, collect) == {one.name: value(one, tables, collect) for one in MEASURES}


def test_the_list_of_measures_in_the_docs_is_current():
    assert listing(MEASURES) in (Path(__file__).parents[2] / "docs/measures.md").read_text()


def busy(**changes) -> SummaryInput:
    measured = {
        "evidence.files": 9_999,
        "evidence.records": 123_456_789,
        "evidence.kept": 123_456_780,
        "evidence.rejected": 9,
        "findings.total": 99_999,
        "findings.by_severity": dict.fromkeys(("critical", "high", "medium", "low", "informational"), 1_234_567),
        "findings.unique_by_severity": dict.fromkeys(("critical", "high", "medium", "low", "informational"), 1_234),
        "attempts.total": 88_888,
        "attempts.sources": 77_777,
        "attempts.by_intent": dict.fromkeys(
            ("reconnaissance", "infiltration", "lateral_movement", "exfiltration", "disruption", "unspecified"), 123_456
        ),
        "attempts.by_outcome": dict.fromkeys(("blocked", "failed", "succeeded", "unknown"), 123_456),
        "attempts.by_vector": dict.fromkeys(
            ("network", "credential", "web", "email", "host", "cloud_api", "cluster_api", "artifact", "unknown"),
            123_456,
        ),
        "attempts.at_gap": {"10": 999_999, "30": 88_888, "120": 7},
    }
    hostile = "\x1b[31m[bold red]\u202eevil\u200b\n漢字" * 9
    given = SummaryInput(
        facts=RunFacts(run=hostile, case=hostile, verified=True, own_networks=hostile, notes=(hostile,) * 9),
        measured=measured,
        reach=(Reach("infiltration", "succeeded", 3, START, START), Reach("reconnaissance", "unknown", 9, None, None)),
        top_sources=tuple(Ranked("host", hostile, 999, 1, 99, 999_999) for _ in range(20)),
        top_targets=tuple(Ranked("host", hostile, 999, 1, 99, 999_999) for _ in range(20)),
        first_look=FirstLook("f", hostile, "high", "succeeded", START, hostile, "a" * 64 + ":7"),
        coverage=(SourceCoverage(hostile, hostile, 1, 0, START, START, 999_999, START, START),),
        timeline=Timeline(START, timedelta(hours=1), (1, 0) * 30, (0, 0, 5) * 20),
    )
    return replace(given, **changes)


def test_never_more_than_40_lines_of_80_columns_and_no_hostile_character():
    shown = render(busy())
    lines = shown.rstrip("\n").split("\n")
    assert len(lines) <= 40
    commands = [line for line in lines if line.strip().startswith("casemate ")]
    assert max(cell_len(line) for line in lines if line not in commands) <= 80
    assert all(
        shlex.split(command)[:2] == ["casemate", word]
        for command, word in zip(commands, ("show", "record"), strict=True)
    )
    assert all(command.count("--case") == 1 and "…" not in command for command in commands)  # whole, to be copied
    assert not set(shown) & {"\x1b", "\u202e", "\u200b"}
    assert "[bold red]" in shown
    assert lines[-1].startswith("run")


def test_the_order_never_changes():
    shown = render(busy())
    labels = ["read", "blind spot", "findings", "attempts", "sources by", "targets by", "timeline", "look at", "run"]
    places = [shown.index("\n" + label) for label in labels]
    assert places == sorted(places)


def test_the_answer_says_what_since_when_and_how_far(case):
    said = answer(gathered(case))
    assert "3 attempts from 2 known sources since 2024-04-19" in said
    assert "1 succeeded, the first on 2024-04-19 05:00Z; furthest by the rules' tactics: infiltration (1)" in said


def test_the_commands_shown_quote_the_case(case):
    shown = render(gathered(case))
    assert "casemate show findings --case 'lab case' --severity high" in shown
    assert "casemate record aaaaaaaaaaaaaaaa:7 --case 'lab case'" in shown


def test_nothing_found_says_what_that_is_worth():
    measured = {"evidence.records": 5, "evidence.kept": 5, "findings.total": 0}
    said = answer(SummaryInput(RunFacts("r", "c", rules=120), measured))
    assert "Nothing was found in 5 records" in said
    assert "120 rules" in said
    assert "Nothing was read" in answer(SummaryInput(RunFacts("r", "c"), {}))


def test_what_is_cut_on_the_first_screen_says_so_and_keeps_what_tells_it_apart():
    note = "The years were inferred from the date of the file and the order of its lines, " * 5
    top = tuple(Ranked("host", f"web-with-a-long-name.lab.example {service}", 1, 1, 1, 0) for service in ("ssh", "smb"))
    shown = render(busy(facts=RunFacts("r", "c", notes=(note,)), top_targets=top))
    [begin] = [number for number, line in enumerate(shown.split("\n")) if line.startswith("note")]
    assert shown.split("\n")[begin + 1].endswith("…")
    assert all(
        any(line.startswith("  web-") and f"… {word}" in line for line in shown.split("\n")) for word in ("ssh", "smb")
    )


def test_hidden_characters_are_written_as_codes():
    assert visible("a\u202eb\x1b\n") == "a\\u202eb\\x1b\\x0a"
