"""Measures of attempts."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.engine.measures import Measure, Tables
from casemate.incident.attempts import beginnings


def _attempts(tables: Tables) -> ibis.Table:
    return tables["attempts"]


def _known_sources(tables: Tables) -> ibis.Table:
    sources = tables["attempts"].select(
        kind=lambda table: table.source["kind"], value=lambda table: table.source["value"]
    )
    return sources.filter(sources.kind != "unknown").distinct()


MEASURES: tuple[Measure, ...] = (
    Measure("attempts.total", 1, "attempts", "attempts at the case's gap", ("attempts",), _attempts),
    Measure(
        "attempts.by_intent",
        1,
        "attempts by intent",
        "attempts, by the furthest intent of their findings",
        ("attempts",),
        _attempts,
        by="intent",
    ),
    Measure(
        "attempts.by_outcome",
        1,
        "attempts by outcome",
        "attempts, by outcome (succeeded before failed before blocked before unknown)",
        ("attempts",),
        _attempts,
        by="outcome",
    ),
    Measure(
        "attempts.by_vector",
        1,
        "attempts by vector",
        "attempts, by vector",
        ("attempts",),
        _attempts,
        by="vector",
    ),
    Measure(
        "attempts.at_gap",
        1,
        "attempts at other gaps",
        "findings that begin an attempt if the gap were 10, 30 or 120 minutes",
        ("attempt_findings",),
        lambda tables: beginnings(tables["attempt_findings"]),
        by="label",
    ),
    Measure(
        "attempts.sources",
        1,
        "sources of attempts",
        "distinct known sources of attempts",
        ("attempts",),
        _known_sources,
    ),
    Measure(
        "attempts.by_scope",
        1,
        "attempts by target",
        "attempts, by the service, host or network they were against",
        ("attempts",),
        lambda tables: tables["attempts"].mutate(target=tables["attempts"].scope["value"]),
        by="target",
    ),
)
