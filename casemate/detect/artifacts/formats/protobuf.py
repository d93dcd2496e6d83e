"""Protocol buffers' wire format, walked without a schema's library.

Definition: protobuf.dev/programming-guides/encoding.  Every field is bounded by the bytes around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.detect.artifacts.content import Content

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
MOST_FIELDS = 20_000_000


class WireError(ValueError):
    """The bytes are no message."""


class Field(NamedTuple):
    """One field: its number, wire type, value (varint and fixed) and the place of its bytes."""

    number: int
    kind: int
    value: int
    begin: int
    end: int


class Message:
    """A message that lies in a content."""

    def __init__(self, content: Content, begin: int = 0, end: int | None = None) -> None:
        self.content = content
        self.begin = begin
        self.end = content.size if end is None else end

    def fields(self) -> Iterator[Field]:
        """Every field in order.

        Raises:
            WireError: a field reaches beyond the message, or its type is none.
        """
        position = self.begin
        while position < self.end:
            tag, position = self._varint(position)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise WireError(f"field number {number} at {position}")
            begin, value = position, 0
            if kind == VARINT:
                value, position = self._varint(position)
            elif kind in (FIXED64, FIXED32):
                width = 8 if kind == FIXED64 else 4
                value = int.from_bytes(self.content.read(position, width), "little")
                position += width
            elif kind == LENGTH:
                length, begin = self._varint(position)
                position = begin + length
            else:
                raise WireError(f"wire type {kind} at {position}")
            if position > self.end:
                raise WireError(f"a field reaches beyond its message at {begin}")
            yield Field(number, kind, value, begin, position)

    def _varint(self, position: int) -> tuple[int, int]:
        data = self.content.read(position, min(10, self.end - position))
        value = 0
        for index, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position + index + 1
        raise WireError(f"a number is cut off at {position}")

    def inner(self, field: Field) -> Message:
        """The message in a field."""
        return Message(self.content, field.begin, field.end)

    def bytes(self, field: Field, most: int = 1 << 20) -> bytes:
        """The beginning of a field's bytes."""
        return self.content.read(field.begin, min(most, field.end - field.begin))

    def text(self, field: Field, most: int = 1 << 20) -> str:
        """A field as text."""
        return self.bytes(field, most).decode("utf-8", "replace")


def shape(content: Content, most: int = 2000) -> dict[int, set[int]] | None:
    """Field numbers and wire types at the top of a content; None when it is no message throughout (or as far as looked)."""  # noqa: E501
    found: dict[int, set[int]] = {}
    try:
        for count, field in enumerate(Message(content).fields()):
            found.setdefault(field.number, set()).add(field.kind)
            if count >= most:
                break
    except WireError:
        return None
    return found
