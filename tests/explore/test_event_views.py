"""The OCSF tables as ``casemate query`` sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.explore.event_views import event_views
from casemate.explore.query import query
from casemate.explore.tables import NATIVE, stored_tables
from casemate.schema.native import LEADING_FIELDS
from casemate.schema.ocsf import EVENT_CLASSES
from casemate.views import ocsf_tables

WHEN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def native(columns: dict[str, str], schema: pa.Schema) -> pa.RecordBatch:
    row = {"evidence": "e" * 64, "record": 1, "offset": 0, "length": 9, "time": WHEN, **columns}
    return pa.RecordBatch.from_pylist([row], schema)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One connection and, from an older version with fewer columns, one SSH session."""
    root = tmp_path_factory.mktemp("events") / "case"
    ends = {"id.orig_h": "192.0.2.1", "id.resp_h": "10.0.0.9", "id.resp_p": "22", "uid": "C1"}
    older = pa.schema([*LEADING_FIELDS, *(pa.field(name, pa.string()) for name in (*ends, "auth_success"))])
    with Case.create(root) as case:
        for table, schema, columns in (
            ("zeek_conn", NATIVE["zeek_conn"], {**ends, "proto": "tcp", "conn_state": "S0"}),
            ("zeek_ssh", older, {**ends, "auth_success": "F"}),
        ):
            stage = case.stage()
            stage.write(table, schema, [native(columns, schema)])
            case.commit(stage)
    return root


def ask(root: Path, sql: str) -> list[dict[str, Any]]:
    with Case.open(root) as case:
        events = event_views(case, sql)
        return list(query(case, sql, extra_views=events.views, extra_tables=events.empty))


def test_a_query_sees_what_analytics_see(root: Path) -> None:
    with Case.open(root) as case:
        engine = DuckDBEngine()
        engine.use(stored_tables(case))
        made = ocsf_tables(engine.read, {"zeek_conn"})
        seen = engine.collect(made["network_activity"].drop("time")).to_pylist()
    assert ask(root, "SELECT * EXCLUDE (time) FROM network_activity") == seen
    assert seen[0]["status"] == "Failure"


def test_columns_that_an_older_version_did_not_have_are_null(root: Path) -> None:
    rows = ask(root, "SELECT src_endpoint_ip, unmapped_attempts, device_hostname FROM authentication")
    assert rows == [{"src_endpoint_ip": "192.0.2.1", "unmapped_attempts": 1, "device_hostname": None}]


def test_only_what_is_named_is_compiled(root: Path) -> None:
    with Case.open(root) as case:
        assert not event_views(case, "SELECT * FROM findings").views
        assert set(event_views(case, "SELECT * FROM Authentication").views) == {"authentication"}
        listed = event_views(case, "SELECT * FROM information_schema.tables")
    assert set(listed.views) == {"authentication", "network_activity", "ssh_activity"}
    assert set(listed.views) | set(listed.empty) >= {kind.name for kind in EVENT_CLASSES}


def test_every_view_compiles_to_sql_that_runs() -> None:
    connection = ibis.duckdb.connect()
    for name, schema in NATIVE.items():
        connection.create_table(name, schema=ibis.Schema.from_pyarrow(schema))
    unbound = {name: ibis.table(ibis.Schema.from_pyarrow(schema), name=name) for name, schema in NATIVE.items()}
    for kind, table in zip(EVENT_CLASSES, ocsf_tables(unbound.__getitem__, set(NATIVE)).values(), strict=True):
        if kind.name != "email_activity":  # nothing makes it yet
            columns = connection.con.sql(ibis.to_sql(table, dialect="duckdb")).columns
            assert columns == list(kind.schema)
