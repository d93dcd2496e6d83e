"""Bytes of an artefact: random access to a file, a member or a decoded layer, without copying the file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

RELEASED = 64 * 1024 * 1024

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Content:
    """A run of bytes with a name.

    Args:
        name: file or member name as stored: a label, never a path to open.
        buffer: what holds the bytes.
        begin: where the content begins in `buffer`.
        size: how many bytes it has.
    """

    name: str
    buffer: Buffer
    begin: int
    size: int

    @classmethod
    def of(cls, name: str, data: Buffer) -> Content:
        """All of `data`."""
        return cls(name, data, 0, len(data))

    @property
    def end(self) -> int:
        """Where it ends in `buffer`."""
        return self.begin + self.size

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; fewer at the end, never more than there are."""
        begin = self.begin + max(0, offset)
        end = min(begin + max(0, count), self.begin + self.size)
        return self.buffer[begin : max(begin, end)]

    def head(self, count: int = 4096) -> bytes:
        """The first bytes."""
        begin = self.begin
        return self.buffer[begin : begin + min(count, self.size)]

    def whole(self) -> bytes:
        """All bytes; look at `size` before."""
        return self.read(0, self.size)

    def blocks(self, count: int = 1 << 20) -> Iterator[bytes]:
        """All bytes in blocks of `count`; what was read of a mapped file does not stay in memory."""
        for offset in range(0, self.size, count):
            yield self.read(offset, count)
            if isinstance(self.buffer, mmap.mmap) and offset % RELEASED == 0:
                self.buffer.madvise(mmap.MADV_DONTNEED)

    def copied(self, most: int) -> Content:
        """The same bytes outside of a map, which they are read faster from, unless there are more than `most`."""
        if isinstance(self.buffer, bytes) or self.size > most:
            return self
        return Content(self.name, self.whole(), 0, self.size)

    def find(self, pattern: bytes, start: int = 0, end: int | None = None) -> int:
        """Where `pattern` stands at or after `start`, -1 if nowhere."""
        stop = self.end if end is None else min(self.end, self.begin + end)
        found = self.buffer.find(pattern, self.begin + max(0, start), stop)
        return -1 if found < 0 else found - self.begin

    def rfind(self, pattern: bytes, start: int = 0) -> int:
        """Where `pattern` stands last at or after `start`, -1 if nowhere."""
        found = self.buffer.rfind(pattern, self.begin + max(0, start), self.end)
        return -1 if found < 0 else found - self.begin

    def part(self, name: str, offset: int, size: int) -> Content:
        """A part of it, cut to what there is."""
        offset = min(max(0, offset), self.size)
        return Content(name, self.buffer, self.begin + offset, min(max(0, size), self.size - offset))


class Ownership:
    """Which bytes of one content somebody understood."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._spans: list[tuple[int, int]] = []

    def own(self, begin: int, end: int) -> None:
        """The bytes from `begin` up to `end` are understood."""
        if end > begin:
            self._spans.append((begin, end))

    def rest(self) -> list[tuple[int, int]]:
        """Spans that nobody owned, in order."""
        gaps, reached = [], 0
        for begin, end in sorted(self._spans):
            if begin > reached:
                gaps.append((reached, min(begin, self._size)))
            reached = max(reached, end)
        if reached < self._size:
            gaps.append((reached, self._size))
        return [(begin, end) for begin, end in gaps if end > begin]
