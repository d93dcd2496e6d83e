"""Evidence whose rows changed after rules had seen them, and the findings that go with those rows.

A log that grew takes rows out of its older evidence again (:mod:`casemate.evidence.continuing`): the
half of an unfinished last line, or all of them.  Rows are only ever taken out, never exchanged, so
the number kept tells whether an evidence still is what was matched.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.engine.files import inside
from casemate.engine.parts import Part
from casemate.engine.store import Stage

BY_EVIDENCE = ("finding_records", "suppressed_records", "matched", "suppressed", "decoded_text")
"""Tables of the phase whose rows name the evidence they come from."""


def kept_rows(case: Case, table: str) -> dict[str, int]:
    """Per evidence the rows kept of it, as ``evidence`` says now or ``matched`` said then."""
    found: dict[str, int] = {}
    for path in case.part_paths(table):
        rows = pq.read_table(path, columns=["evidence", "kept"])
        found.update(zip(rows["evidence"].to_pylist(), rows["kept"].to_pylist(), strict=True))
    return found


def resting_on_superseded(case: Case, parts: Sequence[Part]) -> set[str]:
    """Evidence of findings that rest on a row of which a later stage came in since (its number kept is the same).

    Args:
        parts: live parts of the phase.
    """
    marked: set[tuple[str, int]] = set()
    for path in case.part_paths("kubernetes_audit"):
        rows = pq.read_table(path, columns=["evidence", "record"], filters=[("superseded", "=", "true")])
        marked.update(zip(rows["evidence"].to_pylist(), rows["record"].to_pylist(), strict=True))
    if not marked:
        return set()
    names = pa.array(sorted({evidence for evidence, _ in marked}), pa.string())
    found: set[str] = set()
    for path in (inside(case.path, part.path) for part in parts if part.table == "finding_records"):
        rows = pq.read_table(path, columns=["evidence", "record"])
        rows = rows.filter(pc.is_in(rows["evidence"], value_set=names))
        records = zip(rows["evidence"].to_pylist(), rows["record"].to_pylist(), strict=True)
        found.update(evidence for evidence, record in records if (evidence, record) in marked)
    return found


def holding(paths: Sequence[Path], evidence: pa.Array) -> list[Path]:
    """Those of the parts that hold rows of some of `evidence`."""
    return [path for path in paths if holds(path, "evidence", evidence)]


def take_back(case: Case, parts: Sequence[Part], evidence: pa.Array, stage: Stage) -> list[Part]:
    """Write the parts again without what rests on `evidence`.

    Args:
        parts: live parts of findings that rest on one record each, and of :data:`BY_EVIDENCE`.
        evidence: pieces of evidence whose rows changed.
        stage: where the parts are written.

    Returns:
        The live parts to remove in the same commit.
    """
    if not len(evidence):
        return []
    records = [
        inside(case.path, part.path) for part in parts if part.table in ("finding_records", "suppressed_records")
    ]
    gone = [batch["finding"] for path in records for batch in rows_of(path, "evidence", evidence, among=True)]
    findings = pa.concat_arrays(gone) if gone else pa.array([], pa.string())
    removed: list[Part] = []
    for part in parts:
        if part.table in ("findings", "suppressed_findings"):
            column, values = "id", findings
        elif part.table in BY_EVIDENCE:
            column, values = "evidence", evidence
        else:
            continue
        path = inside(case.path, part.path)
        if len(values) and holds(path, column, values):
            stage.write(part.table, part.schema, rows_of(path, column, values, among=False))
            removed.append(part)
    return removed


def holds(path: Path, column: str, values: pa.Array) -> bool:
    """Whether some row of a part has one of `values` in a text column."""
    with pq.ParquetFile(path, read_dictionary=[column]) as file:
        return any(
            pc.any(pc.is_in(batch.column(0).dictionary, value_set=values)).as_py()
            for batch in file.iter_batches(columns=[column])
        )


def rows_of(path: Path, column: str, values: pa.Array, *, among: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a part whose `column` is among `values`, or those whose is not."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            mask = pc.is_in(batch[column], value_set=values)
            yield batch.filter(mask if among else pc.invert(mask))
