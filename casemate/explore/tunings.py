"""The tunings of a case and its site as they are listed, with what each does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from casemate.case import CUSTODY, Case
from casemate.detect.tuning.overlay import case_tunings
from casemate.detect.tuning.tunings import Tuning
from casemate.explore.runs import last_run

STATES: dict[str, str] = {
    "active": "in force in the last run",
    "waiting": "in force from the next run",
    "expired": "over: what it did is undone by the next run at the latest",
}
SUPPRESSED = ("suppressed", "suppressed_findings")
"""What filters of the rule set and what tunings took out."""


@dataclass(frozen=True)
class TuningRow:
    """A tuning, its state (:data:`STATES`), the findings it touches now, and why it touches none, if it cannot."""

    tuning: Tuning
    state: str
    findings: int
    note: str | None


def tuning_rows(case: Case, site: Iterable[Tuning], day: dt.date) -> list[TuningRow]:
    """The tunings of a case, then those of the site, in the order they were added."""
    run = last_run(case) or {}
    acting = {one.get("id") for one in run.get("tunings", ())}
    idle: Mapping[str, str] = run.get("tunings_without_effect", {})
    touched = {row["name"]: row["findings"] for row in effects(case) if row["effect"] in ("suppress", "severity")}
    found: dict[str, TuningRow] = {}
    for one in (*case_tunings(case.path / CUSTODY), *site):
        state = "expired" if not one.in_force(day) else "active" if one.id in acting else "waiting"
        note = idle.get(one.id) if state == "active" else None
        found.setdefault(one.id, TuningRow(one, state, touched.get(one.id, 0), note))
    return list(found.values())


def core_asset_rows(case: Case) -> list[dict[str, Any]]:
    """Core assets that raised findings: ``name, findings``."""
    return [
        {"name": row["name"], "findings": row["findings"]} for row in effects(case) if row["effect"] == "core_asset"
    ]


def tuning_facts(case: Case, run: Mapping[str, Any]) -> dict[str, Any]:
    """For the summary: tunings in force in `run`, findings taken out, severities changed, core assets that raised."""
    changed = sum(row["findings"] for row in effects(case) if row["effect"] == "changed")
    return {
        "in_force": len(run.get("tunings", ())),
        "suppressed": sum(part.rows for part in case.live_parts("suppressed_findings")),
        "severities_changed": changed,
        "core_assets": core_asset_rows(case),
    }


def effects(case: Case) -> list[dict[str, Any]]:
    """Rows of :data:`casemate.schema.tuning.TUNING_EFFECTS`."""
    return [row for path in case.part_paths("tuning_effects") for row in pq.read_table(path).to_pylist()]


def suppressed_count(case: Case) -> int:
    """How many matches and findings filters and tunings took out."""
    return sum(part.rows for name in SUPPRESSED for part in case.live_parts(name))
