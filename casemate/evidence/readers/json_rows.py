"""From lines of JSON to batches of native tables, a whole block of lines at a time.

Every line is parsed by orjson and written again: where the bytes are the same, no key stood twice, no
number was rewritten and nothing was replaced, for orjson keeps the last of two equal keys without a
word.  A line that comes back different takes the exact path of :mod:`json_values`, which rejects it or
says in a flag what was replaced.  Records with the same keys are turned into columns together, and
each distinct text of a column is kept once, which is what makes matching on distinct values cheap.

A reader says where fields go with an *arrange* function: it is called once per distinct list of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from casemate.evidence.lines import LineBlock, OverlongLine
from casemate.evidence.readers.arrangement import Arrange, Arrangement, Arrangements, Keys
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Source, Tally
from casemate.evidence.readers.collection import collection_paused
from casemate.evidence.readers.dictionary_columns import TIME_RAW, ReadTime, TableColumns, read_json_time
from casemate.evidence.readers.distinct_texts import REST, Slots
from casemate.evidence.readers.json_framing import json_lines
from casemate.evidence.readers.json_texts import (
    ONLY_NULL,
    Fields,
    exact_float,
    flatten,
    quick_float,
    rest_texts,
    texts,
)
from casemate.evidence.readers.json_values import read_object
from casemate.evidence.readers.native import JsonKernel, KernelTexts, available
from casemate.evidence.readers.plain_lines import PlainLines
from casemate.limits import Limits
from casemate.schema.native import NativeTable

BATCH_BYTES = 48 * 1024 * 1024
PLAIN_BATCH_BYTES = 128 * 1024 * 1024  # of lines that become no Python objects
BATCH_RECORDS = 32_768  # as many as a row group of a part, so that no dictionaries need be joined
PLAIN_SHARE = 0.5  # of the lines of the first block
PLAIN_DEPTH = 2  # an array in an object, which the kernel takes


def read_json(
    source: Source,
    context: ReadContext,
    tables: Sequence[NativeTable],
    arrange: Arrange,
    *,
    documents: bool = False,
    envelope_keys: Sequence[str] = (),
    read_time: ReadTime = read_json_time,
) -> Iterator[Rows | Reject | Tally]:
    """Read JSON evidence; a whole reader.

    Args:
        source, context: as every reader gets them.
        tables: the native tables that `arrange` names.
        arrange: where fields go, by the keys of a record (after flattening, dotted names).
        documents: False: one record a line.  True: arrays of records, pretty-printed or concatenated
            objects; the record is the exact slice of the file.
        envelope_keys: with `documents`, keys of a top-level object whose array holds the records.
        read_time: text of a time to microseconds and flags.
    """
    rows = JsonRows(tables, arrange, context.limits, read_time)
    records = structure = 0
    notes: list[str] = []
    with source.open() as stream:
        for item in json_lines(stream, context, documents=documents, envelope_keys=envelope_keys, notes=notes):
            if isinstance(item, LineBlock):
                blank = rows.blank
                yield from rows.add(item)
                structure += rows.blank - blank
                records += len(item) - (rows.blank - blank)
                continue
            records += 1
            if isinstance(item, OverlongLine):
                reason = f"line of {item.length:,} bytes is over the limit of {context.limits.line_bytes:,}"
                item = Reject(item.record, item.offset, item.length, reason)
            yield item
    yield from rows.take()
    yield Tally(records, structure, tuple(notes))


def _is_blank(line: bytes) -> bool:
    return not line or (line[0] <= 32 and not line.strip())


@dataclass
class _Group:
    """Records of one block with the same keys; `exact` if they took the exact path."""

    indices: list[int]
    records: list[Fields]


@dataclass(frozen=True)
class _Work:
    """What placing the records of one block needs and adds to."""

    block: LineBlock
    number: Callable[[float], str]
    rejects: dict[int, str]
    flagged: Mapping[int, tuple[str, ...]]


class JsonRows:
    """Turns blocks of lines into batches; see :func:`read_json`.

    Args:
        tables, arrange, limits, read_time: as for :func:`read_json`.
        native: use the compiled kernel where it is installed and most lines of the first block are
            plain; the rows are the same.

    Attributes:
        blank: blank lines so far, which are no records.
    """

    def __init__(
        self,
        tables: Sequence[NativeTable],
        arrange: Arrange,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        read_time: ReadTime = read_json_time,
        *,
        native: bool = True,
    ) -> None:
        self.limits = limits
        self.blank = 0
        self._tables = {table.name: TableColumns(table, read_time) for table in tables}
        self._arrangement = Arrangements(arrange)
        self._plain: PlainLines | None = None
        self._may_be_plain = native and limits.json_depth >= PLAIN_DEPTH and available()
        self._clear()

    def _clear(self) -> None:
        self._records: list[Slots] = []
        self._offsets: list[Slots] = []
        self._lengths: list[Slots] = []
        self._slots = 0
        self._bytes = 0

    def add(self, block: LineBlock, records: Slots | None = None) -> Iterator[Rows | Reject]:
        """Records of a block; batches come out whenever enough is collected.

        Args:
            block: the records as JSON, and their places.
            records: their numbers, if they are not those of consecutive lines.
        """
        size = len(block)
        if records is None:
            records = np.arange(block.first_record, block.first_record + size, dtype=np.int64)
        with collection_paused():
            rejects = self._collect(block)
        for index in sorted(rejects):
            yield Reject(int(records[index]), int(block.offsets[index]), int(block.lengths[index]), rejects[index])
        self._records.append(records)
        self._offsets.append(block.offsets)
        self._lengths.append(block.lengths)
        self._slots += size
        self._bytes += int(block.lengths.sum())
        if self._slots >= BATCH_RECORDS or self._bytes >= (PLAIN_BATCH_BYTES if self._plain else BATCH_BYTES):
            yield from self.take()

    def _collect(self, block: LineBlock) -> dict[int, str]:
        """Put the records of a block into columns; index and reason of those that cannot be."""
        if self._plain is None and self._may_be_plain and block.whole is not None:
            self._begin_plain(block)
        if self._plain is not None and block.whole is not None:
            left, blank = self._plain.fill(block, self._slots)
            self.blank += blank
            groups, odd = _parse((index, block.line(index)) for index in left)
        else:
            groups, odd = _parse(enumerate(block.lines))
        rejects: dict[int, str] = {}
        exact: dict[Keys, _Group] = {}
        flagged: dict[int, tuple[str, ...]] = {}
        for index in odd:
            line = block.line(index)
            if _is_blank(line):
                self.blank += 1
                continue
            read = read_object(line, self.limits)
            if isinstance(read, str):
                rejects[index] = read
                continue
            if read.flags:
                flagged[index] = read.flags
            _into(exact, tuple(read.fields), index, read.fields)
        for some, number in ((groups, quick_float), (exact, exact_float)):
            for keys, group in some.items():
                self._place(_Work(block, number, rejects, flagged), keys, group)
        return rejects

    def _begin_plain(self, block: LineBlock) -> None:
        """Use the kernel from here on if most lines of a first sample are for it."""
        self._may_be_plain = False  # asked once
        kernel = JsonKernel()
        tables = {
            name: (TableColumns(columns.table, columns.read_time, texts), texts)
            for name, columns in self._tables.items()
            for texts in (KernelTexts(kernel),)
        }
        plain = PlainLines(kernel, tables, self._arrangement, self.limits.fields_per_record)
        if plain.share(block) >= PLAIN_SHARE:
            self._plain = plain
            self._tables = {name: columns for name, (columns, _) in tables.items()}

    def take(self) -> Iterator[Rows]:
        """What is collected, one batch per table."""
        if self._slots:
            places = (np.concatenate(self._records), np.concatenate(self._offsets), np.concatenate(self._lengths))
            for columns in self._tables.values():
                rows = columns.take(*places)
                if rows is not None:
                    yield rows
        self._clear()

    def _place(self, work: _Work, keys: Keys, group: _Group) -> None:
        """Put the records of one group into their table's columns, rewriting and regrouping if needed."""
        rewrite = self._arrangement(keys).rewrite
        nested = True
        if rewrite is None:
            columns = list(zip(*map(dict.values, group.records), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if not any(dict in kind or list in kind for kind in kinds):
                if len(keys) <= self.limits.fields_per_record:
                    self._fill(work, keys, group, columns, kinds)
                else:
                    work.rejects.update(dict.fromkeys(group.indices, self._too_many))
                return
            nested = any(
                _holds_containers(column) for column, kind in zip(columns, kinds, strict=True) if kind & _CONTAINERS
            )
            if any(dict in kind for kind in kinds):
                rewrite = flatten
            elif not nested and len(keys) <= self.limits.fields_per_record:
                self._fill(work, keys, group, columns, kinds)
                return
        regrouped: dict[Keys, _Group] = {}
        for index, record in zip(group.indices, group.records, strict=True):
            reason = self._too_deep(work.block.line(index)) if nested else None
            fields = record if reason or rewrite is None else rewrite(record)
            if reason is None and len(fields) > self.limits.fields_per_record:
                reason = self._too_many
            if reason is None:
                _into(regrouped, tuple(fields), index, fields)
            else:
                work.rejects[index] = reason
        for flat_keys, flat_group in regrouped.items():
            columns = list(zip(*map(dict.values, flat_group.records), strict=True))
            self._fill(work, flat_keys, flat_group, columns, [set(map(type, column)) for column in columns])

    @property
    def _too_many(self) -> str:
        return f"more than {self.limits.fields_per_record} fields"

    def _too_deep(self, line: bytes) -> str | None:
        """Why a record with objects or arrays is rejected, if it is nested too deep."""
        if line.count(b"{") + line.count(b"[") <= self.limits.json_depth:
            return None
        read = read_object(line, self.limits)
        return read if isinstance(read, str) else None

    def _fill(
        self, work: _Work, keys: Keys, group: _Group, columns: list[tuple[Any, ...]], kinds: list[set[type]]
    ) -> None:
        arrangement = self._arrangement(keys)
        if _one_time(arrangement.times, kinds):
            self._fill_rows(work, keys, group.indices, columns, kinds, arrangement)
            return
        # which field is the time, and therefore not in rest, is decided row by row
        for rows in _rows_by_time(arrangement.times, columns):
            some = [tuple(column[row] for row in rows) for column in columns]
            indices = [group.indices[row] for row in rows]
            self._fill_rows(work, keys, indices, some, [set(map(type, column)) for column in some], arrangement)

    def _fill_rows(
        self,
        work: _Work,
        keys: Keys,
        indices: list[int],
        columns: list[tuple[Any, ...]],
        kinds: list[set[type]],
        arrangement: Arrangement,
    ) -> None:
        table = self._tables[arrangement.table]
        slots = np.array(indices, np.int64) + self._slots
        table.keep(slots)
        if work.flagged:
            for index in work.flagged.keys() & set(indices):
                table.flag(self._slots + index, work.flagged[index])
        time = next((place for place in arrangement.times if kinds[place] != ONLY_NULL), None)
        rest: list[int] = []
        for place, target in enumerate(arrangement.targets):
            if kinds[place] == ONLY_NULL:
                continue
            if target is not None:
                table.fill(target, slots, texts(columns[place], kinds[place], work.number))
            elif place != time:
                rest.append(place)
        if time is not None:
            table.fill(TIME_RAW, slots, texts(columns[time], kinds[time], work.number))
        if rest:
            names = arrangement.names or keys
            table.fill(REST, slots, rest_texts([names[p] for p in rest], [columns[p] for p in rest], work.number))


def _one_time(times: tuple[int, ...], kinds: list[set[type]]) -> bool:
    """Whether the time of all rows of a group stands in the same field."""
    some = [place for place in times if kinds[place] != ONLY_NULL]
    return len(some) < 2 or type(None) not in kinds[some[0]]


def _rows_by_time(times: tuple[int, ...], columns: list[tuple[Any, ...]]) -> list[list[int]]:
    """The rows of a group by the field their time stands in."""
    found: dict[int | None, list[int]] = {}
    for row in range(len(columns[0])):
        place = next((place for place in times if columns[place][row] is not None), None)
        found.setdefault(place, []).append(row)
    return list(found.values())


_CONTAINERS = {dict, list}


def _holds_containers(column: tuple[Any, ...]) -> bool:
    """Whether objects stand in a column, or arrays that hold objects or arrays."""
    return any(
        isinstance(value, dict) or (isinstance(value, list) and not _CONTAINERS.isdisjoint(map(type, value)))
        for value in column
    )


def _parse(lines: Iterable[tuple[int, bytes]]) -> tuple[dict[Keys, _Group], list[int]]:
    """Records grouped by their keys, and the lines that need the exact path (or are blank)."""
    loads, dumps, error = orjson.loads, orjson.dumps, orjson.JSONDecodeError
    groups: dict[Keys, _Group] = {}
    odd: list[int] = []
    for index, line in lines:
        try:
            record = loads(line)
        except error:
            odd.append(index)
            continue
        if type(record) is not dict or dumps(record) != line:
            odd.append(index)
            continue
        keys = tuple(record)
        group = groups.get(keys)
        if group is None:
            group = groups[keys] = _Group([], [])
        group.indices.append(index)
        group.records.append(record)
    return groups, odd


def _into(groups: dict[Keys, _Group], keys: Keys, index: int, record: Fields) -> None:
    group = groups.get(keys)
    if group is None:
        group = groups[keys] = _Group([], [])
    group.indices.append(index)
    group.records.append(record)
