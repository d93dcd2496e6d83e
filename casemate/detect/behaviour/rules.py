"""What a behaviour rule is, and what an analytic yields.

An analytic is a function from OCSF tables to :class:`Statements`; it executes nothing.  The runner
(:mod:`casemate.detect.behaviour.run`) gives each statement its id, text and why-tree.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

RULES_VERSION = "1"

STATEMENT: dict[str, str] = {
    "key": "string",  # unique within the analytic
    "rule": "string",  # name of a BehaviourRule
    "time": "timestamp('UTC', 6)",
    "time_end": "timestamp('UTC', 6)",
    "source_kind": "string",
    "source_value": "string",
    "target_kind": "string",
    "target_value": "string",
    "target_service": "string",
    "outcome": "string",
    "confidence": "string",
}
"""Columns of ``Statements.findings``; any further columns become the counts of the why-tree."""


@dataclass(frozen=True)
class BehaviourRule:
    """One thing an analytic can say.

    Args:
        name: stable; the rule id of its findings is ``casemate.behaviour.<name>``.
        title: what a person reads.
        severity, vector: as in :mod:`casemate.schema.findings`.
        techniques, tactics: ATT&CK ids and tactic names, sorted.
        means: one sentence for the why-tree: what was seen and what it is taken for.
    """

    name: str
    title: str
    severity: str
    vector: str
    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    means: str

    @property
    def rule_id(self) -> str:
        return f"casemate.behaviour.{self.name}"


@dataclass(frozen=True)
class Statements:
    """What an analytic says, not yet executed.

    Args:
        rows: the records it speaks about, with ``key, evidence, record`` and what `summarise` needs.
        summarise: from `rows` to one row per key: columns :data:`STATEMENT`, then counts.  Kept apart so that
            the runner can execute the expensive part, `rows`, once.
    """

    rows: ibis.Table
    summarise: Callable[[ibis.Table], ibis.Table]

    @property
    def findings(self) -> ibis.Table:
        """One row per finding."""
        return self.summarise(self.rows)

    @property
    def records(self) -> ibis.Table:
        """The records of each finding: ``key, evidence, record``."""
        return self.rows.select("key", "evidence", "record")


def key(*parts: ir.Value | str) -> ir.StringValue:
    """One text from several columns; the separator cannot stand in an address, a port or a number."""
    first, *others = [
        ibis.literal(part) if isinstance(part, str) else part.cast("string").fill_null("") for part in parts
    ]
    for other in others:
        first = first + "\x1f" + other
    return first


def bursts(table: ibis.Table, group: Sequence[str], gap_seconds: int, name: str) -> ibis.Table:
    """Number the runs of a group's rows whose times are at most `gap_seconds` apart, in column `name`.

    Rows of one time are in the order of their record numbers, not of their evidence: a log that grew has the lines
    of one time in two pieces of evidence, whose hashes order nothing.
    """
    window = ibis.window(group_by=list(group), order_by=[table.time, table.record, table.evidence])
    lagged = table.mutate(before=table.time.lag().over(window))
    gap = lagged.time.delta(lagged.before, unit="microsecond")
    marked = lagged.mutate(begins=(gap > gap_seconds * 1_000_000).fill_null(False).cast("int64"))
    until = ibis.window(
        group_by=list(group), order_by=[marked.time, marked.record, marked.evidence], preceding=None, following=0
    )
    return marked.mutate(**{name: marked.begins.sum().over(until)}).drop("before", "begins")


def over(group: Sequence[str]):
    """The window of all rows of a group."""
    return ibis.window(group_by=list(group))


def first_of(table: ibis.Table, group: Sequence[str]) -> ir.IntegerValue:
    """1 on the first row of each group, else 0: summing it counts distinct groups."""
    window = ibis.window(group_by=list(group), order_by=[table.time, table.record, table.evidence])
    return (ibis.row_number().over(window) == 0).cast("int64")
