"""The engine seam: what the rest of Casemate may ask of whatever runs the work.

Analytics are functions ``ibis.Table -> ibis.Table`` and never execute anything; kernels are
functions ``pyarrow.RecordBatch -> pyarrow.RecordBatch``, stateless, built once per worker from a
picklable specification.  Both run unchanged on DuckDB and on Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import ibis
import pyarrow as pa

Kernel = Callable[[pa.RecordBatch], pa.RecordBatch]
Task = TypeVar("Task")
Result = TypeVar("Result")


class KernelSpec(Protocol):
    """A picklable description of a kernel (a frozen dataclass of plain values)."""

    def build(self) -> Kernel:
        """Build the kernel; called once in each worker process."""
        ...


@dataclass(frozen=True)
class StoredTable:
    """One table of a case as an engine sees it.

    Args:
        schema: all its columns, in order.
        parts: files of its live parts, oldest first.
        lacking: columns that a part, written by an older version, does not have; they are null there.
    """

    schema: pa.Schema
    parts: tuple[Path, ...] = ()
    lacking: Mapping[Path, frozenset[str]] = field(default_factory=dict)

    def alike(self) -> dict[frozenset[str], list[Path]]:
        """The parts by the columns they lack, those that lack none first."""
        groups: dict[frozenset[str], list[Path]] = {}
        for part in self.parts:
            groups.setdefault(self.lacking.get(part, frozenset()), []).append(part)
        return dict(sorted(groups.items(), key=lambda group: sorted(group[0])))

    def held_by(self, part: Path) -> pa.Schema:
        """The columns that a part has, all of which may be null as far as an engine knows."""
        lacking = self.lacking.get(part, frozenset())
        return pa.schema([column.with_nullable(True) for column in self.schema if column.name not in lacking])


@dataclass(frozen=True)
class StoredTables:
    """All tables of a case at one moment."""

    tables: Mapping[str, StoredTable] = field(default_factory=dict)

    def __getitem__(self, name: str) -> StoredTable:
        return self.tables[name]

    def filled(self) -> tuple[str, ...]:
        """Names of the tables that have live parts, sorted."""
        return tuple(sorted(name for name, table in self.tables.items() if table.parts))


class Engine(Protocol):
    """Runs analytics, kernels and readers over the tables of one case."""

    name: str

    def use(self, stored: StoredTables) -> None:
        """See these tables from now on (called again after each commit)."""
        ...

    def read(self, table: str) -> ibis.Table:
        """A stored table as an Ibis table (unexecuted), live parts only; empty where it has none."""
        ...

    def map_batches(
        self,
        source: str,
        kernel: KernelSpec,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        parts: Sequence[Path] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Run a kernel over the batches of a stored table.

        Args:
            source: name of the table.
            kernel: what to run; it sees text columns as ``dictionary<int32, string>``.
            schema: schema of what the kernel returns.
            columns: columns the kernel reads; all when None.
            parts: only these of the table's live parts; all when None.

        Yields:
            What the kernel returned, batch by batch, in no particular order.
        """
        ...

    def batches(self, expr: ibis.Table) -> pa.RecordBatchReader:
        """Execute an Ibis expression and stream its rows."""
        ...

    def hold(self, expr: ibis.Table) -> ibis.Table:
        """Execute an expression once; its rows as a table that lives as long as this engine."""
        ...

    def collect(self, expr: ibis.Table) -> pa.Table:
        """Execute an Ibis expression and return its rows; times are UTC microseconds."""
        ...

    def run(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Run picklable `work` on each task, wherever this engine works; results in task order.

        This is how evidence is ingested: a task names the evidence and a staging folder all
        workers can reach, its result names the parts that were written.
        """
        ...

    def close(self) -> None:
        """Give back processes and memory."""
        ...
