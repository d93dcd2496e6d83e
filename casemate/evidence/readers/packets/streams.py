"""One direction of a TCP connection put in order.

Policy where segments overlap: **the bytes that came first stay** (Zeek's and Windows' choice; Shankar and Paxson
2003 list who does otherwise); overlapping bytes that differ are counted, since somebody may be trying to show two
readers two streams.  A hole is given up as a gap when the other side acknowledges what is behind it, when more than
:data:`LIMIT_PENDING` bytes wait behind it, or at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

LIMIT_PENDING = 512 * 1024
LIMIT_SEGMENTS = 1024
HALF, WHOLE = 1 << 31, 1 << 32


class Ref(NamedTuple):
    """The packet some bytes came in: number, place in the file, microseconds UTC."""

    number: int
    offset: int
    length: int
    time: int | None


Deliver = Callable[[bytes, Ref], None]
Gap = Callable[[int, Ref], None]


class Memory:
    """Bytes that wait in all streams together, and how often a limit was reached."""

    __slots__ = ("held", "limit", "reached")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit
        self.reached = 0


class Half:
    """The bytes of one direction.  `wanted` is cleared when nobody reads them any more."""

    __slots__ = (
        "conflicts",
        "deliver",
        "end",
        "gap",
        "memory",
        "missed",
        "pending",
        "place",
        "repeated",
        "sequence",
        "waiting",
        "wanted",
    )

    def __init__(self, memory: Memory, deliver: Deliver, gap: Gap) -> None:
        self.memory, self.deliver, self.gap = memory, deliver, gap
        self.sequence: int | None = None  # of the next byte in order
        self.place = 0  # offset of that byte in the stream
        self.end = 0  # highest offset seen
        self.missed = self.repeated = self.conflicts = self.waiting = 0
        self.pending: list[tuple[int, bytes, Ref]] = []
        self.wanted = True

    def start(self, sequence: int) -> None:
        """The first byte of the stream has this number."""
        self.sequence = sequence & 0xFFFFFFFF

    def segment(self, sequence: int, data: bytes, ref: Ref, cut: int = 0) -> bool:
        """A segment; `cut` bytes of its end were not captured.  True where it holds nothing new."""
        if self.sequence is None:
            self.sequence = sequence
        delta = ((sequence - self.sequence + HALF) & 0xFFFFFFFF) - HALF
        offset = self.place + delta
        last = offset + len(data) + cut
        again = last <= self.end and last <= self.place
        if last > self.end:
            self.end = last
        if delta < 0:
            if -delta >= len(data):
                self.repeated += len(data)
                if cut and last > self.place:
                    self._skip(last - self.place, ref)
                return again
            self.repeated += -delta
            data = data[-delta:]
            delta, offset = 0, self.place
        if delta == 0:
            self._take(data, ref)
            if cut:
                self._skip(cut, ref)
            if self.pending:
                self._drain()
            return again
        return self._hold(offset, data, ref) or again

    def acknowledged(self, sequence: int, ref: Ref) -> None:
        """The other side has everything before this number: what is not here was not captured."""
        if self.sequence is None:
            return
        delta = ((sequence - self.sequence + HALF) & 0xFFFFFFFF) - HALF
        if delta > 0 and self.place + delta <= self.end:
            until = self.place + delta
            while self.place < until:
                self._skip(min(until, self.pending[0][0] if self.pending else until) - self.place, ref)
                self._drain()

    def close(self, ref: Ref) -> None:
        """Nothing more will come: give out what waits behind holes."""
        while self.pending:
            self._skip(self.pending[0][0] - self.place, ref)
            self._drain()
        if self.end > self.place:
            self._skip(self.end - self.place, ref)

    def _take(self, data: bytes, ref: Ref) -> None:
        if not data:
            return
        assert self.sequence is not None
        self.sequence = (self.sequence + len(data)) & 0xFFFFFFFF
        self.place += len(data)
        if self.wanted:
            self.deliver(data, ref)

    def _skip(self, size: int, ref: Ref) -> None:
        if size <= 0:
            return
        assert self.sequence is not None
        self.sequence = (self.sequence + size) & 0xFFFFFFFF
        self.place += size
        self.missed += size
        if self.wanted:
            self.gap(size, ref)

    def _drain(self) -> None:
        while self.pending and self.pending[0][0] <= self.place:
            offset, data, ref = self.pending.pop(0)
            self.waiting -= len(data)
            self.memory.held -= len(data)
            self._take(data[self.place - offset :], ref)

    def _hold(self, offset: int, data: bytes, ref: Ref) -> bool:
        """Keep what fills holes; True where nothing of it was new."""
        new = 0
        at, end = offset, offset + len(data)
        pieces: list[tuple[int, bytes, Ref]] = []
        for begin, held, _ in self.pending:
            if begin >= end:
                break
            over = begin + len(held)
            if over <= at:
                continue
            if begin > at:
                pieces.append((at, data[at - offset : begin - offset], ref))
            low, high = max(begin, at), min(over, end)
            if held[low - begin : high - begin] != data[low - offset : high - offset]:
                self.conflicts += 1
            at = max(at, over)
            if at >= end:
                break
        if at < end:
            pieces.append((at, data[at - offset :], ref))
        for piece in pieces:
            new += len(piece[1])
            self.pending.append(piece if self.wanted else (piece[0], piece[1], ref))
        if not new:
            return True
        self.pending.sort(key=lambda piece: piece[0])
        self.waiting += new
        self.memory.held += new
        if self.waiting > LIMIT_PENDING or len(self.pending) > LIMIT_SEGMENTS or self.memory.held > self.memory.limit:
            self.memory.reached += 1
            self._skip(self.pending[0][0] - self.place, ref)
            self._drain()
        return False
