"""The kernel and the counting of traffic give the same rows on a cluster as here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine, StoredTable, StoredTables
from casemate.intel.origins_store import versions
from casemate.intel.origins_update import update_origins
from casemate.origins.kernel import OriginKernel
from casemate.origins.spans import spans
from casemate.origins.traffic import attempts_by_day, traffic_by_day
from casemate.schema.attempts import ATTEMPTS
from casemate.schema.ocsf import NETWORK_ACTIVITY
from casemate.schema.origins import ANSWER

NOW = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
ADDRESSES = ["5.5.9.1", "5.5.1.1", "9.9.9.9", None, "nowhere", "2001:db8::1", "10.1.1.1", "5.5.9.1"]


def attempt(name: str, source: str | None, begin: int, end: int, kind: str = "address") -> dict:
    start = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    return {
        "id": name, "source": {"kind": kind, "value": source}, "scope": {"kind": "host", "value": "h"},
        "vector": "network", "started": start + dt.timedelta(minutes=begin), "ended": start + dt.timedelta(minutes=end),
        "intent": "reconnaissance", "outcome": "failed", "findings": 1, "gap_seconds": 1800,
    }  # fmt: skip


def connection(source: str, minute: int, out: int | None = 10, back: int | None = 5) -> dict:
    empty = dict.fromkeys(NETWORK_ACTIVITY.schema.to_pyarrow().names)
    moment = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
    return empty | {
        "evidence": "e", "record": minute, "time": moment, "src_endpoint_ip": source,
        "traffic_bytes_out": out, "traffic_bytes_in": back,
    }  # fmt: skip


ATTEMPTS_HELD = [
    attempt("a", "5.5.9.1", 0, 10),
    attempt("b", "5.5.9.1", 5, 20),
    attempt("c", "5.5.9.1", 3000, 3000),
    attempt("d", "7.7.7.0/24", 0, 10, "network"),
    attempt("e", None, 0, 10, "unknown"),
    attempt("f", "host-1", 0, 10, "host"),
]
CONNECTIONS = [
    connection("5.5.9.1", 0), connection("5.5.9.1", 7), connection("5.5.9.1", 20, None, None),
    connection("5.5.9.1", 21), connection("5.5.9.1", 3000), connection("8.8.8.8", 7), connection("7.7.7.9", 3),
]  # fmt: skip


def counted(engine: Engine) -> tuple[list[dict], list[dict]]:
    attempts = ibis.memtable(pa.Table.from_pylist(ATTEMPTS_HELD, schema=ATTEMPTS))
    network = ibis.memtable(
        pa.Table.from_pylist(CONNECTIONS, schema=NETWORK_ACTIVITY.schema.to_pyarrow()), schema=NETWORK_ACTIVITY.schema
    )
    order = ["address", "day"]
    return (
        engine.collect(attempts_by_day(attempts).order_by(order)).to_pylist(),
        engine.collect(traffic_by_day(attempts, network).order_by(order)).to_pylist(),
    )


def test_a_connection_counts_once_and_only_while_an_attempt_goes_on():
    attempts, traffic = counted(DuckDBEngine())
    day = (dt.date(2026, 3, 1) - dt.date(1970, 1, 1)).days
    assert attempts == [
        {"address": "5.5.9.1", "day": day, "attempts": 2},
        {"address": "5.5.9.1", "day": day + 2, "attempts": 1},
        {"address": "7.7.7.0/24", "day": day, "attempts": 1},
    ]
    assert traffic == [
        {"address": "5.5.9.1", "day": day, "connections": 3, "bytes": 30, "without_bytes": 1},
        {"address": "5.5.9.1", "day": day + 2, "connections": 1, "bytes": 15, "without_bytes": 0},
        {"address": "7.7.7.0/24", "day": day, "connections": 1, "bytes": 15, "without_bytes": 0},
    ]


@pytest.mark.spark
def test_a_cluster_looks_up_and_counts_alike(spark: Engine, tmp_path: Path):
    table = tmp_path / "networks.csv"
    table.write_text("block,registered_country,category\n5.5.0.0/16,NL,cloud\n5.5.9.0/24,FR,vpn\n2001:db8::/32,DE,\n")
    update_origins(source=table, now=NOW, dated="2026-01-01", root=tmp_path / "home")
    held = spans(versions(tmp_path / "home"))
    kernel = OriginKernel("address", tuple(held.versions(1)), ("10.0.0.0/8",))
    part, schema = tmp_path / "part.parquet", pa.schema([pa.field("address", pa.string())])
    pq.write_table(pa.table({"address": ADDRESSES}, schema=schema), part)
    stored = StoredTables({"seen": StoredTable(schema, (part,))})
    out = pa.schema([*schema, *ANSWER])

    def looked_up(engine: Engine) -> list[dict]:
        engine.use(stored)
        rows = [row for batch in engine.map_batches("seen", kernel, out) for row in batch.to_pylist()]
        return sorted(rows, key=lambda row: str(row["address"]))

    here = looked_up(DuckDBEngine())
    assert [(row["address"], row["registered_country"], row["categories"]) for row in here] == [
        ("10.1.1.1", None, ["own"]),
        ("2001:db8::1", "DE", []),
        ("5.5.1.1", "NL", ["cloud"]),
        ("5.5.9.1", "FR", ["vpn", "cloud"]),
        ("5.5.9.1", "FR", ["vpn", "cloud"]),
        ("9.9.9.9", None, []),
        (None, None, []),
        ("nowhere", None, []),
    ]
    assert looked_up(spark) == here
    assert counted(spark) == counted(DuckDBEngine())
