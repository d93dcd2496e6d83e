"""The engine seam: what the rest of Casemate may ask of whatever runs the work.

Analytics are functions ``ibis.Table -> ibis.Table`` and never execute anything; kernels are
functions ``pyarrow.RecordBatch -> pyarrow.RecordBatch``, stateless, built once per worker from a
picklable specification.  Both run unchanged on DuckDB and on Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import ibis
import pyarrow as pa

Kernel = Callable[[pa.RecordBatch], pa.RecordBatch]


class KernelSpec(Protocol):
    """A picklable description of a kernel (a frozen dataclass of plain values)."""

    def build(self) -> Kernel:
        """Build the kernel; called once in each worker process."""
        ...


class Engine(Protocol):
    """Runs analytics and kernels over the tables of one case."""

    name: str

    def tables(self) -> tuple[str, ...]:
        """Names of the native and derived tables that hold rows in this case, sorted."""
        ...

    def read(self, table: str) -> ibis.Table:
        """A stored table as an Ibis table (unexecuted), live parts only."""
        ...

    def map_batches(
        self, source: str, kernel: KernelSpec, schema: pa.Schema, *, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Run a kernel over the batches of a stored table.

        Args:
            source: name of the table.
            kernel: what to run; it sees text columns as ``dictionary<int32, string>``.
            schema: schema of what the kernel returns.
            columns: columns the kernel reads; all when None.
        """
        ...

    def collect(self, expr: ibis.Table) -> pa.Table:
        """Execute an Ibis expression and return its rows; time columns are UTC."""
        ...
