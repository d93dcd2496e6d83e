"""Kernels: batches of a native table in, findings or matches out.

Both are built in each worker from a small picklable specification that names an installed rule set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from casemate.detect.sigma.cache import open_matcher
from casemate.detect.sigma.columns import Columns, combine
from casemate.detect.sigma.compiled import column_of
from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.detect.sigma.endpoints import Endpoints, endpoints_of
from casemate.detect.sigma.match import BatchMatches, TableMatcher
from casemate.detect.sigma.why import Reasons
from casemate.engine.protocol import Kernel
from casemate.schema.findings import FINDINGS_WITH_RECORDS, RECORD, SOURCE, TARGET, finding_id
from casemate.schema.native import UTC_MICROSECONDS

ALWAYS = ("evidence", "record", "time")
LOWER_CONFIDENCE = {"high": "medium", "medium": "low", "low": "low"}


@dataclass(frozen=True)
class SigmaFindings:
    """Findings of all rules on one table; returns rows of ``FINDINGS_WITH_RECORDS``.

    Args:
        folder: :attr:`casemate.detect.sigma.cache.InstalledRules.folder`.
        table: the native table.
    """

    folder: str
    table: str

    def build(self) -> Kernel:
        """Build the kernel; once in each worker."""
        matcher = open_matcher(Path(self.folder), self.table)
        return lambda batch: findings_of(matcher, batch)

    def columns(self, declared: Iterable[str]) -> list[str]:
        """Which of the table's columns the kernel reads."""
        return columns_read(open_matcher(Path(self.folder), self.table), declared, endpoints_of(self.table).columns)


@dataclass(frozen=True)
class SigmaMatches:
    """Matches of some rules on one table, for correlations; no findings are made.

    Returns rows of :meth:`schema`: ``rule`` (id), ``evidence, record, time``, and ``value_0, value_1,
    ...``: the values of `fields` in their order, each looked up as the rule would.

    Args:
        folder, table: as for :class:`SigmaFindings`.
        rules: ids of the rules.
        fields: field names as rules write them.
    """

    folder: str
    table: str
    rules: tuple[str, ...]
    fields: tuple[str, ...] = ()

    def schema(self) -> pa.Schema:
        """Columns of the result."""
        values = [pa.field(f"value_{number}", pa.string()) for number in range(len(self.fields))]
        return pa.schema(
            [
                pa.field("rule", pa.string(), nullable=False),
                pa.field("evidence", pa.string(), nullable=False),
                pa.field("record", pa.int64(), nullable=False),
                pa.field("time", UTC_MICROSECONDS),
                *values,
            ]
        )

    def build(self) -> Kernel:
        """Build the kernel; once in each worker."""
        matcher = open_matcher(Path(self.folder), self.table, only=frozenset(self.rules))
        schema = self.schema()
        return lambda batch: matches_of(matcher, batch, self.fields, schema)

    def columns(self, declared: Iterable[str]) -> list[str]:
        """Which of the table's columns the kernel reads."""
        matcher = open_matcher(Path(self.folder), self.table, only=frozenset(self.rules))
        mapped = [column for source in matcher.sources for column in source.fields.values()]
        return columns_read(matcher, declared, (*self.fields, *mapped))


def columns_read(matcher: TableMatcher, declared: Iterable[str], others: Iterable[str]) -> list[str]:
    """The columns of a table that a matcher (and `others`, any names) needs, in the table's order."""
    declared = list(declared)
    if matcher.reads_everything:
        return declared
    wanted = {name.lower() for name in (*ALWAYS, *others)} | matcher.column_names()
    for name in [name for name in wanted if name.startswith(DERIVED_PREFIX)]:
        wanted.update(column.lower() for column in DERIVED[name[len(DERIVED_PREFIX) :]].columns)
    if wanted - {name.lower() for name in declared}:
        wanted.add("rest")
    return [name for name in declared if name.lower() in wanted]


def split_matches(rows: pa.Table, fields: tuple[str, ...]) -> dict[str, pa.Table]:
    """Collected rows of :class:`SigmaMatches` as one table per rule: ``evidence, record, time`` and the fields."""
    found: dict[str, pa.Table] = {}
    rules = rows.column("rule").combine_chunks().dictionary_encode()
    codes = rules.indices.to_numpy(zero_copy_only=False)
    named = rows.drop_columns(["rule"]).rename_columns([*ALWAYS, *fields])
    for code, rule in enumerate(rules.dictionary.to_pylist()):
        found[rule] = named.take(pa.array(np.flatnonzero(codes == code)))
    return found


def matches_of(
    matcher: TableMatcher, batch: pa.RecordBatch, fields: tuple[str, ...], schema: pa.Schema
) -> pa.RecordBatch:
    """The matches in one batch."""
    extra = {name.lower() for name in fields} | {
        column.lower() for source in matcher.sources for column in source.fields.values()
    }
    declared = {name.lower() for name in batch.schema.names}
    found = matcher.match(batch, matcher.rest_keys(declared, frozenset(extra)))
    pieces: list[pa.RecordBatch] = []
    for plan_number, rows in _rows_by_plan(matcher, found):
        plan = matcher.plans[plan_number]
        source_fields = matcher.sources[plan.source].fields
        values = [_texts(found.columns, column_of(name, source_fields).lower(), rows) for name in fields]
        taken = pa.array(rows)
        arrays = [
            pa.repeat(pa.scalar(matcher.rules.rules[plan.rule].id), len(rows)),
            batch.column("evidence").cast(pa.string()).take(taken),
            batch.column("record").take(taken),
            batch.column("time").take(taken).cast(UTC_MICROSECONDS),
            *values,
        ]
        pieces.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    if not pieces:
        return pa.RecordBatch.from_pylist([], schema)
    return pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]


def _texts(columns: Columns, name: str, rows: np.ndarray) -> pa.Array:
    column = columns.get(name)
    if column is None:
        return pa.nulls(len(rows), pa.string())
    codes = column.codes[rows]
    return column.dictionary.cast(pa.string()).take(pa.array(codes, mask=codes == column.count))


def _rows_by_plan(matcher: TableMatcher, found: BatchMatches) -> list[tuple[int, np.ndarray]]:
    """Plans with their rows; a record that a rule matches as two kinds of event counts once."""
    seen: dict[int, np.ndarray] = {}
    result: list[tuple[int, np.ndarray]] = []
    for match in found.matches:
        rule = matcher.plans[match.plan].rule
        rows = match.rows
        if rule in seen:
            rows = np.setdiff1d(rows, seen[rule], assume_unique=True)
            seen[rule] = np.union1d(seen[rule], rows)
        else:
            seen[rule] = rows
        if len(rows):
            result.append((match.plan, rows))
    return result


def findings_of(matcher: TableMatcher, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The findings in one batch, as ``FINDINGS_WITH_RECORDS``."""
    table = endpoints_of(matcher.table)
    declared = {name.lower() for name in batch.schema.names}
    rest_keys = matcher.rest_keys(declared, frozenset(name.lower() for name in table.columns))
    found = matcher.match(batch, rest_keys)
    by_plan = [
        (number, rows)
        for number, rows in _rows_by_plan(matcher, found)
        if matcher.rules.rules[matcher.plans[number].rule].finding
    ]
    if not by_plan:
        return pa.RecordBatch.from_pylist([], FINDINGS_WITH_RECORDS)
    rows = np.concatenate([some for _, some in by_plan])
    sizes = [len(some) for _, some in by_plan]
    plan_of = np.repeat(np.arange(len(by_plan)), sizes)
    reasons = Reasons(found, matcher.atoms, [source.name for source in matcher.sources])
    texts: list[str] = []
    places: list[np.ndarray] = []
    for number, some in by_plan:
        distinct, inverse = reasons.of(matcher.plans[number], matcher.condition(number), some)
        places.append(inverse + len(texts))
        texts.extend(distinct)
    why = pa.array(texts, pa.string()).take(pa.array(np.concatenate(places)))
    endpoints, endpoint_of = _endpoints(found.columns, table.columns, table.find, rows)
    return _batch(matcher, batch, by_plan, rows, plan_of, why, endpoints, endpoint_of)


def _batch(
    matcher: TableMatcher,
    batch: pa.RecordBatch,
    by_plan: list[tuple[int, np.ndarray]],
    rows: np.ndarray,
    plan_of: np.ndarray,
    why: pa.Array,
    endpoints: list[Endpoints],
    endpoint_of: np.ndarray,
) -> pa.RecordBatch:
    taken, of_plan, of_endpoint = pa.array(rows), pa.array(plan_of), pa.array(endpoint_of)
    plans = [matcher.plans[number] for number, _ in by_plan]
    rules = [matcher.rules.rules[plan.rule] for plan in plans]
    evidence = batch.column("evidence").cast(pa.string()).take(taken)
    record = batch.column("record").take(taken)
    time = batch.column("time").take(taken).cast(UTC_MICROSECONDS)
    rule_ids = [rules[place].id for place in plan_of.tolist()]
    ids = [
        finding_id(rule, [place])
        for rule, place in zip(rule_ids, zip(evidence.to_pylist(), record.to_pylist(), strict=True), strict=True)
    ]

    def constant(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(of_plan)

    def of_record(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(of_endpoint)

    text, texts = pa.string(), pa.list_(pa.string())
    confidences = [
        LOWER_CONFIDENCE[rule.confidence] if plan.unanswered else rule.confidence
        for rule, plan in zip(rules, plans, strict=True)
    ]
    arrays: Mapping[str, pa.Array] = {
        "id": pa.array(ids, text),
        "time": time,
        "time_end": time,
        "detector": constant(["sigma"] * len(rules), text),
        "rule_id": constant([rule.id for rule in rules], text),
        "rule_version": constant([rule.version for rule in rules], text),
        "title": constant([rule.title for rule in rules], text),
        "severity": constant([rule.severity for rule in rules], text),
        "techniques": constant([list(rule.techniques) for rule in rules], texts),
        "tactics": constant([list(rule.tactics) for rule in rules], texts),
        "source": of_record([_struct(("kind", "value"), one.source) for one in endpoints], SOURCE),
        "target": of_record([_struct(("kind", "value", "service"), one.target) for one in endpoints], TARGET),
        "vector": of_record([one.vector for one in endpoints], text),
        "outcome": of_record([one.outcome for one in endpoints], text),
        "confidence": constant(confidences, text),
        "why": why,
        "records": pa.ListArray.from_arrays(
            pa.array(np.arange(len(rows) + 1, dtype=np.int32)),
            pa.StructArray.from_arrays([evidence, record], fields=list(RECORD)),
        ),
    }
    return pa.RecordBatch.from_arrays(
        [arrays[name] for name in FINDINGS_WITH_RECORDS.names], schema=FINDINGS_WITH_RECORDS
    )


def _struct(names: tuple[str, ...], values: tuple[Any, ...] | None) -> dict[str, Any] | None:
    return None if values is None else dict(zip(names, values, strict=True))


def _endpoints(
    columns: Columns, names: tuple[str, ...], find: Any, rows: np.ndarray
) -> tuple[list[Endpoints], np.ndarray]:
    """The distinct endpoints of some rows, and for each row which are its."""
    parts = [columns.get(name.lower()) for name in names]
    present = [(part.codes[rows], part.count + 1) for part in parts if part is not None]
    if not present:
        return [find(*[None] * len(names))], np.zeros(len(rows), np.int64)
    _, first, inverse = np.unique(combine(present), return_index=True, return_inverse=True)
    found = [
        find(*(None if part is None else part.text(int(rows[place])) for part in parts)) for place in first.tolist()
    ]
    return found, inverse.reshape(-1)
