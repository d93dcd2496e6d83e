"""Findings and attempts as they are shown: filtered, in order, with the records they rest on."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ibis

from casemate.engine.protocol import Engine
from casemate.errors import BadInput
from casemate.schema.annotations import VERDICTS
from casemate.schema.findings import SEVERITIES

RECORDS_SHOWN = 1_000
"""Most record addresses printed with one finding; ``record_count`` always says how many there are."""


@dataclass(frozen=True)
class FindingFilter:
    """Which findings: at least this severity, this rule, detector, attempt, verdict; all of what is given."""

    severity: str | None = None
    rule: str | None = None
    detector: str | None = None
    attempt: str | None = None
    finding: str | None = None
    annotated: bool = False
    verdict: str | None = None
    suppressed: bool = False
    """Those that tunings took out, in place of the others."""


def chosen(engine: Engine, wanted: FindingFilter) -> ibis.Table:
    """The findings that fit `wanted`.

    Raises:
        BadInput: no such severity or verdict.
    """
    table = engine.read("suppressed_findings" if wanted.suppressed else "findings")
    if wanted.severity is not None:
        if wanted.severity not in SEVERITIES:
            raise BadInput(f"no severity '{wanted.severity}'", hint="one of " + ", ".join(SEVERITIES))
        table = table.filter(table.severity.isin(SEVERITIES[SEVERITIES.index(wanted.severity) :]))
    if wanted.rule is not None:
        table = table.filter((table.rule_id == wanted.rule) | (table.title == wanted.rule))
    if wanted.detector is not None:
        table = table.filter(table.detector == wanted.detector)
    if wanted.finding is not None:
        table = table.filter(table.id.startswith(wanted.finding))
    if wanted.attempt is not None:
        members = engine.read("attempt_findings")
        members = members.filter(members.attempt.startswith(wanted.attempt))
        table = table.semi_join(members, table.id == members.finding)
    return _annotated(engine, table, "finding", wanted.annotated, wanted.verdict)


def _annotated(engine: Engine, table: ibis.Table, kind: str, annotated: bool, verdict: str | None) -> ibis.Table:
    """Those of the findings or attempts that people marked, or marked so."""
    if verdict is not None and verdict not in VERDICTS:
        raise BadInput(f"no verdict '{verdict}'", hint="one of " + ", ".join(VERDICTS))
    if not annotated and verdict is None:
        return table
    marks = engine.read("annotations")
    marks = marks.filter(marks.kind == kind)
    if verdict is not None:
        marks = marks.filter(marks.verdict == verdict)
    return table.semi_join(marks, table.id == marks.subject)


ANNOTATION_KEYS = ("verdict", "duplicate_of", "note", "tags", "marked_by", "marked_at", "inherited_from")


def _marks(engine: Engine, kind: str) -> dict[str, dict[str, Any]]:
    """What people said of findings or attempts, by id."""
    marks = engine.read("annotations")
    rows = engine.collect(marks.filter(marks.kind == kind).select("subject", *ANNOTATION_KEYS)).to_pylist()
    return {row.pop("subject"): row for row in rows}


def with_records(findings: ibis.Table, finding_records: ibis.Table) -> ibis.Table:
    """Findings with ``record_count`` and the first addresses (``records``, by evidence and number)."""
    place = ibis.window(group_by=finding_records.finding, order_by=[finding_records.evidence, finding_records.record])
    numbered = finding_records.mutate(place=ibis.row_number().over(place))
    counted = numbered.group_by("finding").agg(
        record_count=numbered.count(),
        records=(numbered.evidence + ":" + numbered.record.cast("string")).collect(
            where=numbered.place < RECORDS_SHOWN
        ),
    )
    return findings.left_join(counted, findings.id == counted.finding).drop("finding")


def finding_lines(engine: Engine, wanted: FindingFilter, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Findings one by one, in order of time and id, as ``casemate show findings --json`` prints them."""
    findings = chosen(engine, wanted)
    members = engine.read("suppressed_records" if wanted.suppressed else "finding_records")
    if limit is not None:
        findings = _oldest_first(findings).limit(limit)
    if limit is not None or wanted != FindingFilter():
        # number only the records of the findings that are shown
        members = members.semi_join(findings, members.finding == findings.id)
    table = _oldest_first(with_records(findings, members))
    marks = _marks(engine, "finding")
    for batch in engine.batches(table):
        for row in batch.to_pylist():
            addresses = row.pop("records") or []
            row["records"] = sorted(addresses, key=_place)
            row["record_count"] = row.pop("record_count") or 0
            row["annotation"] = marks.get(row["id"])
            yield row


def _oldest_first(findings: ibis.Table) -> ibis.Table:
    return findings.order_by([findings.time.asc(nulls_first=False), findings.id])


def _place(address: str) -> tuple[str, int]:
    evidence, _, record = address.rpartition(":")
    return evidence, int(record)


def attempt_lines(
    engine: Engine, limit: int | None = None, *, annotated: bool = False, verdict: str | None = None
) -> Iterator[dict[str, Any]]:
    """Attempts one by one, oldest first, each with the ids of its findings; only those marked, or marked so.

    Raises:
        BadInput: no such verdict.
    """
    table = _annotated(engine, engine.read("attempts"), "attempt", annotated, verdict)
    marks = _marks(engine, "attempt")
    members = engine.read("attempt_findings")
    grouped = members.group_by("attempt").agg(finding_ids=members.finding.collect())
    table = table.left_join(grouped, table.id == grouped.attempt).drop("attempt")
    table = table.order_by([table.started.asc(nulls_first=False), table.id])
    if limit is not None:
        table = table.limit(limit)
    for batch in engine.batches(table):
        for row in batch.to_pylist():
            row["finding_ids"] = sorted(row.pop("finding_ids") or [])
            row["annotation"] = marks.get(row["id"])
            yield row


def attributed(engine: Engine) -> Iterator[dict[str, Any]]:
    """Every finding with all its record addresses: ``id, title, severity, detector, records``."""
    findings, members = engine.read("findings"), engine.read("finding_records")
    grouped = members.group_by("finding").agg(
        records=(members.evidence + ":" + members.record.cast("string")).collect()
    )
    joined = findings.join(grouped, findings.id == grouped.finding)
    for batch in engine.batches(joined.select("id", "title", "severity", "detector", "records")):
        yield from batch.to_pylist()
