"""A capture investigated from end to end: findings of signatures, their records, the summary, the same again."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import jsonschema
import pytest
from packet_writing import START, Talk, capture

from casemate.case import Case
from casemate.detect.signatures import COLUMNS, TABLE, events
from casemate.detect.signatures.findings import findings
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import StoredTables
from casemate.evidence.records import original
from casemate.explore.overview import case_summary
from casemate.explore.summary import summary
from casemate.explore.tables import stored_tables

A, B = "10.9.0.1", "10.9.0.2"


def smb1(code: int, words: bytes, *, mid: int, reply: bool = False, status: int = 0) -> bytes:
    head = struct.pack(
        "<4sBIBHH8sHHHHH", b"\xffSMB", code, status, 0x98 if reply else 0x18, 0xC007, 0, bytes(8), 0, 5, 9, 6, mid
    )
    packed = head + bytes([len(words) // 2]) + words + bytes(2)
    return struct.pack(">I", len(packed)) + packed


@pytest.fixture
def implant(tmp_path: Path) -> Path:
    """A capture in which something answers as DoublePulsar does, beside an ordinary request."""
    words = struct.pack("<HHHHBBHIHHHHHBBH", 12, 0, 1, 0, 0, 0, 0, 0x23, 0, 12, 66, 0, 78, 1, 0, 14)
    asked, answered = smb1(0x32, words, mid=70), smb1(0x32, b"", mid=86, reply=True, status=0xC0000002)
    file = tmp_path / "lab.pcap"
    web = Talk(
        A, 4001, "192.0.2.7", 80, [(True, b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 0)], begun=START + 10**6
    )
    file.write_bytes(capture([Talk(A, 4000, B, 445, [(True, asked, 0), (False, answered, 0)]), web]))
    return file


def rows(case: Case, table: str) -> list[dict]:
    engine = DuckDBEngine()
    engine.use(stored_tables(case))
    return engine.batches(engine.read(table)).read_all().to_pylist()


def test_a_capture_becomes_findings_records_and_tables(implant, investigator):
    path, report = investigator(implant)
    assert (report.intake.problems, report.intake.kept, report.intake.rejected) == ([], 15, 0)
    with Case.open(path) as case:
        made = summary(case_summary(case))
        (entry,) = made["signatures"]
        assert (entry["tool"], entry["result"], entry["outcome"]) == ("doublepulsar", "modified variant", "succeeded")
        assert entry["target"] == {"kind": "address", "value": B, "service": "445/tcp"}
        assert made["evidence"]["kept"] == made["evidence"]["records"] == len(rows(case, "packet")) == 15
        assert {row["id.resp_h"] for row in rows(case, "zeek_conn")} == {B, "192.0.2.7"}
        evidence = rows(case, "packet")[0]["evidence"]
        found = original(case.store, evidence, 4)
        assert b"\xffSMB2" in found.content
        assert found.others == ()  # a packet, the connection and the messages it begins are one place
        schema = json.loads((Path(__file__).parents[2] / "docs/schemas/summary.schema.json").read_text())
        jsonschema.validate(made["signatures"], schema["properties"]["signatures"])
    before = rows_of(path, "findings")
    investigator(implant)
    assert rows_of(path, "findings") == before


@pytest.mark.spark
def test_both_engines_say_the_same(implant, investigator, spark):
    path, _ = investigator(implant)
    with Case.open(path) as case:
        spark.use(StoredTables({TABLE: stored_tables(case)[TABLE]}))
        messages = spark.batches(spark.read(TABLE).select(*COLUMNS)).read_all().to_pylist()
        found, _ = findings(events(messages))
        here = [row for row in rows_of(path, "findings") if row["detector"] == "signature"]
        assert sorted(found.to_pylist(), key=str) == here


def rows_of(path: Path, table: str) -> list[dict]:
    with Case.open(path) as case:
        return sorted(rows(case, table), key=str)
