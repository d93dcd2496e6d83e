"""For every rule of the rule set: did it run on this case, and if not, why?"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from casemate.detect.sigma.cache import InstalledRules, open_matcher
from casemate.detect.sigma.compiled import SUPPRESSED_SUFFIX, CompiledRule, Refused
from casemate.detect.sigma.correlation_needs import unfed
from casemate.detect.sigma.logsources import EventSource, sources_for
from casemate.engine.protocol import Engine, StoredTables
from casemate.explore.tables import native_filled
from casemate.investigate.correlations import correlations_of
from casemate.investigate.event_sources import occurring

VARIANT = " (channel not recorded)"
"""Ends the name of an event source that is another one as seen in exports that lack a column."""
SOURCES_SHOWN = 4
"""Most kinds of events that a reason names."""


def rule_states(engine: Engine, installed: InstalledRules, stored: StoredTables) -> list[dict[str, Any]]:
    """Rows of :data:`casemate.schema.rules.RULES`, in order of the rule files."""
    could_run = _rules_with_records(engine, installed, stored)
    rules = installed.rules
    rows = [
        _compiled_row(rule, number in could_run)
        for number, rule in enumerate(rules.rules)
        if not rule.id.endswith(SUPPRESSED_SUFFIX)
    ]
    rows += [_refused_row(refused, "no_reader") for refused in rules.unread if not _twin(refused)]
    rows += [
        _refused_row(refused, "not_read" if refused.id is None else "not_compiled")
        for refused in rules.refused
        if not _twin(refused)
    ]
    rows += _correlation_rows(installed, {row["rule_id"] for row in rows if row["state"] == "ran"})
    return sorted(rows, key=lambda row: (row["path"], row["rule_id"] or ""))


def _twin(refused: Refused) -> bool:
    """Whether this is the part of a filtered rule that finds what the filter takes out: listed with the rule."""
    return (refused.id or "").endswith(SUPPRESSED_SUFFIX)


def _compiled_row(rule: CompiledRule, ran: bool) -> dict[str, Any]:
    notes = "; ".join(rule.notes) or None
    return {
        "rule_id": rule.id,
        "title": rule.title,
        "path": rule.path,
        "severity": rule.severity,
        "log_source": rule.log_source,
        "state": "ran" if ran else "no_records",
        "reason": notes if ran else _lacking(rule.log_source),
    }


def _lacking(log_source: str) -> str:
    """Which records a rule would need."""
    product, category, service = (None if part == "*" else part for part in log_source.split("/", 2))
    sources = [source for source in sources_for(product, category, service) if not source.name.endswith(VARIANT)]
    names = [_events(source, service) for source in sources]
    more = " or others" if len(names) > SOURCES_SHOWN else ""
    return f"no record of {log_source} in this case (needs {' or '.join(names[:SOURCES_SHOWN])}{more})"


def _events(source: EventSource, service: str | None) -> str:
    """The name of an event source; with its channel where the name is only that of the service."""
    channels = [value for where in source.where if where.column == "Channel" for value in sorted(where.values)]
    return f"channel {', '.join(channels)}" if channels and source.name == service else source.name


def _correlation_rows(installed: InstalledRules, ran: Collection[str]) -> Iterator[dict[str, Any]]:
    """A row per correlation: it ran if every rule it looks at did, on some record."""
    correlations, paths = correlations_of(installed)
    lacking = {one.key: one.reason for one in unfed(correlations, ran)}
    for correlation in correlations:
        yield {
            "rule_id": correlation.key,
            "title": correlation.title,
            "path": paths.get(correlation.key, ""),
            "severity": correlation.severity,
            "log_source": "correlation",
            "state": "no_records" if correlation.key in lacking else "ran",
            "reason": lacking.get(correlation.key),
        }


def _refused_row(refused: Refused, state: str) -> dict[str, Any]:
    return {
        "rule_id": refused.id,
        "title": refused.title,
        "path": refused.path,
        "severity": None,
        "log_source": None,
        "state": state,
        "reason": refused.reason,
    }


def _rules_with_records(engine: Engine, installed: InstalledRules, stored: StoredTables) -> set[int]:
    """Numbers of the rules for whose event source some table holds a record."""
    found: set[int] = set()
    for table in native_filled(stored):
        if table not in installed.tables:
            continue
        matcher = open_matcher(installed.folder, table)
        present = occurring(engine, table, stored[table].schema.names, matcher.sources)
        found.update(plan.rule for plan in matcher.plans if plan.source in present)
    return found
