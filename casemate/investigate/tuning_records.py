"""Which records fulfil the conditions of tunings, and what that means for findings and for what feeds correlations."""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from casemate.case import Case
from casemate.detect.behaviour import ANALYTICS
from casemate.detect.sigma.cache import InstalledRules
from casemate.detect.sigma.correlation_needs import silent_rules
from casemate.detect.tuning.judge import Compiled, Condition, KnownRule, compile_tunings, fits, kernel_for
from casemate.detect.tuning.tunings import Tuning, as_plain
from casemate.engine.files import inside
from casemate.engine.parts import Part
from casemate.engine.protocol import Engine, StoredTables
from casemate.explore.tables import native_filled
from casemate.investigate.changed import holding, rows_of
from casemate.investigate.correlations import correlations_of
from casemate.schema.rules import SUPPRESSED

ADDRESS = ["evidence", "record"]
OWNED = pa.schema(
    [
        pa.field("finding", pa.string()),
        pa.field("rule_id", pa.string()),
        pa.field("evidence", pa.string()),
        pa.field("record", pa.int64()),
    ]
)


def known_rules(engine: Engine) -> list[KnownRule]:
    """Every rule a tuning of this case may be for: those of the last run, the behaviours, and what findings name."""
    rules: dict[str, KnownRule] = {}
    listed = engine.read("rules")
    for row in engine.collect(listed.filter(listed.rule_id.notnull())).to_pylist():
        source = None if row["log_source"] in (None, "correlation") else row["log_source"]
        rules.setdefault(row["rule_id"], KnownRule(row["rule_id"], row["title"] or "", source, row["severity"]))
    for analytic in ANALYTICS:
        for rule in analytic.rules:
            rules.setdefault(rule.rule_id, KnownRule(rule.rule_id, rule.title, None, rule.severity))
    for table in ("findings", "suppressed_findings"):
        found = engine.read(table)
        named = found.group_by("rule_id").agg(title=found.title.min())
        for row in engine.collect(named).to_pylist():
            rules.setdefault(row["rule_id"], KnownRule(row["rule_id"], row["title"], None))
    return [rules[name] for name in sorted(rules)]


def fulfilling(
    engine: Engine,
    stored: StoredTables,
    compiled: Compiled,
    conditions: Sequence[Condition],
    evidence: pa.Array | None = None,
) -> pa.Table:
    """The records that fulfil conditions: ``rule`` (id of the condition), ``evidence, record``.

    Args:
        evidence: look only at these pieces of evidence; at all when None.
    """
    empty = pa.schema([pa.field("rule", pa.string()), *(OWNED.field(name) for name in ADDRESS)])
    found: list[pa.RecordBatch] = []
    if compiled.installed is None or not conditions:
        return empty.empty_table()
    for table in native_filled(stored):
        if table not in compiled.installed.tables:
            continue
        parts = stored[table].parts if evidence is None else holding(stored[table].parts, evidence)
        if not parts:
            continue
        kernel = kernel_for(compiled, table, conditions)
        columns = kernel.columns(stored[table].schema.names)
        for batch in engine.map_batches(table, kernel, kernel.schema(), columns=columns, parts=parts):
            if evidence is not None:
                batch = batch.filter(pc.is_in(batch.column("evidence"), value_set=evidence))
            if batch.num_rows:
                found.append(pa.RecordBatch.from_arrays([batch.column(name) for name in empty.names], schema=empty))
    return pa.Table.from_batches(found, empty)


def by_records(
    case: Case, engine: Engine, stored: StoredTables, compiled: Compiled, conditions: Sequence[Condition]
) -> dict[int, pa.Array]:
    """Per tuning on records (its number) the ids of the findings of its rules whose record fulfils it."""
    wanted = sorted({rule for one in conditions for rule in one.rules})
    if not wanted:
        return {}
    owned = _owned(case, pa.array(wanted, pa.string()))
    if not owned.num_rows:
        return {}
    evidence = pc.unique(owned.column("evidence").combine_chunks())
    hits = fulfilling(engine, stored, compiled, conditions, evidence)
    joined = hits.join(owned, ADDRESS, join_type="inner")
    found: dict[int, list[pa.Array]] = {}
    for one in conditions:
        fits = pc.and_(
            pc.equal(joined.column("rule"), one.id),
            pc.is_in(joined.column("rule_id"), value_set=pa.array(sorted(one.rules), pa.string())),
        )
        ids = joined.column("finding").filter(fits)
        if len(ids):
            found.setdefault(one.tuning, []).append(ids.combine_chunks())
    return {number: pa.concat_arrays(ids) for number, ids in found.items()}


def _owned(case: Case, rules: pa.Array) -> pa.Table:
    """Findings of some rules, suppressed or not, with the records they rest on."""
    ids: list[pa.Array] = []
    owners: list[pa.Array] = []
    for table in ("findings", "suppressed_findings"):
        for part in case.live_parts(table):
            for batch in _among(case, part, "rule_id", rules):
                ids.append(_text(batch.column("id")))
                owners.append(_text(batch.column("rule_id")))
    if not ids:
        return OWNED.empty_table()
    wanted, of = pa.concat_arrays(ids), pa.concat_arrays(owners)
    pieces: list[pa.RecordBatch] = []
    for table in ("finding_records", "suppressed_records"):
        for part in case.live_parts(table):
            for batch in _among(case, part, "finding", wanted):
                finding = _text(batch.column("finding"))
                rule = of.take(pc.index_in(finding, value_set=wanted))
                arrays = [finding, rule, _text(batch.column("evidence")), batch.column("record")]
                pieces.append(pa.RecordBatch.from_arrays(arrays, schema=OWNED))
    return pa.Table.from_batches(pieces, OWNED)


def _among(case: Case, part: Part, column: str, values: pa.Array) -> list[pa.RecordBatch]:
    return [batch for batch in rows_of(inside(case.path, part.path), column, values, among=True) if batch.num_rows]


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def thinning(
    engine: Engine, stored: StoredTables, installed: InstalledRules, tunings: Sequence[Tuning], cache: Path
) -> Thinned | None:
    """What tunings take out of the matches that correlations look at; None where they take out nothing."""
    wanted = [one for one in tunings if one.kind == "suppress" and one.about == "record"]
    correlations = correlations_of(installed)[0] if wanted else []
    if not correlations:
        return None
    fed = {reference.key for correlation in correlations for reference in correlation.references}
    engine.use(stored)
    bases = [rule for rule in known_rules(engine) if rule.id in fed]
    relevant = [one for one in wanted if any(fits(one, rule) for rule in bases)]
    if not relevant:
        return None
    return Thinned(engine, stored, compile_tunings(relevant, bases, cache), silent_rules(correlations))


class Thinned:
    """Takes out of the matches of base rules what tunings suppress, before correlations look at them.

    Args:
        compiled: the tunings that concern base rules.
        silent: ids of base rules whose matches are no findings of their own; what is taken out of them is kept.
    """

    def __init__(self, engine: Engine, stored: StoredTables, compiled: Compiled, silent: frozenset[str]) -> None:
        self._engine, self._stored = engine, stored
        self._compiled = compiled
        self._conditions = compiled.conditions
        self._silent = silent
        self.facts = [as_plain(one) for one in compiled.tunings]
        """What decides what is taken out, besides the records."""
        self._taken: list[tuple[str, pa.Table]] = []

    def suppressed(self) -> Iterator[pa.RecordBatch]:
        """What was taken out of the matches of rules that give no findings of their own."""
        for rule, rows in self._taken:
            for batch in rows.combine_chunks().to_batches():
                evidence, record, time = batch.columns
                names = pa.repeat(pa.scalar(rule), batch.num_rows)
                yield pa.RecordBatch.from_arrays([names, _text(evidence), record, time], schema=SUPPRESSED)

    def __call__(self, matches: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """The matches per rule without what is suppressed."""
        found = fulfilling(self._engine, self._stored, self._compiled, self._conditions)
        thinned = dict(matches)
        for rule, rows in matches.items():
            ids = [one.id for one in self._conditions if rule in one.rules]
            if not ids or not rows.num_rows:
                continue
            hits = found.filter(pc.is_in(found.column("rule"), value_set=pa.array(ids, pa.string())))
            gone = _standing_in(rows, hits)
            if gone.any():
                thinned[rule] = rows.filter(pa.array(~gone))
                if rule in self._silent:
                    self._taken.append((rule, rows.filter(pa.array(gone)).select([*ADDRESS, "time"])))
        return thinned


def _standing_in(rows: pa.Table, addresses: pa.Table) -> npt.NDArray[np.bool_]:
    """For each row whether its record is among the addresses."""
    numbered = pa.table(
        {
            "evidence": _text(rows.column("evidence")),
            "record": rows.column("record"),
            "row": pa.array(np.arange(rows.num_rows)),
        }
    )
    joined = numbered.join(addresses.select(ADDRESS), ADDRESS, join_type="left semi")
    mask = np.zeros(rows.num_rows, np.bool_)
    mask[joined.column("row").to_numpy()] = True
    return mask
