"""Packet captures (pcap and pcapng) as connections and protocol records.

Every packet is a record of the table ``packet``: ``record`` is its number from 1 as other tools count, ``offset`` and
``length`` are its captured bytes.  What packets are together stands in the tables of Zeek's logs with Zeek's words:
``zeek_conn`` for connections and ``zeek_dns``, ``zeek_http``, ``zeek_ssl``, ``zeek_ssh``, ``zeek_rdp``, ``zeek_ntlm``,
``zeek_dce_rpc``, ``zeek_smb_cmd``, ``zeek_smb_files``, ``zeek_smb_mapping``, ``zeek_x509`` for what was said in them;
SMB1 messages stand one by one in ``smb1_message``; flow records of NetFlow and IPFIX datagrams in ``flow_record`` and
``flow_options``.  These rows are made from packets that are counted already: their address is that
of the packet they began in; where several of one table began in one packet, the further ones are numbered 10^12,
2 * 10^12, ... plus its number.

Dissection is our own (see docs/decisions), the framing is in :mod:`packets.capture`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.flows.records import FLOW, OPTIONS
from casemate.evidence.readers.packets.capture import (
    Damage,
    Framing,
    Packet,
    is_classic,
    is_next_generation,
    read_packets,
)
from casemate.evidence.readers.packets.connections import Connection
from casemate.evidence.readers.packets.protocols.smb1_tables import SMB1_MESSAGE
from casemate.evidence.readers.packets.streams import Ref
from casemate.evidence.readers.packets.tracker import Tracker
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.zeek_fields import TABLES as ZEEK_TABLES
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

PACKET = NativeTable(
    "packet",
    ("uid", "is_orig", "wire_bytes", "layer"),
    "Packets of captures: the connection each belongs to (`uid`), its length on the wire, and what it is.",
)
PACKETS_AT_ONCE = 50_000
FURTHER = 10**12
ZEEK_LOGS = (
    *("conn", "dns", "http", "ssl", "ssh", "rdp", "ntlm", "dce_rpc", "smb_cmd", "smb_files", "smb_mapping", "x509"),
)
TABLES: tuple[NativeTable, ...] = (PACKET, SMB1_MESSAGE, FLOW, OPTIONS, *(ZEEK_TABLES[log] for log in ZEEK_LOGS))
FLAG_NO_TIME = ("time_out_of_range",)


def recognise_classic(head: bytes) -> int:
    """100 for the head of a pcap file."""
    return 100 if is_classic(head) else 0


def recognise_next_generation(head: bytes) -> int:
    """100 for the head of a pcapng file."""
    return 100 if is_next_generation(head) else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every packet and what follows from them; see the head of this file."""
    framing = Framing()
    events = _Events()
    tracker = Tracker(events.add)
    packets = _Packets()
    records = 0
    with source.open() as stream:
        for item in read_packets(stream, framing):
            records += 1
            if isinstance(item, Damage):
                yield Reject(item.number, item.offset, item.length, item.reason)
                continue
            packets.add(item, *tracker.packet(item))
            if packets.full:
                yield packets.take()
                yield from events.take(everything=False)
    tracker.finish()
    if len(packets):
        yield packets.take()
    yield from events.take(everything=True)
    yield Tally(records, framing.structure, (*framing.notes, *_notes(tracker, packets)))


def _notes(tracker: Tracker, packets: _Packets) -> Iterator[str]:
    for reason, count in sorted(tracker.unread.items()):
        yield f"{count:,} packets are kept without a connection: {reason}."
    if packets.timeless:
        yield f"{packets.timeless:,} packets carry no possible time."
    if tracker.cut:
        yield f"{tracker.cut:,} packets were captured in part only; what is missing counts as gaps."
    given_up = tracker.fragments.given_up + tracker.fragments.open
    if given_up:
        yield f"{given_up:,} fragmented datagrams never became whole and belong to no connection."
    if tracker.fragments.overlapping:
        yield f"{tracker.fragments.overlapping:,} IP fragments overlap others; bytes that came first were kept."
    if tracker.conflicts:
        yield (
            f"{tracker.conflicts:,} TCP segments say other bytes than segments before them at the same place; "
            "those that came first were kept."
        )
    if tracker.memory.reached:
        yield f"A limit of the reassembly was reached {tracker.memory.reached:,} times: what was missing became a gap."
    if tracker.evicted:
        yield f"{tracker.evicted:,} connections were closed early because too many were open at once."
    if tracker.exported.flows:
        yield (
            f"{tracker.exported.flows:,} flow records of NetFlow and IPFIX were in datagrams; the connections they "
            "make stand beside those of the packets."
        )
    if tracker.exported.bad:
        yield f"{tracker.exported.bad:,} pieces of datagrams with flows could not be read; their packets are kept."
    if tracker.failed:
        yield f"{tracker.failed:,} protocol messages could not be read; their packets are kept."


class _Packets:
    """Rows of ``packet``."""

    def __init__(self) -> None:
        self.timeless = 0
        self._clear()

    def _clear(self) -> None:
        self.record: list[int] = []
        self.offset: list[int] = []
        self.length: list[int] = []
        self.time: list[int | None] = []
        self.wire: list[int] = []
        self.uids: list[str | None] = []
        self.originator: list[int] = []
        self.layer: list[str] = []

    def __len__(self) -> int:
        return len(self.record)

    @property
    def full(self) -> bool:
        return len(self.record) >= PACKETS_AT_ONCE

    def add(self, packet: Packet, connection: Connection | None, originator: bool, layer: str) -> None:
        self.record.append(packet.number)
        self.offset.append(packet.offset)
        self.length.append(packet.length)
        self.time.append(packet.time)
        if packet.time is None:
            self.timeless += 1
        self.wire.append(packet.wire)
        self.uids.append(None if connection is None else connection.uid)
        self.originator.append(0 if originator else 1)
        self.layer.append(layer)

    def take(self) -> Rows:
        count = len(self.record)
        times = pa.array(self.time, pa.int64())
        flags = [FLAG_NO_TIME[0] if time is None else None for time in self.time] if times.null_count else None
        uids = pa.array(self.uids, pa.string()).dictionary_encode()
        sides = pa.DictionaryArray.from_arrays(pa.array(self.originator, pa.int32()), pa.array(["true", "false"]))
        known = uids.is_valid().to_numpy(zero_copy_only=False)
        if not known.all():
            sides = pa.array([side if valid else None for side, valid in zip(sides.to_pylist(), known, strict=True)])
        arrays = {
            "record": pa.array(self.record, pa.int64()),
            "offset": pa.array(self.offset, pa.int64()),
            "length": pa.array(self.length, pa.int64()),
            "time": times.cast(UTC_MICROSECONDS),
            "time_raw": pa.nulls(count, pa.string()),
            "flags": pa.array(flags, pa.string()) if flags is not None else pa.nulls(count, pa.string()),
            "uid": uids,
            "is_orig": sides,
            "wire_bytes": pa.array(np.array(self.wire, np.int64)).cast(pa.string()),
            "layer": pa.array(self.layer, pa.string()).dictionary_encode(),
            "rest": pa.nulls(count, pa.string()),
        }
        self._clear()
        return Rows(PACKET.name, pa.RecordBatch.from_pydict(arrays))


class _Events:
    """Rows of all other tables."""

    def __init__(self) -> None:
        self.builders = {table.name: RowBuilder(table) for table in TABLES if table is not PACKET}
        self.begun = {name: bytearray() for name in self.builders}
        self.more: dict[tuple[str, int], int] = {}
        self.told: tuple[int | None, str | None] = None, None  # the last time, and how it is written

    def add(self, table: str, ref: Ref, values: Mapping[str, str | None]) -> None:
        number = ref.number
        begun = self.begun[table]
        if number >= len(begun):
            begun.extend(bytes(number + 4096 - len(begun)))
        if begun[number]:
            further = self.more[table, number] = self.more.get((table, number), 0) + 1
            number += further * FURTHER
        else:
            begun[number] = 1
        time = ref.time
        if time != self.told[0]:
            self.told = time, None if time is None else f"{time // 1_000_000}.{time % 1_000_000:06d}"
        raw = self.told[1]
        flags = () if time is not None else FLAG_NO_TIME
        if table.startswith("zeek_"):
            values = {"ts": raw, **values}
        self.builders[table].add(number, ref.offset, ref.length, time=time, time_raw=raw, flags=flags, values=values)

    def take(self, *, everything: bool) -> Iterator[Rows]:
        for builder in self.builders.values():
            if len(builder) and (everything or builder.full):
                rows = builder.take()
                yield Rows(rows.table, rows.batch, counts=False)


PCAP_READER = ReaderSpec("pcap", 4, TABLES, recognise_classic, read)
PCAPNG_READER = ReaderSpec("pcapng", 4, TABLES, recognise_next_generation, read)
