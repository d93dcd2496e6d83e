"""``failures_before_success`` is exact, however failures and successes lie, and with unknown names and times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.engine.duckdb import DuckDBEngine
from casemate.explore.logons import KEYS, logons
from casemate.schema.ocsf import API_ACTIVITY, AUTHENTICATION

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
TRIES = st.lists(
    st.fixed_dictionaries(
        {
            "user_name": st.sampled_from(["ann", "bob", None]),
            "src_endpoint_ip": st.sampled_from(["198.51.100.1", None]),
            "status": st.sampled_from(["Success", "Failure", "Failure", "Unknown", None]),
            "time": st.one_of(st.none(), st.integers(0, 6).map(lambda second: START + dt.timedelta(seconds=second))),
            "unmapped_attempts": st.sampled_from([None, 1, 3]),
        }
    ),
    max_size=40,
)


def expected(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The same, row by row."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["user_name"], row["src_endpoint_ip"]), []).append(row)
    counted = {}
    for key, tries in found.items():
        successes = [one["time"] for one in tries if one["status"] == "Success" and one["time"]]
        failures = [one for one in tries if one["status"] == "Failure"]
        first = min(successes, default=None)
        early = [one for one in failures if one["time"] and first and one["time"] < first]
        counted[key] = {
            "successes": sum(one["unmapped_attempts"] or 1 for one in tries if one["status"] == "Success"),
            "failures": sum(one["unmapped_attempts"] or 1 for one in failures),
            "first_success": first,
            "failures_before_success": sum(one["unmapped_attempts"] or 1 for one in early) if first else None,
        }
    return counted


@settings(max_examples=20, deadline=None)
@given(TRIES)
def test_failures_before_the_first_success_are_counted_exactly(rows: list[dict[str, Any]]) -> None:
    engine = DuckDBEngine()
    try:
        schema = AUTHENTICATION.schema.to_pyarrow()
        full = [{name: row.get(name) for name in schema.names} for row in rows]
        nullable = pa.schema([field.with_nullable(True) for field in schema])
        held = engine.hold(ibis.memtable(pa.Table.from_pylist(full, nullable)))
        empty = ibis.memtable(API_ACTIVITY.schema.to_pyarrow().empty_table())
        found = engine.collect(logons({"authentication": held, "api_activity": empty})).to_pylist()
    finally:
        engine.close()
    assert [list(row)[: len(KEYS)] for row in found] == [list(KEYS)] * len(found)
    wanted = expected(rows)
    assert len(found) == len(wanted)
    for row in found:
        want = wanted[row["user"], row["source"]]
        assert {name: row[name] for name in want} == want
