"""Phases: the scanner over the artefacts in evidence, and what it says as findings.

Evidence is looked at once for each version of the scanner and its limits; verdicts are committed some hundred at a
time, so that an interrupted run goes on where it was.  Findings follow from the verdicts and are replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.detect import artifacts
from casemate.detect.artifacts.candidates import CONTAINERS, Candidate, Piece, Place, candidates
from casemate.detect.artifacts.findings import findings
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.stored import LookTask, look_task
from casemate.engine.protocol import Engine
from casemate.evidence.known import EVIDENCE_TABLE, REGISTRATIONS_TABLE
from casemate.evidence.readers import READERS
from casemate.evidence.workers import run_here, run_in_processes
from casemate.investigate.phases import Stages, code_of, digest, phase_state
from casemate.schema.artifacts import ARTIFACT_LOOKS, ARTIFACTS
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

LOOKS, TOLD = "artifacts", "artifact_findings"
"""Names of the two phases."""
TABLE, LOOKS_TABLE = "artifacts", "artifact_looks"
TASK_ITEMS = 200
TASK_BYTES = 256 << 20


def scan_artifacts(case: Case, engine: Engine, workers: int = 1, stages: Stages | None = None) -> int:
    """Look at every artefact that was not looked at yet, and bring their findings up to date; how many findings.

    Raises:
        CannotFinish: the reading process cannot be started, or the disk is full.
    """
    pieces = _pieces(case)
    _look(case, engine, pieces, workers, stages or (lambda _stage, _done, _total: None))
    return _tell(case, pieces)


def _look(case: Case, engine: Engine, pieces: Sequence[Piece], workers: int, stages: Stages) -> None:
    options = Options()
    inputs = digest([code_of(artifacts), options])
    before = phase_state(case, LOOKS)
    outdated = before.parts if before.inputs != inputs else ()
    readers = {reader.format for reader in READERS}
    while True:
        # what turned out to be an artefact makes parts of what lies beside it, so there may be a second round
        sure, marked, known = (set(), set(), set()) if outdated else _looked(case)
        wanted = [
            one
            for one in candidates(pieces, readers, known)
            if one.evidence not in sure and not (one.marked and one.evidence in marked)
        ]
        if not wanted and not outdated:
            return
        _round(case, engine, wanted, options, inputs, outdated, workers, stages)
        if not wanted:
            return
        outdated = ()


def _round(
    case: Case,
    engine: Engine,
    wanted: Sequence[Candidate],
    options: Options,
    inputs: str,
    outdated: Sequence[Any],
    workers: int,
    stages: Stages,
) -> None:
    stage = case.stage()
    groups = list(_grouped(wanted)) or [()]
    tasks = (LookTask(str(case.path), _blobs(case, group), group, str(stage.folder), options) for group in groups)
    if engine.name == "spark":
        results = engine.run(look_task, tasks)
    elif workers > 1 and len(groups) > 1:
        results = run_in_processes(look_task, tasks, workers)
    else:
        results = run_here(look_task, tasks)
    done = 0
    stages("artifacts", done, len(wanted))
    for found in results:
        rows = [one.row for one in found if one.row is not None]
        looks = [{"evidence": one.evidence, "artifact": one.artifact, "marked": one.marked} for one in found]
        made = case.stage()
        if rows:
            made.write(TABLE, ARTIFACTS, [pa.RecordBatch.from_pylist(rows, schema=ARTIFACTS)])
        if looks:
            made.write(LOOKS_TABLE, ARTIFACT_LOOKS, [pa.RecordBatch.from_pylist(looks, schema=ARTIFACT_LOOKS)])
        case.commit(made, remove=outdated, facts={"phase": LOOKS, "inputs": inputs})
        outdated = ()
        done += len(found)
        stages("artifacts", done, len(wanted))
    case.store.discard(stage)


def _grouped(wanted: Iterable[Candidate]) -> Iterator[tuple[Candidate, ...]]:
    group: list[Candidate] = []
    size = 0
    for one in wanted:
        group.append(one)
        size += 0 if one.marked else one.bytes
        if len(group) >= TASK_ITEMS or size >= TASK_BYTES:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def _blobs(case: Case, group: Iterable[Candidate]) -> dict[str, Any]:
    """The blobs that hold these contents: a log that grew lies in several."""
    found: dict[str, Any] = {}
    for one in group:
        at: str | None = one.evidence
        while at is not None and at not in found:
            found[at] = case.blobs[at]
            at = found[at].continues
    return found


def _tell(case: Case, pieces: Sequence[Piece]) -> int:
    rows = [row for path in case.part_paths(TABLE) for row in pq.read_table(path).to_pylist()]
    mine = {row["evidence"] for row in rows}
    places = {
        piece.evidence: sorted({place.shown for place in piece.places}) for piece in pieces if piece.evidence in mine
    }
    before = phase_state(case, TOLD)
    inputs = digest([code_of(artifacts), *(part.sha256 for part in case.live_parts(TABLE)), *sorted(places.items())])
    if before.inputs == inputs or (not rows and not before.parts):
        return sum(part.rows for part in before.parts if part.table == "findings")
    stage = case.stage()
    found, records = findings(rows, places)
    if found.num_rows:
        stage.write("findings", FINDINGS, found.to_batches())
        stage.write("finding_records", FINDING_RECORDS, records.to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": TOLD, "inputs": inputs})
    return found.num_rows


def _looked(case: Case) -> tuple[set[str], set[str], set[str]]:
    """Evidence that needs no more looks, evidence that was looked at for marks, and evidence that is an artefact."""
    sure: set[str] = set()
    marked: set[str] = set()
    known: set[str] = set()
    for path in case.part_paths(LOOKS_TABLE):
        for row in pq.read_table(path).to_pylist():
            (marked if row["marked"] else sure).add(row["evidence"])
            if row["artifact"]:
                known.add(row["evidence"])
    has_row = {name for path in case.part_paths(TABLE) for name in pq.read_table(path)["evidence"].to_pylist()}
    return sure | has_row, marked, known


def _pieces(case: Case) -> list[Piece]:
    """All evidence of the case as the scanner is asked about it, in the order of arrival."""
    places: dict[str, list[Place]] = {}
    columns = ["evidence", "path", "parent", "member_path", "dated"]
    for path in case.part_paths(REGISTRATIONS_TABLE):
        for row in pq.read_table(path, columns=columns).to_pylist():
            place = Place(row["path"], row["parent"], row["member_path"], row["dated"])
            places.setdefault(row["evidence"], []).append(place)
    found: dict[str, Piece] = {}
    columns = ["evidence", "bytes", "format", "notes"]
    for path in case.part_paths(EVIDENCE_TABLE):
        for row in pq.read_table(path, columns=columns).to_pylist():
            noted = bool(row["notes"]) and row["format"] in CONTAINERS
            there = tuple(places.get(row["evidence"], ()))
            found[row["evidence"]] = Piece(row["evidence"], row["bytes"], row["format"], noted, there)
    return [found[name] for name in places if name in found]
