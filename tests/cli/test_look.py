"""``show logons``, ``pivots``, ``stack``, ``timeline``, ``tree`` over a small case of several sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from small_case import HOSTILE, Small, run

from casemate.case import Case
from casemate.cli.schemas import published
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.logons import logons
from casemate.explore.pivots import pivots
from casemate.explore.process_tree import launches
from casemate.explore.stack import stack
from casemate.explore.tables import native_filled, stored_tables, views
from casemate.explore.timeline import Looking, timeline
from casemate.views import SEVERAL_CLASSES

HOST = "ws1.lab.example"


def process(record: int, pid: int, parent: int, image: str, minute: int) -> dict[str, Any]:
    return {
        "EventID": 4688,
        "Channel": "Security",
        "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "SourceName": "Microsoft-Windows-Security-Auditing",
        "Hostname": HOST,
        "Computer": HOST,
        "EventRecordID": record,
        "@timestamp": f"2026-03-02T02:{minute:02d}:00.000Z",
        "EventTime": f"2026-03-02 02:{minute:02d}:00",
        "NewProcessId": hex(pid),
        "ProcessId": hex(parent),
        "NewProcessName": f"C:\\Windows\\{image}.exe",
        "CommandLine": f"{image}.exe /run",
        "SubjectUserName": "alice",
        "SubjectDomainName": "LAB",
    }


def request(number: int, code: int, user: str) -> dict[str, Any]:
    time = f"2026-03-02T03:00:{number:02d}.000000Z"
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"00000000-0000-4000-8000-{number:012d}",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/secrets",
        "verb": "list",
        "user": {"username": user},
        "sourceIPs": ["203.0.113.77"],
        "objectRef": {"resource": "secrets", "apiVersion": "v1"},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": time,
        "stageTimestamp": time,
    }


@pytest.fixture(scope="module")
def case(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small case's evidence with processes and a cluster's audit log."""
    folder = tmp_path_factory.mktemp("look")
    tree = [
        process(1, 100, 4, "services", 0),
        process(2, 200, 100, "shell", 1),
        process(3, 300, 200, "tool", 2),
        process(4, 301, 200, "other", 3),
        process(5, 200, 999, "reused", 10),
        process(6, 310, 200, "late", 11),
    ]
    (folder / "win.json").write_text("".join(json.dumps(row) + "\n" for row in tree))
    calls = [request(1, 401, "dev"), request(2, 401, "dev"), request(3, 403, "dev"), request(4, 200, "dev")]
    (folder / "audit.log").write_text("".join(json.dumps(row) + "\n" for row in calls))
    made = run("investigate", small.folder / "evidence", folder, "--case", folder / "case", "--quiet", "--json")
    assert made.code == 0, made.err
    return folder / "case"


def look(case: Path, *words: object, schema: str) -> list[dict[str, Any]]:
    ran = run("show", *words, "--case", case, "--json")
    assert (ran.code, ran.err) == (0, "")
    rows = ran.lines()
    for row in rows:
        jsonschema.validate(row, published(schema))
        assert set(row) == set(published(schema)["properties"])
    return rows


def test_logons_tell_the_failures_before_the_first_success(case: Path) -> None:
    rows = look(case, "logons", schema="logon")
    first = rows[0]
    assert (first["user"], first["source"], first["host"], first["service"]) == ("root", "203.0.113.9", "gw1", "ssh")
    assert (first["successes"], first["failures"], first["failures_before_success"]) == (1, 40, 40)
    assert first["first_success"] == first["last"]
    (hostile,) = [row for row in rows if row["user"] and "owned" in row["user"]]
    assert (hostile["successes"], hostile["failures_before_success"]) == (0, None)


def test_a_cluster_refuses_only_with_401(case: Path) -> None:
    (row,) = look(case, "logons", "--user", "DEV", schema="logon")
    assert (row["service"], row["failures"], row["successes"], row["failures_before_success"]) == (
        "kubernetes",
        2,
        2,
        2,
    )


def test_filters_narrow_and_limits_hold(case: Path) -> None:
    assert look(case, "logons", "--address", "198.51.100.1", schema="logon") == []
    assert len(look(case, "timeline", "--limit", 3, schema="timeline")) == 3
    early = look(case, "timeline", "--until", "2026-03-02T01:00:10Z", "--host", "gw1", schema="timeline")
    assert [row["time"] for row in early] == ["2026-03-02T01:00:00Z", "2026-03-02T01:00:05Z"]
    late = look(case, "timeline", "--from", "2026-03-02T02:00:00+00:00", "--user", "alice", schema="timeline")
    assert len(late) == 6


def test_the_timeline_has_every_source_in_one_order(case: Path) -> None:
    rows = look(case, "timeline", schema="timeline")
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert {row["class_name"] for row in rows} == {
        "authentication", "network_activity", "http_activity", "process_activity", "api_activity",
    }  # fmt: skip
    shown = run("record", f"{rows[0]['evidence']}:{rows[0]['record']}", "--case", case)
    assert shown.code == 0


def test_stacks_begin_with_the_least_frequent(case: Path) -> None:
    rows = look(case, "stack", "service_name", schema="stack")
    assert [(row["value"], row["hosts"], row["records"]) for row in rows] == [("ssh", 1, 42)]
    paths = look(case, "stack", "process_file_path", "--host", HOST, schema="stack")
    assert [row["records"] for row in paths] == [1] * 6
    assert paths[0]["example_host"] == HOST


def test_pivots_begin_with_what_findings_name(case: Path) -> None:
    rows = look(case, "pivots", schema="pivot")
    assert rows[0]["findings"] >= rows[-1]["findings"] == 0
    addresses = look(case, "pivots", "--kind", "address", schema="pivot")
    guesser = next(row for row in addresses if row["value"] == "203.0.113.9")
    assert (guesser["records"], guesser["hosts"]) == (42, 1)
    assert guesser["findings"] > 0
    assert {row["kind"] for row in addresses} == {"address"}


def test_a_tree_follows_reused_process_numbers_by_time(case: Path) -> None:
    rows = look(case, "tree", 200, schema="process")
    assert [(row["depth"], row["pid"], row["asked"]) for row in rows] == [
        (0, 100, False),
        (1, 200, True),
        (2, 300, False),
        (2, 301, False),
        (0, 200, True),
        (1, 310, False),
    ]
    assert look(case, "tree", "0xc8", schema="process") == rows
    (alone,) = [row for row in look(case, "tree", 300, schema="process") if row["asked"]]
    assert (alone["depth"], alone["command"]) == (2, "tool.exe /run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stack", "nothing_such"], "no field 'nothing_such'"),
        (["tree", "abc"], "'abc' is not a process number"),
        (["timeline", "--from", "yesterday"], "'yesterday' is not a time"),
        (["pivots", "--kind", "colour"], "no kind 'colour'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(case: Path, words: list[str], said: str) -> None:
    ran = run("show", *words, "--case", case)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert said in ran.err


@pytest.mark.parametrize("words", [["logons"], ["pivots"], ["timeline"], ["stack", "user_name"], ["tree", "200"]])
def test_output_for_people_is_harmless(case: Path, words: list[str]) -> None:
    ran = run("show", *words, "--case", case)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert HOSTILE not in ran.out


def test_only_annotated_shows_the_records_that_people_marked(case: Path) -> None:
    assert run("show", "timeline", "--only", "annotated", "--case", case, "--json").lines() == []
    row = look(case, "timeline", "--host", "gw1", schema="timeline")[0]
    address = f"{row['evidence']}:{row['record']}"
    assert run("mark", address, "--case", case, "--tag", "seen").code == 0
    assert look(case, "timeline", "--only", "annotated", schema="timeline") == [row]
    assert sum(one["records"] for one in look(case, "stack", "status", "--only", "annotated", schema="stack")) == 1
    assert run("mark", address, "--case", case, "--clear").code == 0
    wrong = run("show", "logons", "--only", "mine", "--case", case)
    assert (wrong.code, "cannot show only 'mine'" in wrong.err) == (2, True)


@pytest.mark.spark
def test_both_engines_give_the_same_rows(case: Path, spark: Engine) -> None:
    looking = Looking()
    with Case.open(case) as opened:
        stored = stored_tables(opened)
        told = []
        for engine in (DuckDBEngine(), spark):
            engine.use(stored)
            tables = views(engine, stored)
            filled = set(native_filled(stored))
            made = [
                logons(tables),
                stack(tables, "status", looking),
                pivots(
                    views(engine, stored, natives=filled - SEVERAL_CLASSES),
                    views(engine, stored, natives=filled & SEVERAL_CLASSES),
                    engine.read("findings"),
                    looking,
                ),
                timeline(tables),
                launches(tables["process_activity"]),
            ]
            told.append([_sorted(engine.collect(table)) for table in made])
    assert told[0] == told[1]
    assert all(told[0])


def _sorted(table: pa.Table) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in table.to_pylist())
