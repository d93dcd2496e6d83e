"""Batches of stored parts as kernels see them, shared by all engines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from casemate.engine.parts import empty_columns, plain_columns
from casemate.schema.native import UTC_MICROSECONDS

BATCH_ROWS = 65_536


def stored_batches(
    parts: Iterable[Path],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    rows: int = BATCH_ROWS,
    *,
    lacking: Mapping[Path, frozenset[str]] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of a table's parts, text columns as ``dictionary<int32, string>``.

    Args:
        parts: Parquet files, each written with `schema`, without the columns it lacks.
        schema: the table's schema.
        columns: columns to read; all when None.
        rows: most rows of one batch.
        lacking: columns that parts of an older version do not have; they come out null.

    Yields:
        Record batches in the order of the parts and of their rows.
    """
    wanted = list(columns) if columns is not None else schema.names
    text = [name for name in wanted if schema.field(name).type == pa.string()]
    for part in parts:
        notes = pq.read_metadata(part)
        plain = plain_columns(notes)
        # read_dictionary keeps the file's own dictionaries: distinct values cost nothing again
        there = [name for name in text if name not in (lacking or {}).get(part, frozenset()) and name not in plain]
        with pq.ParquetFile(part, metadata=notes, read_dictionary=there, memory_map=False, pre_buffer=True) as file:
            missing = (lacking or {}).get(part, frozenset()) | empty_columns(file)
            present = [name for name in wanted if name not in missing]
            some = present or file.schema_arrow.names[:1]  # without any column, rows could not be counted
            for batch in file.iter_batches(batch_size=rows, columns=some, use_threads=True):
                yield _completed(batch, wanted, schema, plain) if missing or plain else batch.select(present)


def _completed(
    batch: pa.RecordBatch, wanted: Sequence[str], schema: pa.Schema, plain: frozenset[str]
) -> pa.RecordBatch:
    held = set(batch.schema.names)
    columns = []
    for name in wanted:
        column = batch.column(name) if name in held else _nulls(schema.field(name).type, len(batch))
        columns.append(numbered(column) if name in held and name in plain else column)
    return pa.RecordBatch.from_arrays(columns, names=list(wanted))


def numbered(texts: pa.StringArray) -> pa.DictionaryArray:
    """Texts as a dictionary of as many values, in their order; nothing is copied or compared.

    For columns in which hardly two texts are alike: finding those would cost more than it spares.
    """
    _, ends, content = texts.buffers()
    missing = texts.is_null().to_numpy(zero_copy_only=False) if texts.null_count else None
    # a null is a number that is missing; the value it would have is empty
    numbers = pa.array(np.arange(len(texts), dtype=np.int32), mask=missing)
    values = pa.StringArray.from_buffers(len(texts), ends, content, None, 0, texts.offset)
    return pa.DictionaryArray.from_arrays(numbers, values)


def _nulls(kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.dictionary(pa.int32(), pa.string()) if kind == pa.string() else kind)


def as_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its plain text columns dictionary-encoded."""
    arrays = [
        column.dictionary_encode()
        if pa.types.is_string(kind := column.type) or pa.types.is_large_string(kind)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch cast to `schema` (columns by name, dictionaries decoded where the schema has text)."""
    return pa.RecordBatch.from_arrays([batch.column(field.name).cast(field.type) for field in schema], schema=schema)


def in_utc(table: pa.Table) -> pa.Table:
    """The table with every timestamp as UTC microseconds (engines run in UTC but label times differently)."""
    schema = pa.schema(
        [field.with_type(UTC_MICROSECONDS) if pa.types.is_timestamp(field.type) else field for field in table.schema]
    )
    return table.cast(schema)
