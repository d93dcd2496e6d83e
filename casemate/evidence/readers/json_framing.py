"""JSON evidence as blocks of records: one a line, or the elements of documents and arrays.

UTF-16 (what Windows PowerShell writes unless told otherwise) is known by its byte-order mark; places
are those of the file in both cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from casemate.evidence.lines import LineBlock, OverlongLine, read_lines
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
    for item in read_elements(
        stream,
        element_bytes=context.limits.line_bytes,
        depth=context.limits.json_depth,
        envelope_keys=envelope_keys,
        framing=framing,
    ):
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


def _block(elements: list[JsonElement]) -> LineBlock:
    return LineBlock(
        elements[0].record,
        [element.data for element in elements],
        np.array([element.offset for element in elements], np.int64),
        np.array([element.length for element in elements], np.int64),
    )
