"""zip archives without a directory (cut while they were copied), read by the header before each member.

APPNOTE 6.3.10, sections 4.3.7 (local file header) and 4.3.9 (data descriptor).  Deflated members end by
themselves; stored ones are only taken where their header states a size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from casemate.evidence.archives.budget import READ_BYTES, Broken, Member, Unpacking
from casemate.evidence.archives.inflating import inflate

HEADER = struct.Struct("<4s5H3I2H")
SIGNATURE = b"PK\x03\x04"
ENCRYPTED, DESCRIPTOR, UTF8 = 0x1, 0x8, 0x800
STORED, DEFLATED = 0, 8
ELSEWHERE = 0xFFFFFFFF  # the size stands in the extra field
ZIP64 = 1


@dataclass(frozen=True)
class _Header:
    """What stands before a member's data, which begins at `data`."""

    name: str
    dated: datetime | None
    flags: int
    method: int
    checksum: int
    packed: int | None
    data: int


def remaining_members(stream: BinaryIO, unpacking: Unpacking) -> Iterator[Member]:
    """The members that are whole or begun, in the order of their headers; what is not taken is noted."""
    position: int | None = 0
    while (position := _next_header(stream, position)) is not None:
        header = _header(stream, position)
        if header is None:
            position += len(SIGNATURE)
            continue
        position = header.data
        if header.name.endswith("/"):
            continue
        unpacking.begin_member()
        if header.flags & ENCRYPTED:
            unpacking.note(f"member {header.name!r} is encrypted; not read")
        elif header.method == DEFLATED or (header.method == STORED and header.packed is not None):
            content = _Content(stream, header, unpacking)
            yield Member(header.name, header.dated, content.read)
            position = content.position
            continue
        else:
            unpacking.note(f"member {header.name!r}: its packing or size is not known; not read")
        position += header.packed or 0


class _Content:
    """The data of one member; `position` is where it ends, or broke."""

    def __init__(self, stream: BinaryIO, header: _Header, unpacking: Unpacking) -> None:
        self.position = header.data
        self._blocks = self._read(stream, header, unpacking)

    def read(self) -> bytes:
        return next(self._blocks, b"")

    def _read(self, stream: BinaryIO, header: _Header, unpacking: Unpacking) -> Iterator[bytes]:
        checksum = 0
        plain = self._deflated(stream) if header.method == DEFLATED else self._stored(stream, header.packed or 0)
        for block in plain:
            checksum = zlib.crc32(block, checksum)
            yield unpacking.count(block)
        if not header.flags & DESCRIPTOR and checksum != header.checksum:
            raise Broken("the member's checksum is wrong; what came out is kept")

    def _deflated(self, stream: BinaryIO) -> Iterator[bytes]:
        inner = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inner.eof:
            stream.seek(self.position)
            data = stream.read(READ_BYTES)
            if not data:
                raise Broken("the archive breaks off inside this member; what came out is kept")
            try:
                yield from filter(None, inflate(inner, data))
            except zlib.error as error:
                raise Broken(f"the member is damaged ({error}); what came out is kept") from error
            self.position += len(data) - len(inner.unused_data)

    def _stored(self, stream: BinaryIO, size: int) -> Iterator[bytes]:
        end = self.position + size
        while self.position < end:
            stream.seek(self.position)
            data = stream.read(min(READ_BYTES, end - self.position))
            if not data:
                raise Broken("the archive breaks off inside this member; what came out is kept")
            self.position += len(data)
            yield data


def _next_header(stream: BinaryIO, position: int) -> int | None:
    stream.seek(position)
    kept = b""
    while block := stream.read(READ_BYTES):
        data = kept + block
        found = data.find(SIGNATURE)
        if found >= 0:
            return position + found
        kept = data[-len(SIGNATURE) + 1 :]
        position += len(data) - len(kept)
    return None


def _header(stream: BinaryIO, position: int) -> _Header | None:
    stream.seek(position)
    fixed = stream.read(HEADER.size)
    if len(fixed) < HEADER.size:
        return None
    _, _, flags, method, time, date, checksum, packed, _, name_bytes, extra_bytes = HEADER.unpack(fixed)
    name, extra = stream.read(name_bytes), stream.read(extra_bytes)
    if not name or len(name) < name_bytes or len(extra) < extra_bytes:
        return None
    size = _size64(extra) if packed == ELSEWHERE else packed
    if flags & DESCRIPTOR and not size:
        size = None
    text = name.decode("utf-8", "backslashreplace") if flags & UTF8 else name.decode("cp437")
    return _Header(text, _date(date, time), flags, method, checksum, size, position + HEADER.size + len(name + extra))


def _size64(extra: bytes) -> int | None:
    """The packed size in the field for large archives: behind the plain one (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == ZIP64 and length >= 16 and at + 20 <= len(extra):
            return int.from_bytes(extra[at + 12 : at + 20], "little")
        at += 4 + length
    return None


def _date(date: int, time: int) -> datetime | None:
    try:
        day = 1980 + (date >> 9), date >> 5 & 15, date & 31
        return datetime(*day, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC)
    except ValueError:
        return None
