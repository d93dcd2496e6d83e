"""Readers of files that hold flows: datagrams one after another (IPFIX files after RFC 5655, dumps of NetFlow), and
nfdump's binary files.

Records are numbered in the order in which they are read.  In a packed block of nfdump a record has no place of its
own: its address is that of the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.flows.datagrams import HEADERS, Decoder, datagram_length
from casemate.evidence.readers.flows.nfdump_blocks import COMPRESSIONS, DamagedBlock, layout_of, read_blocks
from casemate.evidence.readers.flows.nfdump_records import Records
from casemate.evidence.readers.flows.records import BadRecord, believed
from casemate.evidence.readers.flows.rows import TABLES, FlowRows, account
from casemate.evidence.readers.flows.templates import V9

LONGEST_DATAGRAM = 65_535
READ_AT_ONCE = 4 * 1024 * 1024
CHECKED = 8
"""Datagrams of the head that must fit for a file to be taken as one of them."""


def recognise_datagrams(head: bytes) -> int:
    """90 if datagrams of NetFlow or IPFIX follow each other from the first byte on."""
    place = 0
    for _ in range(CHECKED):
        if place == len(head):
            break
        version = int.from_bytes(head[place : place + 2], "big")
        length = datagram_length(head, place)
        if length is None or len(head) - place < HEADERS.get(version, 1 << 20):
            return 0
        said = head[place + 4 : place + 8] if version not in (5, V9) else head[place + 8 : place + 12]
        if not believed(int.from_bytes(said, "big") * 1_000_000):
            return 0
        if place + length > len(head):
            return 60 if place else 40  # the file, or the head of it, ends inside
        place += length
    return 90 if place else 0


def read_datagrams(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every record of every datagram."""
    rows, decoder = FlowRows(), Decoder()
    with source.open() as stream:
        for data, base in _framed(stream):
            if isinstance(data, str):
                yield from rows.add(BadRecord(base[0], base[1], data))
                continue
            for found in decoder.datagram(data, base[0]):
                yield from rows.add(found)
    for late in decoder.finish():
        yield from rows.add(late)
    yield from rows.finish()
    missing = (
        (f"{decoder.missing:,} flow records or datagrams are missing by the exporters' own numbers.",)
        if decoder.missing
        else ()
    )
    yield account(rows, decoder.structure, *missing)


def _framed(stream: BinaryIO) -> Iterator[tuple[bytes | str, tuple[int, int]]]:
    """Datagrams with place and length; a text instead says why what is there is none."""
    buffer, base, place, over = b"", 0, 0, False
    while True:
        if not over and len(buffer) - place < 2 * LONGEST_DATAGRAM:
            more = stream.read(READ_AT_ONCE)
            over = not more
            buffer, base, place = buffer[place:] + more, base + place, 0
            if not over:
                continue
        if place >= len(buffer):
            return
        length = datagram_length(buffer, place)
        if length is None:
            rest = len(buffer) - place + sum(len(more) for more in iter(lambda: stream.read(READ_AT_ONCE), b""))
            yield "no datagram of NetFlow or IPFIX begins here: the framing is lost to the end", (base + place, rest)
            return
        data = buffer[place : place + length]
        yield data, (base + place, len(data))
        place += length


def recognise_nfdump(head: bytes) -> int:
    """100 for a file of nfdump in layout 1 or 2."""
    return 100 if layout_of(head) is not None else 0


def read_nfdump(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every flow of every block."""
    rows = FlowRows()
    with source.open() as stream:
        layout = layout_of(stream.read(64))
        stream.seek(0)
        if layout is None:
            yield account(rows, 0, "The file header is damaged or cut; no flow was read.")
            return
        records = Records(layout.order)
        for block in read_blocks(stream, layout):
            if isinstance(block, DamagedBlock):
                yield from rows.add(BadRecord(block.offset, block.length, block.reason))
                continue
            for found in records.block(block):
                yield from rows.add(found)
    yield from rows.finish()
    packed = COMPRESSIONS.get(layout.compression, "unknown")
    said = f"nfdump's layout {layout.version}, compression: {packed}."
    yield account(rows, layout.structure + records.structure, said, *layout.notes)


NETFLOW_READER = ReaderSpec("netflow", 1, TABLES, recognise_datagrams, read_datagrams)
NFDUMP_READER = ReaderSpec("nfdump", 1, TABLES, recognise_nfdump, read_nfdump)
