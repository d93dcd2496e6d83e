"""Unknown text, line by line, into the ``lines`` table: the fallback that loses nothing.

A line is what :mod:`casemate.evidence.lines` says.  Empty lines are structure.  Bytes that are not
UTF-8 are written as ``\\xNN`` and NUL bytes as ``\\x00``, both flagged; a line over the limit is
rejected with its place.  No time is read: nobody knows where it would stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from casemate.evidence.lines import UTF16, LineBlock, as_utf8, read_lines, utf16_of
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

LINES = NativeTable("lines", ("text",), "Lines of text in a format that no reader knows.")

ODD_CONTROLS = bytes({*range(1, 9), 11, *range(14, 27), 28, 29, 30, 31, 127})
MOST_ODD = 0.02
MOST_NUL = 0.4
LOOKED_AT = 64 * 1024
NOTE = "text in a format that no reader knows; kept line by line in the table 'lines'"


def recognise(head: bytes) -> int:
    """1 (any other reader is more confident) for text of any eight-bit encoding or UTF-16, else 0."""
    if not head:
        return 0
    if head.startswith(tuple(UTF16)) and utf16_of(head) is not None:
        return 1
    looked = as_utf8(head[:LOOKED_AT])
    odd = len(looked) - len(looked.translate(None, ODD_CONTROLS))
    nul = looked.count(0)
    return int(odd <= MOST_ODD * len(looked) and nul <= MOST_NUL * len(looked))


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not empty as one record."""
    records = structure = 0
    with source.open() as stream:
        for item in read_lines(
            stream,
            line_bytes=context.limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
        ):
            if isinstance(item, LineBlock):
                empty = sum(1 for line in item.lines if not line)
                structure += empty
                records += len(item) - empty
                if empty < len(item):
                    yield Rows(LINES.name, _batch(item, empty))
            else:
                records += 1
                reason = f"line of {item.length:,} bytes is over the limit of {context.limits.line_bytes:,}"
                yield Reject(item.record, item.offset, item.length, reason)
    yield Tally(records, structure, (NOTE,) if records else ())


def _batch(block: LineBlock, empty: int) -> pa.RecordBatch:
    numbers = np.arange(block.first_record, block.first_record + len(block), dtype=np.int64)
    offsets, lengths, lines = block.offsets, block.lengths, block.lines
    if empty:
        full = np.fromiter(map(bool, lines), np.bool_, len(lines))
        numbers, offsets, lengths = numbers[full], offsets[full], lengths[full]
        lines = [line for line in lines if line]
    texts, flags = _texts(lines)
    count = len(lines)
    columns = {
        "record": pa.array(numbers),
        "offset": pa.array(offsets),
        "length": pa.array(lengths),
        "time": pa.nulls(count, UTC_MICROSECONDS),
        "flags": flags,
        "text": texts,
    }
    return pa.RecordBatch.from_pydict(columns)


def _texts(lines: list[bytes]) -> tuple[pa.Array, pa.Array]:
    joined = b"\n".join(lines)
    try:
        joined.decode()
    except UnicodeDecodeError:
        pass
    else:
        if b"\x00" not in joined:
            return pa.array(lines, pa.binary()).cast(pa.string()), pa.nulls(len(lines), pa.string())
    texts: list[str] = []
    flags: list[str | None] = []
    for line in lines:
        said = []
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("utf-8", "backslashreplace")
            said.append("encoding_replaced")
        if "\x00" in text:
            text = text.replace("\x00", "\\x00")
            said.append("nul_bytes")
        texts.append(text)
        flags.append(";".join(said) or None)
    return pa.array(texts, pa.string()), pa.array(flags, pa.string())


LINES_READER = ReaderSpec("lines", 1, (LINES,), recognise, read, continues=True)
