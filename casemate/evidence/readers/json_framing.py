"""JSON evidence as blocks of records: one a line, or the elements of documents and arrays.

UTF-16 (what Windows PowerShell writes unless told otherwise) is read as well; places are those of the
file in both cases.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import numpy as np

from casemate.evidence.lines import LineBlock, OverlongLine, read_lines, utf16_of
from casemate.evidence.readers.base import ReadContext, Reject
from casemate.evidence.readers.json_elements import BrokenElement, Framing, JsonElement, read_elements

BLOCK_BYTES = 4 * 1024 * 1024


def json_lines(
    stream: BinaryIO, context: ReadContext, *, documents: bool, envelope_keys: Sequence[str], notes: list[str]
) -> Iterator[LineBlock | OverlongLine | Reject]:
    """Blocks of records in order; `notes` are added to once all is read."""
    if not documents:
        yield from read_lines(
            stream,
            line_bytes=context.limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
            block_bytes=BLOCK_BYTES,
        )
        return
    yield from _element_blocks(stream, context, envelope_keys, notes)


def _element_blocks(
    stream: BinaryIO, context: ReadContext, envelope_keys: Sequence[str], notes: list[str]
) -> Iterator[LineBlock | Reject]:
    framing = Framing()
    waiting: list[JsonElement] = []
    size = 0
    stream.seek(0)
    units = Utf16Units.of(stream)
    for item in read_elements(
        stream if units is None else cast(BinaryIO, units),
        element_bytes=context.limits.line_bytes,
        depth=context.limits.json_depth,
        envelope_keys=envelope_keys,
        framing=framing,
    ):
        if units is not None:
            item = units.in_file(item)
        if isinstance(item, BrokenElement):
            if waiting:
                yield _block(waiting)
                waiting, size = [], 0
            yield Reject(item.record, item.offset, item.length, item.reason)
            continue
        waiting.append(item)
        size += item.length
        if size >= BLOCK_BYTES:
            yield _block(waiting)
            waiting, size = [], 0
    if waiting:
        yield _block(waiting)
    notes.extend(framing.notes)


class Utf16Units(io.RawIOBase):
    """UTF-16 content as one byte per code unit, so that brackets and quotes can be followed as in UTF-8.

    Units over 255 read as 255: no bracket, no quote, and never written anywhere.
    """

    def __init__(self, stream: BinaryIO, encoding: str, begin: int) -> None:
        self._stream = stream
        self._encoding, self._begin = encoding, begin
        self._unit = 0

    @classmethod
    def of(cls, stream: BinaryIO) -> Utf16Units | None:
        """For a stream of UTF-16, else None."""
        wide = utf16_of(stream.read(4))
        return cls(stream, *wide) if wide is not None else None

    def read(self, size: int = -1) -> bytes:
        self._stream.seek(self._begin + 2 * self._unit)
        data = self._stream.read(2 * size if size >= 0 else -1)
        self._unit += len(data) // 2
        kind = "<u2" if self._encoding == "utf-16-le" else ">u2"
        return np.minimum(np.frombuffer(data[: len(data) // 2 * 2], kind), 255).astype(np.uint8).tobytes()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += (self._stream.seek(0, io.SEEK_END) - self._begin) // 2
        self._unit = offset
        return offset

    def tell(self) -> int:
        return self._unit

    def in_file(self, item: JsonElement | BrokenElement) -> JsonElement | BrokenElement:
        """The element with its place in the file, and its bytes as UTF-8."""
        offset, length = self._begin + 2 * item.offset, 2 * item.length
        if isinstance(item, BrokenElement):
            return BrokenElement(item.record, offset, length, item.reason)
        self._stream.seek(offset)
        text = self._stream.read(length).decode(self._encoding, "surrogatepass")
        return JsonElement(item.record, offset, length, text.encode("utf-8", "surrogatepass"))


def _block(elements: list[JsonElement]) -> LineBlock:
    return LineBlock(
        elements[0].record,
        [element.data for element in elements],
        np.array([element.offset for element in elements], np.int64),
        np.array([element.length for element in elements], np.int64),
    )
