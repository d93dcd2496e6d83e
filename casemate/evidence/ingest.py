"""Ingest: from paths on a command line to committed native tables.

``walk`` finds the files, the planner makes tasks of them, workers read each task into staged
parts, and every task becomes true in one commit: its blobs, its rows in the native tables, in
``evidence``, ``registrations`` and ``rejects``.  A piece of evidence is never split over commits, so
an interrupted run is resumed by running it again: what is in is known by its hash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from casemate.engine.store import Store
from casemate.evidence.continuing import take_out
from casemate.evidence.counting_once import count_once
from casemate.evidence.intake import Found, Problem, walk
from casemate.evidence.known import EVIDENCE_TABLE, REGISTRATIONS_TABLE, known_evidence
from casemate.evidence.planning import Planner
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.reading import IngestResult, IngestTask, ReadEvidence, read_task
from casemate.evidence.tasks import TASK_BYTES, Pending
from casemate.evidence.workers import Run, run_here, run_in_processes
from casemate.limits import MIB, Limits
from casemate.schema.case_tables import EVIDENCE, REGISTRATIONS

SMALLEST_TASK_BYTES = 8 * MIB
TASKS_PER_WORKER = 4


@dataclass(frozen=True)
class Progress:
    """How far a run has come: bytes of the files named, records, and what is being read."""

    bytes_done: int
    bytes_total: int
    records: int
    current: str


@dataclass
class IngestReport:
    """What one run took in.

    Args:
        files: regular files found.
        evidence: SHA-256 of the evidence this run added, in order (containers and members alike).
        known: pieces of evidence that were in the case already and were only registered again.
        continued: pieces of evidence that continue older ones.
        records, kept, rejected: of the added evidence; ``records == kept + rejected``.
        bytes: content of the files named.
        problems: what was not taken or not read to its end, one line each.
        commits: commits made.
    """

    files: int = 0
    evidence: list[str] = field(default_factory=list)
    known: int = 0
    continued: int = 0
    records: int = 0
    kept: int = 0
    rejected: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    commits: int = 0


def ingest(
    store: Store,
    named: Iterable[str | Path | Found],
    *,
    registered_by: str,
    clock: Callable[[], datetime],
    limits: Limits | None = None,
    readers: Sequence[ReaderSpec] = READERS,
    workers: int = 1,
    run: Run | None = None,
    in_place: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Take files, folders and globs into the case.

    Args:
        store: the case's store, open for writing.
        named: paths and patterns; found files whose content may lie elsewhere (:class:`Found`).
        registered_by: who hands the evidence over, for the registration.
        clock: gives the time (UTC) of registration.
        limits: limits on hostile input.
        readers: readers to choose from.
        workers: processes that read; 1 reads in this one.  The tables do not depend on it.
        run: what runs the tasks instead (``Engine.run``).
        in_place: leave files where they are instead of keeping a copy (members of containers are kept).
        progress: called from time to time.

    Raises:
        BadInput: a name stands for nothing.
        CannotFinish: the disk is full or the like; what was committed stays.
    """
    limits = limits or Limits()
    report = IngestReport()
    found: list[Found] = []
    for item in walk(named, leave_out=store.root):
        if isinstance(item, Found):
            found.append(item)
        else:
            report.problems.append(item)
    report.files = len(found)
    report.bytes = sum(file.size for file in found)
    # several workers want several tasks; their content may be many times the size of the files
    share = TASK_BYTES if workers <= 1 and run is None else report.bytes // (TASKS_PER_WORKER * max(2, workers))
    planner = Planner(
        store,
        known_evidence(store),
        readers,
        limits,
        in_place=in_place,
        task_bytes=min(TASK_BYTES, max(SMALLEST_TASK_BYTES, share)),
    )
    committer = _Committer(store, registered_by, clock, report, progress)
    try:
        tasks = planner.tasks(found)
        if run is not None:
            results = run(read_task, tasks)
        elif workers > 1:
            results = run_in_processes(read_task, tasks, workers, preload=("casemate.evidence.ingest",))
        else:
            results = run_here(committer.watched, tasks)
        for result in results:
            committer.commit(planner.pending.popleft(), result)
    finally:
        planner.close()
    if report.commits:
        count_once(store, readers)
    report.problems.extend(planner.problems)
    report.known, report.continued = planner.known_again, planner.continued
    return report


class _Committer:
    """Makes the result of each task true, in the order of the tasks."""

    def __init__(
        self,
        store: Store,
        registered_by: str,
        clock: Callable[[], datetime],
        report: IngestReport,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._store, self._by, self._clock = store, registered_by, clock
        self._report, self._progress = report, progress
        self._bytes = 0

    def watched(self, task: IngestTask) -> IngestResult:
        """Read a task in this process, telling the progress inside it."""
        if self._progress is None or not task.items:
            return read_task(task)
        shown = task.items[0].shown if len(task.items) == 1 else f"{len(task.items)} files, {task.items[0].shown} ..."

        def beat(_offset: int, records: int) -> None:
            self._tell(shown, records)

        return read_task(task, beat)

    def commit(self, pending: Pending, result: IngestResult) -> None:
        """Commit one task: blobs, parts, evidence, registrations, corrections of superseded records."""
        stage, report = pending.stage, self._report
        stage.add_parts(result.parts)
        for item in result.evidence:
            stage.add_blob(item.blob, Path(item.blob_file) if item.blob_file is not None else None)
        remove = take_out(self._store, stage, self._read_again(pending, result))
        stage.write(EVIDENCE_TABLE, EVIDENCE, _batches(EVIDENCE, [_evidence_row(item) for item in result.evidence]))
        registrations = self._registrations(pending, result)
        stage.write(REGISTRATIONS_TABLE, REGISTRATIONS, _batches(REGISTRATIONS, registrations))
        counts = {
            name: sum(getattr(item, name) for item in result.evidence) for name in ("records", "kept", "rejected")
        }
        self._store.commit(stage, remove=remove, facts={"phase": "ingest", "evidence": len(result.evidence), **counts})
        report.commits += 1
        report.evidence.extend(item.sha256 for item in result.evidence)
        report.records += counts["records"]
        report.kept += counts["kept"]
        report.rejected += counts["rejected"]
        report.problems.extend(result.problems)
        self._bytes += pending.top_level_bytes
        self._tell(result.evidence[-1].item.shown if result.evidence else "", 0)

    def _read_again(self, pending: Pending, result: IngestResult):
        """Superseded records whose new home was really read."""
        good = {item.sha256 for item in result.evidence if item.records or item.structure}
        return [item for item in pending.superseded if item.by in good]

    def _registrations(self, pending: Pending, result: IngestResult) -> list[dict[str, Any]]:
        now = self._clock()
        rows = [
            _registration_row(
                item.sha256, item.item.path, item.item.parent, item.item.member_path, now, self._by, item.item.dated
            )
            for item in result.evidence
        ]
        here = {item.sha256 for item in result.evidence}
        for again in pending.registrations:
            if again.sha256 in self._store.state.blobs or again.sha256 in here:
                place = again.path, again.parent, again.member_path
                rows.append(_registration_row(again.sha256, *place, now, self._by, again.dated))
            else:
                self._report.problems.append(Problem(again.path, "the same content was not taken before; not taken"))
        return rows

    def _tell(self, current: str, more_records: int) -> None:
        if self._progress is not None:
            report = self._report
            done = min(self._bytes, report.bytes)
            self._progress(Progress(done, report.bytes, report.records + more_records, current))


def _evidence_row(item: ReadEvidence) -> dict[str, Any]:
    return {
        "evidence": item.sha256,
        "bytes": item.bytes,
        "format": item.item.format,
        "records": item.records,
        "kept": item.kept,
        "rejected": item.rejected,
        "structure": item.structure,
        "reader_version": item.item.reader.version if item.item.reader is not None else 0,
        "continues": item.item.continues,
        "notes": sorted(item.notes),
    }


def _registration_row(
    sha256: str, path: str, parent: str | None, member_path: str | None, now: datetime, by: str, dated: datetime | None
) -> dict[str, Any]:
    return {
        "evidence": sha256,
        "path": os.fsencode(path).decode("utf-8", "backslashreplace"),
        "parent": parent,
        "member_path": member_path,
        "registered_at": now,
        "registered_by": by,
        "dated": dated,
    }


def _batches(schema: pa.Schema, rows: list[dict[str, Any]]) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist(rows, schema=schema)] if rows else []
