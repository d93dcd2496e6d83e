"""One task of ingest: pieces of evidence through their readers into staged parts.

:func:`read_task` is a plain function of picklable values and a folder that all workers can reach,
so it runs in this process, in a pool of processes or on the executors of a cluster alike.  Many
small pieces of evidence share parts; a large one streams through writers of its own.  Rows of a
piece of evidence are only handed on once its account is proved, so a reader that fails leaves nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from casemate.engine.memory import keep_memory
from casemate.engine.parts import StagedPart
from casemate.engine.state import Blob
from casemate.errors import CannotFinish, CasemateError, LimitReached
from casemate.evidence.blobs import (
    BlobSource,
    FileSource,
    FinishedBlob,
    content_hash,
    kept,
    left_in_place,
    write_blob,
)
from casemate.evidence.intake import Problem
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.staging import Collected, SharedParts
from casemate.evidence.timed import Deadline, TimedSource
from casemate.limits import Limits
from casemate.schema.case_tables import REJECTS

REJECTS_TABLE = "rejects"
REJECTS_AT_ONCE = 50_000
TEXT, DICTIONARY = pa.string(), pa.dictionary(pa.int32(), pa.string())
PLACES = ("record", "offset", "length")

Beat = Callable[[int, int], None]
"""Called while a piece of evidence is read with (bytes read so far, records so far)."""


@dataclass(frozen=True)
class IngestItem:
    """One piece of evidence to read.

    Args:
        sha256: hash of its whole content, or None when it is told by writing its blob.
        source: its content; for evidence that continues older evidence the whole of it.
        path: the file it came in, as registered.
        parent, member_path: the container it came out of, and its name in there.
        dated: its own date (UTC).
        format: as identified.
        reader: what reads it; None for containers and formats without a reader.
        notes: what is already known about it.
        blob, blob_file: its kept content where that is written already.
        in_place: the file stays where it is and no blob is written.
        continues: evidence whose content is this one's beginning.
        start_offset, start_record: where reading begins.
    """

    sha256: str | None
    source: Source
    path: str
    dated: datetime
    format: str
    reader: ReaderSpec | None = None
    parent: str | None = None
    member_path: str | None = None
    notes: tuple[str, ...] = ()
    blob: Blob | None = None
    blob_file: str | None = None
    in_place: bool = False
    continues: str | None = None
    start_offset: int = 0
    start_record: int = 1

    @property
    def shown(self) -> str:
        """How the evidence is called in messages."""
        return f"{self.path}!/{self.member_path}" if self.member_path is not None else self.path


@dataclass(frozen=True)
class IngestTask:
    """Pieces of evidence read together, and the staging folder their parts go to."""

    folder: str
    items: tuple[IngestItem, ...]
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class ReadEvidence:
    """What became of one item."""

    item: IngestItem
    sha256: str
    bytes: int
    records: int
    kept: int
    rejected: int
    structure: int
    notes: tuple[str, ...]
    blob: Blob
    blob_file: str | None


@dataclass(frozen=True)
class IngestResult:
    """What became of one task: evidence read, parts that wait in the folder, and what went wrong."""

    evidence: tuple[ReadEvidence, ...]
    parts: tuple[StagedPart, ...]
    problems: tuple[Problem, ...]


def read_task(task: IngestTask, beat: Beat | None = None) -> IngestResult:
    """Read all items of a task, in order.

    Raises:
        CannotFinish: the disk is full; nothing else ends a task early.
    """
    keep_memory()
    shared = SharedParts(Path(task.folder))
    done: list[ReadEvidence] = []
    problems: list[Problem] = []
    for item in task.items:
        try:
            done.append(_one(item, task, shared, problems, beat))
        except CannotFinish:
            raise
        except CasemateError as error:
            problems.append(Problem(item.shown, f"{error.what}; not taken"))
    return IngestResult(tuple(done), tuple(shared.finish()), tuple(problems))


def _one(
    item: IngestItem, task: IngestTask, shared: SharedParts, problems: list[Problem], beat: Beat | None
) -> ReadEvidence:
    keeping = _Keeping(item, Path(task.folder))
    account = _Account()
    collected = Collected(Path(task.folder))
    source = item.source
    try:
        before = _touched(item.source)
        if item.reader is not None:
            account = _read(item, source, task.limits, collected, keeping, beat)
        blob, blob_file = keeping.result()
        if _touched(item.source) != before and blob_file is not None and item.reader is not None:
            # somebody wrote to the file meanwhile: only what was kept is certain
            collected.discard()
            source = BlobSource(Path(blob_file), blob.bytes)
            account = _read(item, source, task.limits, collected, keeping, beat)
    except BaseException:
        collected.discard()
        keeping.abandon()
        raise
    notes = {*item.notes, *account.notes}
    if account.problem is not None:
        collected.discard()
        notes.add(account.problem)
        problems.append(Problem(item.shown, account.problem))
    else:
        shared.take(collected)
    return ReadEvidence(
        item=item,
        sha256=blob.evidence,
        bytes=blob.size,
        records=account.records,
        kept=account.kept,
        rejected=account.rejected,
        structure=account.structure,
        notes=tuple(sorted(notes)),
        blob=blob,
        blob_file=blob_file,
    )


class _Keeping:
    """The content on its way into the case, in a thread of its own: hashing and packing need no interpreter."""

    def __init__(self, item: IngestItem, folder: Path) -> None:
        self._item, self._folder = item, folder
        self._done: tuple[Blob, str | None] | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if item.blob is not None:
            self._done = item.blob, item.blob_file
        else:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def result(self) -> tuple[Blob, str | None]:
        """The blob, once it is written.

        Raises:
            CasemateError: it could not be, or the file changed while it was read.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._done is not None
        expected = self._item.sha256
        if expected is not None and self._done[0].evidence != expected:
            raise CasemateError("changed while it was read; run again when nobody writes to it")
        return self._done

    def abandon(self) -> None:
        """Wait for the thread, whatever it made is deleted with the folder."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._done = self._keep()
        except BaseException as error:  # it is raised where the result is asked for
            self._error = error

    def _keep(self) -> tuple[Blob, str | None]:
        item = self._item
        with item.source.open() as stream:
            if item.in_place:
                assert isinstance(item.source, FileSource)
                return left_in_place(content_hash(stream, hashlib.sha256()), item.source.size, item.source.path), None
            file = self._folder / f"blob-{threading.get_ident()}-{time.monotonic_ns()}.zst"
            finished: FinishedBlob = write_blob(file, stream)
        if finished.bytes != item.source.size:
            raise CasemateError("became shorter while it was read; run again when nobody writes to it")
        return kept(finished), str(file)


@dataclass
class _Account:
    """What came out of a reader against what it says it found."""

    records: int = 0
    kept: int = 0
    rejected: int = 0
    structure: int = 0
    notes: tuple[str, ...] = ()
    problem: str | None = None


def _read(
    item: IngestItem, source: Source, limits: Limits, collected: Collected, keeping: _Keeping, beat: Beat | None
) -> _Account:
    """Run the reader.  Its failure is a problem in the account with nothing kept, never an exception."""
    reader = item.reader
    assert reader is not None
    deadline = Deadline(limits.evidence_seconds)
    context = ReadContext(item.path, item.dated, limits, item.start_offset, item.start_record)
    account = _Account()
    try:
        tally = _consume(reader, TimedSource(source, deadline), context, collected, keeping, account, deadline, beat)
    except CannotFinish:
        raise
    except LimitReached as error:
        return _Account(problem=f"{error.what}; its content is kept, no record of it")
    except MemoryError:
        return _Account(problem=f"the {reader.format} reader ran out of memory; its content is kept, no record of it")
    except CasemateError as error:
        return _Account(problem=f"{error.what}; its content is kept, no record of it")
    except Exception as error:  # hostile content met a fault of a reader: the rest of the run goes on
        said = f"{type(error).__name__}: {error}"[:300]
        return _Account(problem=f"internal error in the {reader.format} reader ({said}); no record of it is kept")
    if tally is None:
        return _Account(problem=f"internal error: the {reader.format} reader gave no tally; no record is kept")
    if tally.records != account.kept + account.rejected:
        return _Account(
            problem=f"internal error: the {reader.format} reader counts {tally.records:,} records but gave"
            f" {account.kept:,} kept and {account.rejected:,} rejected; no record is kept"
        )
    account.records, account.structure, account.notes = tally.records, tally.structure, tally.notes
    return account


def _consume(
    reader: ReaderSpec,
    source: Source,
    context: ReadContext,
    collected: Collected,
    keeping: _Keeping,
    account: _Account,
    deadline: Deadline,
    beat: Beat | None,
) -> Tally | None:
    tables = {table.name: _Table(table.schema) for table in reader.tables}
    tally: Tally | None = None
    rejects: list[Reject] = []
    for given in reader.read(source, context):
        deadline.check()
        if tally is not None:
            raise ValueError("the reader goes on after its tally")
        if isinstance(given, Rows):
            batch = _checked(given, tables)
            account.kept += batch.num_rows if given.counts else 0
            collected.add(given.table, tables[given.table].schema, batch)
            if beat is not None and batch.num_rows:
                beat(batch.column("offset")[batch.num_rows - 1].as_py(), account.kept + account.rejected)
        elif isinstance(given, Reject):
            account.rejected += 1
            rejects.append(given)
            if len(rejects) >= REJECTS_AT_ONCE:
                collected.add(REJECTS_TABLE, REJECTS, _reject_batch(rejects))
                rejects = []
        else:
            tally = given
        if collected.is_large:
            collected.spill(lambda: keeping.result()[0].evidence)
    if rejects:
        collected.add(REJECTS_TABLE, REJECTS, _reject_batch(rejects))
    collected.name(keeping.result()[0].evidence)
    return tally


class _Table:
    """What the batches of one table are checked against."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.types: dict[str, pa.DataType] = dict(zip(schema.names, schema.types, strict=True))


def _checked(rows: Rows, tables: dict[str, _Table]) -> pa.RecordBatch:
    """The batch, if it is what the table takes; told here, a fault stays with this evidence."""
    if rows.table not in tables:
        raise ValueError(f"rows for the table {rows.table!r}, which the reader does not declare")
    types, batch = tables[rows.table].types, rows.batch
    for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
        if name == "evidence" or name not in types:
            raise ValueError(f"column {name!r} is not one of table {rows.table!r}")
        if kind != types[name] and not (types[name] == TEXT and kind == DICTIONARY):
            raise ValueError(f"column {name!r} of table {rows.table!r} is {kind}, not {types[name]}")
    for name in PLACES:
        if batch.column(name).null_count:
            raise ValueError(f"column {name!r} of table {rows.table!r} holds nulls")
    return batch


def _reject_batch(rejects: list[Reject]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "record": np.array([reject.record for reject in rejects], np.int64),
            "offset": np.array([reject.offset for reject in rejects], np.int64),
            "length": np.array([reject.length for reject in rejects], np.int64),
            "reason": pa.array([reject.reason for reject in rejects], pa.string()),
        }
    )


def _touched(source: Source) -> tuple[int, ...] | None:
    """What changes when somebody writes to the file of a source."""
    if not isinstance(source, FileSource):
        return None
    try:
        entry = source.path.stat()
    except OSError:
        return ()
    return entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns
