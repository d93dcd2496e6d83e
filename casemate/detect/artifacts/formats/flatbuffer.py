"""FlatBuffers walked without a schema's library: tables, vectors and strings by their offsets, each inside the bytes.

Definition: flatbuffers.dev/internals.  Every read is checked, and the furthest byte that anything reaches is kept: what
lies behind it belongs to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from casemate.detect.artifacts.content import Content

MOST_READS = 20_000_000


class OffsetError(ValueError):
    """An offset leads out of the bytes."""


class Buffer:
    """A FlatBuffer that lies in a content."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.reached = 0
        self._reads = 0

    def number(self, at: int, width: int = 4, *, signed: bool = False) -> int:
        """A number of `width` bytes.

        Raises:
            OffsetError: it does not lie in the content, or too much was read.
        """
        self._reads += 1
        if at < 0 or at + width > self.content.size or self._reads > MOST_READS:
            raise OffsetError(f"an offset leads to {at}, out of the file")
        self.reached = max(self.reached, at + width)
        return int.from_bytes(self.content.read(at, width), "little", signed=signed)

    def span(self, at: int, size: int) -> int:
        """The end of `size` bytes at `at`.

        Raises:
            OffsetError: they do not lie in the content.
        """
        if at < 0 or size < 0 or at + size > self.content.size:
            raise OffsetError(f"{size} bytes at {at} reach beyond the file")
        self.reached = max(self.reached, at + size)
        return at + size

    def root(self) -> Table:
        """The table that everything begins at."""
        return self.table(self.number(0))

    def table(self, at: int) -> Table:
        """The table at an absolute place."""
        begin = at - self.number(at, 4, signed=True)
        size = self.number(begin, 2)
        if size < 4 or size & 1:
            raise OffsetError(f"the table at {at} has no layout")
        self.span(begin, size)
        self.span(at, self.number(begin + 2, 2))
        return Table(self, at, begin, size)


@dataclass(frozen=True)
class Table:
    """One table: its place, and that of its layout."""

    buffer: Buffer
    at: int
    layout: int
    layout_size: int

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self.layout_size:
            return None
        offset = self.buffer.number(self.layout + entry, 2)
        return self.at + offset if offset else None

    def number(self, field: int, width: int = 4, default: int = 0) -> int:
        """A field that is a number."""
        place = self._place(field)
        return default if place is None else self.buffer.number(place, width)

    def _follow(self, field: int) -> int | None:
        place = self._place(field)
        return None if place is None else place + self.buffer.number(place)

    def text(self, field: int) -> str:
        """A field that is a text; empty where there is none."""
        begin, size = self.bytes(field)
        return self.buffer.content.read(begin, min(size, 4096)).decode("utf-8", "replace")

    def bytes(self, field: int) -> tuple[int, int]:
        """Place and size of a field that is a vector of bytes or a text; (0, 0) where there is none."""
        at = self._follow(field)
        if at is None:
            return 0, 0
        size = self.buffer.number(at)
        self.buffer.span(at + 4, size)
        return at + 4, size

    def tables(self, field: int) -> Iterator[Table]:
        """A field that is a vector of tables."""
        at = self._follow(field)
        if at is None:
            return
        count = self.buffer.number(at)
        self.buffer.span(at + 4, 4 * count)
        for index in range(count):
            place = at + 4 + 4 * index
            yield self.buffer.table(place + self.buffer.number(place))
