"""Text lines for readers of one record a line: decoded, bounded, numbered, accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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


@dataclass
class LineCounts:
    """How many lines are records, and how many are blank."""

    records: int = 0
    structure: int = 0


@dataclass(frozen=True)
class Stretch:
    """Lines that follow each other, as one text.

    Args:
        begin: index in the block of its first line.
        text: the lines with a line feed between two.
        flags: of lines in which something was replaced, by index in the stretch.
    """

    begin: int
    text: str
    flags: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class TextBlock:
    """Lines that are records: not blank, and no structure of their format.

    Args:
        block: their block, with the places of all its lines.
        lines: index in the block, text, and flags of what was replaced in it.
    """

    block: LineBlock
    lines: Iterable[tuple[int, str, tuple[str, ...]]]

    def place(self, index: int) -> tuple[int, int, int]:
        """Record number, offset and length of a line."""
        offsets, lengths = self._places
        return self.block.first_record + index, offsets[index], lengths[index]

    def stretches(self, most_lines: int) -> Iterator[Stretch]:
        """All lines, blank ones too, joined by line feeds, at most so many at once; for readers that do not take
        :attr:`lines`."""
        for begin in range(0, len(self.block), most_lines):
            yield _stretch(self.block, begin, min(begin + most_lines, len(self.block)))

    @cached_property
    def _places(self) -> tuple[list[int], list[int]]:
        return self.block.offsets.tolist(), self.block.lengths.tolist()


def text_blocks(
    source: Source,
    context: ReadContext,
    counts: LineCounts,
    *,
    visible_nul: bool = False,
    structure: tuple[bytes, ...] = (),
) -> Iterator[TextBlock | Reject]:
    """The lines of a text log as blocks of texts; over-long ones are rejected here.

    Args:
        source, context: what a reader is given.
        counts: counts every line; right once all lines of a block were taken.
        visible_nul: write NUL as ``\\x00`` and flag it, for readers whose rows do not do so.
        structure: a line that begins like this is no record, as a blank one.
    """
    with source.open() as stream:
        for block in read_lines(
            stream,
            line_bytes=context.limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
            block_bytes=BLOCK_BYTES,
        ):
            if isinstance(block, LineBlock):
                yield TextBlock(block, _records(block.lines, counts, visible_nul, structure))
                continue
            counts.records += 1
            reason = f"line of {block.length:,} bytes is over the limit of {context.limits.line_bytes:,}"
            yield Reject(block.record, block.offset, block.length, reason)


def _stretch(block: LineBlock, begin: int, end: int) -> Stretch:
    if block.whole is not None and block.starts is not None:
        raw = block.whole[int(block.starts[begin]) : int(block.starts[end - 1] + block.lengths[end - 1])]
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n")
        try:
            return Stretch(begin, raw.decode(), {})
        except UnicodeDecodeError:
            pass
    lines = [block.line(index) for index in range(begin, end)]
    texts = list(decoded(lines, visible_nul=False))
    return Stretch(
        begin, "\n".join(text for text, _ in texts), {row: flags for row, (_, flags) in enumerate(texts) if flags}
    )


def _records(
    lines: list[bytes], counts: LineCounts, visible_nul: bool, structure: tuple[bytes, ...]
) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    for index, (text, flags) in enumerate(decoded(lines, visible_nul=visible_nul)):
        raw = lines[index]
        if not raw or raw.isspace() or (structure and raw.startswith(structure)):
            counts.structure += 1
        else:
            counts.records += 1
            yield index, text, flags


def read_parsed_lines(
    source: Source, context: ReadContext, table: NativeTable, parse: Parse, notes: Sequence[str] = ()
) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record of `table` or a reject; a whole reader."""
    counts = LineCounts()
    for texts in text_blocks(source, context, counts, visible_nul=True):
        if isinstance(texts, Reject):
            yield texts
            continue
        kept: list[int] = []
        parsed: list[Parsed] = []
        for index, text, flags in texts.lines:
            result = parse(text)
            if isinstance(result, str):
                yield Reject(*texts.place(index), result)
                continue
            if flags:
                result = (*result[:2], (*result[2], *flags), result[3])
            kept.append(index)
            parsed.append(result)
        if kept:
            yield Rows(table.name, _batch(texts.block, table, kept, parsed))
    yield Tally(counts.records, counts.structure, tuple(notes) if counts.records else ())


def decoded(lines: list[bytes], *, visible_nul: bool = True) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Lines as text; bytes that are none are written ``\\xNN``, NUL as ``\\x00`` (if wanted), both flagged."""
    joined = b"\n".join(lines)
    try:
        text = joined.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not visible_nul or b"\x00" not in joined:
            for line in text.split("\n"):
                yield line, ()
            return
    for raw in lines:
        flags: tuple[str, ...] = ()
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line, flags = raw.decode("utf-8", "backslashreplace"), ("encoding_replaced",)
        if visible_nul and "\x00" in line:
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
