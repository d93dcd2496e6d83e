"""Rows of OCSF tables for tests of network analytics, and a run of all analytics over them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa

from casemate.detect.behaviour import READ_CLASSES, read_once, run_all
from casemate.detect.behaviour.networks import OwnNetworks, own_networks
from casemate.engine.protocol import Engine
from casemate.schema.ocsf import (
    AUTHENTICATION,
    DNS_ACTIVITY,
    HTTP_ACTIVITY,
    NETWORK_ACTIVITY,
    SSH_ACTIVITY,
    TLS_ACTIVITY,
    EventClass,
)

START = datetime(2024, 4, 15, tzinfo=UTC)
VICTIM, CONTROLLER = "10.0.0.7", "203.0.113.50"
OWN = own_networks(["10.0.0.0/8"])
DAY = 86_400


def flow(seconds: float, source: str = VICTIM, target: str = CONTROLLER, port: int = 443, **changes) -> dict:
    row = {
        "time": START + timedelta(seconds=seconds),
        "src_endpoint_ip": source,
        "dst_endpoint_ip": target,
        "dst_endpoint_port": port,
        "connection_info_protocol_name": "tcp",
        "unmapped_conn_state": "SF",
        "traffic_bytes_out": 310,
        "traffic_bytes_in": 150,
        "duration": 200,
    }
    return {**row, **changes}


def question(seconds: float, name: str, rcode: str = "NOERROR", source: str = VICTIM, **changes) -> dict:
    row = {
        "time": START + timedelta(seconds=seconds),
        "src_endpoint_ip": source,
        "dst_endpoint_ip": "10.0.0.53",
        "query_hostname": name,
        "query_type": "A",
        "rcode": rcode,
    }
    return {**row, **changes}


def request(seconds: float, host: str, target: str | None, **changes) -> dict:
    row = {
        "time": START + timedelta(seconds=seconds),
        "src_endpoint_ip": VICTIM,
        "dst_endpoint_ip": target,
        "http_request_http_method": "POST",
        "http_request_url_hostname": host,
        "http_request_url_path": "/",
        "http_response_code": 200,
        "traffic_bytes_out": 64,
        "traffic_bytes_in": 12,
    }
    return {**row, **changes}


def clock(period: float, count: int, jitter: float = 0.0, seed: int = 1) -> list[float]:
    """Times of a loop that sleeps."""
    drawn, at, times = random.Random(seed), 0.0, []
    for _ in range(count):
        times.append(at)
        at += period * (1 + drawn.uniform(-jitter, jitter))
    return times


def rows_of(kind: EventClass, rows: list[dict]) -> pa.Table:
    numbered = [{"evidence": kind.name[0] * 64, "record": number, **row} for number, row in enumerate(rows)]
    filled = [{name: row.get(name) for name in kind.schema} for row in numbered]
    return pa.Table.from_pylist(filled, schema=kind.schema.to_pyarrow())


def ocsf_tables(
    engine: Engine,
    *,
    flows: Sequence[dict] = (),
    questions: Sequence[dict] = (),
    requests: Sequence[dict] = (),
    handshakes: Sequence[dict] = (),
    sessions: Sequence[dict] = (),
    logons: Sequence[dict] = (),
) -> dict[str, ibis.Table]:
    """The OCSF tables that analytics read, held by an engine."""
    given = {
        NETWORK_ACTIVITY.name: flows,
        DNS_ACTIVITY.name: questions,
        HTTP_ACTIVITY.name: requests,
        TLS_ACTIVITY.name: handshakes,
        SSH_ACTIVITY.name: sessions,
        AUTHENTICATION.name: logons,
    }
    return {
        kind.name: engine.hold(ibis.memtable(rows_of(kind, list(given.get(kind.name, ()))))) for kind in READ_CLASSES
    }


def run(engine: Engine, own: OwnNetworks = OWN, **rows_by_kind: Sequence[dict]) -> list[dict]:
    """Findings of all analytics, with the counts of their why-trees; rows as :func:`ocsf_tables` takes them."""
    ocsf = ocsf_tables(engine, **rows_by_kind)
    rows = []
    for found in run_all(read_once(ocsf, engine.batches, engine.hold), own, engine.batches, engine.hold):
        counted = sum(batch.num_rows for batch in found.records())
        made = found.findings.to_pylist()
        assert counted >= len(made)
        for row in made:
            counts = json.loads(row["why"])["counts"]
            rows.append({**row, "rule": row["rule_id"].rpartition(".")[2], "counts": counts})
    return sorted(rows, key=lambda row: (row["rule"], row["time"]))


def rules(rows: list[dict]) -> list[str]:
    return [row["rule"] for row in rows]
