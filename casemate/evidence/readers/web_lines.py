"""Text lines for readers that take a line apart with one expression: decoded, bounded, accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Source, Tally
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

BLOCK_BYTES = 4 * 1024 * 1024

Parsed = tuple[int | None, str | None, tuple[str, ...], tuple[str | None, ...]]
"""Microseconds, ``time_raw``, flags, and the values of the table's declared columns."""
Parse = Callable[[str], Parsed | str]
"""One line taken apart, or the reason why it is rejected."""


def read_parsed_lines(
    source: Source, context: ReadContext, table: NativeTable, parse: Parse, notes: Sequence[str] = ()
) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record of `table` or a reject; a whole reader."""
    records = structure = 0
    with source.open() as stream:
        for block in read_lines(
            stream,
            line_bytes=context.limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
            block_bytes=BLOCK_BYTES,
        ):
            if not isinstance(block, LineBlock):
                records += 1
                reason = f"line of {block.length:,} bytes is over the limit of {context.limits.line_bytes:,}"
                yield Reject(block.record, block.offset, block.length, reason)
                continue
            kept: list[int] = []
            parsed: list[Parsed] = []
            for index, (text, flags) in enumerate(decoded(block.lines)):
                if not text or text.isspace():
                    structure += 1
                    continue
                records += 1
                result = parse(text)
                if isinstance(result, str):
                    yield Reject(
                        block.first_record + index, int(block.offsets[index]), int(block.lengths[index]), result
                    )
                    continue
                if flags:
                    result = (*result[:2], (*result[2], *flags), result[3])
                kept.append(index)
                parsed.append(result)
            if kept:
                yield Rows(table.name, _batch(block, table, kept, parsed))
    yield Tally(records, structure, tuple(notes) if records else ())


def decoded(lines: list[bytes]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Lines as text; bytes that are none are written ``\\xNN``, NUL as ``\\x00``, both flagged."""
    joined = b"\n".join(lines)
    try:
        text = joined.decode()
    except UnicodeDecodeError:
        pass
    else:
        if b"\x00" not in joined:
            for line in text.split("\n"):
                yield line, ()
            return
    for raw in lines:
        flags: tuple[str, ...] = ()
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line, flags = raw.decode("utf-8", "backslashreplace"), ("encoding_replaced",)
        if "\x00" in line:
            line, flags = line.replace("\x00", "\\x00"), (*flags, "nul_bytes")
        yield line, flags


def _batch(block: LineBlock, table: NativeTable, kept: list[int], parsed: list[Parsed]) -> pa.RecordBatch:
    rows = np.array(kept, np.int64)
    times, raw, flags, values = zip(*parsed, strict=True)
    arrays: dict[str, pa.Array] = {
        "record": pa.array(rows + block.first_record),
        "offset": pa.array(block.offsets[rows]),
        "length": pa.array(block.lengths[rows]),
        "time": pa.array(times, pa.int64()).cast(UTC_MICROSECONDS),
        "time_raw": pa.array(raw, pa.string()),
        "flags": pa.array([";".join(sorted(set(words))) if words else None for words in flags], pa.string()),
    }
    for name, column in zip(table.columns, zip(*values, strict=True), strict=True):
        arrays[name] = pa.array(column, pa.string())
    return pa.RecordBatch.from_pydict(arrays)
