"""What a case says as a whole: the summary's input, the list of measures, the state of the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import ibis

from casemate.case import Case
from casemate.detect.measures import MEASURES as DETECT_MEASURES
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.measures import rows_behind, values
from casemate.engine.protocol import StoredTables
from casemate.errors import BadInput
from casemate.evidence.measures import MEASURES as EVIDENCE_MEASURES
from casemate.explore.blind_spots import worth
from casemate.explore.coverage import CoverageFacts
from casemate.explore.coverage_json import coverage_object
from casemate.explore.origins import summary_origins
from casemate.explore.runs import last_run
from casemate.explore.summary import TABLES, RunFacts, SummaryInput, gather
from casemate.explore.tables import DERIVED, native_filled, stored_tables
from casemate.explore.tunings import suppressed_count, tuning_facts
from casemate.incident.attempts import members
from casemate.incident.measures import MEASURES as INCIDENT_MEASURES
from casemate.origins.measures import MEASURES as ORIGIN_MEASURES

ALL_MEASURES = (*EVIDENCE_MEASURES, *DETECT_MEASURES, *INCIDENT_MEASURES, *ORIGIN_MEASURES)


def case_summary(
    case: Case,
    *,
    shown: str | None = None,
    verified: bool | None = None,
    coverage: CoverageFacts | None = None,
    at_a_glance: bool = False,
) -> SummaryInput:
    """Everything the summary shows, asked of the case as it is now.

    Args:
        shown: the case's path as the user wrote it, for the commands shown; its own when None.
        verified: whether custody was verified just now; None when it was not asked.
        coverage: all facts of coverage, where they are wanted (:func:`casemate.explore.coverage.case_coverage`).
        at_a_glance: for the first screen, which names no silence shorter than an hour: they are not looked for.
    """
    stored = stored_tables(case)
    engine = DuckDBEngine()
    engine.use(stored)
    facts = run_facts(case, engine, shown=shown, verified=verified)
    tables = measurable(engine, stored, TABLES)
    native = {name: engine.read(name) for name in native_filled(stored)}
    given = gather(tables, native, engine.collect, facts, engine.hold, coverage, at_a_glance=at_a_glance)
    return replace(given, origins=summary_origins(case, engine))


def measurable(engine: DuckDBEngine, stored: StoredTables, names: Iterable[str]) -> dict[str, ibis.Table]:
    """These tables of a case, as measures ask them."""
    tables = {name: engine.read(name) for name in names}
    if "attempt_findings" in tables and any("apart" in gone for gone in stored["attempt_findings"].lacking.values()):
        # attempts of a version that did not note it
        tables["attempt_findings"] = members(engine.read("findings"))
    return tables


def run_facts(case: Case, engine: DuckDBEngine, *, shown: str | None = None, verified: bool | None = None) -> RunFacts:
    """What the last run said of itself."""
    run = last_run(case) or {}
    return RunFacts(
        run=run.get("run", "none"),
        case=shown or str(case.path),
        verified=verified,
        gap_seconds=case.settings.gap_minutes * 60,
        own_networks=run.get("own_networks"),
        rules=run.get("rules_ran"),
        unusable_rules=run.get("rules_not_run"),
        notes=(*_reader_notes(engine), *run.get("problems", ())),
        suppressed=suppressed_count(case),
        tuning=tuning_facts(case, run),
    )


def coverage_document(case: Case, facts: CoverageFacts) -> dict[str, Any]:
    """What ``casemate coverage --json`` prints: the ``coverage`` object of the summary."""
    engine = DuckDBEngine()
    engine.use(stored_tables(case))
    run = run_facts(case, engine)
    said = worth(facts.kept, len(facts.sources), run.rules, facts.findings, facts.spots)
    return coverage_object(
        facts.sources,
        facts.spots,
        said,
        facts,
        own_networks=run.own_networks,
        rules=run.rules,
        unusable_rules=run.unusable_rules,
        notes=run.notes,
    )


def _reader_notes(engine: DuckDBEngine) -> tuple[str, ...]:
    """One sentence on what readers had to assume or could not read; none where they had nothing to say."""
    found = engine.collect(engine.read("evidence").select("notes"))
    noted = [row for row in found.to_pylist() if row["notes"]]
    if not noted:
        return ()
    texts = sorted({note for row in noted for note in row["notes"]}, key=lambda note: ("year" not in note, note))
    pieces = "1 piece of evidence carries" if len(noted) == 1 else f"{len(noted):,} pieces of evidence carry"
    return (f"{pieces} a note (query evidence.notes), first: {texts[0]}",)


def measures_listing(case: Case) -> list[dict[str, Any]]:
    """Every measure with its version, value in this case, and definition."""
    stored = stored_tables(case)
    engine = DuckDBEngine()
    engine.use(stored)
    found = values(ALL_MEASURES, measurable(engine, stored, DERIVED), engine.collect)
    return [
        {"measure": one.name, "version": one.version, "value": found[one.name], "definition": one.definition}
        for one in ALL_MEASURES
    ]


def measure_rows(case: Case, name: str, label: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows that a measure counts, one by one.

    Raises:
        BadInput: there is no such measure, or it has no labels.
    """
    found = next((one for one in ALL_MEASURES if one.name == name), None)
    if found is None:
        raise BadInput(f"no measure '{name}'", hint="'casemate show measures' lists them")
    engine = DuckDBEngine()
    stored = stored_tables(case)
    engine.use(stored)
    tables = measurable(engine, stored, found.needs)
    for batch in engine.batches(rows_behind(found, tables, label)):
        yield from batch.to_pylist()


def rules_report(case: Case) -> dict[str, Any]:
    """The rules of the last run: how many there are, ran, for each that did not run why, and those with notes."""
    engine = DuckDBEngine()
    engine.use(stored_tables(case))
    rows = engine.collect(engine.read("rules").order_by(["state", "path"])).to_pylist()
    return {
        "rule_set": (last_run(case) or {}).get("rule_set"),
        "loaded": len(rows),
        "ran": sum(row["state"] == "ran" for row in rows),
        "not_run": [row for row in rows if row["state"] != "ran"],
        "noted": [row for row in rows if row["state"] == "ran" and row["reason"] is not None],
    }
