"""Phase: Sigma rules over the native tables.

Evidence is held against a rule set once: the table ``matched`` remembers which and how many rows it
had, in the same commit as the findings.  Evidence that lost rows since (to a log that continues it)
loses its findings and is matched again.  Another rule set (its hash), or another version of the
matcher, replaces all findings of the old one.  Correlations look at the matches of the whole case, so
they are made anew whenever matches may have changed.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from casemate import decode
from casemate.case import Case
from casemate.decode.columns import ENCODED
from casemate.detect import sigma
from casemate.detect.sigma.cache import LIBRARIES, InstalledRules, install_rules
from casemate.detect.sigma.compiled import SUPPRESSED_SUFFIX
from casemate.detect.sigma.kernel import SigmaFindings, SigmaMatches
from casemate.detect.sigma.profiles import DEFAULT
from casemate.detect.sigma.rule_files import hash_rule_files
from casemate.detect.sigma.variants import FOUND, FindingsWithDecoded, MatchesWithDecoded, split_found
from casemate.detect.tuning.tunings import Tuning
from casemate.engine.parts import ROW_GROUP_ROWS, Part
from casemate.engine.protocol import Engine, StoredTables
from casemate.engine.store import Stage
from casemate.errors import CannotFinish
from casemate.explore.tables import native_filled, stored_tables
from casemate.investigate.changed import holding, kept_rows, resting_on_superseded, take_back
from casemate.investigate.correlations import detect_correlations
from casemate.investigate.phases import code_of, digest, phase_state
from casemate.investigate.rule_states import rule_states
from casemate.investigate.rule_texts import keep_rule_texts
from casemate.investigate.script_blocks import PHASE as SCRIPT_BLOCK_PHASE
from casemate.investigate.script_blocks import match_script_blocks
from casemate.investigate.tuning_records import thinning
from casemate.limits import Limits
from casemate.schema.decoded import DECODED_TEXT
from casemate.schema.findings import FINDING_RECORDS, FINDINGS
from casemate.schema.rules import MATCHED, RULES, SUPPRESSED

PHASE = "sigma"
CORRELATION_PHASE = "sigma_correlation"
HELD_ROWS = 100_000
"""Findings gathered before they are written to the stage."""
HELD_DECODED_BYTES = 64 << 20
"""Decoded texts gathered before they are written to the stage."""

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


def detect_by_rules(
    case: Case,
    engine: Engine,
    paths: Sequence[Path],
    cache: Path,
    tell: Tell,
    placeholders: Mapping[str, tuple[str, ...]],
    tunings: Sequence[Tuning] = (),
    profile: str = DEFAULT,
) -> RulesRun:
    """Bring findings of rules and correlations up to date with the case's evidence, `paths` and `placeholders`.

    Args:
        tunings: those in force; here they only thin out what correlations look at.
        profile: which of the rules.

    Raises:
        BadInput: a path cannot be read.
        CannotFinish: disk full or the like; what was committed stays.
    """
    installed = install_rules(paths, cache, placeholders=placeholders, profile=profile)
    rule_set = hash_rule_files(installed.files)
    stored = stored_tables(case)
    engine.use(stored)
    before = phase_state(case, PHASE)
    limits = case.settings.limits
    inputs = rules_inputs(rule_set, placeholders, limits)
    same = before.inputs == inputs
    kept = kept_rows(case, "evidence")
    done = kept_rows(case, "matched") if same else {}
    stale = resting_on_superseded(case, before.parts) if same else set[str]()
    new = {evidence: rows for evidence, rows in kept.items() if done.get(evidence) != rows or evidence in stale}
    changed = [evidence for evidence, rows in done.items() if kept.get(evidence) != rows or evidence in stale]
    if new or changed or not same:
        stage = case.stage()
        replaced = [part for part in before.parts if part.table == "rules" or not same]
        replaced += take_back(case, before.parts, pa.array(changed, pa.string()), stage)
        _match(case, engine, installed, stored, pa.array(list(new), pa.string()) if same else None, stage, tell)
        states = rule_states(engine, installed, stored)
        stage.write("matched", MATCHED, [_matched_rows(new, rule_set)])
        stage.write("rules", RULES, pa.Table.from_pylist(states, RULES).to_batches())
        case.commit(stage, remove=replaced, facts={"phase": PHASE, "inputs": inputs})
    match_script_blocks(case, engine, installed, inputs, write_findings)
    correlations = _correlate(case, engine, installed, inputs, tunings, cache)
    keep_rule_texts(case, installed)
    return _told(case, engine, installed, rule_set, correlations)


def recorrelate(
    case: Case,
    engine: Engine,
    paths: Callable[[], Sequence[Path]],
    cache: Path,
    placeholders: Mapping[str, tuple[str, ...]],
    tunings: Sequence[Tuning],
    profile: str,
) -> None:
    """Make correlations anew where `tunings` change what they look at; matches of plain rules stay as they are.

    Args:
        paths: gives the rules of the last run; called only if there are correlations.

    Raises:
        CasemateError: those rules cannot be read.
    """
    engine.use(stored_tables(case))
    rules = engine.read("rules")
    if not engine.collect(rules.filter(rules.log_source == "correlation").limit(1)).num_rows:
        return
    installed = install_rules(paths(), cache, placeholders=placeholders, profile=profile)
    inputs = rules_inputs(hash_rule_files(installed.files), placeholders, case.settings.limits)
    if phase_state(case, PHASE).inputs != inputs:
        raise CannotFinish("the findings were made by another state of Casemate's code or libraries than this one")
    _correlate(case, engine, installed, inputs, tunings, cache)


def rules_inputs(rule_set: str, placeholders: Mapping[str, tuple[str, ...]], limits: Limits) -> str:
    """What besides the records decides the findings of this phase."""
    decoding = sorted((name, value) for name, value in vars(limits).items() if name.startswith("decode_"))
    return digest([matcher_version(), rule_set, sorted(placeholders.items()), decoding])


def matcher_version() -> str:
    """What besides rules and records decides the findings: our code and the libraries."""
    return digest([code_of(sigma, decode), *(f"{name} {version(name)}" for name in LIBRARIES)])


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
    tables = [table for table in native_filled(stored) if table in installed.tables or table in ENCODED]
    asked = {
        table: stored[table].parts if only is None else tuple(holding(stored[table].parts, only)) for table in tables
    }
    total = sum(len(parts) for parts in asked.values())
    filtered = tuple(rule.id for rule in installed.rules.rules if rule.id.endswith(SUPPRESSED_SUFFIX))
    seen = 0
    findings = _Findings(stage)
    limits = case.settings.limits
    for table, parts in asked.items():
        if not parts:
            continue
        names = stored[table].schema.names
        asked_by_rules = table in installed.tables
        plain = SigmaFindings(str(installed.folder), table) if asked_by_rules else None
        kernel = FindingsWithDecoded(plain, table, limits)
        columns = kernel.columns(names)
        for part in parts:
            for batch in engine.map_batches(table, kernel, FOUND, columns=columns, parts=[part]):
                found, decoded = split_found(batch)
                findings.add(found, only)
                findings.add_decoded(decoded, only)
            seen += 1
            tell("rules", seen, total)
        if filtered and asked_by_rules:
            matches = _matches_of_filtered(installed, table, filtered, limits)
            rows = engine.map_batches(table, matches, matches.schema(), columns=matches.columns(names), parts=parts)
            stage.write("suppressed", SUPPRESSED, _suppressed_rows(rows, only))
    findings.close()


def _matches_of_filtered(
    installed: InstalledRules, table: str, filtered: tuple[str, ...], limits: Limits
) -> MatchesWithDecoded:
    """Matches of filtered rules and of what their filters took out; decoded, only of records that neither had."""
    rules = tuple(one for rule in filtered for one in (rule.removesuffix(SUPPRESSED_SUFFIX), rule))
    return MatchesWithDecoded(SigmaMatches(str(installed.folder), table, rules), limits)


class _Findings:
    """Gathers findings and decoded texts and writes them to the stage, so many at a time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._held: list[pa.RecordBatch] = []
        self._rows = 0
        self._decoded: list[pa.RecordBatch] = []
        self._decoded_bytes = 0

    def add_decoded(self, batch: pa.RecordBatch, only: pa.Array | None) -> None:
        if only is not None:
            batch = batch.filter(pc.is_in(batch.column("evidence"), value_set=only))
        if batch.num_rows:
            self._decoded.append(batch)
            self._decoded_bytes += batch.nbytes
        if self._decoded_bytes >= HELD_DECODED_BYTES:
            self._write_decoded()

    def _write_decoded(self) -> None:
        if self._decoded:
            order = [("evidence", "ascending"), ("record", "ascending")]
            rows = pa.Table.from_batches(self._decoded).sort_by(order)
            self._stage.write("decoded_text", DECODED_TEXT, rows.to_batches())
        self._decoded, self._decoded_bytes = [], 0

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
        self._write_decoded()


def write_findings(stage: Stage, batches: Sequence[pa.RecordBatch]) -> None:
    """Write rows of ``FINDINGS_WITH_RECORDS`` as ``findings`` and ``finding_records``, in order of id."""
    table = pa.Table.from_batches(list(batches)).sort_by("id")
    # in row groups that each hold a part of the ids, so that one finding is found without reading all of them
    batches = table.to_batches(max_chunksize=ROW_GROUP_ROWS)
    stage.write("findings", FINDINGS, [batch.select(FINDINGS.names) for batch in batches])
    stage.write("finding_records", FINDING_RECORDS, [_records_of(batch) for batch in batches])


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
        batch = batch.filter(pc.ends_with(batch.column("rule"), SUPPRESSED_SUFFIX))
        rule = pc.replace_substring(batch.column("rule"), SUPPRESSED_SUFFIX, "")
        yield pa.RecordBatch.from_arrays(
            [rule, batch.column("evidence"), batch.column("record"), batch.column("time")], schema=SUPPRESSED
        )


def _correlate(
    case: Case, engine: Engine, installed: InstalledRules, rules: str, tunings: Sequence[Tuning], cache: Path
) -> int:
    before = phase_state(case, CORRELATION_PHASE)
    thin = thinning(engine, stored_tables(case), installed, tunings, cache)
    inputs = digest([rules, *sorted(kept_rows(case, "matched").items()), *(thin.facts if thin is not None else ())])
    if before.inputs == inputs or (not installed.correlation_files and not before.parts):
        return _rows(before.parts, "findings")
    engine.use(stored_tables(case))
    found = detect_correlations(engine, installed, stored_tables(case), thin, case.settings.limits)
    stage = case.stage()
    if thin is not None:
        stage.write("suppressed", SUPPRESSED, thin.suppressed())
    if found.num_rows:
        write_findings(stage, found.to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": CORRELATION_PHASE, "inputs": inputs})
    return found.num_rows


def _told(case: Case, engine: Engine, installed: InstalledRules, rule_set: str, correlations: int) -> RulesRun:
    parts = phase_state(case, PHASE).parts
    blocks = phase_state(case, SCRIPT_BLOCK_PHASE).parts
    silenced = phase_state(case, CORRELATION_PHASE).parts
    engine.use(stored_tables(case))
    rules = engine.read("rules")
    ran = engine.collect(rules.filter(rules.state == "ran").count().name("n").as_table())["n"][0].as_py()
    return RulesRun(
        rule_set,
        _rows((*parts, *blocks), "findings"),
        correlations,
        ran,
        _rows(parts, "rules") - ran,
        _rows((*parts, *silenced), "suppressed"),
        installed.cold,
        installed.seconds,
    )


def _rows(parts: Iterable[Part], table: str) -> int:
    return sum(part.rows for part in parts if part.table == table)


def _matched_rows(kept: Mapping[str, int], rule_set: str) -> pa.RecordBatch:
    rows = [{"evidence": evidence, "rule_set": rule_set, "kept": kept[evidence]} for evidence in sorted(kept)]
    return pa.RecordBatch.from_pylist(rows, schema=MATCHED)
