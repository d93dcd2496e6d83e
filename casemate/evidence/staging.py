"""Rows on their way into staged parts: gathered per piece of evidence, shared among small ones.

Memory is bounded by the numbers below: a piece of evidence that grows past them streams into
parts of its own, one writing thread per table (Parquet encoding needs no interpreter).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from casemate.engine.files import disk_errors
from casemate.engine.parts import StagedPart, write_parts

LARGE_ROWS = 200_000
LARGE_BYTES = 48 * 1024 * 1024
WAITING_BATCHES = 4


class Collected:
    """The rows of one piece of evidence, table by table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.waiting: dict[str, tuple[pa.Schema, list[pa.RecordBatch]]] = {}
        self._rows = self._bytes = 0
        self._writers: dict[str, _Writer] = {}
        self.evidence: str | None = None

    @property
    def is_large(self) -> bool:
        """Whether so much waits that it should be spilled."""
        return self._rows > LARGE_ROWS or self._bytes > LARGE_BYTES

    def add(self, table: str, schema: pa.Schema, batch: pa.RecordBatch) -> None:
        """Take rows without their ``evidence`` column."""
        if batch.num_rows:
            self.waiting.setdefault(table, (schema, []))[1].append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.nbytes

    def spill(self, evidence: Callable[[], str]) -> None:
        """Hand what waits to writers of this evidence's own.  `evidence` is asked for its hash."""
        self.evidence = self.evidence or evidence()
        for table, (schema, batches) in sorted(self.waiting.items()):
            if table not in self._writers:
                self._writers[table] = _Writer(self._folder, table, schema)
            for batch in batches:
                self._writers[table].put(with_evidence(batch, self.evidence))
        self.waiting = {}
        self._rows = self._bytes = 0

    def name(self, evidence: str) -> None:
        """Say which evidence the rows belong to."""
        self.evidence = evidence

    def finish(self) -> list[StagedPart]:
        """Parts of this evidence's own; empty when nothing was spilled."""
        if not self._writers:
            return []
        self.spill(lambda: self.evidence or "")
        parts: list[StagedPart] = []
        for table in sorted(self._writers):
            parts.extend(self._writers.pop(table).close())
        return parts

    def discard(self) -> None:
        """Forget all rows, written ones too."""
        for writer in self._writers.values():
            for part in writer.abandon():
                Path(part.file).unlink(missing_ok=True)
        self._writers, self.waiting = {}, {}
        self._rows = self._bytes = 0


class SharedParts:
    """Parts that many small pieces of evidence share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, tuple[pa.Schema, list[pa.RecordBatch]]] = {}
        self._rows = self._bytes = 0
        self._parts: list[StagedPart] = []

    def take(self, collected: Collected) -> None:
        """Take the rows of one piece of evidence whose account is proved."""
        own = collected.finish()
        if own:
            self._parts.extend(own)
            return
        for table, (schema, batches) in collected.waiting.items():
            assert collected.evidence is not None
            kept = self._tables.setdefault(table, (schema, []))[1]
            kept.extend(with_evidence(batch, collected.evidence) for batch in batches)
            self._rows += sum(batch.num_rows for batch in batches)
            self._bytes += sum(batch.nbytes for batch in batches)
        if self._rows > LARGE_ROWS or self._bytes > LARGE_BYTES:
            self._write()

    def finish(self) -> list[StagedPart]:
        """All parts, in the order in which they were written."""
        self._write()
        return self._parts

    def _write(self) -> None:
        with disk_errors(self._folder):
            for table, (schema, batches) in sorted(self._tables.items()):
                self._parts.extend(write_parts(self._folder, table, schema, batches))
        self._tables = {}
        self._rows = self._bytes = 0


class _Writer:
    """One table being written by a thread, fed batch by batch."""

    def __init__(self, folder: Path, table: str, schema: pa.Schema) -> None:
        self._queue: queue.Queue[pa.RecordBatch | None] = queue.Queue(WAITING_BATCHES)
        self._parts: list[StagedPart] = []
        self._error: BaseException | None = None
        self._arguments = (folder, table, schema)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, batch: pa.RecordBatch) -> None:
        if self._error is not None:
            raise self._error
        self._queue.put(batch)

    def close(self) -> list[StagedPart]:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._parts

    def abandon(self) -> list[StagedPart]:
        self._queue.put(None)
        self._thread.join()
        return self._parts

    def _run(self) -> None:
        folder, table, schema = self._arguments
        fed = self._fed()
        try:
            with disk_errors(folder):
                self._parts = write_parts(folder, table, schema, fed)
        except BaseException as error:  # raised in the thread that feeds
            self._error = error
            for _ in fed:
                pass  # so that nobody waits for room in the queue for ever

    def _fed(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._queue.get()) is not None:
            yield batch


def with_evidence(batch: pa.RecordBatch, evidence: str) -> pa.RecordBatch:
    """The batch with the ``evidence`` column in front."""
    column = pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), pa.array([evidence], pa.string()))
    return pa.RecordBatch.from_arrays([column, *batch.columns], names=["evidence", *batch.schema.names])
