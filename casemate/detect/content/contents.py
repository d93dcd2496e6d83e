"""What content rules look at: bytes that belong together, and which records of the case each of them came in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from casemate.evidence.readers.packets.streams import Ref

STREAM, FILE, EVIDENCE = "stream", "transferred file", "evidence"


@dataclass(frozen=True)
class Place:
    """A record of the case, and when it was made (microseconds UTC)."""

    record: int
    time: int | None


@dataclass(frozen=True)
class Talk:
    """The connection a content was in: who sent it to whom, by which service."""

    uid: str
    sender: str
    receiver: str
    service: str
    direction: str
    """``to_server`` or ``to_client``."""


class Places:
    """Offsets in a content and the records that hold them."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.refs: list[Place] = []
        self.together = False
        """Whether the bytes have no place of their own (they were unpacked): all records stand for each of them."""

    def add(self, offset: int, ref: Ref) -> None:
        """Bytes from `offset` on came in this packet."""
        self.offsets.append(offset)
        self.refs.append(Place(ref.number, ref.time))

    def between(self, begin: int, end: int) -> Iterator[Place]:
        """The records of the bytes from `begin` to before `end`."""
        if self.together:
            yield from self.refs
            return
        for _, place in self.pairs(begin, end):
            yield place

    def pairs(self, begin: int, end: int) -> Iterator[tuple[int, Place]]:
        """The same with the offset each record begins at; at least one."""
        at = max(0, bisect_right(self.offsets, begin) - 1)
        first = at
        while at < len(self.offsets) and (self.offsets[at] < end or at == first):
            yield self.offsets[at], self.refs[at]
            at += 1

    def since(self, offset: int) -> Places:
        """Those of the bytes from `offset` on."""
        at = max(0, bisect_right(self.offsets, offset) - 1)
        left = Places()
        left.offsets, left.refs = self.offsets[at:], self.refs[at:]
        return left


@dataclass(frozen=True)
class Content:
    """Bytes to hold against rules.

    Args:
        kind: what it is.
        name: of the file, else of the stream.
        data: the bytes.
        base: where they stand in the whole.
        places: records by offset in the whole; None where the evidence is the content itself.
        whole: whether this is all of it; where not, rules over the whole may miss.
    """

    kind: str
    name: str
    data: bytes
    base: int = 0
    places: Places | None = None
    talk: Talk | None = None
    whole: bool = True
    notes: tuple[str, ...] = field(default=())
