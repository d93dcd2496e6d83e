"""Parts: the Parquet files that hold the rows of a table, and what the case knows about each.

:func:`write_parts` is a plain function, so that worker processes that know nothing but a staging
folder can call it; what it returns can be pickled.

Text columns are written as dictionaries from what the readers hand over (``dictionary<int32,
string>``), one row group for about :data:`ROW_GROUP_ROWS` rows; long texts that are nearly all
others (messages) are written one by one.  The options below were chosen by measurement, see
docs/decisions/0002-commit-protocol.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from casemate.errors import CaseDamaged

PART_BYTES = 128 * 1024 * 1024  # a part is closed once it is this long, so it stays below 256 MiB
ROW_GROUP_ROWS = 32 * 1024
MOST_WAITING = 256  # batches joined to one row group: hundreds of columns weigh more than a few rows
EMPTY_COLUMNS = "casemate.empty_columns"  # in the metadata of a part
PLAIN_COLUMNS = "casemate.plain_columns"
PLAIN_ROWS, PLAIN_LENGTH, PLAIN_DISTINCT = 1024, 64, 0.625
"""From how many rows of a row group on, of which mean length in bytes and which share of distinct texts on, a column
is written without a dictionary."""
TEXT_KEYS = frozenset({"evidence", "id", "finding"})
"""Text columns of which each row group knows the least and the greatest value: what rows are looked up by."""
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())

_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "binary": pa.binary(),
    "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
}
"""Types a stored table may have, besides lists and structs of them."""


@dataclass(frozen=True)
class StagedPart:
    """A written part that is not yet true."""

    table: str
    file: str  # absolute path in the staging folder
    rows: int
    bytes: int
    sha256: str
    schema: pa.Schema


@dataclass(frozen=True)
class Part:
    """A live part of a table.

    Args:
        table: name of the table.
        path: place in the case folder, ``tables/<table>/part-<commit>-<number>.parquet``.
        rows, bytes, sha256: of the file, as named by the custody log.
        schema: schema of the file.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    schema: pa.Schema


def empty_columns(file: pq.ParquetFile) -> frozenset[str]:
    """The columns of a part that hold no value, as its writer noted; reading those takes time for nothing."""
    return _noted(file.metadata, EMPTY_COLUMNS)


def plain_columns(notes: pq.FileMetaData) -> frozenset[str]:
    """The text columns of a part whose texts are nearly all others, so that dictionaries of them are worth nothing."""
    return _noted(notes, PLAIN_COLUMNS)


def _noted(notes: pq.FileMetaData, key: str) -> frozenset[str]:
    noted = (notes.metadata or {}).get(key.encode(), b"[]")
    try:
        names = json.loads(noted)
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def write_part(folder: str | Path, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedPart:
    """Write all `batches` as one part into `folder`, whatever its size.  See :func:`write_parts`."""
    (part,) = write_parts(folder, table, schema, batches, part_bytes=None)
    return part


def write_parts(
    folder: str | Path,
    table: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    part_bytes: int | None = PART_BYTES,
) -> list[StagedPart]:
    """Write `batches` as parts of `table` into the staging folder `folder`.

    Args:
        folder: an existing folder, ``Stage.folder``.
        table: name of the table.
        schema: stored schema; batches may lack columns (null), have them in any order, and hold
            text as ``dictionary<int32, string>``.
        batches: rows, of any number and size.
        part_bytes: begin another part once one is this long; None keeps all in one part.

    Returns:
        The parts written: none for no rows (one empty part when `part_bytes` is None).

    Raises:
        OSError: disk full and the like.
        ValueError: a column of a batch is not in `schema`, or a required one is missing.
    """
    written: list[StagedPart] = []
    writer: _PartWriter | None = None
    try:
        for group in _groups(batches, schema):
            writer = writer or _PartWriter(Path(folder), table, schema, _nearly_distinct(group))
            writer.write(group)
            if part_bytes is not None and writer.bytes >= part_bytes:
                written.append(writer.close())
                writer = None
        if writer is None and not written and part_bytes is None:
            writer = _PartWriter(Path(folder), table, schema)
        if writer is not None:
            written.append(writer.close())
            writer = None
    finally:
        if writer is not None:
            writer.abandon()
    return written


class _PartWriter:
    """One part being written."""

    def __init__(self, folder: Path, table: str, schema: pa.Schema, plain: frozenset[str] = frozenset()) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f"{table}-", suffix=".parquet", dir=folder)
        os.close(descriptor)
        self._path = Path(name)
        self._table, self._schema, self._rows = table, schema, 0
        self._empty = list(schema.names)  # columns without any value so far
        self._sink = pa.OSFile(name, "wb")
        self._plain = plain
        stored = pa.schema([field if field.name in plain else _stored(field) for field in schema])
        keyed = [field.name for field in schema if not pa.types.is_string(field.type) or field.name in TEXT_KEYS]
        self._writer = pq.ParquetWriter(
            self._sink,
            stored,
            compression="lz4",
            use_dictionary=cast(Any, [name for name in schema.names if name not in plain]) if plain else True,
            write_statistics=cast(Any, keyed),  # a list of columns is fine, whatever the stubs say
            store_schema=False,  # text comes back as text, not as dictionaries
            version="2.6",
        )

    @property
    def bytes(self) -> int:
        return self._sink.tell()

    def write(self, batches: Sequence[pa.RecordBatch]) -> None:
        rows = _joined(batches, self._plain)
        self._writer.write_table(rows, row_group_size=max(len(rows), 1))
        self._rows += len(rows)
        self._empty = [name for name in self._empty if rows.column(name).null_count == len(rows)]

    def close(self) -> StagedPart:
        notes = {EMPTY_COLUMNS: json.dumps(self._empty), PLAIN_COLUMNS: json.dumps(sorted(self._plain))}
        self._writer.add_key_value_metadata(notes)
        self._writer.close()
        self._sink.close()
        with self._path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = self._path.stat().st_size
        return StagedPart(self._table, str(self._path), self._rows, size, digest, self._schema)

    def abandon(self) -> None:
        for stream in (self._writer, self._sink):
            with contextlib.suppress(OSError, pa.ArrowException):  # the disk is full: what matters is that it goes
                stream.close()
        self._path.unlink(missing_ok=True)


def _stored(field: pa.Field) -> pa.Field:
    return field.with_type(_DICTIONARY) if pa.types.is_string(field.type) else field


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[list[pa.RecordBatch]]:
    """Batches with all columns of the stored schema, as many as make a row group."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        waiting.append(_conform(batch, schema))
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS or len(waiting) >= MOST_WAITING:
            yield waiting
            waiting, rows = [], 0
    if waiting:
        yield waiting


def _nearly_distinct(batches: Sequence[pa.RecordBatch]) -> frozenset[str]:
    """The columns of long texts of which hardly two are alike.

    A dictionary of those is built, joined and read at the price of copying all of them several times.
    """
    first = max(batches, key=len)
    if any(pa.types.is_nested(field.type) for field in first.schema):
        return frozenset()
    return frozenset(field.name for field in first.schema if _is_nearly_distinct(first.column(field.name)))


def _is_nearly_distinct(column: pa.Array) -> bool:
    present = len(column) - column.null_count
    if present < PLAIN_ROWS:
        return False
    if pa.types.is_dictionary(column.type):
        texts, distinct = column.dictionary, len(column.dictionary)
    elif pa.types.is_string(column.type):
        texts = column
        some = column.drop_null().slice(0, PLAIN_ROWS)
        distinct = present * len(some.unique()) / len(some)
    else:
        return False
    return distinct > present * PLAIN_DISTINCT and _text_bytes(texts) > max(distinct, 1) * PLAIN_LENGTH


def _text_bytes(texts: pa.StringArray) -> int:
    ends = texts.buffers()[1]
    if ends is None or not len(texts):
        return 0
    some = np.frombuffer(ends, np.int32)
    return int(some[texts.offset + len(texts)]) - int(some[texts.offset])


def _joined(batches: Sequence[pa.RecordBatch], plain: frozenset[str]) -> pa.Table:
    """One row group.

    Its dictionaries are made one: Parquet takes a dictionary as it is only if every chunk of the row group shares it,
    and decodes all values again otherwise.
    """
    table = pa.Table.from_batches([_with_types(batch, plain) for batch in batches])
    return table.unify_dictionaries() if len(batches) > 1 else table


def _with_types(batch: pa.RecordBatch, plain: frozenset[str]) -> pa.RecordBatch:
    """The batch with texts as dictionaries, those of the `plain` columns as they are."""
    columns = list(batch.columns)
    changed = False
    for place, field in enumerate(batch.schema):
        if field.name in plain and pa.types.is_dictionary(field.type):
            columns[place] = columns[place].dictionary_decode()
            changed = True
        elif field.name not in plain and pa.types.is_string(field.type):
            columns[place] = columns[place].dictionary_encode()
            changed = True
    if not changed:
        return batch
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(batch.schema.names)
    unknown = names - set(schema.names)
    if unknown:
        raise ValueError(f"columns not in the table's schema: {sorted(unknown)}")
    columns, fields = [], []
    for field in schema:
        wanted = _stored(field).type
        if field.name in names:
            column = batch.column(field.name)
            if not field.nullable and column.null_count:
                raise ValueError(f"column '{field.name}' must not be null")
            if column.type not in (wanted, field.type):
                column = _converted(column, wanted)
        elif field.nullable:
            column = _nulls(wanted, batch.num_rows)
        else:
            raise ValueError(f"column '{field.name}' is missing")
        columns.append(column)
        fields.append(field.with_type(column.type))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _nulls(kind: pa.DataType, rows: int) -> pa.Array:
    if kind == _DICTIONARY:
        return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), pa.array([], pa.string()))
    return pa.nulls(rows, kind)


def _converted(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if wanted == _DICTIONARY:
        if pa.types.is_dictionary(column.type):
            return column.cast(pa.dictionary(pa.int32(), pa.string()))
        return column.cast(pa.string()).dictionary_encode()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(wanted)


def schema_to_json(schema: pa.Schema) -> list[list[Any]]:
    """A schema as JSON values: ``[name, type, nullable]`` for each column.

    Raises:
        ValueError: a type that stored tables do not use.
    """
    return [[field.name, _type_to_json(field.type), field.nullable] for field in schema]


def schema_from_json(columns: Any) -> pa.Schema:
    """The inverse of :func:`schema_to_json`.

    Raises:
        CaseDamaged: not what that function writes.
    """
    try:
        fields = [pa.field(_text(name), _type_from_json(kind, 0), bool(nullable)) for name, kind, nullable in columns]
    except (TypeError, ValueError, KeyError):
        raise CaseDamaged("a table's schema cannot be read", where="custody.jsonl") from None
    lowered = [field.name.lower() for field in fields]
    if len(set(lowered)) != len(lowered) or not fields:
        raise CaseDamaged("a table's columns are not unique ignoring case", where="custody.jsonl")
    return pa.schema(fields)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 1024 or "\x00" in value:
        raise ValueError(value)
    return value


def _type_to_json(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return {"list": _type_to_json(kind.value_type)}
    if pa.types.is_struct(kind):
        return {"struct": [[field.name, _type_to_json(field.type)] for field in kind]}
    if str(kind) not in _TYPES:
        raise ValueError(f"stored tables have no columns of type {kind}")
    return str(kind)


def _type_from_json(kind: Any, depth: int) -> pa.DataType:
    if depth > 8:
        raise ValueError("nested too deeply")
    if isinstance(kind, str):
        return _TYPES[kind]
    if set(kind) == {"list"}:
        return pa.list_(_type_from_json(kind["list"], depth + 1))
    if set(kind) == {"struct"}:
        return pa.struct([pa.field(_text(name), _type_from_json(inner, depth + 1)) for name, inner in kind["struct"]])
    raise ValueError(kind)
