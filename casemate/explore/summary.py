"""The summary of a case: gathered by measures, given as JSON (a stable contract) and to the terminal.

``gather`` asks the tables, :class:`SummaryInput` is plain data, ``summary`` turns it into the
contract of ``casemate show summary --json`` (``docs/schemas/summary.schema.json``).  What is not
built yet is ``None`` there, never an empty list, because an empty list would say *looked and found none*.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import ibis

from casemate.detect.coverage import SourceCoverage, minutes, observed, sources, sources_at_a_glance
from casemate.detect.coverage.stopped import stopped
from casemate.detect.measures import MEASURES as FINDING_MEASURES
from casemate.detect.signatures.findings import DETECTOR as SIGNATURES
from casemate.engine.measures import Collect, Measure, Tables, Value, values
from casemate.evidence.measures import MEASURES as EVIDENCE_MEASURES
from casemate.explore.blind_spots import BlindSpot, blind_spots, worth
from casemate.explore.coverage import CoverageFacts
from casemate.explore.coverage_json import coverage_object
from casemate.explore.coverage_rules import sources_of_rules
from casemate.explore.signal import ranked
from casemate.explore.signatures import signature_entries
from casemate.incident.attempts import DEFAULT_GAP_SECONDS, REPORTED_GAP_MINUTES, definition
from casemate.incident.measures import MEASURES as ATTEMPT_MEASURES
from casemate.schema.attempts import INTENTS
from casemate.schema.findings import OUTCOMES, SEVERITIES, VECTORS

MEASURES: tuple[Measure, ...] = (*EVIDENCE_MEASURES, *FINDING_MEASURES, *ATTEMPT_MEASURES)
"""Every measure a summary shows."""
TABLES: tuple[str, ...] = tuple(
    sorted({name for measure in MEASURES for name in measure.needs} | {"finding_records", "rules"})
)
"""Tables of a case that a summary asks."""

TOP = 20
"""Sources and targets kept in the summary; the terminal shows fewer."""
BUCKETS = 60
"""Columns of the timeline."""
Hold = Callable[[ibis.Table], ibis.Table]
"""Executes an expression once and gives a table of its rows."""


@dataclass(frozen=True)
class Ranked:
    """One source or target by signal; the definition stands in :mod:`casemate.explore.signal`."""

    kind: str
    value: str
    signal: int
    succeeded: int
    rules: int
    findings: int


@dataclass(frozen=True)
class FirstLook:
    """The finding to look at first; `record` is ``evidence:record``."""

    finding: str
    title: str
    severity: str
    outcome: str
    time: datetime | None
    source: str | None
    record: str | None


@dataclass(frozen=True)
class Reach:
    """Attempts of one intent and outcome: how many, and from when to when (UTC)."""

    intent: str
    outcome: str
    attempts: int
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class Timeline:
    """Records and findings in equal steps from `start` (UTC)."""

    start: datetime
    step: timedelta
    records: tuple[int, ...]
    findings: tuple[int, ...]


@dataclass(frozen=True)
class RunFacts:
    """What only the caller knows.

    Args:
        run: id of the run.
        case: path of the case as the user wrote it, for the commands shown.
        verified: whether custody was verified (None: not asked).
        gap_seconds: the case's gap between attempts.
        own_networks: one sentence on which addresses counted as the own ones, and whether it was inferred.
        rules: rules that could run; unusable_rules: those that could not.
        notes: what the run has to say (limits reached, sources unread).
        suppressed: findings taken out by filters and tunings.
        tuning: what tunings and core assets did (:func:`casemate.explore.tunings.tuning_facts`).
    """

    run: str
    case: str
    verified: bool | None = None
    gap_seconds: int = DEFAULT_GAP_SECONDS
    own_networks: str | None = None
    rules: int | None = None
    unusable_rules: int | None = None
    notes: tuple[str, ...] = ()
    suppressed: int = 0
    tuning: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class SummaryInput:
    """Everything a summary shows, as plain values.

    `measured` holds each measure by name; `spots` are the blind spots that are known without
    `facts_of_coverage`, which takes longer to gather and is None unless asked for; `origins` is None where no origin
    data is installed.
    """

    facts: RunFacts
    measured: Mapping[str, Value]
    reach: tuple[Reach, ...] = ()
    top_sources: tuple[Ranked, ...] = ()
    top_targets: tuple[Ranked, ...] = ()
    first_look: FirstLook | None = None
    coverage: tuple[SourceCoverage, ...] = ()
    spots: tuple[BlindSpot, ...] = ()
    facts_of_coverage: CoverageFacts | None = None
    timeline: Timeline | None = None
    signatures: tuple[Mapping[str, Any], ...] = ()
    origins: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """One measured number; 0 where the case has no such table."""
        found = self.measured.get(name)
        return found if isinstance(found, int) else 0

    def numbers(self, name: str) -> dict[str, int]:
        """Measured numbers per label."""
        found = self.measured.get(name)
        return found if isinstance(found, dict) else {}


def gather(
    tables: Tables,
    native: Mapping[str, ibis.Table],
    collect: Collect,
    facts: RunFacts,
    hold: Hold = lambda table: table,
    found_coverage: CoverageFacts | None = None,
    *,
    at_a_glance: bool = False,
) -> SummaryInput:
    """Ask the case's tables for everything the summary shows.

    Args:
        tables: those of :data:`TABLES`.
        native: native tables that hold rows.
        collect: executes an Ibis expression, times as UTC.
        facts: what only the caller knows.
        hold: executes an expression once and gives a table of its rows.
        found_coverage: all facts of coverage, where the caller gathered them.
        at_a_glance: silences shorter than an hour are not looked for; the first screen names none.
    """
    measured = values(MEASURES, tables, collect)
    seen = observed(native, streams=False)
    if found_coverage is not None:
        found, spots = found_coverage.sources, found_coverage.spots
    else:
        found = _sources(seen, collect, hold, at_a_glance) if seen is not None else ()
        rules = sources_of_rules(tables["rules"], collect) if "rules" in tables else ()
        spots = blind_spots(found, stopped(native, collect, hold), rules)
    has_findings = "findings" in tables and bool(measured.get("findings.total"))
    detectors = measured.get("findings.by_detector")
    signed = isinstance(detectors, dict) and SIGNATURES in detectors
    return SummaryInput(
        facts=facts,
        measured=measured,
        reach=_reach(tables, collect),
        top_sources=_ranked(tables["findings"], "source", collect) if has_findings else (),
        top_targets=_ranked(tables["findings"], "target", collect) if has_findings else (),
        first_look=_first_look(tables, collect) if has_findings else None,
        coverage=found,
        spots=spots,
        facts_of_coverage=found_coverage,
        timeline=_timeline(tables.get("findings"), seen, found, collect),
        signatures=tuple(signature_entries(tables, collect)) if signed else (),
    )


def _sources(seen: ibis.Table, collect: Collect, hold: Hold, at_a_glance: bool) -> tuple[SourceCoverage, ...]:
    return sources_at_a_glance(seen, collect, hold) if at_a_glance else sources(hold(minutes(seen)), collect)


def summary(given: SummaryInput) -> dict[str, Any]:
    """The contract of ``casemate show summary --json``.  Times are UTC, ISO 8601."""
    return {
        "run": given.facts.run,
        "evidence": {name: given.number(f"evidence.{name}") for name in ("files", "records", "kept", "rejected")},
        "findings": given.number("findings.total"),
        "suppressed": given.facts.suppressed,
        "attempts": {
            "total": given.number("attempts.total"),
            "by_intent": _complete(given.numbers("attempts.by_intent"), INTENTS),
            "by_outcome": _complete(given.numbers("attempts.by_outcome"), OUTCOMES),
            "by_vector": _complete(given.numbers("attempts.by_vector"), tuple(VECTORS)),
            "definition": definition(given.facts.gap_seconds),
            "at_gap": _complete(
                given.numbers("attempts.at_gap"), tuple(str(minutes) for minutes in REPORTED_GAP_MINUTES)
            ),
            "sources": given.number("attempts.sources"),
            "top_sources": [_ranked_json(row) for row in given.top_sources],
            "top_targets": [_ranked_json(row) for row in given.top_targets],
        },
        "campaigns": None,
        "origins": given.origins,
        "assets": None,
        "coverage": coverage_object(
            given.coverage,
            given.spots,
            worth_of(given),
            given.facts_of_coverage,
            own_networks=given.facts.own_networks,
            rules=given.facts.rules,
            unusable_rules=given.facts.unusable_rules,
            notes=given.facts.notes,
        ),
        "judgement": None,
        "signatures": [dict(entry) for entry in given.signatures],
        "tuning": given.facts.tuning,
    }


def worth_of(given: SummaryInput) -> str:
    """One sentence: what the answer of this run is worth."""
    number = given.number
    return worth(number("evidence.kept"), len(given.coverage), given.facts.rules, number("findings.total"), given.spots)


def _complete(counted: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    others = {name: number for name, number in counted.items() if name not in names}
    return {**{name: counted.get(name, 0) for name in names}, **others}


def _ranked_json(row: Ranked) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "value": row.value,
        "signal": row.signal,
        "succeeded": row.succeeded,
        "rules": row.rules,
        "findings": row.findings,
    }


def _reach(tables: Tables, collect: Collect) -> tuple[Reach, ...]:
    if "attempts" not in tables:
        return ()
    table = tables["attempts"]
    grouped = table.group_by(["intent", "outcome"]).agg(
        attempts=table.count(), started=table.started.min(), ended=table.ended.max()
    )
    rows = [Reach(**row) for row in collect(grouped).to_pylist()]
    return tuple(sorted(rows, key=lambda row: (row.intent, row.outcome)))


def _ranked(findings: ibis.Table, end: str, collect: Collect) -> tuple[Ranked, ...]:
    return tuple(Ranked(**row) for row in collect(ranked(findings, end).limit(TOP)).to_pylist())


def _first_look(tables: Tables, collect: Collect) -> FirstLook | None:
    findings = tables["findings"]
    severity = ibis.cases(*((findings.severity == name, rank) for rank, name in enumerate(SEVERITIES)), else_=0)
    order = [
        ibis.desc((findings.outcome == "succeeded").cast("int64") + severity.cast("int64")),
        ibis.desc(severity),
        findings.time,
        findings.id,
    ]
    rows = collect(
        findings.order_by(order)
        .limit(1)
        .select("id", "title", "severity", "outcome", "time", who=lambda table: table.source["value"])
    ).to_pylist()
    if not rows:
        return None
    [row] = rows
    record = None
    if "finding_records" in tables:
        held = tables["finding_records"]
        held = held.filter(held.finding == row["id"]).order_by(["evidence", "record"]).limit(1)
        record = next((f"{one['evidence']}:{one['record']}" for one in collect(held).to_pylist()), None)
    return FirstLook(row["id"], row["title"], row["severity"], row["outcome"], row["time"], row["who"], record)


def _timeline(
    findings: ibis.Table | None, seen: ibis.Table | None, found: tuple[SourceCoverage, ...], collect: Collect
) -> Timeline | None:
    firsts = [source.first for source in found if source.first]
    lasts = [source.last for source in found if source.last]
    if seen is None or not firsts or not lasts:
        return None
    start = min(firsts)
    microseconds = (max(lasts) - start) // timedelta(microseconds=1)
    width = microseconds // BUCKETS + 1
    return Timeline(
        start=start,
        step=timedelta(microseconds=width),
        records=_histogram(seen, start, width, collect),
        findings=_histogram(findings, start, width, collect) if findings is not None else (0,) * BUCKETS,
    )


def _histogram(table: ibis.Table, start: datetime, width: int, collect: Collect) -> tuple[int, ...]:
    origin = ibis.literal(start, type="timestamp('UTC', 6)")
    placed = table.filter(table.time.notnull())
    placed = placed.select(bucket=(placed.time.delta(origin, unit="microsecond") // width).cast("int64"))
    counted = collect(placed.group_by("bucket").agg(number=placed.count())).to_pylist()
    by_bucket = {row["bucket"]: row["number"] for row in counted}
    return tuple(int(by_bucket.get(bucket, 0)) for bucket in range(BUCKETS))
