"""Exact slices of the elements of JSON documents, streaming.

What an *element* is:

* an element of a top-level array: ``[{...}, {...}]``,
* an element of the array under an envelope key of a top-level object: ``{"Records": [{...}]}``,
  ``{"kind": "EventList", "items": [...]}``, whatever stands before or after that key,
* any other top-level object: documents may follow each other with or without line ends or commas
  (NDJSON, pretty-printed documents, concatenated arrays).

Strings and brackets are followed as in RFC 8259, nothing is parsed: an element is given as the
bytes it has in the file, and whether they are JSON is for the reader to find out.  Memory is bounded
by the longest element allowed.  A string cannot hold a raw line feed, so damage ends at a line: the
search for the next element goes on at the next line that begins like the broken one did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

CHUNK_BYTES = 1024 * 1024
KEPT_BEFORE = 512  # bytes kept before an element, to see its indentation or its key
RESCAN_BYTES = 4 * 1024 * 1024  # read again, in all, in search of the next element after damage

_SPACE = re.compile(rb"[ \t\r\n,]*+")
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+')
_STRING_BODY = re.compile(rb'(?:[^"\\\n]++|\\[^\n])*+')
_FAST = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\\n]++|\\[^\n])*+")*+')
_SCALAR = re.compile(rb"[^ \t\r\n,{}\[\]\":]*+")
_FIRST_VALUE = re.compile(rb"[ \t\r\n]*+(.?)", re.DOTALL)
_GARBAGE_END = re.compile(rb"[{\[\n]")
_OPEN = frozenset(b"{[")


@dataclass(frozen=True)
class JsonElement:
    """One element: its 1-based number, its place in the file in bytes, and the bytes themselves."""

    record: int
    offset: int
    length: int
    data: bytes


@dataclass(frozen=True)
class BrokenElement:
    """Bytes where an element should be that are none, or one over a limit; the place and the reason."""

    record: int
    offset: int
    length: int
    reason: str


@dataclass
class Framing:
    """What :func:`read_elements` saw besides elements; complete once it is exhausted.

    Args:
        records: elements, broken ones included.
        structure: arrays and envelopes around elements.
        notes: what a person should know (an array that does not end).
    """

    records: int = 0
    structure: int = 0
    notes: list[str] = field(default_factory=list)


def read_elements(
    stream: BinaryIO,
    *,
    element_bytes: int,
    depth: int,
    envelope_keys: Sequence[str] = (),
    framing: Framing | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[JsonElement | BrokenElement]:
    """The elements of `stream` in order.

    Args:
        stream: seekable content, read from its beginning.
        element_bytes: longest element taken into memory.
        depth: deepest nesting of one element.
        envelope_keys: keys of a top-level object whose array holds the elements.
        framing: filled in on the way.
        chunk_bytes: bytes read at once.

    Yields:
        :class:`JsonElement` and :class:`BrokenElement`, numbered without a gap from 1.
    """
    yield from _Elements(stream, element_bytes, depth, envelope_keys, framing or Framing(), chunk_bytes).read()


class _Broken(Exception):  # noqa: N818 - a way out of nested calls, never seen outside
    """The element that is being read cannot be one; `end` is where that became clear."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Elements:
    def __init__(
        self,
        stream: BinaryIO,
        element_bytes: int,
        depth: int,
        envelope_keys: Sequence[str],
        framing: Framing,
        chunk_bytes: int,
    ) -> None:
        self.stream = stream
        self.element_bytes = element_bytes
        self.depth = depth
        self.framing = framing
        self.chunk_bytes = chunk_bytes
        keys = b"|".join(re.escape(key.encode()) for key in envelope_keys)
        self.envelope = re.compile(rb'(?<!\\)"(?:' + keys + rb')"[ \t\r\n]*+:[ \t\r\n]*\Z') if keys else None
        self.buffer = b""
        self.base = 0  # offset of buffer[0] in the file
        self.position = 0  # in the buffer
        self.keep = 0  # offset in the file from which the buffer must be kept
        self.ended = False
        self.rescan_budget = RESCAN_BYTES

    # ---- the buffer

    def refill(self) -> bool:
        """Read on; False at the end.  Bytes before `keep` (less a few) are forgotten."""
        if self.ended:
            return False
        chunk = self.stream.read(self.chunk_bytes)
        if not chunk:
            self.ended = True
            return False
        drop = max(0, min(self.keep - KEPT_BEFORE - self.base, self.position - KEPT_BEFORE))
        self.buffer = self.buffer[drop:] + chunk
        self.base += drop
        self.position -= drop
        return True

    def seek(self, offset: int) -> None:
        begin = max(0, offset - KEPT_BEFORE)
        self.stream.seek(begin)
        self.buffer, self.base, self.position, self.keep, self.ended = b"", begin, 0, offset, False
        while len(self.buffer) < offset - begin and self.refill():
            pass
        self.position = offset - begin

    def here(self) -> int:
        return self.base + self.position

    def next_byte(self) -> int | None:
        """The next byte that is not white space or a comma, None at the end."""
        while True:
            match = _SPACE.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            self.keep = self.here()
            if self.position < len(self.buffer):
                return self.buffer[self.position]
            if not self.refill():
                return None

    def slice_from(self, start: int) -> bytes:
        return self.buffer[start - self.base : self.position]

    # ---- elements

    def read(self) -> Iterator[JsonElement | BrokenElement]:
        self.stream.seek(0)
        while len(self.buffer) < 3 and self.refill():
            pass
        if self.buffer[:3] == b"\xef\xbb\xbf":
            self.position = 3
        while (byte := self.next_byte()) is not None:
            if byte == ord("["):
                self.position += 1
                yield from self.array()
            elif byte == ord("{"):
                yield from self.top_level_object()
            else:
                yield self.garbage("not the beginning of a JSON object or array")

    def number(self) -> int:
        self.framing.records += 1
        return self.framing.records

    def array(self) -> Iterator[JsonElement | BrokenElement]:
        self.framing.structure += 1
        while (byte := self.next_byte()) is not None:
            if byte == ord("]"):
                self.position += 1
                return
            if byte in _OPEN:
                yield from self.element()
            elif byte in b"}:":
                yield self.garbage("a bracket or colon where an element should begin")
            else:
                yield self.scalar()
        self.framing.notes.append("The file ends inside an array: whatever followed is missing.")

    def element(self) -> Iterator[JsonElement | BrokenElement]:
        start = self.here()
        try:
            deepest = self.run(start, 0)
        except _Broken as broken:
            yield self.recover(start, broken.reason)
            return
        yield self.finished(start, deepest)

    def top_level_object(self) -> Iterator[JsonElement | BrokenElement]:
        start = self.here()
        try:
            deepest = self.run(start, 0, stop_at_envelope=True)
            if deepest >= 0:
                yield self.finished(start, deepest)
                return
        except _Broken as broken:
            yield self.recover(start, broken.reason)
            return
        while True:
            yield from self.array()
            tail = self.here()
            try:
                if self.ended_here():
                    return
                if self.run(tail, 1, stop_at_envelope=True, keep=False) >= 0:
                    return
            except _Broken as broken:
                yield self.recover(tail, f"after the last element of the array: {broken.reason}")
                return

    def ended_here(self) -> bool:
        return self.next_byte() is None

    def finished(self, start: int, deepest: int) -> JsonElement | BrokenElement:
        length = self.here() - start
        if length > self.element_bytes:
            return BrokenElement(self.number(), start, length, f"longer than {self.element_bytes} bytes")
        if deepest > self.depth:
            return BrokenElement(self.number(), start, length, f"nested deeper than {self.depth} levels")
        return JsonElement(self.number(), start, length, self.slice_from(start))

    def run(self, start: int, depth: int, *, stop_at_envelope: bool = False, keep: bool = True) -> int:
        """Go behind the bracket that closes the value at `start`.

        Returns:
            The deepest nesting met, or -1 if it stopped behind the ``[`` of an envelope key.
        """
        self.keep = start
        deepest = depth
        match_fast = _FAST.match
        while True:
            if not keep or self.here() - start > self.element_bytes:
                self.keep = self.here()
            # without the bracket in the pattern: where none follows in the buffer, what was matched
            # must not be matched again string by string, or long lists of scalars cost their square
            match = match_fast(self.buffer, self.position)
            self.position = match.end() if match else self.position
            if self.position >= len(self.buffer) or self.buffer[self.position] == 0x22:
                self.run_slowly()
                continue
            bracket = self.buffer[self.position]
            self.position += 1
            if bracket in _OPEN:
                if stop_at_envelope and depth == 1 and bracket == 0x5B and self.at_envelope():
                    return -1
                depth += 1
                deepest = max(deepest, depth)
            else:
                depth -= 1
                if depth <= 0:
                    return deepest

    def run_slowly(self) -> None:
        """Towards the next bracket where it is not in the buffer: skip text, a string, or read on."""
        while True:
            match = _TO_BRACKET.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.buffer):
                break
            if not self.read_on():
                raise _Broken("the file ends inside this element")
        if self.buffer[self.position] != 0x22:
            return
        self.position += 1
        while True:
            match = _STRING_BODY.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            left = len(self.buffer) - self.position
            if left and self.buffer[self.position] == 0x22:
                self.position += 1
                return
            if left > 1 or (left == 1 and self.buffer[self.position] == 0x0A):
                raise _Broken("a string is not closed on its line")
            if not self.read_on():
                raise _Broken("the file ends inside a string")

    def read_on(self) -> bool:
        if self.here() - self.keep > self.element_bytes:
            self.keep = self.here()
        return self.refill()

    def at_envelope(self) -> bool:
        if self.envelope is None:
            return False
        before = self.buffer[max(0, self.position - 1 - KEPT_BEFORE) : self.position - 1]
        if not self.envelope.search(before):
            return False
        while True:
            match = _FIRST_VALUE.match(self.buffer, self.position)
            if match and match.group(1):
                return match.group(1) in (b"{", b"]")
            if not self.refill():
                return True

    def scalar(self) -> JsonElement | BrokenElement:
        start = self.here()
        if self.buffer[self.position] == 0x22:
            try:
                self.run_slowly()
            except _Broken as broken:
                return self.recover(start, broken.reason)
        else:
            while True:
                match = _SCALAR.match(self.buffer, self.position)
                self.position = match.end() if match else self.position
                if self.position < len(self.buffer) or not self.read_on():
                    break
        return self.finished(start, 0)

    def garbage(self, reason: str) -> BrokenElement:
        """Bytes up to the next line or opening bracket."""
        start = self.here()
        self.position += 1
        while True:
            match = _GARBAGE_END.search(self.buffer, self.position)
            if match:
                self.position = match.start()
                break
            self.position = len(self.buffer)
            self.keep = self.here()
            if not self.refill():
                break
        return BrokenElement(self.number(), start, self.here() - start, reason)

    # ---- after damage

    def recover(self, start: int, reason: str) -> BrokenElement:
        """Go to the next line that begins as the broken element did, or to the end."""
        looked_at = self.here() - start
        record = self.number()
        if self.rescan_budget <= 0:
            self.stream.seek(0, 2)
            size = self.stream.tell()
            self.seek(size)
            return BrokenElement(record, start, size - start, f"{reason}; too much damage to look for more")
        self.rescan_budget -= max(looked_at, 1)
        self.seek(start)
        line = self.buffer[: self.position].rpartition(b"\n")[2]
        indent = line if not line.strip() else None
        pattern = re.compile(rb"\n" + (re.escape(indent) if indent is not None else rb"[ \t]*") + rb"(?=[{\[])")
        self.position += 1
        while True:
            match = pattern.search(self.buffer, self.position)
            if match:
                self.position = match.end()
                break
            # a match may straddle the end of the buffer: keep the last line's beginning
            self.position = max(self.position, self.buffer.rfind(b"\n", max(0, len(self.buffer) - KEPT_BEFORE)))
            self.position = max(self.position, len(self.buffer) - KEPT_BEFORE)
            self.keep = self.here()
            if not self.refill():
                self.position = len(self.buffer)
                break
        return BrokenElement(record, start, self.here() - start, reason)
