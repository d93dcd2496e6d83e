"""A connection that a capture and a log both tell of counts once; everything else counts as it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packet_writing import START, Talk, capture

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.evidence.readers import READERS
from casemate.explore.tables import stored_tables, views
from casemate.explore.traffic import traffic_once
from casemate.schema.ocsf import NETWORK_ACTIVITY
from casemate.views.once import CAPTURES, FLOWS, ZEEK

HTTP = b"GET /a HTTP/1.1\r\nHost: www.example.org\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def talk(port: int, seconds: float) -> Talk:
    begun = START + int(seconds * 1_000_000)
    return Talk("10.0.0.5", port, "192.0.2.9", 80, [(True, HTTP, begun), (False, REPLY, begun + 9_000)], begun=begun)


def conn(port: int, seconds: float) -> str:
    row = {
        "_path": "conn", "ts": START / 1_000_000 + seconds, "uid": f"C{port}", "id.orig_h": "10.0.0.5",
        "id.orig_p": port, "id.resp_h": "192.0.2.9", "id.resp_p": 80, "proto": "tcp", "service": "http",
        "duration": 0.01, "orig_bytes": 44, "resp_bytes": 43, "conn_state": "SF", "history": "ShADadFf",
        "orig_pkts": 5, "resp_pkts": 4,
    }  # fmt: skip
    return json.dumps(row)


def counted(folder: Path) -> list[tuple[int, str]]:
    """Source ports of the connections that analytics look at, and the formats they are of."""
    with Case.open(folder) as case:
        stored = stored_tables(case)
        engine = DuckDBEngine()
        engine.use(stored)
        table = traffic_once(engine, stored, views(engine, stored))[NETWORK_ACTIVITY.name]
        rows = engine.collect(table.select("src_endpoint_port", "evidence")).to_pylist()
        formats = {row["evidence"]: row["format"] for row in engine.collect(engine.read("evidence")).to_pylist()}
        engine.close()
    return sorted((row["src_endpoint_port"] or 0, formats[row["evidence"]]) for row in rows)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pcap").write_bytes(capture([talk(4001, 0), talk(4002, 30), talk(4003, 60)]))
    return tmp_path / "in"


def test_what_a_log_and_a_capture_tell_counts_once_and_both_stay_records(evidence: Path, investigator) -> None:
    (evidence / "conn.log").write_text("\n".join([conn(4001, 0.0004), conn(4003, 75), conn(4009, 1)]) + "\n")
    case, report = investigator(evidence)
    assert counted(case) == [
        (4001, "zeek_json"),  # a second apart at most, between the same ends
        (4002, "pcap"),  # the log does not have it
        (4003, "pcap"),  # another connection of the same port, later
        (4003, "zeek_json"),
        (4009, "zeek_json"),
    ]
    assert report.intake.records == report.intake.kept == 3 + len(capture_packets(evidence))


def capture_packets(evidence: Path) -> list[tuple[int, bytes]]:
    return [packet for port, at in ((4001, 0), (4002, 30), (4003, 60)) for packet in talk(port, at).packets()]


def test_one_source_alone_is_counted_as_it_is(evidence: Path, investigator) -> None:
    case, _ = investigator(evidence)
    assert [port for port, _ in counted(case)] == [4001, 4002, 4003]


def test_formats_that_give_way_are_formats_of_readers() -> None:
    assert {reader.format for reader in READERS} >= ZEEK | CAPTURES | FLOWS


def test_real_capture_and_its_zeek_logs_count_once(shared_data: Path, investigator) -> None:
    folder = shared_data / "otrf" / "compound" / "LSASS_campaign_01"
    case, _ = investigator(folder)
    formats = [kind for _, kind in counted(case)]
    # 112 connections are in Zeek's log, 122 in the capture, and 110 in both between the same ends
    assert formats.count("zeek_tsv") == 112
    assert 12 <= formats.count("pcapng") <= 20
