"""Zeek logs as JSON, one record a line: Zeek's own JSON writer and exporters that stream it.

Definition: the JSON formatter in Zeek's documentation ("Zeek JSON Format Logs"), the ``_path`` and
``_write_ts`` fields of the json-streaming-logs package, and the ``@stream``, ``@system`` and ``@proc``
fields (with ``id_orig_h`` for ``id.orig_h``) of exporters to Elasticsearch.  Several logs may stand in
one file.  A record that does not name its log is placed by the names of its fields, and a note says so.

Yields the same tables as :mod:`casemate.evidence.readers.zeek`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from casemate.evidence.lines import LineBlock, OverlongLine
from casemate.evidence.readers.address_columns import flag_addresses
from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.dictionary_columns import read_json_time
from casemate.evidence.readers.json_framing import json_lines
from casemate.evidence.readers.json_rows import JsonRows
from casemate.evidence.readers.json_texts import Fields, flatten
from casemate.evidence.readers.zeek_columns import read_time
from casemate.evidence.readers.zeek_fields import (
    ADDRESSES,
    CONNECTION_ADDRESSES,
    OTHER,
    PATH_FIELDS,
    TABLES,
    canonical_names,
    infer_path,
)
from casemate.schema.native import NativeTable

LOOKED_AT = 8
"""Lines of the head that are tried."""
MOST_NOTES = 50

_ISO_TIME = re.compile(rb'"ts" ?: ?"\d{4}-')
_BEGINS = re.compile(rb'\{"(_path|@stream|@path)":"([a-z0-9_]{1,40})",(?=")')
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
"""Letters written as escapes, which no writer of logs does: a name could hide in them."""
_NAMING = tuple(f'"{field}"'.encode() for field in PATH_FIELDS)
_MARK = "\x00path:"
"""Begins the key that carries the log's name while a record is placed; no key of evidence holds a NUL."""

ALL_TABLES: tuple[NativeTable, ...] = (*TABLES.values(), OTHER)


def recognise(head: bytes) -> int:
    """95 for records that name a known log, 85 for another log, 80 for fields that only one log has."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    said = 0
    for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", LOOKED_AT)[:LOOKED_AT]:
        if line.lstrip()[:1] != b"{":
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            said = max(said, _confidence(flatten(record)))
    return said


def _confidence(record: Fields) -> int:
    path = _path(record)
    timed = "ts" in record or "_write_ts" in record
    if path is None:
        return 80 if timed and infer_path(tuple(record)) else 0
    if path in TABLES:
        own = set(canonical_names(TABLES[path], tuple(record))) & set(TABLES[path].columns)
        return 95 if own else 0
    return 85 if timed else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """All records, whatever logs they are of."""
    placing = _Placing(context.path)
    addresses = {table.name: CONNECTION_ADDRESSES for table in ALL_TABLES}
    addresses |= {TABLES[path].name: (*CONNECTION_ADDRESSES, *names) for path, names in ADDRESSES.items()}
    for item in _items(source, context, placing):
        if isinstance(item, Rows):
            yield flag_addresses(item, addresses[item.table])
        elif isinstance(item, Tally):
            yield replace(item, notes=(*item.notes, *sorted(placing.notes)))
        else:
            yield item


def _items(source: Source, context: ReadContext, placing: _Placing) -> Iterator[Rows | Reject | Tally]:
    """Blocks of one log take a quick way, on which the log's name is read once; others go record by record."""
    records = structure = 0
    with source.open() as stream:
        iso = _ISO_TIME.search(stream.read(64 * 1024)) is not None
        # read_json_time reads plain ISO texts by the column; read_time also knows the short epochs before 2001
        how = read_json_time if iso else read_time
        mixed = JsonRows(ALL_TABLES, placing.arrange, context.limits, how)
        single: tuple[str, JsonRows] | None = None
        for item in json_lines(stream, context, documents=False, envelope_keys=(), notes=[]):
            if isinstance(item, Reject):
                records += 1
                yield item
                continue
            if isinstance(item, OverlongLine):
                records += 1
                reason = f"line of {item.length:,} bytes is over the limit of {context.limits.line_bytes:,}"
                yield Reject(item.record, item.offset, item.length, reason)
                continue
            blank = sum(1 for line in item.lines if not line or line.isspace())
            structure += blank
            records += len(item) - blank
            path, bare = _one_log(item) if not blank else (None, item)
            if path is None:
                yield from mixed.add(item)
                continue
            if single is None or single[0] != path:
                if single is not None:
                    yield from single[1].take()
                single = path, JsonRows((TABLES[path],), placing.arrange_log(path), context.limits, how)
            yield from single[1].add(bare)
        if single is not None:
            yield from single[1].take()
        yield from mixed.take()
    yield Tally(records, structure)


def _one_log(block: LineBlock) -> tuple[str | None, LineBlock]:
    """The log that every line of the block begins with naming, and the lines without that name.

    A line that names a log again is for the exact way, which finds doubled keys.
    """
    first = _BEGINS.match(block.lines[0])
    path = first[2].decode() if first else ""
    if first is None or path not in TABLES:
        return None, block
    beginning, size = first[0], len(first[0])
    joined = b"\n".join(block.lines)
    if joined.count(beginning) != len(block) or any(joined.count(name) > len(block) for name in _NAMING):
        return None, block
    if b"\\u00" in joined and _ESCAPED_ASCII.search(joined):
        return None, block
    if not all(line.startswith(beginning) for line in block.lines):
        return None, block
    without_path = [b"{" + line[size:] for line in block.lines]
    return path, LineBlock(block.first_record, without_path, block.offsets, block.lengths)


class _Placing:
    """Places records: first each gets a key that carries its log's name, then keys decide."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name
        self.notes: set[str] = set()
        self._inferred: dict[Keys, str | None] = {}

    def arrange(self, keys: Keys) -> Arrangement:
        mark = keys[-1] if keys and keys[-1].startswith(_MARK) else None
        if mark is None:
            return Arrangement(OTHER.name, rewrite=self.named)
        table = TABLES.get(mark.removeprefix(_MARK), OTHER)
        targets, times = _targets(table, keys[:-1])
        return Arrangement(table.name, (*targets, "_path" if table is OTHER else None), times)

    def arrange_log(self, path: str) -> Callable[[Keys], Arrangement]:
        """The same where the log is known."""
        table = TABLES[path]
        return lambda keys: Arrangement(table.name, *_targets(table, keys))

    def named(self, record: Fields) -> Fields:
        """The record, flat, with the key that carries the log's name last."""
        flat = flatten(record)
        path = _path(flat)
        if path is None:
            path = self._infer(tuple(flat))
        else:
            for field in PATH_FIELDS:
                if flat.get(field) == path:
                    del flat[field]
        flat[f"{_MARK}{path or ''}"] = None if path is None or path in TABLES else path
        return flat

    def _infer(self, keys: Keys) -> str | None:
        if keys not in self._inferred:
            if len(self._inferred) >= 4_096:
                self._inferred.clear()
            path = self._inferred[keys] = infer_path(keys, self.file_name)
            if len(self.notes) < MOST_NOTES:
                self.notes.add(
                    f"records without a log's name were read as {path} by their fields"
                    if path
                    else "records without a log's name, of no log's fields, stand in zeek_other"
                )
        return self._inferred[keys]


def _targets(table: NativeTable, keys: Keys) -> tuple[tuple[str | None, ...], tuple[int, ...]]:
    """The column of each key, and where the time may stand, best first."""
    names, declared = canonical_names(table, keys), set(table.columns)
    times = tuple(names.index(name) for name in ("ts", "_write_ts") if name in names)
    return tuple(name if name in declared else None for name in names), times


def _path(record: Fields) -> str | None:
    for field in PATH_FIELDS:
        value: Any = record.get(field)
        if isinstance(value, str) and value:
            return value
    return None


ZEEK_JSON = ReaderSpec("zeek_json", 1, ALL_TABLES, recognise, read, continues=True)
