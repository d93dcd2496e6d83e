"""A hash of the rows of a table that depends on neither their order nor how they are stored.

Each value is hashed together with its column's name, the values of a row are added up and mixed,
and the rows are added up (so a row that stands twice counts twice).  Nulls and missing columns are
the same.  It shows that two runs gave the same rows; it is not made to withstand a forger: files
are protected by their SHA-256 in the custody log.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

Lanes = npt.NDArray[np.uint64]  # shape (rows, 4)
_LANES = 4


def canonical_hash(batches: Iterable[pa.RecordBatch]) -> str:
    """Order-independent hash (64 hex digits) of all rows of `batches`."""
    total = np.zeros(_LANES, np.uint64)
    rows = 0
    for batch in batches:
        total += row_keys(batch).sum(axis=0, dtype=np.uint64)
        rows += batch.num_rows
    return hashlib.sha256(struct.pack("<Q4Q", rows, *total.tolist())).hexdigest()


def row_keys(batch: pa.RecordBatch) -> Lanes:
    """A hash of each row; equal rows have equal hashes in any batch and any storage."""
    keys = np.zeros((batch.num_rows, _LANES), np.uint64)
    for name in batch.schema.names:
        _add_column(keys, name, batch.column(name))
    return _mixed(keys)


def hash_of_parts(paths: Iterable[Path]) -> str:
    """:func:`canonical_hash` of the rows of Parquet files, streaming."""
    return canonical_hash(batch for path in paths for batch in read_part(path))


def read_part(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of one Parquet file, text as dictionaries."""
    schema = pq.read_schema(path)
    text = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetFile(path, read_dictionary=text) as file:
        yield from file.iter_batches(32 * 1024)


def _add_column(keys: Lanes, name: str, column: pa.Array) -> None:
    """Add the hashes of a column's values to the keys of their rows."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if not valid.any():
        return
    column = column.filter(column.is_valid()) if not valid.all() else column
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
        numbers = column.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.uint64)
        seed = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=32).digest(), np.uint64)
        keys[valid] += _mixed(numbers[:, None] + seed[None, :])
        return
    if not pa.types.is_dictionary(kind):
        if not pa.types.is_string(kind):
            column = pa.array(
                [orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() for value in column.to_pylist()]
            )
        column = column.dictionary_encode()
    prefix = name.encode() + b"\0"
    digests = b"".join(
        hashlib.blake2b(prefix + value.encode(), digest_size=32).digest() for value in column.dictionary.to_pylist()
    )
    keys[valid] += np.frombuffer(digests, np.uint64).reshape(-1, _LANES)[column.indices.to_numpy(zero_copy_only=False)]


def _mixed(keys: Lanes) -> Lanes:
    """The finaliser of SplitMix64 (https://prng.di.unimi.it/splitmix64.c), and a mix across the lanes."""
    keys = keys ^ np.roll(keys, 1, axis=1) * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
