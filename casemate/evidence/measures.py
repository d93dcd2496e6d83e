"""Measures of evidence."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.engine.measures import Measure, Tables


def _files(tables: Tables) -> ibis.Table:
    parents = tables["registrations"].select(evidence="parent").filter(lambda table: table.evidence.notnull())
    return tables["evidence"].anti_join(parents.distinct(), "evidence")


def _evidence(tables: Tables) -> ibis.Table:
    return tables["evidence"]


MEASURES: tuple[Measure, ...] = (
    Measure(
        "evidence.files",
        1,
        "files",
        "different contents received, archives not counted beside their members",
        ("evidence", "registrations"),
        _files,
    ),
    Measure(
        "evidence.records",
        1,
        "records",
        "records in the evidence, kept and rejected",
        ("evidence",),
        _evidence,
        add="records",
    ),
    Measure(
        "evidence.kept",
        1,
        "kept",
        "records kept in tables",
        ("evidence",),
        _evidence,
        add="kept",
    ),
    Measure(
        "evidence.rejected",
        1,
        "rejected",
        "records that could not be kept, each with position and reason",
        ("evidence",),
        _evidence,
        add="rejected",
    ),
)
