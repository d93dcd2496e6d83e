"""The framing of an EVTX file, walked without decoding: file header, chunks, record headers.

Layouts after "Windows XML Event Log (EVTX) format", libyal/libevtx (little endian, offsets in bytes)::

    file header (4096 bytes, the first 128 used)      chunk (65536 bytes)
      0  char[8]  "ElfFile\\0"                            0  char[8]  "ElfChnk\\0"
      8  u64      number of the first chunk              8  u64      first record number
     16  u64      number of the last chunk              16  u64      last record number
     24  u64      next record identifier                24  u64      first record identifier
     32  u32      size of this header (128)             32  u64      last record identifier
     36  u16,u16  minor and major version               40  u32      size of this header (128)
     40  u16      size of the header block (4096)       44  u32      offset of the last record
     42  u16      number of chunks                      48  u32      offset of free space
    120  u32      flags: 1 dirty, 2 full                52  u32      CRC-32 of the records (512 to free space)
    124  u32      CRC-32 of bytes 0-119                120  u32      flags
                                                       124  u32      CRC-32 of bytes 0-119 and 128-511
    record                                             128  u32[64]  offsets of common strings
      0  char[4]  "**\\0\\0"                             384  u32[32]  offsets of templates
      4  u32      size of the record                   512           records
      8  u64      record identifier
     16  u64      time written (FILETIME)
     24           binary XML
     -4  u32      size again
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

FILE_MAGIC = b"ElfFile\x00"
CHUNK_MAGIC = b"ElfChnk\x00"
RECORD_MAGIC = b"**\x00\x00"
FILE_HEADER_BYTES = 4096
CHUNK_BYTES = 65536
CHUNK_HEADER_BYTES = 512
RECORD_HEADER_BYTES = 24
SMALLEST_RECORD = RECORD_HEADER_BYTES + 4
DIRTY = 1

_FILE = struct.Struct("<8sQQQIHHHH76xII")
_CHUNK = struct.Struct("<8sQQQQIIII64xII")
_RECORD = struct.Struct("<4sIQQ")


@dataclass(frozen=True)
class FileHeader:
    """What the file says of itself; `intact` if its checksum agrees."""

    next_record_id: int
    chunks: int
    dirty: bool
    intact: bool


@dataclass(frozen=True)
class WalkedRecord:
    """One record header: its identifier and its place in the file."""

    record_id: int
    offset: int
    length: int


@dataclass(frozen=True)
class Damage:
    """Bytes of a chunk that should be a record and are none; `record_id` where the header still says it."""

    offset: int
    length: int
    reason: str
    record_id: int | None = None


@dataclass
class Chunk:
    """One chunk: where it is, what its header says, and what its walk found.

    Args:
        number: position in the file, from 0.
        offset, data: place in the file and bytes (fewer than 65,536 only in a file that was cut).
        first_id, last_id: record identifiers by the header, None if it is unreadable.
        records, damage: what is there.
        problems: what is wrong with it, each a clause.
        uncommitted: records taken although they stand behind the recorded end.
    """

    number: int
    offset: int
    data: bytes
    first_id: int | None = None
    last_id: int | None = None
    records: list[WalkedRecord] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    uncommitted: int = 0

    @property
    def cut(self) -> bool:
        """Whether the file ends inside this chunk."""
        return len(self.data) < CHUNK_BYTES


def read_file_header(data: bytes) -> FileHeader | None:
    """The file header, None if these bytes are none."""
    if len(data) < _FILE.size or data[:8] != FILE_MAGIC:
        return None
    _, _, _, next_id, _, _, _, _, chunks, flags, checksum = _FILE.unpack_from(data)
    return FileHeader(next_id, chunks, bool(flags & DIRTY), zlib.crc32(data[:120]) == checksum)


def read_chunks(stream: BinaryIO, *, dirty: bool = False) -> Iterator[Chunk]:
    """Every chunk-sized piece behind the file header, walked; empty (zero) ones have no records and no problems."""
    stream.seek(FILE_HEADER_BYTES)
    number = 0
    while data := stream.read(CHUNK_BYTES):
        while len(data) < CHUNK_BYTES and (more := stream.read(CHUNK_BYTES - len(data))):
            data += more
        yield walk_chunk(number, FILE_HEADER_BYTES + number * CHUNK_BYTES, data, dirty=dirty)
        number += 1


def walk_chunk(number: int, offset: int, data: bytes, *, dirty: bool = False) -> Chunk:
    """Find the records of one chunk.

    What stands behind the recorded end of the records is a remainder of older ones and is left alone,
    except in a `dirty` log, where records that go on with the next identifier were written and only
    the header was not.
    """
    chunk = Chunk(number, offset, data)
    if not data.strip(b"\x00"):
        return chunk
    if len(data) < CHUNK_HEADER_BYTES:
        chunk.problems.append("the file ends inside the chunk's header")
        return chunk
    if data[:8] != CHUNK_MAGIC:
        chunk.problems.append("no chunk begins here")
        if RECORD_MAGIC not in data:
            chunk.damage.append(Damage(offset, len(data), "not a chunk of an event log"))
            return chunk
        end = len(data)
    else:
        _, _, _, first_id, last_id, _, _, free, records_sum, _, header_sum = _CHUNK.unpack_from(data)
        chunk.first_id, chunk.last_id = first_id, last_id
        end = free if CHUNK_HEADER_BYTES <= free <= CHUNK_BYTES else CHUNK_BYTES
        if end != free:
            chunk.problems.append(f"the recorded end of its records ({free}) is impossible")
        if zlib.crc32(data[128:CHUNK_HEADER_BYTES], zlib.crc32(data[:120])) != header_sum:
            chunk.problems.append("the checksum of its header is wrong")
        if len(data) >= end == free and zlib.crc32(data[CHUNK_HEADER_BYTES:end]) != records_sum:
            chunk.problems.append("the checksum of its records is wrong")
    _walk_records(chunk, end)
    if dirty and not chunk.cut and not chunk.damage:
        _walk_uncommitted(chunk)
    return chunk


def _walk_records(chunk: Chunk, end: int) -> None:
    data, offset = chunk.data, chunk.offset
    position = CHUNK_HEADER_BYTES
    available = min(end, len(data))
    while position < available:
        record = _record_at(data, position, end)
        if record is not None and position + record[0] <= len(data):
            size, record_id = record
            chunk.records.append(WalkedRecord(record_id, offset + position, size))
            position += size
            continue
        following = _next_record(data, position + 1, available)
        length = (following if following is not None else available) - position
        if record is not None or (following is None and len(data) < end):
            reason = "the file ends inside this record"
            record_id = record[1] if record is not None else None
            chunk.damage.append(Damage(offset + position, length, reason, record_id))
            return
        if not data[position : position + length].strip(b"\x00") and following is None:
            chunk.problems.append(f"{length} zero bytes stand where records should be")
            chunk.damage.append(Damage(offset + position, length, "zero bytes where records should be"))
            return
        chunk.damage.append(Damage(offset + position, length, "damaged record header or size"))
        position += length


def _record_at(data: bytes, position: int, end: int) -> tuple[int, int] | None:
    """Size and identifier if a record's header stands here (and its second size agrees, if it is there)."""
    if position + RECORD_HEADER_BYTES > len(data):
        return None
    magic, size, record_id, _ = _RECORD.unpack_from(data, position)
    if magic != RECORD_MAGIC or size < SMALLEST_RECORD or position + size > end:
        return None
    if (
        position + size <= len(data)
        and data[position + size - 4 : position + size] != data[position + 4 : position + 8]
    ):
        return None
    return size, record_id


def _next_record(data: bytes, position: int, end: int) -> int | None:
    while (found := data.find(RECORD_MAGIC, position, end)) >= 0:
        record = _record_at(data, found, end)
        if record is not None and found + record[0] <= len(data):
            return found
        position = found + 1
    return None


def _walk_uncommitted(chunk: Chunk) -> None:
    while chunk.records:
        last = chunk.records[-1]
        position = last.offset - chunk.offset + last.length
        record = _record_at(chunk.data, position, len(chunk.data))
        if record is None or record[1] != last.record_id + 1:
            return
        chunk.records.append(WalkedRecord(record[1], chunk.offset + position, record[0]))
        chunk.uncommitted += 1


def decodable(chunk: Chunk, *, forget_strings: bool = False) -> bytes:
    """A log of one chunk in which a decoder reaches every walked record of `chunk`.

    Damaged stretches become records with identifier 0 and no content, the recorded end is where the
    last walked record ends, checksums agree.  Nothing moves: binary XML refers to places in its chunk.

    Args:
        chunk: a walked chunk.
        forget_strings: clear the tables of common strings and templates, which a damaged chunk may
            have wrong; a decoder then reads names where they stand.
    """
    data = bytearray(chunk.data.ljust(CHUNK_BYTES, b"\x00"))
    end = max((r.offset - chunk.offset + r.length for r in chunk.records), default=CHUNK_HEADER_BYTES)
    for damage in chunk.damage:
        begin = damage.offset - chunk.offset
        if CHUNK_HEADER_BYTES <= begin < end and damage.length >= SMALLEST_RECORD:
            filler = _RECORD.pack(RECORD_MAGIC, damage.length, 0, 0)
            data[begin : begin + damage.length] = filler.ljust(damage.length - 4, b"\x00") + filler[4:8]
    first = chunk.records[0].record_id if chunk.records else 0
    last = chunk.records[-1] if chunk.records else None
    last_id, last_offset = (last.record_id, last.offset - chunk.offset) if last else (0, CHUNK_HEADER_BYTES)
    struct.pack_into("<8sQQQQIII", data, 0, CHUNK_MAGIC, first, last_id, first, last_id, 128, last_offset, end)
    if forget_strings:
        data[128:CHUNK_HEADER_BYTES] = bytes(CHUNK_HEADER_BYTES - 128)
    struct.pack_into("<I", data, 52, zlib.crc32(data[CHUNK_HEADER_BYTES:end]))
    struct.pack_into("<I", data, 124, zlib.crc32(data[128:CHUNK_HEADER_BYTES], zlib.crc32(data[:120])))
    header = bytearray(FILE_HEADER_BYTES)
    struct.pack_into("<8sQQQIHHHH", header, 0, FILE_MAGIC, 0, 0, last_id + 1 & (1 << 64) - 1, 128, 1, 3, 4096, 1)
    struct.pack_into("<I", header, 124, zlib.crc32(header[:120]))
    return bytes(header + data)
