"""The framing of packet captures: where each packet stands, when it was seen and on what kind of link.

Classic pcap after the Internet draft *PCAP Capture File Format* (draft-ietf-opsawg-pcap): both byte orders,
microseconds and nanoseconds.  pcapng after *PCAP Next Generation* (draft-ietf-opsawg-pcapng): sections of either
byte order, interfaces with resolution and offset, enhanced, simple and obsolete packet blocks.

Nothing is believed: a length that cannot be is damage, which is given as such with its position, and where a file
was cut the packet it was cut in is given as damage as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BLOCK_BYTES = 4 * 1024 * 1024
LARGEST_PACKET = 16 * 1024 * 1024
"""A captured length above it is damage (libpcap's own limit is 256 KiB, loopback and USB captures hold more)."""
CLASSIC: dict[bytes, tuple[str, int]] = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
    b"\x34\xcd\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xcd\x34": (">", 1_000_000),
}
"""Magic to byte order and fractions of a second; the last two are Kuznetzov's, with 24 bytes before each packet."""
KUZNETZOV = (b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34")
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
OPTION_RESOLUTION, OPTION_OFFSET = 9, 14
MICROSECONDS = 1_000_000
FIRST_TIME, LAST_TIME = 631_152_000 * MICROSECONDS, 7_258_118_400 * MICROSECONDS
"""Times outside 1990 to 2200 are not believed, as in all readers."""


class Packet(NamedTuple):
    """One packet: number (from 1), place of its bytes, microseconds UTC (None: impossible), link type, bytes, length
    on the wire."""

    number: int
    offset: int
    length: int
    time: int | None
    link: int
    data: bytes
    wire: int


class Damage(NamedTuple):
    """A packet that cannot be read: number, place and why."""

    number: int
    offset: int
    length: int
    reason: str


@dataclass
class Framing:
    """What was seen besides packets."""

    structure: int = 0
    notes: list[str] = field(default_factory=list)


def is_classic(head: bytes) -> bool:
    """Whether the head is that of a classic pcap file."""
    found = CLASSIC.get(head[:4])
    if found is None or len(head) < 24:
        return False
    major = struct.unpack_from(found[0] + "H", head, 4)[0]
    return major == 2


def is_next_generation(head: bytes) -> bool:
    """Whether the head is a pcapng section header."""
    return head[:4] == b"\x0a\x0d\x0d\x0a" and head[8:12] in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d")


def read_packets(stream: BinaryIO, framing: Framing) -> Iterator[Packet | Damage]:
    """All packets in order; `framing` is filled on the way."""
    head = stream.read(24)
    stream.seek(0)
    if is_next_generation(head):
        yield from _next_generation(stream, framing)
    elif is_classic(head):
        yield from _classic(stream, framing)
    else:
        framing.notes.append("The file header is damaged or cut; no packet was read.")


def _classic(stream: BinaryIO, framing: Framing) -> Iterator[Packet | Damage]:
    head = stream.read(24)
    order, fractions = CLASSIC[head[:4]]
    framing.structure += 1
    link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF
    header = struct.Struct(order + "IIII")
    size = 24 if head[:4] in KUZNETZOV else 16
    scale = fractions // MICROSECONDS
    number, base, buffer, place = 0, 24, b"", 0
    while True:
        if len(buffer) - place < size:
            buffer, base, place = _more(stream, buffer, base, place, size)
            if len(buffer) < size:
                if buffer:
                    number += 1
                    yield Damage(number, base, len(buffer), "the file ends inside the header of this packet")
                return
        seconds, fraction, captured, wire = header.unpack_from(buffer, place)
        number += 1
        if captured > LARGEST_PACKET:
            length = len(buffer) - place + sum(len(rest) for rest in iter(lambda: stream.read(BLOCK_BYTES), b""))
            reason = f"its length cannot be ({captured:,} bytes): the framing is lost from here to the end of the file"
            yield Damage(number, base + place, length, reason)
            return
        if len(buffer) - place < size + captured:
            buffer, base, place = _more(stream, buffer, base, place, size + captured)
            if len(buffer) < size + captured:
                reason = f"the file ends inside this packet: {len(buffer) - size:,} of {captured:,} bytes are there"
                yield Damage(number, base, len(buffer), reason)
                return
        start = place + size
        place = start + captured
        time = seconds * MICROSECONDS + fraction // scale
        yield Packet(
            number,
            base + start,
            captured,
            time if FIRST_TIME <= time < LAST_TIME else None,
            link,
            buffer[start:place],
            wire,
        )


def _more(stream: BinaryIO, buffer: bytes, base: int, place: int, wanted: int) -> tuple[bytes, int, int]:
    """The buffer from `place` on, with at least `wanted` bytes where the file has them."""
    rest = buffer[place:]
    return rest + _read(stream, max(BLOCK_BYTES, wanted - len(rest))), base + place, 0


def _read(stream: BinaryIO, wanted: int) -> bytes:
    parts: list[bytes] = []
    while wanted > 0:
        data = stream.read(wanted)
        if not data:
            break
        parts.append(data)
        wanted -= len(data)
    return b"".join(parts)


@dataclass(frozen=True)
class _Interface:
    link: int
    snaplen: int
    ticks: int
    offset: int


def _next_generation(stream: BinaryIO, framing: Framing) -> Iterator[Packet | Damage]:
    order, interfaces, number = "<", list[_Interface](), 0
    base, buffer, place = 0, b"", 0
    while True:
        if len(buffer) - place < 12:
            buffer, base, place = _more(stream, buffer, base, place, 12)
            if len(buffer) < 12:
                if buffer:
                    framing.structure += 1
                    framing.notes.append(f"The file ends inside a block header at byte {base}.")
                return
        if buffer[place : place + 4] == b"\x0a\x0d\x0d\x0a":
            order = ">" if buffer[place + 8 : place + 12] == b"\x1a\x2b\x3c\x4d" else "<"
            interfaces = []
        kind, length = struct.unpack_from(order + "II", buffer, place)
        packet_block = kind in (OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET)
        if length < 12 or length % 4 or length > LARGEST_PACKET + 65536:
            rest = len(buffer) - place + sum(len(data) for data in iter(lambda: stream.read(BLOCK_BYTES), b""))
            reason = f"a block's length cannot be ({length:,} bytes): the framing is lost from here to the end"
            yield Damage(number + 1, base + place, rest, reason)
            return
        if len(buffer) - place < length:
            buffer, base, place = _more(stream, buffer, base, place, length)
            if len(buffer) < length:
                if packet_block:
                    yield Damage(number + 1, base, len(buffer), "the file ends inside this packet")
                else:
                    framing.structure += 1
                    framing.notes.append(f"The file ends inside a block at byte {base}.")
                return
        body = buffer[place + 8 : place + length - 4]
        if packet_block:
            number += 1
            yield _packet(kind, order, body, interfaces, number, base + place + 8, base + place, length)
        else:
            framing.structure += 1
            if kind == INTERFACE and len(body) >= 8:
                interfaces.append(_interface(order, body))
        place += length


def _interface(order: str, body: bytes) -> _Interface:
    link, _, snaplen = struct.unpack_from(order + "HHI", body)
    ticks, offset, at = MICROSECONDS, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0:
            break
        if code == OPTION_RESOLUTION and value:
            exponent = value[0] & 0x7F
            ticks = min(2**exponent if value[0] & 0x80 else 10**exponent, 10**30)
        elif code == OPTION_OFFSET and len(value) == 8:
            offset = struct.unpack(order + "q", value)[0]
        at += 4 + size + (-size % 4)
    return _Interface(link, snaplen, ticks, offset)


def _packet(
    kind: int, order: str, body: bytes, interfaces: list[_Interface], number: int, start: int, block: int, size: int
) -> Packet | Damage:
    time: int | None = None
    index = 0
    if kind == SIMPLE_PACKET:
        if len(body) < 4:
            return Damage(number, block, size, "the packet block is too short")
        wire = struct.unpack_from(order + "I", body)[0]
        limit = interfaces[0].snaplen if interfaces and interfaces[0].snaplen else wire
        header, captured = 4, min(wire, limit, len(body) - 4)
    else:
        if len(body) < 20:
            return Damage(number, block, size, "the packet block is too short")
        if kind == ENHANCED_PACKET:
            index, high, low, captured, wire = struct.unpack_from(order + "IIIII", body)
        else:
            index, _, high, low, captured, wire = struct.unpack_from(order + "HHIIII", body)
        header = 20
        if captured > len(body) - header:
            return Damage(number, block, size, f"the packet is longer ({captured:,} bytes) than its block")
        if index < len(interfaces):
            face = interfaces[index]
            time = ((high << 32) | low) * MICROSECONDS // face.ticks + face.offset * MICROSECONDS
            if time is not None and not FIRST_TIME <= time < LAST_TIME:
                time = None
    if index >= len(interfaces):
        return Damage(number, block, size, f"the packet is of interface {index}, which was not described")
    return Packet(
        number, start + header, captured, time, interfaces[index].link, body[header : header + captured], wire
    )
