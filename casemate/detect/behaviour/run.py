"""Runs the behaviour analytics: executes them, names their findings, streams their records.

A finding may rest on millions of records, so its records are never a Python list: they are sorted
by the engine and read in batches, twice: once for the ids (the same hash as
:func:`casemate.schema.findings.finding_id`, fed batch by batch) and once to be written.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from casemate.detect.behaviour.rules import RULES_VERSION, STATEMENT, BehaviourRule, Statements
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

Batches = Callable[[ibis.Table], pa.RecordBatchReader]
"""Executes an Ibis expression and gives its rows in batches; times are UTC."""
Hold = Callable[[ibis.Table], ibis.Table]
"""Executes an Ibis expression once and gives a table of its rows."""


def has_rows(table: ibis.Table, batches: Batches) -> bool:
    """Whether a table has any row; execute it only where its rows are kept."""
    return batches(table.limit(1)).read_all().num_rows > 0


def how_many(table: ibis.Table, batches: Batches) -> int:
    """How many rows a table has; execute it only where its rows are kept."""
    return batches(table.agg(n=table.count())).read_all().column("n")[0].as_py()


@dataclass(frozen=True)
class Found:
    """What one analytic found.

    Args:
        findings: rows of :data:`casemate.schema.findings.FINDINGS`.
        records: gives a new iterator over batches of :data:`casemate.schema.findings.FINDING_RECORDS`.
    """

    analytic: str
    findings: pa.Table
    records: Callable[[], Iterator[pa.RecordBatch]]


def found(
    analytic: str,
    rules: tuple[BehaviourRule, ...],
    statements: Statements,
    settings: Any,
    batches: Batches,
    hold: Hold,
) -> Found:
    """Execute the statements of one analytic.

    Args:
        analytic: name; the detector of its findings is ``behaviour.<name>``.
        settings: the dataclass of thresholds, written into each why-tree.
        hold: executes an expression once and keeps its rows (``Engine.hold``).
    """
    by_name = {rule.name: rule for rule in rules}
    held = Statements(hold(statements.rows), statements.summarise)
    rows = batches(held.findings.order_by("key")).read_all().to_pylist()
    ordered = held.records.order_by(["key", "evidence", "record"])
    rule_of = {row["key"]: by_name[row["rule"]].rule_id for row in rows}
    ids = _ids(batches(ordered), rule_of) if rows else {}
    thresholds = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {}
    made = [_finding(analytic, by_name[row["rule"]], row, ids[row["key"]], thresholds) for row in rows]
    table = pa.Table.from_pylist(made, schema=FINDINGS)
    return Found(analytic, table, lambda: _named(batches(ordered), ids) if ids else iter(()))


def _finding(
    analytic: str, rule: BehaviourRule, row: Mapping[str, Any], identity: str, thresholds: dict[str, Any]
) -> dict[str, Any]:
    counts = {name: value for name, value in row.items() if name not in STATEMENT and value is not None}
    why = {
        "analytic": analytic,
        "rule": rule.name,
        "means": rule.means,
        "counts": counts,
        "first": _text(row["time"]),
        "last": _text(row["time_end"]),
        "thresholds": thresholds,
    }
    severity = rule.severity
    return {
        "id": identity,
        "time": row["time"],
        "time_end": row["time_end"],
        "detector": f"behaviour.{analytic}",
        "rule_id": rule.rule_id,
        "rule_version": RULES_VERSION,
        "title": rule.title,
        "severity": severity,
        "techniques": sorted(rule.techniques),
        "tactics": sorted(rule.tactics),
        "source": {"kind": row["source_kind"], "value": row["source_value"]},
        "target": {"kind": row["target_kind"], "value": row["target_value"], "service": row["target_service"]},
        "vector": rule.vector,
        "outcome": row["outcome"],
        "confidence": row["confidence"],
        "why": json.dumps(why, ensure_ascii=False, sort_keys=True),
    }


def _text(time: Any) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def _ids(reader: pa.RecordBatchReader, rule_of: Mapping[str, str]) -> dict[str, str]:
    """Ids of the findings from their records in the order of key, evidence and record."""
    ids: dict[str, str] = {}
    digest, current, last = None, None, None
    for batch in reader:
        for name, begin, end in _runs(batch.column("key")):
            if name != current:
                if digest is not None and current is not None:
                    ids[current] = digest.hexdigest()[:32]
                digest, current, last = hashlib.sha256(rule_of[name].encode()), name, None
            lines = _lines(batch.slice(begin, end - begin))
            # A record stands once however often a join gave it.
            fresh = [line for line, before in zip(lines, [last, *lines], strict=False) if line != before]
            last = lines[-1]
            if digest is not None and fresh:
                digest.update(("\n" + "\n".join(fresh)).encode())
    if digest is not None and current is not None:
        ids[current] = digest.hexdigest()[:32]
    return ids


def _lines(batch: pa.RecordBatch) -> list[str]:
    evidence = batch.column("evidence").cast(pa.string())
    return pc.binary_join_element_wise(evidence, batch.column("record").cast(pa.string()), ":").to_pylist()


def _runs(keys: pa.Array) -> Iterator[tuple[str, int, int]]:
    encoded = pc.run_end_encode(keys.cast(pa.string()))
    begin = 0
    for end, name in zip(encoded.run_ends.to_pylist(), encoded.values.to_pylist(), strict=True):
        yield name, begin, end
        begin = end


def _named(reader: pa.RecordBatchReader, ids: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    names = pa.array(list(ids), pa.string())
    values = pa.array(list(ids.values()), pa.string())
    for batch in reader:
        if not batch.num_rows:
            continue
        finding = values.take(pc.index_in(batch.column("key").cast(pa.string()), value_set=names))
        columns = [finding, batch.column("evidence").cast(pa.string()), batch.column("record").cast(pa.int64())]
        yield pa.RecordBatch.from_arrays(columns, schema=FINDING_RECORDS)
