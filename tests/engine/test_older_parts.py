"""A case whose parts were written by versions with fewer or other columns reads as one table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine, Kernel, StoredTable, StoredTables

NOW = pa.schema([("evidence", pa.string()), ("id.a", pa.string()), ("b", pa.string()), ("n", pa.int64())])
ROWS = [("e1", "x", None, 1), ("e2", "y", "z", None)]


@dataclass(frozen=True)
class Echo:
    """Gives back what it is given, as text."""

    def build(self) -> Kernel:
        return lambda batch: pa.RecordBatch.from_arrays(
            [column.cast(field.type) for column, field in zip(batch.columns, NOW, strict=True)], schema=NOW
        )


@pytest.fixture
def stored(tmp_path: Path) -> StoredTables:
    older, newer = tmp_path / "part-1.parquet", tmp_path / "part-2.parquet"
    pq.write_table(pa.table({"n": pa.array([1], pa.int64()), "evidence": ["e1"], "id.a": ["x"]}), older)
    pq.write_table(pa.table({"evidence": ["e2"], "b": ["z"], "id.a": ["y"]}), newer)
    lacking = {older: frozenset({"b"}), newer: frozenset({"n"})}
    return StoredTables({"t": StoredTable(NOW, (older, newer), lacking)})


def rows(table: pa.Table) -> list[tuple]:
    return sorted(tuple(row.values()) for row in table.select(NOW.names).to_pylist())


def check(engine: Engine, stored: StoredTables) -> None:
    engine.use(stored)
    assert rows(engine.collect(engine.read("t"))) == ROWS
    assert rows(pa.Table.from_batches(engine.map_batches("t", Echo(), NOW), NOW)) == ROWS


def test_on_duckdb(stored: StoredTables) -> None:
    check(DuckDBEngine(), stored)


@pytest.mark.spark
def test_on_spark(stored: StoredTables, spark: Engine) -> None:
    check(spark, stored)
