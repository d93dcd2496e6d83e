"""Measures of findings."""

from __future__ import annotations

import ibis

from casemate.engine.measures import Measure, Tables


def _findings(tables: Tables) -> ibis.Table:
    return tables["findings"]


MEASURES: tuple[Measure, ...] = (
    Measure("findings.total", 1, "findings", "findings", ("findings",), _findings),
    Measure(
        "findings.by_severity",
        1,
        "findings by severity",
        "findings, by severity",
        ("findings",),
        _findings,
        by="severity",
    ),
    Measure(
        "findings.unique_by_severity",
        1,
        "different rules by severity",
        "different rules that gave a finding, by the finding's severity",
        ("findings",),
        lambda tables: tables["findings"].select("rule_id", "severity").distinct(),
        by="severity",
    ),
    Measure(
        "findings.by_detector",
        1,
        "findings by detector",
        "findings, by detector",
        ("findings",),
        _findings,
        by="detector",
    ),
    Measure(
        "findings.by_outcome",
        1,
        "findings by outcome",
        "findings, by outcome",
        ("findings",),
        _findings,
        by="outcome",
    ),
)
