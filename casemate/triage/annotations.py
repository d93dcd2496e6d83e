"""The table ``annotations``: what the marks of the custody log come to, now.

The last mark of a subject says what holds.  A finding that nobody marked follows the last marked finding of
the same rule it shares a record with (an attempt one of the same source, scope and vector), unless it stood
beside that one when it was marked: so a verdict stays when a log grew or a rule has a new version.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.case import CUSTODY, Case
from casemate.engine.lookup import Ranges, among, rows_at
from casemate.engine.parts import Part
from casemate.evidence.custody import intact_lines
from casemate.schema.annotations import ANNOTATIONS
from casemate.triage.marks import Change, MarkLine, mark_lines
from casemate.triage.subjects import FINDING_TABLES, RECORD_TABLES, Subject, column_where, keys_of, paths_of

TABLE = "annotations"
PHASE = "annotations"
FORM = "1"
"""Raised whenever the same marks come to something else."""


@dataclass(frozen=True)
class Annotation:
    """A row of :data:`casemate.schema.annotations.ANNOTATIONS`."""

    kind: str
    subject: str
    verdict: str | None
    duplicate_of: str | None
    note: str | None
    tags: tuple[str, ...]
    marked_by: str
    marked_at: datetime
    line: int
    inherited_from: str | None = None
    present: bool = True

    @property
    def says_something(self) -> bool:
        """Whether anything is left of it after corrections."""
        return self.verdict is not None or self.note is not None or bool(self.tags)


@dataclass(frozen=True)
class _Marked:
    """The last word on one subject, what it rests on, and what stood beside it then."""

    annotation: Annotation
    subject: Subject
    beside: frozenset[str]


def annotations_of(case: Case, kind: str | None = None) -> dict[str, Annotation]:
    """The annotations as the table has them, by subject; only those of a kind if one is given."""
    found: dict[str, Annotation] = {}
    for path in case.part_paths(TABLE):
        for row in pq.read_table(path).to_pylist():
            if kind is None or row["kind"] == kind:
                found[row["subject"]] = Annotation(**(row | {"tags": tuple(row["tags"])}))
    return found


def rebuild(case: Case) -> int:
    """Bring the table up to date with the marks and with the findings of today; how many rows it has.

    Args:
        case: open for writing.
    """
    inputs, parts = _state(case)
    lines = list(mark_lines(case))
    if not lines and not parts:
        return 0
    digest = hashlib.sha256(FORM.encode())
    for line in lines:
        digest.update(f"\n{line.line}".encode())
    for table in (*FINDING_TABLES, *RECORD_TABLES, "attempts", "attempt_findings"):
        digest.update("".join(f"\n{part.sha256}" for part in case.live_parts(table)).encode())
    now = digest.hexdigest()[:32]
    if now == inputs:
        return sum(part.rows for part in parts)
    rows = [asdict(one) | {"tags": list(one.tags)} for one in annotate(case, lines)]
    stage = case.stage()
    if rows:
        stage.write(TABLE, ANNOTATIONS, pa.Table.from_pylist(rows, ANNOTATIONS).to_batches())
    case.commit(stage, remove=parts, facts={"phase": PHASE, "inputs": now})
    return len(rows)


def annotate(case: Case, lines: Iterable[MarkLine]) -> list[Annotation]:
    """What `lines` say of the case as it is, in order of kind and subject."""
    marked = _last_words(lines)
    found: list[Annotation] = []
    for kind in ("finding", "attempt", "record"):
        direct = {name: one for (of, name), one in marked.items() if of == kind}
        if kind == "record":
            there = set(direct)  # an address outlives everything
        else:
            there = set(keys_of(case, kind, direct)) if direct else set()
            found += _inherited(case, kind, direct)
        found += [
            replace(one.annotation, present=name in there)
            for name, one in direct.items()
            if one.annotation.says_something
        ]
    return sorted(found, key=lambda one: (one.kind, one.subject))


def _last_words(lines: Iterable[MarkLine]) -> dict[tuple[str, str], _Marked]:
    found: dict[tuple[str, str], _Marked] = {}
    for line in lines:
        for subject in line.subjects:
            place = subject.kind, subject.id
            before = found.get(place)
            said = _changed(before.annotation if before else None, subject, line)
            found[place] = _Marked(said, subject, line.beside.get(subject.id, frozenset()))
    return found


def _changed(before: Annotation | None, subject: Subject, line: MarkLine) -> Annotation:
    change: Change = line.change
    if before is None or change.cleared:
        before = Annotation(subject.kind, subject.id, None, None, None, (), line.by, line.time, line.line)
    verdict, of = before.verdict, before.duplicate_of
    if change.verdict is not None:
        verdict, of = change.verdict, change.of
    return replace(
        before,
        verdict=verdict,
        duplicate_of=of,
        note=before.note if change.note is None else change.note or None,
        tags=tuple(sorted({*before.tags, *change.tags} - set(change.untags))),
        marked_by=line.by,
        marked_at=line.time,
        line=line.line,
    )


def _inherited(case: Case, kind: str, direct: Mapping[str, _Marked]) -> Iterator[Annotation]:
    """Annotations of findings or attempts that nobody marked themselves."""
    sources = [one for one in direct.values() if one.annotation.says_something]
    near = {one.subject.id: sharing(case, one.subject) for one in sources}
    unmarked = {name for names in near.values() for name in names} - set(direct)
    keys = keys_of(case, kind, unmarked) if unmarked else {}
    best: dict[str, _Marked] = {}
    for one in sorted(sources, key=lambda source: (source.annotation.line, source.subject.id)):
        for name in near[one.subject.id]:
            if keys.get(name) == one.subject.key and name not in one.beside:
                best[name] = one
    for name, one in best.items():
        yield replace(one.annotation, subject=name, inherited_from=one.subject.id)


def sharing(case: Case, subject: Subject) -> set[str]:
    """Ids of the findings, or of the attempts, that share a record with the subject, itself included."""
    findings = _findings_on(case, subject.records)
    if subject.kind == "finding" or not findings:
        return findings
    return set(column_where(case, "attempt_findings", "finding", among(findings), "attempt"))


def _findings_on(case: Case, records: Ranges) -> set[str]:
    batches = rows_at(paths_of(case, RECORD_TABLES), records, ["finding"]) if records else ()
    return {name for batch in batches for name in batch.column("finding").unique().to_pylist()}


def _state(case: Case) -> tuple[str | None, list[Part]]:
    """The inputs of the last build, and the parts it made."""
    inputs = None
    for line in intact_lines(case.path / CUSTODY):
        facts = line.facts.get("facts")
        if line.kind == "commit" and isinstance(facts, dict) and facts.get("phase") == PHASE:
            inputs = facts.get("inputs")
    return inputs, case.live_parts(TABLE)
