"""Phase: tunings and core assets, over the findings that all detectors made.

Findings that a tuning takes out move from ``findings`` to ``suppressed_findings`` (and their records to
``suppressed_records``), and back when it expires or is removed; severities are changed in place, and exactly
undone.  The parts stay those of the phase that made the findings, so a detector that replaces its findings
replaces the suppressed ones with them.  No evidence is read and no rule is matched again.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.detect import tuning as tuning_room
from casemate.detect.tuning.assets import CoreAssets
from casemate.detect.tuning.judge import Compiled, Judge, Judged, as_detected, compile_tunings
from casemate.detect.tuning.tunings import Tuning, as_plain
from casemate.engine.files import inside
from casemate.engine.parts import Part
from casemate.engine.protocol import Engine
from casemate.engine.store import Stage
from casemate.explore.tables import stored_tables
from casemate.investigate.changed import holds, rows_of
from casemate.investigate.phases import code_of, digest, fingerprint, phase_state, phase_states
from casemate.investigate.tuning_records import by_records, known_rules
from casemate.schema.findings import FINDING_RECORDS, FINDINGS
from casemate.schema.tuning import SUPPRESSED_FINDINGS, SUPPRESSED_RECORDS, TUNING_EFFECTS

PHASE = "tuning"


@dataclass(frozen=True)
class TuningRun:
    """What tunings did.

    Args:
        suppressed: findings taken out, now.
        changed: findings with another severity than their detector gave, now.
        refused: id of a tuning in force that does nothing, and why.
    """

    suppressed: int
    changed: int
    refused: Mapping[str, str] = field(default_factory=dict)


def tune_findings(case: Case, engine: Engine, tunings: Sequence[Tuning], cache: Path) -> TuningRun:
    """Bring findings up to date with the tunings in force and the core assets.

    Raises:
        CannotFinish: disk full or the like; what was committed stays.
    """
    core = CoreAssets(case.settings.core)
    before = phase_state(case, PHASE)
    idle = not tunings and not core
    if idle and (before.inputs is None or not (before.parts or case.live_parts("suppressed_findings"))):
        return TuningRun(0, 0)
    stored = stored_tables(case)
    engine.use(stored)
    compiled = compile_tunings(tunings, known_rules(engine), cache)
    if before.inputs == _inputs(case, tunings):
        return _told(before.parts, case, compiled)
    judge = Judge(compiled, core, by_records(case, engine, stored, compiled, compiled.on_records()))
    effects: Counter[tuple[str, str]] = Counter()
    for phase, state in phase_states(case).items():
        parts = [part for part in state.parts if part.table in ("findings", "suppressed_findings")]
        if parts:
            _tune_phase(case, phase, state.inputs, state.parts, _Pass(case, judge, compiled, effects))
    stage = case.stage()
    rows = [
        {"effect": effect, "name": name, "findings": effects[effect, name]}
        for effect, name in sorted(effects)
        if effects[effect, name]
    ]
    if rows:
        stage.write("tuning_effects", TUNING_EFFECTS, [pa.RecordBatch.from_pylist(rows, schema=TUNING_EFFECTS)])
    added = case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": _inputs(case, tunings)})
    engine.use(stored_tables(case))
    return _told(tuple(added), case, compiled)


def _inputs(case: Case, tunings: Sequence[Tuning]) -> str:
    tables = fingerprint(case, "rules", "findings", "suppressed_findings")
    return digest([code_of(tuning_room), [as_plain(one) for one in tunings], case.settings.core, *tables])


def findings_as_detected(case: Case, table: str) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Batches of ``findings`` or ``suppressed_findings`` as they are, and as their detectors made them."""
    for part in case.live_parts(table):
        with pq.ParquetFile(inside(case.path, part.path)) as file:
            for batch in file.iter_batches():
                for piece in _plain(batch).to_batches():
                    yield piece, as_detected(piece)


def _plain(batch: pa.RecordBatch) -> pa.Table:
    """The columns of findings without dictionaries."""
    return pa.Table.from_batches([batch]).select(FINDINGS.names).cast(FINDINGS).combine_chunks()


def _told(effects: Sequence[Part], case: Case, compiled: Compiled) -> TuningRun:
    rows = [row for part in effects for row in pq.read_table(inside(case.path, part.path)).to_pylist()]
    changed = sum(row["findings"] for row in rows if row["effect"] == "changed")
    suppressed = sum(part.rows for part in case.live_parts("suppressed_findings"))
    return TuningRun(suppressed, changed, compiled.refused)


class _Pass:
    """Judges the findings of parts, batch by batch, and counts what was done."""

    def __init__(self, case: Case, judge: Judge, compiled: Compiled, effects: Counter[tuple[str, str]]) -> None:
        self._case = case
        self._judge = judge
        self._tunings = compiled.tunings
        self._effects = effects

    def judged(self, part: Part) -> Iterator[tuple[pa.RecordBatch, Judged]]:
        """Batches of a part as they are, with what is to become of them."""
        with pq.ParquetFile(inside(self._case.path, part.path)) as file:
            for batch in file.iter_batches():
                for piece in _plain(batch).to_batches():
                    yield piece if part.table == "findings" else batch, self._judge.judge(as_detected(piece))

    def stays(self, part: Part) -> bool:
        """Whether every row of a part is as it is to be; counts the effects."""
        same = True
        for batch, judged in self.judged(part):
            self._count(judged)
            taken = judged.suppressed_by >= 0
            if part.table == "findings":
                same = same and not taken.any() and batch.equals(judged.batch)
            else:
                told = _suppressed(judged, self._tunings)
                had = batch.select(["tuning", "reason"])
                same = same and bool(taken.all()) and had.to_pylist() == told.select(["tuning", "reason"]).to_pylist()
        return same

    def kept(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The rows of a part that are findings, severities changed."""
        for _, judged in self.judged(part):
            yield judged.batch.filter(pa.array(judged.suppressed_by < 0))

    def gone(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The rows of a part that are taken out."""
        for _, judged in self.judged(part):
            yield _suppressed(judged, self._tunings)

    def _count(self, judged: Judged) -> None:
        for effect, numbers in (("suppress", judged.suppressed_by), ("severity", judged.severity_by)):
            for number, count in Counter(numbers[numbers >= 0].tolist()).items():
                self._effects[effect, self._tunings[number].id] += count
        for name, count in Counter(name for name in judged.assets if name is not None).items():
            self._effects["core_asset", name] += count
        pairs = zip(judged.severity_by.tolist(), judged.assets, strict=True)
        self._effects["changed", "all"] += sum(number >= 0 or name is not None for number, name in pairs)


def _suppressed(judged: Judged, tunings: Sequence[Tuning]) -> pa.RecordBatch:
    by = [number for number in judged.suppressed_by.tolist() if number >= 0]
    rows = judged.batch.filter(pa.array(judged.suppressed_by >= 0))
    told = [
        pa.array([tunings[number].id for number in by], pa.string()),
        pa.array([tunings[number].reason for number in by], pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *told], schema=SUPPRESSED_FINDINGS)


def _tune_phase(case: Case, phase: str, inputs: str | None, parts: Sequence[Part], work: _Pass) -> None:
    """Write the parts of one phase again where their rows are not what they are to be."""
    moving = [part for part in parts if part.table in ("findings", "suppressed_findings") and not work.stays(part)]
    if not moving:
        return
    stage = case.stage()
    out: list[pa.Array] = []
    back: list[pa.Array] = []
    for part in moving:
        stage.write("findings", FINDINGS, _noting(work.kept(part), back if part.table != "findings" else None))
        gone = _noting(work.gone(part), out if part.table == "findings" else None)
        stage.write("suppressed_findings", SUPPRESSED_FINDINGS, gone)
    removed = [*moving, *_move_records(case, parts, stage, "finding_records", "suppressed_records", out)]
    removed += _move_records(case, parts, stage, "suppressed_records", "finding_records", back)
    case.commit(stage, remove=removed, facts={"phase": phase, "inputs": inputs})


def _noting(batches: Iterator[pa.RecordBatch], ids: list[pa.Array] | None) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if ids is not None and batch.num_rows:
            ids.append(batch.column("id"))
        yield batch


def _move_records(
    case: Case, parts: Sequence[Part], stage: Stage, table: str, other: str, ids: Sequence[pa.Array]
) -> list[Part]:
    """Move the records of findings from one table to the other; the parts to remove."""
    if not ids:
        return []
    schema: Mapping[str, pa.Schema] = {"finding_records": FINDING_RECORDS, "suppressed_records": SUPPRESSED_RECORDS}
    findings = pa.concat_arrays(ids)
    removed = []
    for part in parts:
        path = inside(case.path, part.path)
        if part.table == table and holds(path, "finding", findings):
            stage.write(table, schema[table], rows_of(path, "finding", findings, among=False))
            stage.write(other, schema[other], rows_of(path, "finding", findings, among=True))
            removed.append(part)
    return removed
