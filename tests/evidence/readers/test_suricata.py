"""Suricata's EVE JSON: events written here after the user guide's description."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.lines import utf16_of
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.suricata import SURICATA
from casemate.limits import Limits

TUPLE = {"flow_id": 1234567890123456, "src_ip": "192.0.2.7", "src_port": 50096, "dest_ip": "10.0.0.5", "dest_port": 80,
         "proto": "TCP"}  # fmt: skip
ALERT = {
    "timestamp": "2024-05-01T12:00:00.250000+0200",
    "event_type": "alert",
    **TUPLE,
    "alert": {
        "action": "allowed",
        "signature_id": 1,
        "signature": "TEST something",
        "severity": 2,
        "metadata": {"mitre_technique_id": ["T1190", "T1059"], "own": ["x"]},
    },
}
DNS = {
    "timestamp": "2024-05-01T10:00:01.000001Z",
    "event_type": "dns",
    **TUPLE,
    "dns": {"type": "answer", "rrname": "example.org", "rcode": "NOERROR", "answers": [{"rrtype": "A"}]},
}
NO_ZONE = {"timestamp": "2024-05-01T10:00:02.5", "event_type": "stats", "stats": {"uptime": 3}}


@dataclass(frozen=True)
class Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


def run(data: bytes, limits: Limits | None = None) -> tuple[list[dict], list[Reject], Tally]:
    context = ReadContext(path="eve.json", dated=datetime(2026, 1, 1, tzinfo=UTC), limits=limits or Limits())
    rows, rejects, tallies = [], [], []
    for item in SURICATA.read(Bytes(data), context):
        if isinstance(item, Rows):
            item.batch.validate(full=True)
            assert set(item.batch.schema.names) <= set(SURICATA.tables[0].schema.names)
            rows += item.batch.to_pylist()
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            tallies.append(item)
    (tally,) = tallies
    assert tally.records == len(rows) + len(rejects)
    return rows, rejects, tally


def lines(*events: dict) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_objects_become_dotted_columns_and_unknown_names_go_to_rest() -> None:
    (alert, dns, stats), rejects, _ = run(lines(ALERT, DNS, NO_ZONE))
    assert not rejects
    assert alert["time"] == datetime(2024, 5, 1, 10, 0, 0, 250000, tzinfo=UTC)
    assert alert["alert.signature"] == "TEST something"
    assert alert["alert.metadata.mitre_technique_id"] == "T1190\nT1059"
    assert json.loads(alert["rest"]) == {"alert.metadata.own": ["x"]}
    assert alert["flow_id"] == "1234567890123456"
    assert dns["dns.rrname"] == "example.org"
    assert json.loads(dns["dns.answers"]) == [{"rrtype": "A"}]
    assert json.loads(stats["rest"]) == {"stats.uptime": "3"}
    assert stats["flags"] == "zone_assumed_utc"


def test_bad_addresses_and_times_are_flagged_and_kept() -> None:
    odd = {**DNS, "src_ip": "035.249.253.232", "timestamp": "1601-01-01T00:00:00.000000+0000"}
    late = {**DNS, "timestamp": "2500-01-01T00:00:00.000000+0000"}
    none = {**DNS, "timestamp": "1e400"}
    rows, _, _ = run(lines(odd, late, none))
    assert [row["time"] for row in rows] == [None, None, None]
    assert rows[0]["src_ip"] == "035.249.253.232"
    assert [row["flags"] for row in rows] == [
        "address_invalid;time_out_of_range",
        "time_out_of_range",
        "time_unreadable",
    ]


def test_lines_that_parsers_read_differently_are_rejected() -> None:
    data = lines(DNS) + b'{"event_type":"dns","event_type":"flow"}\n{"a":"\\udc00"}\n{"cut":\n'
    rows, rejects, tally = run(data)
    assert [reject.record for reject in rejects] == [2, 3, 4]
    assert (len(rows), tally.records) == (1, 4)


def test_only_eve_is_recognised() -> None:
    assert SURICATA.recognise(lines(ALERT)) == 95
    assert SURICATA.recognise(b"{\n" + lines(NO_ZONE)) == 95
    assert SURICATA.recognise(b'{"event_type":["dns"],"timestamp":1}\n') == 0
    assert SURICATA.recognise(b'{"event_type":"login","timestamp":1}\n') == 0
    assert SURICATA.recognise(b'{"_path":"dns","ts":1}\n') == 0


PIECES = st.sampled_from(
    [
        lines(ALERT),
        lines(DNS),
        b"\n",
        b"\r\n",
        b"\xff",
        b"\x00",
        b'{"src_ip":',
        b'"',
        b"{}",
        b"1e400",
        b'{"timestamp":-1}\n',
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=10).map(b"".join))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_without_loss(data: bytes) -> None:
    assert 0 <= SURICATA.recognise(data) <= 100
    _, _, tally = run(data, Limits(line_bytes=1_000))
    if utf16_of(data[:4]) is None:
        body = data.removeprefix(b"\xef\xbb\xbf")
        assert tally.records + tally.structure == body.count(b"\n") + (body != b"" and not body.endswith(b"\n"))
