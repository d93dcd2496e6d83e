"""Flow records and options as rows of their tables, and the connections these make together."""

from __future__ import annotations

from collections.abc import Iterator

from casemate.evidence.readers.base import Reject, Rows, Tally
from casemate.evidence.readers.flows.pairing import Pairing
from casemate.evidence.readers.flows.records import FLOW, OPTIONS, BadRecord, FlowRecord, OptionsRecord
from casemate.evidence.readers.packets.streams import Ref
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.zeek_fields import TABLES as ZEEK_TABLES

CONNECTIONS = ZEEK_TABLES["conn"]
TABLES = (FLOW, OPTIONS, CONNECTIONS)
FURTHER = 10**12
"""Connections that began in one record are numbered so apart, as for captures."""


def seconds(microseconds: int | None) -> str | None:
    """Zeek's way to write a time."""
    return None if microseconds is None else f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


class FlowRows:
    """Numbers records in the order they come and collects rows; give each to :meth:`add`, then take batches."""

    def __init__(self) -> None:
        self.records = self.timeless = self.sampled = self.flows = self.endless = 0
        self.guessed = 0
        self._flows, self._options, self._connections = RowBuilder(FLOW), RowBuilder(OPTIONS), RowBuilder(CONNECTIONS)
        self.pairing = Pairing(self._connection)

    def add(self, found: FlowRecord | OptionsRecord | BadRecord, number: int | None = None) -> Iterator[Rows | Reject]:
        """One record; batches that are full come out.  `number` is its own where the evidence has lines."""
        self.records += 1
        record = self.records if number is None else number
        if isinstance(found, BadRecord):
            yield Reject(record, found.offset, found.length, found.reason)
            return
        if isinstance(found, OptionsRecord):
            raw = seconds(found.time)
            self._options.add(
                record, found.offset, found.length, time=found.time, time_raw=raw, flags=(), values=found.values
            )
            if self._options.full:
                yield self._options.take()
            return
        self.add_flow(found, record)
        if self._flows.full:
            yield self._flows.take()
        if self._connections.full:
            yield self._take_connections()

    def add_flow(self, flow: FlowRecord, record: int, flags: tuple[str, ...] = ()) -> None:
        """A flow as row and as part of a connection."""
        self.flows += 1
        self.sampled += flow.sampled
        values = flow.values
        raw = values.get("flowStartMilliseconds")
        if flow.start is None:
            self.timeless += 1
            flags = (*flags, "time_out_of_range" if raw else "time_unreadable")
        if values.get("time_from") == "export":
            self.guessed += 1
        values["uid"] = self.pairing.add(flow, Ref(record, flow.offset, flow.length, flow.start))
        if values["uid"] is None:
            self.endless += 1
        self._flows.add(record, flow.offset, flow.length, time=flow.start, time_raw=raw, flags=flags, values=values)

    def finish(self) -> Iterator[Rows]:
        """The last batches."""
        self.pairing.finish()
        if len(self._flows):
            yield self._flows.take()
        if len(self._options):
            yield self._options.take()
        if len(self._connections):
            yield self._take_connections()

    def take_full(self) -> Iterator[Rows]:
        """Batches that are full, for callers of :meth:`add_flow`."""
        if self._flows.full:
            yield self._flows.take()
        if self._connections.full:
            yield self._take_connections()

    def notes(self) -> Iterator[str]:
        """What a person should know."""
        pairing = self.pairing
        if pairing.both or pairing.one_way:
            yield (
                f"{self.flows:,} flow records make {pairing.both + pairing.one_way:,} connections: {pairing.both:,} "
                f"with both directions, {pairing.one_way:,} with one, whose other side need not have been silent."
            )
            yield "Bytes of these connections are those counted less the smallest possible headers."
        if self.sampled:
            yield f"{self.sampled:,} flow records are of a sample of packets; their numbers are not scaled up."
        if self.timeless:
            yield f"{self.timeless:,} flow records carry no possible time."
        if self.guessed:
            yield f"{self.guessed:,} flow records say no time of their own; that of their export stands for it."
        if self.endless:
            yield f"{self.endless:,} flow records name no addresses and belong to no connection."
        if pairing.evicted:
            yield f"{pairing.evicted:,} connections were closed early because too many were open at once."

    def _connection(self, ref: Ref, values: dict[str, str | None]) -> None:
        raw = seconds(ref.time)
        flags = () if ref.time is not None else ("time_out_of_range",)
        self._connections.add(
            ref.number, ref.offset, ref.length, time=ref.time, time_raw=raw, flags=flags, values={"ts": raw, **values}
        )

    def _take_connections(self) -> Rows:
        rows = self._connections.take()
        return Rows(rows.table, rows.batch, counts=False)


def account(rows: FlowRows, structure: int, *notes: str) -> Tally:
    """The tally of a reader of flows."""
    return Tally(rows.records, structure, (*notes, *rows.notes()))
