"""A few rows out of large stored tables, straight from their parts.

Starting an engine takes longer than finding one row among a million.  Text columns are read as the
dictionaries they are stored as, so each distinct value is looked at once, and of a row group without
a wanted value no other column is read.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ranges = Mapping[str, Sequence[tuple[int, int]]]
"""Evidence to runs of record numbers, both ends included, ascending."""


@dataclass(frozen=True)
class Wanted:
    """Which values of a text column are wanted.

    Args:
        test: from distinct values to whether each is wanted.
        least, greatest: every wanted value lies between these (as bytes of UTF-8), None for no bound.
    """

    test: Callable[[pa.Array], pa.Array]
    least: str | None = None
    greatest: str | None = None


def among(values: Iterable[str]) -> Wanted:
    """Wanted are these values."""
    chosen = sorted(set(values), key=str.encode)
    known = pa.array(chosen, pa.string())
    bounds = (chosen[0], chosen[-1]) if chosen else (None, None)
    return Wanted(lambda distinct: pc.is_in(distinct, value_set=known), *bounds)


def beginning(text: str) -> Wanted:
    """Wanted are values that begin so."""
    return Wanted(lambda distinct: pc.starts_with(distinct, text), text, text + "\U0010ffff")


def every() -> Wanted:
    """Wanted are all values."""
    return Wanted(lambda distinct: pa.array([True] * len(distinct)))


def rows_where(paths: Sequence[Path], column: str, wanted: Wanted, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet parts whose text `column` has a wanted value, with `columns` as plain types."""
    others = [name for name in columns if name != column]
    for path in paths:
        with pq.ParquetFile(path, read_dictionary=[column], pre_buffer=True) as file:
            names = set(file.schema_arrow.names)
            for number in range(file.num_row_groups):
                if not _may_hold(file, number, column, wanted):
                    continue
                coded = _one(file.read_row_group(number, columns=[column]).column(0))
                if not pa.types.is_dictionary(coded.type):
                    coded = coded.dictionary_encode()
                hit = wanted.test(coded.dictionary.cast(pa.string()))
                if not pc.any(hit).as_py():
                    continue
                rows = pc.indices_nonzero(pc.fill_null(hit.take(coded.indices), False))
                held = file.read_row_group(number, columns=[name for name in others if name in names]).take(rows)
                found: dict[str, Any] = {column: coded.take(rows).cast(pa.string())}
                for name in others:
                    found[name] = _plain(held.column(name)) if name in names else pa.nulls(len(rows), pa.string())
                yield pa.RecordBatch.from_pydict({name: found[name] for name in columns})


def rows_at(paths: Sequence[Path], ranges: Ranges, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet parts that stand at these records, with `columns` as plain types.

    Args:
        paths: parts of a table with the columns ``evidence`` and ``record``.
        columns: which columns; those a part lacks are null.
    """
    if not ranges:
        return
    bounds = min(runs[0][0] for runs in ranges.values()), max(runs[-1][1] for runs in ranges.values())
    for path in paths:
        with pq.ParquetFile(path) as file:
            arrow = file.schema_arrow
            held = [name for name in columns if name in arrow.names]
            text = [name for name in {*held, "evidence"} if pa.types.is_string(arrow.field(name).type)]
            groups = [number for number in range(file.num_row_groups) if _reaches(file, number, bounds)]
        if not groups:
            continue
        with pq.ParquetFile(path, read_dictionary=text, pre_buffer=True) as file:
            for number in groups:
                place = file.read_row_group(number, columns=["evidence", "record"])
                rows = _rows_at(_one(place.column("evidence")), _one(place.column("record")), ranges)
                if not len(rows):
                    continue
                found = file.read_row_group(number, columns=held).take(pa.array(rows))
                yield pa.RecordBatch.from_pydict(
                    {
                        name: _plain(found.column(name)) if name in held else pa.nulls(len(rows), pa.string())
                        for name in columns
                    }
                )


def _reaches(file: pq.ParquetFile, number: int, bounds: tuple[int, int]) -> bool:
    """False only if no record number of the row group lies within `bounds`."""
    known = _extremes(file, number, "record")
    return known is None or (known[1] >= bounds[0] and known[0] <= bounds[1])


def _may_hold(file: pq.ParquetFile, number: int, column: str, wanted: Wanted) -> bool:
    """False only if the row group's least and greatest values of the column leave out all that is wanted."""
    known = _extremes(file, number, column)
    if known is None or wanted.least is None or wanted.greatest is None:
        return True
    least, greatest = (one.encode() if isinstance(one, str) else one for one in known)
    return greatest >= wanted.least.encode() and least <= wanted.greatest.encode()


def _extremes(file: pq.ParquetFile, number: int, name: str) -> tuple[Any, Any] | None:
    """Least and greatest value of a column in a row group, None where they are not kept."""
    group = file.metadata.row_group(number)
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == name:
            known = column.statistics
            return (known.min, known.max) if known is not None and known.has_min_max else None
    return None


def _rows_at(evidence: Any, record: Any, ranges: Ranges) -> np.ndarray:
    if not pa.types.is_dictionary(evidence.type):
        evidence = evidence.dictionary_encode()
    codes = evidence.indices.to_numpy(zero_copy_only=False)
    numbers = record.to_numpy(zero_copy_only=False)
    hit = np.zeros(len(numbers), bool)
    for code, name in enumerate(evidence.dictionary.to_pylist()):
        runs = ranges.get(name)
        if runs:
            firsts = np.array([first for first, _ in runs], np.int64)
            lasts = np.array([last for _, last in runs], np.int64)
            place = np.searchsorted(firsts, numbers, side="right") - 1
            hit |= (codes == code) & (place >= 0) & (numbers <= lasts[np.maximum(place, 0)])
    return np.flatnonzero(hit)


def runs_of(numbers: Iterable[int] | np.ndarray) -> tuple[tuple[int, int], ...]:
    """Record numbers as runs, both ends included, ascending."""
    distinct = np.unique(numbers if isinstance(numbers, np.ndarray) else np.fromiter(numbers, np.int64))
    if not len(distinct):
        return ()
    begins = np.flatnonzero(np.diff(distinct, prepend=distinct[:1] - 2) != 1)
    ends = np.append(begins[1:], len(distinct)) - 1
    return tuple(zip(distinct[begins].tolist(), distinct[ends].tolist(), strict=True))


def _one(column: pa.ChunkedArray) -> Any:
    """The chunks of a column with one dictionary."""
    combined = column.unify_dictionaries().combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _plain(column: pa.ChunkedArray) -> Any:
    whole = _one(column)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
