"""Packets and captures made for tests, byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address

from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.packets.capture import is_classic
from casemate.evidence.readers.pcap import PCAP_READER, PCAPNG_READER
from casemate.limits import Limits

START = 1_700_000_000 * 1_000_000
FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16
ETHERNET = 1
MAC = b"\x02\x00\x00\x00\x00\x01" + b"\x02\x00\x00\x00\x00\x02"


@dataclass(frozen=True)
class Bytes:
    """A source of evidence in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.content)


@dataclass
class ReadCapture:
    """What the reader gave: rows by table, rejects, tally."""

    rows: dict[str, list[dict]]
    rejects: list[Reject]
    tally: Tally
    kept: int = 0

    def table(self, name: str) -> list[dict]:
        return self.rows.get(name, [])

    def one(self, name: str) -> dict:
        (row,) = self.table(name)
        return row


def read_capture(content: bytes) -> ReadCapture:
    """Read a capture and check its account."""
    reader = PCAP_READER if is_classic(content[:24]) else PCAPNG_READER
    rows: dict[str, list[dict]] = {}
    rejects: list[Reject] = []
    tally, kept = Tally(0), 0
    for item in reader.read(Bytes(content), ReadContext("x.pcap", datetime(2024, 1, 1, tzinfo=UTC), Limits())):
        if isinstance(item, Rows):
            schema = next(table.schema for table in reader.tables if table.name == item.table)
            assert set(item.batch.schema.names) <= set(schema.names)
            given = item.batch.to_pylist()
            rows.setdefault(item.table, []).extend(
                {name: row.get(name) for name in schema.names if name != "evidence"} for row in given
            )
            kept += len(given) if item.counts else 0
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            tally = item
    assert tally.records == kept + len(rejects)
    assert kept == len(rows.get("packet", []))
    return ReadCapture(rows, rejects, tally, kept)


def ip(source: str, target: str, protocol: int, payload: bytes, *, fragment: int = 0, identity: int = 1) -> bytes:
    """An IP packet without valid checksum."""
    a, b = ip_address(source), ip_address(target)
    if a.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + a.packed + b.packed + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identity, fragment, 64, protocol, 0)
    return head + a.packed + b.packed + payload


def ethernet(packet: bytes, vlans: Sequence[int] = ()) -> bytes:
    """An IP packet in an Ethernet frame."""
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return MAC + b"".join(b"\x81\x00" + struct.pack(">H", vlan) for vlan in vlans) + kind + packet


def udp(source: str, low: int, target: str, high: int, data: bytes) -> bytes:
    """A UDP datagram in IP."""
    return ip(source, target, 17, struct.pack(">HHHH", low, high, 8 + len(data), 0) + data)


def tcp(source: str, low: int, target: str, high: int, sequence: int, acknowledged: int, flags: int, data: bytes = b""):
    """A TCP segment in IP."""
    head = struct.pack(
        ">HHIIBBHHH", low, high, sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 0x50, flags, 8192, 0, 0
    )
    return ip(source, target, 6, head + data)


def pcap(packets: Iterable[tuple[int, bytes]], *, order: str = "<", nano: bool = False, link: int = ETHERNET) -> bytes:
    """A classic capture of (microseconds, frame)."""
    magic, unit = (0xA1B23C4D, 1000) if nano else (0xA1B2C3D4, 1)
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for time, frame in packets:
        parts.append(struct.pack(order + "IIII", time // 10**6, time % 10**6 * unit, len(frame), len(frame)) + frame)
    return b"".join(parts)


def pcapng(packets: Iterable[tuple[int, bytes]], *, order: str = "<", link: int = ETHERNET, exponent: int = 9) -> bytes:
    """A pcapng capture with one interface of a resolution of 10^-exponent seconds."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

    parts = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    options = struct.pack(order + "HHB3x", 9, 1, exponent) + bytes(4)
    parts.append(block(1, struct.pack(order + "HHI", link, 0, 0) + options))
    for time, frame in packets:
        ticks = time * 10**exponent // 10**6
        head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        parts.append(block(6, head + frame))
    return b"".join(parts)


@dataclass
class Talk:
    """One TCP connection to be written: (from the client, bytes, microseconds) in order."""

    client: str
    port: int
    server: str
    service: int
    said: list[tuple[bool, bytes, int]] = field(default_factory=list)
    begun: int = START
    closes: bool = True
    segment: int = 65_000

    def packets(self) -> list[tuple[int, bytes]]:
        """Its packets with times."""
        made: list[tuple[int, bytes]] = []
        mine, theirs, time = 1000, 5000, self.begun

        def send(originator: bool, flags: int, data: bytes = b"") -> None:
            nonlocal mine, theirs
            if originator:
                made.append(
                    (time, ethernet(tcp(self.client, self.port, self.server, self.service, mine, theirs, flags, data)))
                )
                mine += len(data) + bool(flags & (SYN | FIN))
            else:
                made.append(
                    (time, ethernet(tcp(self.server, self.service, self.client, self.port, theirs, mine, flags, data)))
                )
                theirs += len(data) + bool(flags & (SYN | FIN))

        send(True, SYN)
        send(False, SYN | ACK)
        send(True, ACK)
        for originator, data, at in self.said:
            time = max(time, at or time)
            for begin in range(0, len(data), self.segment):
                send(originator, ACK | PUSH, data[begin : begin + self.segment])
        if self.closes:
            send(True, FIN | ACK)
            send(False, FIN | ACK)
            send(True, ACK)
        return made


def capture(talks: Iterable[Talk]) -> bytes:
    """A capture of several connections in the order of their times."""
    packets = [packet for talk in talks for packet in talk.packets()]
    return pcap(sorted(packets, key=lambda packet: packet[0]))
