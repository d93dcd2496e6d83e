"""Planted faults are found, and nothing else is accused; on both engines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import planted_logs as planted
import pytest

from casemate.case import Case
from casemate.detect.coverage import clocks, levels, minutes, numbers, observed
from casemate.detect.coverage.sources import silences
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.blind_spots import numbers_over
from casemate.explore.coverage import CoverageFacts, case_coverage, narrowed
from casemate.explore.coverage_answers import answers
from casemate.explore.tables import native_filled, stored_tables
from casemate.intel.store import own_rules
from casemate.investigate.run import Options, investigate
from casemate.schema.ocsf import EVENT_CLASSES
from casemate.settings import Settings
from casemate.views import ocsf_tables

NOW = planted.START + timedelta(days=30)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Path:
    folder = tmp_path_factory.mktemp("coverage")
    evidence = planted.write(folder / "evidence")
    options = Options(rules=(own_rules(),), cache=compiled_rules)
    with Case.create(folder / "case", Settings(name="planted")) as case:
        report = investigate(case, [evidence], options, DuckDBEngine(), who="tester", clock=lambda: NOW)
    assert report.intake.kept == report.intake.records > 4_000
    return folder / "case"


@pytest.fixture(scope="module")
def facts(path: Path) -> CoverageFacts:
    with Case.open(path) as case:
        return case_coverage(case, now=NOW)


def test_the_gap_of_thirty_hours_is_found_and_no_bursty_or_single_record_is_accused(facts: CoverageFacts) -> None:
    silent = {(one.table, one.host): one for one in facts.streams if one.unusual}
    # the numbers that were taken out of Sysmon's log leave a silence too
    assert set(silent) == {("syslog", "busy"), ("windows_event", planted.WS1)}
    [silence] = silent["syslog", "busy"].unusual
    assert (silence.start, silence.end) == planted.GAP
    assert 300 < silence.expected_records < 420
    assert numbers_over(silent["syslog", "busy"], facts.numberings) is None
    assert numbers_over(silent["windows_event", planted.WS1], facts.numberings) == "missing"
    assert {one.host for one in facts.streams if one.table == "syslog"} == {"busy", "bursty", "lonely"}


def test_missing_numbers_are_found_where_they_are(facts: CoverageFacts) -> None:
    found = {(one.table, one.host, one.stream): one for one in facts.numberings}
    sysmon = found["windows_event", planted.WS1, planted.SYSMON[0]]
    assert (sysmon.verdict, sysmon.missing, sysmon.holes_within) == ("holes", 40, 1)
    [hole] = sysmon.listed
    assert (hole.first, hole.last) == (planted.HOLE.start, planted.HOLE.stop - 1)
    assert hole.after == planted.START + timedelta(minutes=10 * (planted.HOLE.start - 2))
    assert found["windows_event", planted.WS2, planted.SYSMON[0]].verdict == "complete"
    journal = found["journald", "db1", None]
    assert (journal.verdict, journal.missing, journal.lowest, journal.highest) == ("holes", 3, 0x0FE0, 0x107F)


def test_serials_that_begin_anew_are_not_a_hole(facts: CoverageFacts) -> None:
    audit = [one for one in facts.numberings if one.table == "linux_audit"]
    assert sorted((one.lowest, one.highest, one.missing) for one in audit) == [(50, 249, 0), (8_000, 8_199, 5)]


def test_what_numbers_nothing_is_said_to(facts: CoverageFacts) -> None:
    assert not [one for one in facts.numberings if one.table == "syslog"]


def test_the_cleared_log_is_the_largest_blind_spot(facts: CoverageFacts) -> None:
    [act] = [one for one in facts.stopped if one.act.kind == "cleared"]
    assert (act.act.name, act.host, act.who, act.times) == ("security_log_cleared", planted.WS1, "mallory", 1)
    assert act.record.count(":") == 1
    assert facts.spots[0].kind == "cleared"
    assert "by mallory" in facts.spots[0].says


def test_a_clock_off_by_41_minutes_is_measured_between_hosts_that_talk(facts: CoverageFacts) -> None:
    [offset] = facts.offsets
    assert (offset.one, offset.other, offset.kind) == (planted.WS1, planted.WS2, "connection")
    assert offset.verdict == "disagree"
    assert (offset.seconds, offset.spread) == (planted.OFF.total_seconds(), 0)
    assert offset.pairs == 824  # those of both hosts


def test_levels_that_are_off_are_named(facts: CoverageFacts) -> None:
    assert {(one.check, one.host) for one in facts.levels} >= {
        ("process_starts_absent", planted.WS1),
        ("security_absent", planted.WS2),
        ("commands_absent", "web1"),
    }
    assert "sysmon_absent" not in {one.check for one in facts.levels}


def test_three_answers_are_kept_apart(facts: CoverageFacts) -> None:
    told = answers(facts)
    assert {"linux/process_creation/*", "kubernetes/*/audit"} <= {one["what"] for one in told["no_log_exists"]}
    hows = {one["how"] for one in told["lost_or_elsewhere"]}
    assert {"cleared", "missing_numbers", "earlier_records"} <= hows
    looked = {one["what"] for one in told["looked_and_found_none"]}
    assert not looked & {one["what"] for one in told["no_log_exists"]}


def test_only_a_host_or_source_can_be_asked_for(facts: CoverageFacts) -> None:
    one = narrowed(facts, "WS1", "sysmon")
    assert {(stream.host, stream.stream) for stream in one.streams} == {(planted.WS1, planted.SYSMON[0])}
    assert not narrowed(facts, "elsewhere", None).streams


def answers_of(path: Path, engine: Engine) -> dict[str, list[tuple]]:
    """One question of each module, asked of an engine."""
    with Case.open(path) as case:
        stored = stored_tables(case)
        engine.use(stored)
        native = {name: engine.read(name) for name in native_filled(stored)}
        rows, seen = numbers.numbered(native), observed(native)
        assert rows is not None
        assert seen is not None
        kinds = [kind for kind in EVENT_CLASSES if kind.name == "network_activity"]
        network = ocsf_tables(engine.read, ["windows_event"], kinds)
        sightings = clocks.sightings(network, native["windows_event"])
        assert sightings is not None
        asked = {
            "silences": silences(minutes(seen)),
            "numbers": numbers.numbering(numbers.steps(rows)),
            "offsets": clocks.offsets(clocks.pairs(sightings)),
            "levels": levels.counted(native["windows_event"], "windows_event"),
        }
        return {
            name: sorted(tuple(row[key] for key in sorted(row)) for row in engine.collect(question).to_pylist())
            for name, question in asked.items()
        }


@pytest.mark.spark
def test_a_cluster_says_the_same(path: Path, spark: Engine) -> None:
    here = answers_of(path, DuckDBEngine())
    assert all(here.values())
    assert answers_of(path, spark) == here
