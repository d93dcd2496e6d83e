"""The framing of nfdump's binary files: blocks of records, packed or not.

Layouts 1 (nfdump 1.6) and 2 (nfdump 1.7) after the headers ``nffile.h`` and ``nffileV2.h`` of nfdump's sources: a
file header, in layout 1 a record of statistics, then blocks with their number of records and their size.  Numbers are
in the byte order of the machine that wrote them; the magic number says which.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import zstandard

from casemate.evidence.readers.flows.lzo import DamagedLzoError, decompress

MAGIC = 0xA50C
LARGEST_BLOCK = 16 * 1024 * 1024
"""nfdump's own buffers hold 5 to 10 MiB."""
HEADER_BYTES = {1: 140, 2: 40}
STATISTICS_BYTES = 136
LZO, BZIP2, LZ4, ZSTD = 1, 2, 3, 4
COMPRESSIONS = {0: "none", LZO: "LZO", BZIP2: "bzip2", LZ4: "LZ4", ZSTD: "zstd"}
V1_COMPRESSIONS = ((0x01, LZO), (0x08, BZIP2), (0x10, LZ4))
FLOWS_V1, FLOWS_V2, ARRAY_BLOCK = 2, 3, 4
UNCOMPRESSED_V1, UNCOMPRESSED_V2 = 1, 1


class Block(NamedTuple):
    """One block: place and size in the file, number of records it says it has, its records' bytes."""

    offset: int
    length: int
    records: int
    data: bytes


class DamagedBlock(NamedTuple):
    """A block that cannot be read."""

    offset: int
    length: int
    reason: str


@dataclass
class Layout:
    """What the file header says."""

    order: str = "<"
    version: int = 0
    compression: int = 0
    structure: int = 0
    notes: list[str] = field(default_factory=list)


def layout_of(head: bytes) -> Layout | None:
    """The layout of a file that begins so; None if it is no file of nfdump."""
    for order in ("<", ">"):
        if len(head) >= 40 and struct.unpack_from(order + "H", head)[0] == MAGIC:
            version = struct.unpack_from(order + "H", head, 2)[0]
            return Layout(order, version) if version in HEADER_BYTES else None
    return None


def read_blocks(stream: BinaryIO, layout: Layout) -> Iterator[Block | DamagedBlock]:
    """Blocks with flows in order; `layout` is filled on the way."""
    order = layout.order
    place = HEADER_BYTES[layout.version]
    head = stream.read(place)
    layout.structure += 1
    if len(head) < place:
        yield DamagedBlock(0, len(head), "the file ends inside its header")
        return
    end = None
    if layout.version == 1:
        flags, blocks = struct.unpack_from(order + "II", head, 4)
        layout.compression = next((number for bit, number in V1_COMPRESSIONS if flags & bit), 0)
        stream.read(STATISTICS_BYTES)
        place += STATISTICS_BYTES
    else:
        layout.compression, encrypted, appendix = struct.unpack_from(order + "BBH", head, 16)
        offset, _, blocks = struct.unpack_from(order + "qII", head, 24)
        end = offset if appendix and offset > place else None
        if encrypted:
            yield DamagedBlock(0, len(head), "the file is encrypted")
            return
    if layout.compression not in COMPRESSIONS:
        yield DamagedBlock(0, len(head), f"its compression {layout.compression} is not known")
        return
    seen = 0
    while end is None or place < end:
        begin = stream.read(12)
        if not begin:
            break
        if len(begin) < 12:
            yield DamagedBlock(place, len(begin), "the file ends inside the header of a block")
            return
        records, size, kind, flags = struct.unpack(order + "IIHH", begin)
        if size > LARGEST_BLOCK:
            yield DamagedBlock(place, 12, f"a block of {size:,} bytes cannot be: the framing is lost from here on")
            return
        data = stream.read(size)
        whole = 12 + size
        if len(data) < size:
            yield DamagedBlock(place, 12 + len(data), f"the file ends inside a block of {records:,} records")
            return
        seen += 1
        layout.structure += 1
        if kind in (FLOWS_V1, FLOWS_V2):
            yield _opened(layout, data, flags, Block(place, whole, records, data))
        elif kind != ARRAY_BLOCK or layout.version == 1:
            layout.notes.append(f"a block of kind {kind} at byte {place:,} was not read")
        place += whole
    if seen < blocks:
        layout.notes.append(f"the header speaks of {blocks:,} blocks, {seen:,} are there")


def _opened(layout: Layout, data: bytes, flags: int, block: Block) -> Block | DamagedBlock:
    plain = flags == UNCOMPRESSED_V1 if layout.version == 1 else flags & UNCOMPRESSED_V2
    if plain or not layout.compression:
        return block
    try:
        return block._replace(data=_unpacked(layout.compression, data))
    except (DamagedLzoError, OSError, ValueError, EOFError, zstandard.ZstdError, pa.ArrowException) as error:
        packed = COMPRESSIONS[layout.compression]
        reason = f"a block of {block.records:,} records cannot be unpacked ({packed}): {error}"
        return DamagedBlock(block.offset, block.length, reason)


def _unpacked(compression: int, data: bytes) -> bytes:
    if compression == LZO:
        return decompress(data, LARGEST_BLOCK)
    if compression == BZIP2:
        opened = bz2.BZ2Decompressor().decompress(data, LARGEST_BLOCK + 1)
        if len(opened) > LARGEST_BLOCK:
            raise ValueError(f"it holds more than {LARGEST_BLOCK:,} bytes")
        return opened
    if compression == ZSTD:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=LARGEST_BLOCK)
    # the size is not said: what is not filled stays zero, and records are counted
    opened = pa.Codec("lz4_raw").decompress(data, decompressed_size=LARGEST_BLOCK, asbytes=True)
    assert isinstance(opened, bytes)
    return opened
