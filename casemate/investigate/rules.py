"""Phase: Sigma rules over the native tables.

Evidence is held against a rule set once: the table ``matched`` remembers which, in the same commit
as the findings.  Another rule set (its hash) replaces all findings of the old one.  Correlations look
at the matches of the whole case, so they are made anew whenever matches may have changed.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.detect.sigma.cache import InstalledRules, install_rules
from casemate.detect.sigma.filters import SUPPRESSED_SUFFIX
from casemate.detect.sigma.kernel import SigmaFindings, SigmaMatches
from casemate.detect.sigma.rule_files import hash_rule_files
from casemate.engine.parts import Part
from casemate.engine.protocol import Engine, StoredTables
from casemate.engine.store import Stage
from casemate.explore.tables import native_filled, stored_tables
from casemate.investigate.correlations import detect_correlations
from casemate.investigate.phases import digest, phase_state
from casemate.investigate.rule_states import rule_states
from casemate.schema.findings import FINDING_RECORDS, FINDINGS, FINDINGS_WITH_RECORDS
from casemate.schema.rules import MATCHED, RULES, SUPPRESSED

PHASE = "sigma"
CORRELATION_PHASE = "sigma_correlation"
HELD_ROWS = 100_000
"""Findings gathered before they are written to the stage."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RulesRun:
    """What the rules gave.

    Args:
        rule_set: hash of the rule files.
        findings, correlations: how many findings there are now.
        ran, not_run: rules that could apply to this case's records, and the others.
        suppressed: matches that filters took out.
        cold: whether the rules had to be compiled; `seconds` is how long they took to be ready.
    """

    rule_set: str
    findings: int
    correlations: int
    ran: int
    not_run: int
    suppressed: int
    cold: bool
    seconds: float


def detect_by_rules(case: Case, engine: Engine, paths: Sequence[Path], cache: Path, tell: Tell) -> RulesRun:
    """Bring findings of rules and correlations up to date with the case's evidence and `paths`.

    Raises:
        BadInput: a path cannot be read.
        CannotFinish: disk full or the like; what was committed stays.
    """
    installed = install_rules(paths, cache)
    rule_set = hash_rule_files(installed.files)
    stored = stored_tables(case)
    engine.use(stored)
    before = phase_state(case, PHASE)
    same = before.inputs == rule_set
    done = _evidence_of(case, "matched") if same else pa.array([], pa.string())
    new = _without(_evidence_of(case, "evidence"), done)
    if len(new) or not same:
        stage = case.stage()
        _match(case, engine, installed, stored, new if same else None, stage, tell)
        states = rule_states(engine, installed, stored)
        stage.write("matched", MATCHED, [_matched_rows(new, rule_set)])
        stage.write("rules", RULES, pa.Table.from_pylist(states, RULES).to_batches())
        replaced = [part for part in before.parts if part.table == "rules" or not same]
        case.commit(stage, remove=replaced, facts={"phase": PHASE, "inputs": rule_set})
    correlations = _correlate(case, engine, installed, rule_set)
    return _told(case, engine, installed, rule_set, correlations)


def _match(
    case: Case,
    engine: Engine,
    installed: InstalledRules,
    stored: StoredTables,
    only: pa.Array | None,
    stage: Stage,
    tell: Tell,
) -> None:
    """Findings and suppressed matches of all tables into the stage; `only` these pieces of evidence."""
    tables = [table for table in native_filled(stored) if table in installed.tables]
    total = sum(len(stored[table].parts) for table in tables)
    filtered = tuple(rule.id for rule in installed.rules.rules if rule.id.endswith(SUPPRESSED_SUFFIX))
    seen = 0
    findings = _Findings(stage)
    for table in tables:
        names = stored[table].schema.names
        kernel = SigmaFindings(str(installed.folder), table)
        columns = kernel.columns(names)
        for part in stored[table].parts:
            batches = engine.map_batches(table, kernel, FINDINGS_WITH_RECORDS, columns=columns, parts=[part])
            for batch in batches:
                findings.add(batch, only)
            seen += 1
            tell("rules", seen, total)
        if filtered:
            matches = SigmaMatches(str(installed.folder), table, filtered)
            found = engine.map_batches(table, matches, matches.schema(), columns=matches.columns(names))
            stage.write("suppressed", SUPPRESSED, _suppressed_rows(found, only))
    findings.close()


class _Findings:
    """Gathers findings and writes them and their records to the stage, so many at a time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._held: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch, only: pa.Array | None) -> None:
        if only is not None:
            # every finding of a plain rule rests on one record, the first of its list
            evidence = pc.struct_field(pc.list_element(batch.column("records"), 0), "evidence")
            batch = batch.filter(pc.is_in(evidence, value_set=only))
        if batch.num_rows:
            self._held.append(batch)
            self._rows += batch.num_rows
        if self._rows >= HELD_ROWS:
            self.close()

    def close(self) -> None:
        if self._held:
            write_findings(self._stage, self._held)
        self._held, self._rows = [], 0


def write_findings(stage: Stage, batches: Sequence[pa.RecordBatch]) -> None:
    """Write rows of ``FINDINGS_WITH_RECORDS`` as ``findings`` and ``finding_records``, in order of id."""
    table = pa.Table.from_batches(list(batches)).sort_by("id")
    stage.write("findings", FINDINGS, table.select(FINDINGS.names).to_batches())
    stage.write("finding_records", FINDING_RECORDS, [_records_of(batch) for batch in table.to_batches()])


def _records_of(batch: pa.RecordBatch) -> pa.RecordBatch:
    lists = batch.column("records")
    records = pc.list_flatten(lists)
    owners = batch.column("id").take(pc.list_parent_indices(lists))
    return pa.RecordBatch.from_arrays(
        [owners, pc.struct_field(records, "evidence"), pc.struct_field(records, "record")], schema=FINDING_RECORDS
    )


def _suppressed_rows(found: Iterable[pa.RecordBatch], only: pa.Array | None) -> Iterator[pa.RecordBatch]:
    for batch in found:
        if only is not None:
            batch = batch.filter(pc.is_in(batch.column("evidence"), value_set=only))
        rule = pc.replace_substring(batch.column("rule"), SUPPRESSED_SUFFIX, "")
        yield pa.RecordBatch.from_arrays(
            [rule, batch.column("evidence"), batch.column("record"), batch.column("time")], schema=SUPPRESSED
        )


def _correlate(case: Case, engine: Engine, installed: InstalledRules, rule_set: str) -> int:
    before = phase_state(case, CORRELATION_PHASE)
    inputs = digest([rule_set, *sorted(_evidence_of(case, "matched").to_pylist())])
    if before.inputs == inputs or (not installed.correlation_files and not before.parts):
        return _rows(before.parts, "findings")
    engine.use(stored_tables(case))
    found = detect_correlations(engine, installed, stored_tables(case))
    stage = case.stage()
    if found.num_rows:
        write_findings(stage, found.to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": CORRELATION_PHASE, "inputs": inputs})
    return found.num_rows


def _told(case: Case, engine: Engine, installed: InstalledRules, rule_set: str, correlations: int) -> RulesRun:
    parts = phase_state(case, PHASE).parts
    engine.use(stored_tables(case))
    rules = engine.read("rules")
    ran = engine.collect(rules.filter(rules.state == "ran").count().name("n").as_table())["n"][0].as_py()
    return RulesRun(
        rule_set,
        _rows(parts, "findings"),
        correlations,
        ran,
        _rows(parts, "rules") - ran,
        _rows(parts, "suppressed"),
        installed.cold,
        installed.seconds,
    )


def _rows(parts: Iterable[Part], table: str) -> int:
    return sum(part.rows for part in parts if part.table == table)


def _evidence_of(case: Case, table: str) -> pa.Array:
    found = [pq.read_table(path, columns=["evidence"])["evidence"] for path in case.part_paths(table)]
    return (
        pa.concat_arrays([chunk for column in found for chunk in column.chunks]) if found else pa.array([], pa.string())
    )


def _without(some: pa.Array, others: pa.Array) -> pa.Array:
    return some.filter(pc.invert(pc.is_in(some, value_set=others))).unique()


def _matched_rows(evidence: pa.Array, rule_set: str) -> pa.RecordBatch:
    ordered = evidence.sort()
    return pa.RecordBatch.from_arrays([ordered, pa.repeat(pa.scalar(rule_set), len(ordered))], schema=MATCHED)
