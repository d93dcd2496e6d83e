"""Flow datagrams and nfdump's files made for tests, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from packet_writing import Bytes

from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Tally

NOW = 1_700_000_000
UPTIME = 5_000_000
"""Seconds since 1970 and milliseconds since the start of the exporter that headers say."""
SYN, ACK, FIN, RST, PUSH = 2, 16, 1, 4, 8


@dataclass
class ReadFlows:
    """What a reader gave."""

    rows: dict[str, list[dict]]
    rejects: list[Reject]
    tally: Tally

    def table(self, name: str) -> list[dict]:
        return self.rows.get(name, [])

    @property
    def flows(self) -> list[dict]:
        return self.table("flow_record")

    @property
    def connections(self) -> list[dict]:
        return self.table("zeek_conn")


def read_flows(reader: ReaderSpec, content: bytes) -> ReadFlows:
    """Read and check the account: records = kept + rejected, addresses inside the content."""
    rows: dict[str, list[dict]] = {}
    rejects: list[Reject] = []
    tallies: list[Tally] = []
    kept = 0
    for item in reader.read(Bytes(content), ReadContext("x", datetime(2024, 1, 1, tzinfo=UTC))):
        if isinstance(item, Rows):
            schema = next(table.schema for table in reader.tables if table.name == item.table)
            assert set(item.batch.schema.names) <= set(schema.names)
            given = item.batch.to_pylist()
            rows.setdefault(item.table, []).extend({name: row.get(name) for name in schema.names} for row in given)
            kept += len(given) if item.counts else 0
            for row in given:
                assert 0 <= row["offset"] <= row["offset"] + row["length"] <= len(content)
        elif isinstance(item, Reject):
            rejects.append(item)
            assert 0 <= item.offset <= item.offset + item.length <= len(content)
            assert item.reason
        else:
            tallies.append(item)
    (tally,) = tallies
    assert tally.records == kept + len(rejects)
    numbers = [row["record"] for name in ("flow_record", "flow_options") for row in rows.get(name, [])]
    numbers += [reject.record for reject in rejects]
    assert len(set(numbers)) == len(numbers)
    return ReadFlows(rows, rejects, tally)


@dataclass(frozen=True)
class Flow:
    """One direction; times in milliseconds before the export."""

    source: str = "192.0.2.1"
    low: int = 40_000
    target: str = "198.51.100.9"
    high: int = 443
    protocol: int = 6
    packets: int = 10
    octets: int = 1_000
    flags: int = SYN | ACK | FIN
    began: int = 9_000
    ended: int = 1_000

    def back(self, **changes: int) -> Flow:
        """The other direction."""
        given = {**vars(self), "source": self.target, "low": self.high, "target": self.source, "high": self.low}
        return Flow(**{**given, **changes})


def v5(flows: Sequence[Flow], *, sequence: int = 0, sampling: int = 0) -> bytes:
    """A datagram of NetFlow v5."""
    parts = [struct.pack(">HHIIIIBBH", 5, len(flows), UPTIME, NOW, 0, sequence, 1, 2, sampling)]
    for flow in flows:
        parts.append(
            ip_address(flow.source).packed
            + ip_address(flow.target).packed
            + bytes(4)
            + struct.pack(">HHIIII", 1, 2, flow.packets, flow.octets, UPTIME - flow.began, UPTIME - flow.ended)
            + struct.pack(">HHBBBBHHBBH", flow.low, flow.high, 0, flow.flags, flow.protocol, 0, 0, 0, 0, 0, 0)
        )
    return b"".join(parts)


Fields = Sequence[tuple[int, int] | tuple[int, int, int]]
"""Element, length and, where it is not IANA's, enterprise."""
BASIC4: Fields = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (2, 4), (1, 4))
BASIC6: Fields = ((27, 16), (28, 16), (7, 2), (11, 2), (4, 1), (6, 1), (2, 4), (1, 4))
UPTIMES: Fields = ((22, 4), (21, 4))
MILLISECONDS: Fields = ((152, 8), (153, 8))


def template(number: int, fields: Fields, *, scopes: int | None = None, version: int = 10) -> bytes:
    """The body of a (options) template set."""
    packed = b""
    for field in fields:
        kind, length, *enterprise = field
        packed += (
            struct.pack(">HH", kind | 0x8000, length) + struct.pack(">I", enterprise[0])
            if enterprise
            else (struct.pack(">HH", kind, length))
        )
    if scopes is None:
        return struct.pack(">HH", number, len(fields)) + packed
    if version == 9:
        return struct.pack(">HHH", number, scopes * 4, (len(fields) - scopes) * 4) + packed
    return struct.pack(">HHH", number, len(fields), scopes) + packed


def flowset(number: int, body: bytes) -> bytes:
    """A set, filled up to four bytes."""
    body += bytes(-len(body) % 4)
    return struct.pack(">HH", number, len(body) + 4) + body


def v9(sets: Iterable[bytes], *, sequence: int = 0, domain: int = 7, count: int = 1) -> bytes:
    """A datagram of NetFlow v9."""
    return struct.pack(">HHIIII", 9, count, UPTIME, NOW, sequence, domain) + b"".join(sets)


def ipfix(sets: Iterable[bytes], *, sequence: int = 0, domain: int = 7) -> bytes:
    """A message of IPFIX."""
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), NOW, sequence, domain) + body


def basic(flow: Flow, *, uptime: bool) -> bytes:
    """A record of BASIC4 or BASIC6 and its times."""
    record = ip_address(flow.source).packed + ip_address(flow.target).packed
    record += struct.pack(">HHBBII", flow.low, flow.high, flow.protocol, flow.flags, flow.packets, flow.octets)
    if uptime:
        return record + struct.pack(">II", UPTIME - flow.began, UPTIME - flow.ended)
    return record + struct.pack(">QQ", NOW * 1_000 - flow.began, NOW * 1_000 - flow.ended)


def v3_record(flow: Flow, extra: bytes = b"", elements: int = 0) -> bytes:
    """A record of nfdump's layout 2, little-endian."""
    generic = struct.pack(
        "<QQQQQHHBBBB", NOW * 1_000 - flow.began, NOW * 1_000 - flow.ended, NOW * 1_000, flow.packets, flow.octets,
        flow.low, flow.high, flow.protocol, flow.flags, 0, 0,
    )  # fmt: skip
    source, target = ip_address(flow.source), ip_address(flow.target)
    if source.version == 4:
        ends = struct.pack("<HHII", 2, 12, int(source), int(target))
    else:
        halves = [part for one in (int(source), int(target)) for part in (one >> 64, one & (1 << 64) - 1)]
        ends = struct.pack("<HHQQQQ", 3, 36, *halves)
    body = struct.pack("<HH", 1, 4 + len(generic)) + generic + ends + extra
    return struct.pack("<HHHBBHBB", 11, 12 + len(body), 2 + elements, 1, 2, 3, 0, 9) + body


def layout2(blocks: Sequence[tuple[int, bytes]], *, compression: int = 0) -> bytes:
    """A file of nfdump 1.7 without appendix: (number of records, bytes as stored)."""
    head = struct.pack("<HHIqBBHI", 0xA50C, 2, 0x01070100, NOW, compression, 0, 0, 4)
    head += struct.pack("<qII", 0, 1 << 20, len(blocks))
    return head + b"".join(struct.pack("<IIHH", count, len(data), 3, 0) + data for count, data in blocks)


def layout1(records: Sequence[bytes], *, flags: int = 0, packed: bytes | None = None) -> bytes:
    """A file of nfdump 1.6."""
    data = b"".join(records) if packed is None else packed
    head = struct.pack("<HHII", 0xA50C, 1, flags, 1) + b"none".ljust(128, b"\x00") + bytes(136)
    return head + struct.pack("<IIHH", len(records), len(data), 2, 0) + data


def v1_map(number: int, extensions: Sequence[int]) -> bytes:
    """An extension map of layout 1."""
    body = struct.pack(f"<HH{len(extensions)}HH", number, 0, *extensions, 0)
    body += bytes(-len(body) % 4)
    return struct.pack("<HH", 2, 4 + len(body)) + body


def v1_record(flow: Flow, number: int, extra: bytes = b"") -> bytes:
    """A common record (type 10) of layout 1 with 32-bit counts."""
    first, last = NOW * 1_000 - flow.began, NOW * 1_000 - flow.ended
    source, target = ip_address(flow.source), ip_address(flow.target)
    body = struct.pack("<HHHHII", int(source.version == 6), number, first % 1_000, last % 1_000, first // 1_000,
                       last // 1_000)  # fmt: skip
    body += struct.pack("<BBBBHHHH", 0, flow.flags, flow.protocol, 0, flow.low, flow.high, 5, 0)
    if source.version == 4:
        body += struct.pack("<II", int(source), int(target))
    else:
        body += struct.pack("<QQQQ", *(part for one in (int(source), int(target)) for part in divmod(one, 1 << 64)))
    body += struct.pack("<II", flow.packets, flow.octets) + extra
    return struct.pack("<HH", 10, 4 + len(body)) + body
