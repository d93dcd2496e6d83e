"""The distributed engine: Ibis on Spark for analytics, ``mapInArrow`` for kernels.

Workers must reach the case's folder and the evidence under the same paths (a shared file system).
Needs ``casemate[spark]`` and a Java 17 runtime.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
from ibis.expr.schema import Schema

from casemate.engine.batches import BATCH_ROWS, as_dictionaries, in_utc, with_schema
from casemate.engine.duckdb import empty_table, whole
from casemate.engine.protocol import KernelSpec, Result, StoredTable, StoredTables, Task
from casemate.errors import MissingExtra

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEW_ROWS = 5_000
"""Held tables with at most so many rows live in the driver's plans: Spark asks them without tasks or shuffles."""
ON_THIS_MACHINE = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "4",
}
"""For a cluster on this machine, which lives for minutes and shares few cores: compiling its code thoroughly and
collecting garbage in many threads cost more than they give back.  On other clusters Spark's own settings hold."""


class SparkEngine:
    """An :class:`~casemate.engine.protocol.Engine` on a Spark cluster.

    Args:
        master: Spark master URL; ``local-cluster[2,1,1024]`` starts two worker processes here.
        session: an existing session to use instead (it is not stopped by :meth:`close`).

    Raises:
        MissingExtra: PySpark or Java is not installed.
    """

    name = "spark"

    def __init__(self, *, master: str = "local-cluster[2,1,1024]", session: SparkSession | None = None) -> None:
        self._owned = session is None
        self._session = session or start_session(master)
        self._session.conf.set("spark.sql.session.timeZone", "UTC")
        self._session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
        self._connection = ibis.pyspark.connect(self._session)
        self._stored = StoredTables()
        self._seen: dict[str, ibis.Table] = {}
        self._views = 0

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
        return self._named(self._frame(stored, parts))

    def _named(self, frame: DataFrame) -> ibis.Table:
        self._views += 1
        name = f"casemate_{self._views}"
        frame.createOrReplaceTempView(name)
        return self._connection.table(name)

    def _frame(self, stored: StoredTable, parts: Sequence[Path]) -> DataFrame:
        """These parts, which all have the same columns; their types are known, and asking for them is a job."""
        from pyspark.sql.pandas.types import from_arrow_schema

        reader = self._session.read.schema(from_arrow_schema(stored.held_by(parts[0])))
        return reader.parquet(*[part.resolve().as_uri() for part in parts])

    def map_batches(
        self,
        source: str,
        kernel: KernelSpec,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        parts: Sequence[Path] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Run a kernel over the batches of a stored table with ``mapInArrow``."""
        from pyspark.sql.pandas.types import from_arrow_schema

        stored = self._stored[source]
        names = list(columns) if columns is not None else stored.schema.names
        types = {field.name: field.dataType.simpleString() for field in from_arrow_schema(stored.schema)}
        chosen = set(stored.parts if parts is None else parts)

        def column(name: str, lacking: frozenset[str]) -> str:
            return f"CAST(NULL AS {types[name]})" if name in lacking else f"`{name}`"

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            work = kernel.build()
            for batch in batches:
                result = work(as_dictionaries(batch.rename_columns(names)))
                if result.num_rows:
                    yield with_schema(result, schema)

        for lacking, alike in stored.alike().items():
            live = [part for part in alike if part in chosen]
            if not live:
                continue
            # mapInArrow looks columns up as paths, and native names may hold dots: pass them by position
            places = [f"{column(name, lacking)} AS c{index}" for index, name in enumerate(names)]
            frame = self._frame(stored, live).selectExpr(*places)
            mapped = frame.mapInArrow(run, from_arrow_schema(schema))  # pyright: ignore[reportArgumentType]
            for batch in mapped.toArrow().to_batches(BATCH_ROWS):
                yield with_schema(batch, schema)

    def batches(self, expr: ibis.Table) -> pa.RecordBatchReader:
        """Execute an expression and stream its rows."""
        table = self.collect(expr)
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(BATCH_ROWS))

    def hold(self, expr: ibis.Table) -> ibis.Table:
        """Execute an expression once; its rows as a table that lives as long as this engine.

        A cached table would carry the plans of all tables it came from into each later question: those of a dozen
        held tables were too much for the driver's memory.  A checkpoint holds rows and no plan.  Most held tables
        have few rows or none, and Spark need not start tasks for what stands in its plan.
        """
        self._connection._run_pre_execute_hooks(expr)
        frame = _as_said(self._session.sql(self._connection.compile(expr)), expr.schema())
        held = frame.localCheckpoint(eager=True)
        few = held.limit(FEW_ROWS + 1).toArrow()
        if not few.num_rows:
            return empty_table(expr.schema().to_pyarrow())
        if few.num_rows <= FEW_ROWS:
            return self._named(self._session.createDataFrame(few, schema=held.schema))
        return self._named(held)

    def collect(self, expr: ibis.Table) -> pa.Table:
        """Execute an expression and return its rows."""
        return in_utc(self._connection.to_pyarrow(expr))

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Run `work` on each task on the executors; results in task order."""
        pending = list(tasks)
        if not pending:
            return
        # plain pickle of our own tasks and results between our own processes, never of evidence
        packed = [(index, pickle.dumps(task)) for index, task in enumerate(pending)]
        slices = self._session.sparkContext.parallelize(packed, numSlices=len(packed))

        def one(item: tuple[int, bytes]) -> tuple[int, bytes]:
            return item[0], pickle.dumps(work(pickle.loads(item[1])))  # noqa: S301

        done: dict[int, Any] = {index: pickle.loads(result) for index, result in slices.map(one).collect()}  # noqa: S301
        for index in range(len(pending)):
            yield done[index]

    def close(self) -> None:
        """Stop the session if this engine started it."""
        if self._owned:
            self._session.stop()


def _as_said(frame: DataFrame, schema: Schema) -> DataFrame:
    """The rows with integers of the width that `schema` says: Spark numbers rows in fewer bits than Ibis thinks."""
    from ibis.backends.pyspark.datatypes import PySparkType
    from pyspark.sql.types import IntegralType

    wanted = {name: PySparkType.from_ibis(kind) for name, kind in schema.items()}
    columns, differs = [], False
    for field in frame.schema:
        column, kind = "`" + field.name.replace("`", "``") + "`", wanted[field.name]
        if isinstance(kind, IntegralType) and isinstance(field.dataType, IntegralType) and kind != field.dataType:
            column, differs = f"CAST({column} AS {kind.simpleString()}) AS {column}", True
        columns.append(column)
    return frame.selectExpr(*columns) if differs else frame


def start_session(master: str) -> SparkSession:
    """A Spark session with the settings Casemate needs.

    Raises:
        MissingExtra: PySpark or Java is not installed.
    """
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtra("Spark is not installed", hint="pip install 'casemate[spark]'") from error
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = (
        SparkSession.builder.master(master)
        .appName("casemate")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        .config("spark.log.level", "ERROR")
    )
    for name, value in ON_THIS_MACHINE.items() if master.startswith("local") else ():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise MissingExtra("Spark could not start a Java runtime", hint="install a Java 17 runtime") from error
