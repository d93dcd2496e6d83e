"""The embedded engine: DuckDB for analytics, Arrow in this process for kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
from ibis.expr.schema import Schema
from ibis.formats.pyarrow import PyArrowData

from casemate.engine.batches import BATCH_ROWS, in_utc, stored_batches
from casemate.engine.protocol import KernelSpec, Result, StoredTable, StoredTables, Task
from casemate.engine.scratch import ScratchFolder


class DuckDBEngine:
    """An :class:`~casemate.engine.protocol.Engine` inside this process.

    Args:
        workers: processes that :meth:`run` may use; 1 means this process alone.
        memory_bytes: what DuckDB may use before it spills to `spill`.
        spill: folder for spilled data; one below the system's temporary folder when None.
    """

    name = "duckdb"

    def __init__(self, *, workers: int = 1, memory_bytes: int = 1 << 30, spill: Path | None = None) -> None:
        self._workers = workers
        self._stored = StoredTables()
        self._seen: dict[str, ibis.Table] = {}
        self._held = self._views = 0
        self._connection = ibis.duckdb.connect()
        from casemate.engine.duckdb_sql import QuickTimes  # dear to import, and loaded by now in its greater part

        self._connection.compiler = QuickTimes()
        raw = self._connection.con
        raw.execute("SET TimeZone = 'UTC'")
        raw.execute("SET autoinstall_known_extensions = false")
        raw.execute("SET autoload_known_extensions = false")
        raw.execute(f"SET memory_limit = '{memory_bytes // (1 << 20)}MiB'")
        raw.execute("SET parquet_metadata_cache = true")
        raw.execute("SET preserve_insertion_order = false")
        # it writes its bar to standard output, where rows go, when Python was started without a file
        raw.execute("SET enable_progress_bar = false")
        # DuckDB's own default is a folder in whatever folder the user stands in
        self._scratch = ScratchFolder() if spill is None else None
        raw.execute("SET temp_directory = ?", [str(spill if self._scratch is None else self._scratch.path)])

    def use(self, stored: StoredTables) -> None:
        """See these tables from now on."""
        self._stored = stored
        self._seen = {}

    def read(self, table: str) -> ibis.Table:
        """A stored table, live parts only; an empty one of its schema where it has none."""
        if table not in self._seen:
            stored = self._stored[table]
            self._seen[table] = whole(stored, partial(self._view, stored))
        return self._seen[table]

    def _view(self, stored: StoredTable, parts: Sequence[Path]) -> ibis.Table:
        """These parts, which all have the same columns; their types are known, and not asked for as Ibis does."""
        there = stored.held_by(parts[0])
        self._views += 1
        name = f"casemate_view_{self._views}"
        columns = ", ".join('"' + field.name.replace('"', '""') + '"' for field in there)
        files = ", ".join("'" + str(part).replace("'", "''") + "'" for part in parts)
        # explicit lists of parts with the same columns: no globbing, and no union by name that could mix columns
        rows = f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false)"  # noqa: S608
        self._connection.con.execute(f"CREATE TEMP VIEW {name} AS {rows}")
        return ops.DatabaseTable(name, Schema.from_pyarrow(there), self._connection).to_expr()

    def map_batches(
        self,
        source: str,
        kernel: KernelSpec,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        parts: Sequence[Path] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Run a kernel over the batches of a stored table, in this process."""
        stored = self._stored[source]
        run = kernel.build()
        for batch in stored_batches(
            stored.parts if parts is None else parts, stored.schema, columns, lacking=stored.lacking
        ):
            result = run(batch)
            if result.num_rows:
                yield result

    def batches(self, expr: ibis.Table) -> pa.RecordBatchReader:
        """Execute an expression and stream its rows; read them to the end before asking anything else."""
        # Ibis 12's own to_pyarrow_batches calls a method that DuckDB 2 no longer has
        self._connection._run_pre_execute_hooks(expr)
        reader = self._connection.con.sql(self._connection.compile(expr)).to_arrow_reader(BATCH_ROWS)
        # DuckDB sums integers to wider types than the expression says
        schema = in_utc(expr.schema().to_pyarrow().empty_table()).schema

        def rows() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                yield batch.cast(schema)

        return pa.RecordBatchReader.from_batches(schema, rows())

    def hold(self, expr: ibis.Table) -> ibis.Table:
        """Execute an expression once; its rows as a table that lives as long as this engine.

        Ibis' own ``create_table`` asks DuckDB for names and types that are known here, and merges selects that
        DuckDB merges again: both cost more than running a query over few rows.
        """
        self._held += 1
        name = f"casemate_held_{self._held}"
        schema = expr.schema()
        self._connection._run_pre_execute_hooks(expr)
        with _selects_as_written():
            query = self._connection.compile(expr)
        raw = self._connection.con
        columns = ", ".join(column.sql("duckdb") for column in schema.to_sqlglot_column_defs("duckdb"))
        raw.execute(f"CREATE TEMP TABLE {name} ({columns})")
        raw.execute(f"INSERT INTO {name} {query}")
        place = ops.Namespace(catalog="temp", database="main")
        return ops.DatabaseTable(name, schema=schema, source=self._connection, namespace=place).to_expr()

    def collect(self, expr: ibis.Table) -> pa.Table:
        """Execute an expression and return its rows."""
        # Ibis' own to_pyarrow does this too, but imports pandas first, which takes longer than most questions
        self._connection._run_pre_execute_hooks(expr)
        rows = self._connection.con.sql(self._connection.compile(expr)).to_arrow_table()
        return in_utc(PyArrowData.convert_table(rows, expr.schema()))

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Run `work` on each task, in worker processes when there is more than one worker."""
        if self._workers <= 1:
            yield from map(work, tasks)
            return
        with ProcessPoolExecutor(self._workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(work, tasks)

    def close(self) -> None:
        """Close the connection and remove what was spilled."""
        self._connection.disconnect()
        if self._scratch is not None:
            self._scratch.close()


@contextmanager
def _selects_as_written() -> Iterator[None]:
    """Leave it to DuckDB to put selects together; only where the order of rows does not matter."""
    before = ibis.options.sql.fuse_selects
    ibis.options.sql.fuse_selects = False
    try:
        yield
    finally:
        ibis.options.sql.fuse_selects = before


def whole(stored: StoredTable, read: Callable[[Sequence[Path]], ibis.Table]) -> ibis.Table:
    """All parts of a table with all its columns, those a part lacks null in its rows; no rows where it has none."""
    if not stored.parts:
        return empty_table(stored.schema)
    types = Schema.from_pyarrow(stored.schema)
    tables = []
    for lacking, parts in stored.alike().items():
        table = read(parts)
        if lacking or tuple(table.columns) != tuple(stored.schema.names):
            columns = {
                name: ibis.null(kind.copy(nullable=True)) if name in lacking else table[name]
                for name, kind in types.items()
            }
            table = table.select(**columns)
        tables.append(table)
    first, *others = tables
    for other in others:
        first = first.union(other, distinct=False)
    return first


def empty_table(schema: pa.Schema) -> ibis.Table:
    """An Ibis table of `schema` without rows, on any engine."""
    types = Schema.from_pyarrow(schema)
    columns = {name: ibis.null(kind.copy(nullable=True)) for name, kind in types.items()}
    # not of a table in memory: making one, Ibis imports pandas, which takes longer than most questions
    return ibis.literal(0, type="int64").name("_").as_table().select(**columns).limit(0)
