"""A few rows out of large stored tables, straight from their parts.

Starting an engine takes longer than finding one row among a million.  Text columns are read as the
dictionaries they are stored as, so each distinct value is looked at once, and of a row group without
a wanted value no other column is read.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Wanted = Callable[[pa.Array], pa.Array]
"""From distinct values to whether each is wanted."""


def among(values: Iterable[str]) -> Wanted:
    """Wanted are these values."""
    chosen = pa.array(sorted(set(values)), pa.string())
    return lambda distinct: pc.is_in(distinct, value_set=chosen)


def beginning(text: str) -> Wanted:
    """Wanted are values that begin so."""
    return lambda distinct: pc.starts_with(distinct, text)


def rows_where(paths: Sequence[Path], column: str, wanted: Wanted, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet parts whose text `column` has a wanted value, with `columns` as plain types."""
    others = [name for name in columns if name != column]
    for path in paths:
        with pq.ParquetFile(path, read_dictionary=[column], pre_buffer=True) as file:
            names = set(file.schema_arrow.names)
            for number in range(file.num_row_groups):
                coded = _one(file.read_row_group(number, columns=[column]).column(0))
                if not pa.types.is_dictionary(coded.type):
                    coded = coded.dictionary_encode()
                hit = wanted(coded.dictionary.cast(pa.string()))
                if not pc.any(hit).as_py():
                    continue
                rows = pc.indices_nonzero(pc.fill_null(hit.take(coded.indices), False))
                held = file.read_row_group(number, columns=[name for name in others if name in names]).take(rows)
                found: dict[str, Any] = {column: coded.take(rows).cast(pa.string())}
                for name in others:
                    found[name] = _plain(held.column(name)) if name in names else pa.nulls(len(rows), pa.string())
                yield pa.RecordBatch.from_pydict({name: found[name] for name in columns})


def _one(column: pa.ChunkedArray) -> Any:
    """The chunks of a column with one dictionary."""
    combined = column.unify_dictionaries().combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _plain(column: pa.ChunkedArray) -> Any:
    whole = _one(column)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
