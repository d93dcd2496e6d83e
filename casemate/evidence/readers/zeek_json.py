"""Zeek logs as JSON, one record a line: Zeek's own JSON writer and exporters that stream it.

Definition: the JSON formatter in Zeek's documentation ("Zeek JSON Format Logs"), the ``_path`` and
``_write_ts`` fields of the json-streaming-logs package, and the ``@stream``, ``@system`` and ``@proc``
fields (with ``id_orig_h`` for ``id.orig_h``) of exporters to Elasticsearch.  Several logs may stand in
one file.  A record that does not name its log is placed by the names of its fields, and a note says so.

Yields the same tables as :mod:`casemate.evidence.readers.zeek`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from casemate.evidence.readers.address_columns import flag_addresses
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.dictionary_columns import read_json_time
from casemate.evidence.readers.json_rows import Arrangement, Fields, Keys, flatten, read_json
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
    with source.open() as stream:
        iso = _ISO_TIME.search(stream.read(64 * 1024)) is not None
    addresses = {table.name: CONNECTION_ADDRESSES for table in ALL_TABLES}
    addresses |= {TABLES[path].name: (*CONNECTION_ADDRESSES, *names) for path, names in ADDRESSES.items()}
    # read_json_time reads plain ISO texts by the column; read_time also knows the short epochs before 2001
    for item in read_json(source, context, ALL_TABLES, placing.arrange, read_time=read_json_time if iso else read_time):
        if isinstance(item, Rows):
            yield flag_addresses(item, addresses[item.table])
        elif isinstance(item, Tally):
            yield replace(item, notes=(*item.notes, *sorted(placing.notes)))
        else:
            yield item


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
        path = mark.removeprefix(_MARK)
        table = TABLES.get(path, OTHER)
        declared = set(table.columns)
        names = canonical_names(table, keys[:-1])
        targets = tuple(name if name in declared else None for name in names)
        return Arrangement(
            table.name,
            (*targets, "_path" if table is OTHER else None),
            tuple(names.index(name) for name in ("ts", "_write_ts") if name in names),
        )

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


def _path(record: Fields) -> str | None:
    for field in PATH_FIELDS:
        value: Any = record.get(field)
        if isinstance(value, str) and value:
            return value
    return None


ZEEK_JSON = ReaderSpec("zeek_json", 1, ALL_TABLES, recognise, read, continues=True)
