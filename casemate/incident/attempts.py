"""Attempts: findings put together into what one source tried against one scope by one vector.

Definition (also printed beside every count, :data:`DEFINITION`): findings of one source against
one scope by one vector with no gap above the case's setting, where the gap before a finding is
its start minus the running maximum of all earlier ends (findings overlap, so the end of the
finding before is not enough).

* The scope is the own network for a horizontal scan, a service (address and port) where the
  finding names one, else the host, user or resource it names.
* Findings without any time cannot be ordered: those of one key form one attempt without times.
* An attempt's intent is the furthest one of its findings (:mod:`casemate.intel.tactics`), its
  outcome the first of :data:`OUTCOME_ORDER` that any of its findings has.
* Its id is a hash of its members' ids, so it does not depend on the order of arrival, and the same
  members give the same attempt at any gap setting.

Everything is Ibis with the operations that give equal rows on DuckDB and Spark: running maximum,
``delta``, cumulative sum, ``collect().sort()``.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.incident.intents import intent_rank
from casemate.intel.tactics import RANKED_INTENTS

DEFAULT_GAP_SECONDS = 30 * 60
REPORTED_GAP_MINUTES: tuple[int, ...] = (10, 30, 120)

OUTCOME_ORDER: tuple[str, ...] = ("succeeded", "failed", "blocked", "unknown")
"""One success makes the attempt a success; ``failed`` (it reached the service) says more than
``blocked``; ``unknown`` stands only where no finding knows."""

KEY: tuple[str, ...] = ("source_kind", "source_value", "scope_kind", "scope_value", "vector")
"""What all findings of one attempt share."""

DEFINITION = (
    "findings of one source against one scope (a service, a host, or the own network) by one vector, "
    "with no gap above {minutes} minutes between a finding and the latest end before it"
)


@dataclass(frozen=True)
class Attempts:
    """Two tables as in :mod:`casemate.schema.attempts`: the attempts, and which finding is in which."""

    attempts: ibis.Table
    attempt_findings: ibis.Table


def definition(gap_seconds: int = DEFAULT_GAP_SECONDS) -> str:
    """The sentence that stands beside every count of attempts."""
    minutes = gap_seconds / 60
    return DEFINITION.format(minutes=int(minutes) if minutes == int(minutes) else round(minutes, 2))


def keyed(findings: ibis.Table) -> ibis.Table:
    """Findings with the columns of :data:`KEY` and ``started``, ``ended`` (null where undated).

    Args:
        findings: table of :data:`casemate.schema.findings.FINDINGS`.
    """
    target_kind = findings.target["kind"].fill_null("unknown")
    target_value = findings.target["value"].fill_null("")
    service = findings.target["service"].fill_null("")
    own_network = target_kind == "own_network"
    is_service = ~own_network & (service != "")
    is_host = target_kind.isin(["address", "host", "service"])
    started = ibis.coalesce(findings.time, findings.time_end)
    ended = ibis.coalesce(findings.time_end, findings.time)
    return findings.mutate(
        source_kind=findings.source["kind"].fill_null("unknown"),
        source_value=findings.source["value"].fill_null(""),
        scope_kind=ibis.cases((is_service, "service"), (is_host, "host"), else_=target_kind),
        scope_value=ibis.cases(
            (is_service & (target_value != ""), target_value + " " + service),
            (is_service, service),
            else_=target_value,
        ),
        started=ibis.ifelse(ended < started, ended, started),
        ended=ibis.ifelse(ended < started, started, ended),
    )


def numbered(findings: ibis.Table, gap_seconds: int) -> ibis.Table:
    """Keyed findings with ``apart`` (:data:`casemate.schema.attempts.ATTEMPT_FINDINGS`) and ``number`` of the attempt.

    ``number`` counts within key and ``timed``; it is a working column and never stored.
    """
    timed = keyed(findings).mutate(timed=ibis._.started.notnull())
    group = [*KEY, "timed"]
    order = [timed.started, timed.ended, timed.id]
    before = ibis.window(group_by=group, order_by=order, preceding=(None, 1))
    until = ibis.window(group_by=group, order_by=order, preceding=None, following=0)
    marked = timed.mutate(earlier_end=timed.ended.max().over(before), earlier=timed.id.count().over(before))
    gap = ibis.greatest(marked.started.delta(marked.earlier_end, unit="microsecond").fill_null(0), 0).cast("int64")
    marked = marked.mutate(apart=ibis.ifelse(marked.earlier == 0, ibis.null("int64"), gap))
    marked = marked.mutate(first=_begins(marked.apart, gap_seconds).cast("int64"))
    return marked.mutate(number=marked["first"].sum().over(until)).drop("earlier_end", "earlier", "first")


def _begins(apart: ir.IntegerValue, gap_seconds: int) -> ir.BooleanValue:
    """Whether a finding so far after those before it begins an attempt."""
    return (apart > gap_seconds * 1_000_000).fill_null(True)


def attempts(findings: ibis.Table, gap_seconds: int = DEFAULT_GAP_SECONDS) -> Attempts:
    """All attempts of a table of findings.

    Args:
        findings: table of :data:`casemate.schema.findings.FINDINGS`; ids unique.
        gap_seconds: longest gap inside one attempt.

    Returns:
        ``attempts`` with the columns of :data:`casemate.schema.attempts.ATTEMPTS` and
        ``attempt_findings``, in which every finding stands exactly once.  Times are UTC.
    """
    rows = numbered(findings, gap_seconds)
    rows = rows.mutate(intent_rank=intent_rank(rows.tactics), outcome_rank=_rank(rows.outcome, OUTCOME_ORDER))
    group = [*KEY, "timed", "number"]
    grouped = rows.group_by(group).agg(
        id=_identity(rows.id.collect().sort()),
        started=rows.started.min(),
        ended=rows.ended.max(),
        intent_rank=rows.intent_rank.min(),
        outcome_rank=rows.outcome_rank.min(),
        findings=rows.id.count(),
    )
    table = grouped.select(
        id=grouped.id,
        source=ibis.struct({"kind": grouped.source_kind, "value": grouped.source_value}),
        scope=ibis.struct({"kind": grouped.scope_kind, "value": grouped.scope_value}),
        vector=grouped.vector,
        started=grouped.started,
        ended=grouped.ended,
        intent=_named(grouped.intent_rank, RANKED_INTENTS),
        outcome=_named(grouped.outcome_rank, OUTCOME_ORDER),
        findings=grouped.findings,
        gap_seconds=ibis.literal(gap_seconds, type="int64"),
    )
    names = grouped.select(*group, attempt=grouped.id)
    links = rows.join(names, group, how="inner").select("attempt", "apart", finding="id")
    links = links.select("attempt", "finding", "apart")
    return Attempts(table, links)


def touched_keys(new_findings: ibis.Table) -> ibis.Table:
    """The distinct keys (columns of :data:`KEY`) whose attempts newly arrived findings may change."""
    return keyed(new_findings).select(*KEY).distinct()


def rebuild(previous: Attempts, findings: ibis.Table, touched: ibis.Table, gap_seconds: int) -> Attempts:
    """Attempts after new findings: those of touched keys made anew, all others kept as they are.

    Gives the rows that :func:`attempts` gives over all findings, so a late finding that bridges two
    attempts merges them.

    Args:
        previous: the attempts before, built with the same `gap_seconds`.
        findings: all findings, old and new.
        touched: keys from :func:`touched_keys`.  Findings that were taken back must be named too.
    """
    old = previous.attempts.mutate(
        source_kind=previous.attempts.source["kind"],
        source_value=previous.attempts.source["value"],
        scope_kind=previous.attempts.scope["kind"],
        scope_value=previous.attempts.scope["value"],
    )
    kept = old.anti_join(touched, list(KEY)).select(*previous.attempts.columns)
    kept_links = previous.attempt_findings.semi_join(kept, previous.attempt_findings.attempt == kept.id)
    columns = findings.columns
    affected = keyed(findings).semi_join(touched, list(KEY)).select(*columns)
    made = attempts(affected, gap_seconds)
    return Attempts(kept.union(made.attempts), kept_links.union(made.attempt_findings))


def beginnings(found: ibis.Table, gap_minutes: Sequence[int] = REPORTED_GAP_MINUTES) -> ibis.Table:
    """For each gap in minutes the findings that begin an attempt: columns ``finding``, ``label``.

    Their number per label is the number of attempts at that gap.

    Args:
        found: ``finding`` and ``apart`` of :data:`casemate.schema.attempts.ATTEMPT_FINDINGS`, built at any gap.
    """
    tables = [
        found.filter(_begins(found.apart, minutes * 60)).select("finding", label=ibis.literal(str(minutes)))
        for minutes in gap_minutes
    ]
    first, *others = tables
    for other in others:
        first = first.union(other)
    return first


def members(findings: ibis.Table) -> ibis.Table:
    """``finding`` and ``apart`` of each finding, for cases whose stored attempts do not tell."""
    return numbered(findings, DEFAULT_GAP_SECONDS).select("apart", finding="id")


def _identity(ids: ir.ArrayValue) -> ir.StringValue:
    return (ibis.literal("attempt\n") + ids.join("\n")).hexdigest("sha256").substr(0, 32)


def _rank(value: ir.StringValue, order: Sequence[str]) -> ir.IntegerValue:
    return ibis.cases(*((value == name, index) for index, name in enumerate(order)), else_=len(order) - 1).cast("int64")


def _named(rank: ir.IntegerValue, order: Sequence[str]) -> ir.StringValue:
    return ibis.cases(*((rank == index, name) for index, name in enumerate(order)), else_=order[-1])
