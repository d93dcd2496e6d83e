"""A rule ran only if some record belongs to its log source; otherwise it says what it would need."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.detect.sigma.cache import install_rules
from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.load import load_rules
from casemate.detect.sigma.match import TableMatcher
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine, StoredTable, StoredTables
from casemate.evidence.readers.windows_json import WINDOWS_EVENT
from casemate.investigate.event_sources import fits
from casemate.investigate.rule_states import rule_states

SYSMON = {"Provider_Name": "Microsoft-Windows-Sysmon", "Channel": "Microsoft-Windows-Sysmon/Operational"}
AUDIT = {"Provider_Name": "Microsoft-Windows-Security-Auditing", "Channel": "Security"}
RULES = {
    "process_creation": "{product: windows, category: process_creation}",
    "registry_set": "{product: windows, category: registry_set}",
    "security": "{product: windows, service: security}",
    "system": "{product: windows, service: system}",
    "zeek": "{product: zeek, service: conn}",
    "firewall": "{category: firewall}",
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    for number, (name, source) in enumerate(RULES.items()):
        (folder / f"{name}.yml").write_text(
            f"title: {name}\nid: 00000000-0000-4000-8000-{number:012d}\nlogsource: {source}\n"
            "detection: {sel: {a: b}, other: {action: blocked}, condition: sel and not other}\n"
        )
    return folder


Records = list[Mapping[str, str | None]]


def stored(folder: Path, records: Records) -> StoredTables:
    """A table of Windows events with these records, as a version without a column for OperationType stored it."""
    schema = pa.schema([field for field in WINDOWS_EVENT.schema if field.name != "OperationType"])
    rows = [
        {
            "evidence": "e" * 64,
            "record": number,
            "offset": 0,
            "length": 1,
            "time": dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
            **{name: value for name, value in record.items() if name in schema.names},
        }
        for number, record in enumerate(records, start=1)
    ]
    path = folder / "part.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return StoredTables({"windows_event": StoredTable(schema, (path,))})


def states(engine: Engine, rules: Path, folder: Path, records: Records) -> dict[str, tuple[str, str | None]]:
    """State and reason of each rule."""
    installed = install_rules([rules], folder / "cache")
    tables = stored(folder, records)
    engine.use(tables)
    return {row["title"]: (row["state"], row["reason"]) for row in rule_states(engine, installed, tables)}


def test_a_rule_whose_log_source_is_absent_says_what_it_needs(rules: Path, tmp_path: Path) -> None:
    found = states(DuckDBEngine(), rules, tmp_path, [{**SYSMON, "EventID": "1"}])
    assert found["process_creation"] == ("ran", None)
    assert found["registry_set"] == (
        "no_records",
        "no record of windows/registry_set/* in this case (needs Sysmon 13 or Security 4657)",
    )
    assert found["system"] == ("no_records", "no record of windows/*/system in this case (needs channel system)")
    assert found["zeek"] == ("no_records", "no record of zeek/*/conn in this case (needs Zeek conn)")
    assert found["firewall"] == (
        "no_reader",
        "it rules out by action, which no events of this log source that Casemate reads (Zeek conn) record",
    )


def test_an_event_that_names_neither_channel_nor_provider_is_of_no_log_source(rules: Path, tmp_path: Path) -> None:
    found = states(DuckDBEngine(), rules, tmp_path, [{"EventID": "1"}, {"EventID": "4688"}, {"EventID": "7045"}])
    assert {state for state, _ in found.values()} == {"no_records", "no_reader"}


@pytest.mark.parametrize(("operation", "state"), [("%%1904", "ran"), ("%%1906", "no_records"), (None, "no_records")])
def test_what_stands_in_rest_counts(rules: Path, tmp_path: Path, operation: str | None, state: str) -> None:
    rest = json.dumps({"operationtype": operation, "other": 1})
    records: Records = [{**AUDIT, "EventID": "4657", "rest": rest}, {**AUDIT, "EventID": "4657", "rest": None}]
    found = states(DuckDBEngine(), rules, tmp_path, records)
    assert found["registry_set"][0] == state
    assert found["security"][0] == "ran"


VALUES = {
    "EventID": (None, "1", "13", "4657", "4688", "7045"),
    "Channel": (None, "Security", "SYSTEM", SYSMON["Channel"], "Other"),
    "Provider_Name": (None, AUDIT["Provider_Name"], SYSMON["Provider_Name"], "Service Control Manager"),
}


@pytest.fixture(scope="module")
def matcher(rules: Path) -> TableMatcher:
    return TableMatcher(compile_rules(load_rules([rules]).rules), "windows_event")


@given(record=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}))
def test_the_answer_is_the_matchers(matcher: TableMatcher, record: dict[str, str | None]) -> None:
    inside = {"a": "b", "OperationType": "%%1904"}
    columns = {name: pa.array([value], pa.string()) for name, value in (record | inside).items()}
    found = matcher.match(pa.RecordBatch.from_pydict({"record": pa.array([1], pa.int64()), **columns}))
    matched = {matcher.plans[match.plan].rule for match in found.matches}
    kind = {name.lower(): None if value is None else value.lower() for name, value in (record | inside).items()}
    assert matched == {plan.rule for plan in matcher.plans if fits(matcher.sources[plan.source], kind)}
