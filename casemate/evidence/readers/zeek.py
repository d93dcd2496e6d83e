"""Zeek logs in the form of its ASCII writer (TSV), any log, any separator.

Definition: "Zeek TSV Format Logs" in Zeek's documentation and the ASCII writer's source.  A file
describes itself: ``#separator``, ``#set_separator``, ``#empty_field``, ``#unset_field``, ``#path``,
``#fields`` and ``#types`` say how the lines after them are read, and a new header may follow at any
place (rotation into one file, a restart with other scripts, several logs joined).

Yields the tables of :mod:`casemate.evidence.readers.zeek_fields`; a log of no table of its own goes
to ``zeek_other``.  Lines that begin with ``#`` and blank lines are structure.  Lines before any
``#fields``, and lines with more or fewer fields than the header names, are rejected: nothing is
guessed.  Speed comes from working by column on blocks of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv

from casemate.evidence.lines import LineBlock, OverlongLine, read_lines
from casemate.evidence.readers import zeek_columns as columns
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.zeek_fields import (
    ADDRESSES,
    CONNECTION_ADDRESSES,
    OTHER,
    TABLES,
    canonical_names,
    infer_path,
)
from casemate.schema.native import NativeTable

HEAD_LINES = 200
MOST_NOTES = 50
ROWS_AT_ONCE = 50_000
MANY_DISTINCT = 0.5
"""A column with more distinct values than this share of its rows is not dictionary-encoded again."""

MOST_HEADERS = 1_000
"""Different headers of one file; a file of a year's rotated logs of all kinds has some hundred."""
MOSTLY_DISTINCT = frozenset({"ts", "uid", "fuid"})

HASH = ord("#")
MARK = b"\xef\xbb\xbf"
DIRECTIVES = (b"#separator", b"#set_separator", b"#empty_field", b"#unset_field", b"#path", b"#fields", b"#types")
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Header:
    """What the header lines in force say.

    `fields` is empty until a ``#fields`` line was seen; `types` is empty where they are not stated
    or their number is another than that of the fields.
    """

    separator: bytes = b"\t"
    set_separator: bytes = b","
    empty: bytes = b"(empty)"
    unset: bytes = b"-"
    path: str | None = None
    fields: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def after(self, line: bytes) -> Header:
        """The header in force after one ``#`` line."""
        if line.startswith(b"#separator"):
            given = _ESCAPED.sub(lambda match: bytes((int(match.group(1), 16),)), line[len(b"#separator") :][1:])
            return Header(separator=given or b"\t")
        name, _, given = line.partition(self.separator)
        match name:
            case b"#set_separator":
                return replace(self, set_separator=given)
            case b"#empty_field":
                return replace(self, empty=given)
            case b"#unset_field":
                return replace(self, unset=given)
            case b"#path":
                return replace(self, path=_text(given) or None)
            case b"#fields":
                return replace(self, fields=tuple(map(_text, given.split(self.separator))), types=())
            case b"#types":
                types = tuple(map(_text, given.split(self.separator)))
                return replace(self, types=types if len(types) == len(self.fields) else ())
        return self


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


@dataclass
class Layout:
    """Where the fields of one header go; `trouble` is why its lines cannot be read."""

    header: Header
    table: NativeTable = OTHER
    path: str | None = None
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    trouble: str | None = None
    notes: list[str] = field(default_factory=list)
    plain: set[int] = field(default_factory=set)
    """Columns with so many distinct values that a dictionary is not worth its price."""


def layout(header: Header, file_name: str, most_fields: int) -> Layout:
    """Find table and columns of a header."""
    made = Layout(header)
    if not header.fields:
        made.trouble = "no #fields line stands before this line"
    elif len(header.fields) > most_fields:
        made.trouble = f"the header names {len(header.fields):,} fields, over the limit of {most_fields:,}"
    elif len(set(header.fields)) != len(header.fields) or "" in header.fields:
        made.trouble = "the header names a field twice or not at all"
    if made.trouble:
        return made
    made.path = header.path
    if header.path is None:
        made.path = infer_path(header.fields, file_name)
        made.notes.append(f"no #path line: {_read_as(made.path)} by its fields")
    made.table = TABLES.get(made.path or "", OTHER)
    made.names = canonical_names(made.table, header.fields)
    made.plain = {index for index, name in enumerate(made.names) if name in MOSTLY_DISTINCT}
    addresses = {*CONNECTION_ADDRESSES, *ADDRESSES.get(made.path or "", ())}
    made.kinds = header.types or tuple("addr" if name in addresses else "" for name in made.names)
    if not header.types:
        made.notes.append("no usable #types line: booleans and sets are left as written")
    return made


def _read_as(path: str | None) -> str:
    return f"read as {path}" if path else "its kind stays open"


def recognise(head: bytes) -> int:
    """99 for a file that begins as the ASCII writer's do, less where its header stands elsewhere or is bare."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    head = head.removeprefix(MARK)
    if head.startswith(b"#separator ") and b"#fields" in head:
        return 99
    for line in head.split(b"\n", HEAD_LINES)[:HEAD_LINES]:
        if line.startswith(b"#fields\t"):
            return 90 if head.startswith(b"#") else 70
        if line.startswith((b"#separator \\x", b"#set_separator\t")):
            return 90 if head.startswith(b"#") else 70
    return 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """All records, whatever logs they are of."""
    limits = context.limits
    notes: set[str] = set()
    records = structure = 0
    header = Header()
    layouts: dict[Header, Layout] = {}
    last: LineBlock | None = None
    with source.open() as stream:
        if context.start_offset > 0:
            header = header_before(stream, context)
        lines = read_lines(
            stream,
            line_bytes=limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
        )
        for item in lines:
            if isinstance(item, OverlongLine):
                records += 1
                reason = f"line of {item.length:,} bytes is over the limit of {limits.line_bytes:,}"
                yield Reject(item.record, item.offset, item.length, reason)
                continue
            groups: dict[Header, list[tuple[int, int]]] = {}
            for begin, end in _runs(item.lines):
                if end == begin:
                    structure += 1
                    header = header.after(item.lines[begin])
                else:
                    records += end - begin
                    groups.setdefault(header, []).append((begin, end))
            for named, runs in groups.items():
                made = layouts.get(named)
                if made is None and len(layouts) < MOST_HEADERS:
                    made = layouts[named] = layout(named, context.path, limits.fields_per_record)
                if made is None:
                    made = Layout(named, trouble=f"the file has more than {MOST_HEADERS:,} different headers")
                if len(notes) < MOST_NOTES:
                    notes.update(made.notes)
                for places in _places(runs):
                    yield from _records(made, item, places)
            last = item
        if last is not None and _open_ended(source, last):
            notes.add("the last line has no line end: the file may have been cut there, its last field may be short")
    yield Tally(records, structure, tuple(sorted(notes)))


def header_before(stream: BinaryIO, context: ReadContext) -> Header:
    """The header in force at `start_offset`."""
    header = Header()
    for item in read_lines(stream, line_bytes=context.limits.line_bytes):
        if isinstance(item, OverlongLine):
            continue
        for line, offset in zip(item.lines, item.offsets.tolist(), strict=True):
            if offset >= context.start_offset:
                return header
            if line[:1] == b"#":
                header = header.after(line)
    return header


def _runs(lines: list[bytes]) -> Iterator[tuple[int, int]]:
    """(begin, end) of consecutive records, and (i, i) for line i that carries none, in order."""
    begin = 0
    for index in [i for i, line in enumerate(lines) if not line or line[0] == HASH]:
        if begin < index:
            yield begin, index
        yield index, index
        begin = index + 1
    if begin < len(lines):
        yield begin, len(lines)


def _places(runs: list[tuple[int, int]]) -> Iterator[Places]:
    """Positions of the lines of one header in their block, so many at once as make a batch."""
    whole = np.concatenate([np.arange(begin, end) for begin, end in runs])
    for start in range(0, len(whole), ROWS_AT_ONCE):
        yield whole[start : start + ROWS_AT_ONCE]


def _open_ended(source: Source, block: LineBlock) -> bool:
    return int(block.offsets[-1] + block.lengths[-1]) == source.size


def _records(made: Layout, block: LineBlock, places: Places) -> Iterator[Rows | Reject]:
    numbers = block.first_record + places
    offsets, lengths = block.offsets[places], block.lengths[places]
    if made.trouble:
        for place in zip(numbers.tolist(), offsets.tolist(), lengths.tolist(), strict=True):
            yield Reject(*place, made.trouble)
        return
    begin, end = int(places[0]), int(places[-1]) + 1
    together = end - begin == len(places)
    lines = block.lines[begin:end] if together else [block.lines[place] for place in places.tolist()]
    data, bits = clean(lines)
    texts, wrong = split(data, len(lines), made)
    for index, count in wrong:
        reason = f"{count} fields where the header names {len(made.names)}"
        yield Reject(int(numbers[index]), int(offsets[index]), int(lengths[index]), reason)
    if len(wrong) == len(lines):
        return
    if wrong:
        kept = np.ones(len(lines), np.bool_)
        kept[[index for index, _ in wrong]] = False
        numbers, offsets, lengths, bits = numbers[kept], offsets[kept], lengths[kept], bits[kept]
    yield Rows(made.table.name, _batch(made, data, texts, numbers, offsets, lengths, bits))


def clean(lines: list[bytes]) -> tuple[bytes, columns.Bits]:
    """The lines as one text without characters at which a parser could break them, and flags.

    What is replaced is written as an escape of Zeek's own, so the value's text is decided in one
    place (:func:`casemate.evidence.readers.zeek_columns.unescape`).
    """
    bits = np.zeros(len(lines), np.int32)
    joined = b"\n".join(lines)
    try:
        joined.decode()
        odd = b"\x00" in joined or b"\r" in joined or MARK in joined
    except UnicodeDecodeError:
        odd = True
    if not odd:
        return joined, bits
    cleaned = []
    for index, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError:
            line = line.decode("utf-8", "backslashreplace").encode()
            bits[index] |= columns.BIT["encoding_replaced"]
        if b"\x00" in line:
            line = line.replace(b"\x00", b"\\x00")
            bits[index] |= columns.BIT["nul_bytes"]
        cleaned.append(line.replace(b"\r", b"\\x0d").replace(MARK, b"\\xef\\xbb\\xbf"))
    return b"\n".join(cleaned), bits


def split(data: bytes, lines: int, made: Layout) -> tuple[list[columns.Text], list[tuple[int, int]]]:
    """Columns of text (null where unset), and index and field count of lines that do not fit."""
    separator, count = made.header.separator, len(made.names)
    if len(separator) != 1 or not separator.isascii() or separator in b'\r\n"\\':
        return _split_slowly(data, made)
    wrong: list[tuple[int, int]] = []

    def skip(row: csv.InvalidRow) -> str:
        wrong.append((row.number - 1, row.actual_columns))
        return "skip"

    generated = [str(index) for index in range(count)]
    text, coded = pa.string(), pa.dictionary(pa.int32(), pa.string())
    table = csv.read_csv(
        pa.BufferReader(data),
        csv.ReadOptions(use_threads=False, block_size=len(data) + 64, column_names=generated),
        csv.ParseOptions(
            delimiter=separator.decode(),
            quote_char=False,
            double_quote=False,
            escape_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        csv.ConvertOptions(
            check_utf8=False,  # `clean` made sure
            column_types={name: text if index in made.plain else coded for index, name in enumerate(generated)},
            null_values=[_text(made.header.unset)],
            strings_can_be_null=True,
        ),
    )
    if table.num_rows + len(wrong) != lines:
        return _split_slowly(data, made)
    texts = [_one(column) for column in table.columns]
    if table.num_rows >= 1_000:
        for index, column in enumerate(texts):
            if isinstance(column, pa.DictionaryArray) and len(column.dictionary) > MANY_DISTINCT * len(column):
                made.plain.add(index)
    return texts, wrong


def _one(column: pa.ChunkedArray) -> columns.Text:
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.array([], column.type)


def _split_slowly(data: bytes, made: Layout) -> tuple[list[columns.Text], list[tuple[int, int]]]:
    """The same for separators that the fast parser does not take."""
    count, separator, unset = len(made.names), made.header.separator, made.header.unset
    wrong, rows = [], []
    for index, line in enumerate(data.split(b"\n")):
        parts = line.split(separator)
        if len(parts) == count:
            rows.append([None if part == unset else _text(part) for part in parts])
        else:
            wrong.append((index, len(parts)))
    return [pa.array([row[index] for row in rows], pa.string()) for index in range(count)], wrong


def _batch(
    made: Layout,
    data: bytes,
    texts: list[columns.Text],
    numbers: np.ndarray,
    offsets: np.ndarray,
    lengths: np.ndarray,
    bits: columns.Bits,
) -> pa.RecordBatch:
    header, declared = made.header, set(made.table.columns)
    marks = columns.Marks(_text(header.set_separator), _text(header.empty))
    unset = _text(header.unset)
    marked = b"\\" in data or header.empty in data
    named: dict[str, columns.Text] = {}
    others: list[tuple[str, columns.Text]] = []
    raw_time: columns.Text | None = None
    for name, kind, text in zip(made.names, made.kinds, texts, strict=True):
        value = columns.values(text, kind, marks, unset, marked=marked, bits=bits)
        if name == "ts":
            raw_time = value
        if name in declared:
            named[name] = value
        else:
            others.append((name, value))
    if made.table is OTHER and made.path is not None:
        named["_path"] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(bits), np.int32)), [made.path])
    arrays: dict[str, pa.Array] = {
        "record": pa.array(numbers),
        "offset": pa.array(offsets),
        "length": pa.array(lengths),
    }
    if raw_time is not None:
        arrays["time"] = columns.times(raw_time, bits)
        arrays["time_raw"] = raw_time
    else:
        arrays["time"] = pa.nulls(len(bits), columns.UTC_MICROSECONDS)
    arrays |= named
    arrays["rest"] = columns.rest(others, len(bits))
    arrays["flags"] = columns.flags(bits)
    return pa.RecordBatch.from_pydict(arrays)


ZEEK_TSV = ReaderSpec("zeek_tsv", 1, (*TABLES.values(), OTHER), recognise, read, continues=True)
