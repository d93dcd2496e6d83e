"""How much of the demo's truth an investigation found, what it called wrongly, what it cannot see yet.

A step counts as found when a finding of at least `low` severity rests on one of its records.  A
decoy or an ordinary record counts as wrongly called when a finding of at least `medium` severity
rests on it and on no record of the attack.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

NOT_YET: tuple[str, ...] = ("identity behaviour", "exfiltration analytics")
"""Capabilities that this version does not have; a step that needs one is `not yet covered`."""

SEEN = ("low", "medium", "high", "critical")
ACCUSED = ("medium", "high", "critical")


@dataclass(frozen=True)
class StepScore:
    """One step of the truth held against the findings.

    Args:
        label, title, technique, needs: as the truth states them.
        records, found: its records, and how many of them a finding rests on.
        by: the rules that found it, most records first.
    """

    label: str
    title: str
    technique: str
    needs: str
    records: int
    found: int
    by: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``found``, ``missed`` or ``not yet covered``."""
        if self.found:
            return "found"
        return "not yet covered" if self.needs in NOT_YET else "missed"


@dataclass(frozen=True)
class Score:
    """The whole comparison.

    Args:
        steps: the attack's steps.
        decoys: benign twins that were accused, with the rules that did.
        ordinary: other benign records accused, by rule.
        benign_records: how many records are not the attack's.
        gap_seen: whether the stretch without logs was named as one.
    """

    steps: tuple[StepScore, ...]
    decoys: tuple[StepScore, ...]
    ordinary: Mapping[str, int] = field(default_factory=dict)
    benign_records: int = 0
    gap_seen: bool = False

    def as_json(self) -> dict[str, Any]:
        """The score as plain data."""

        def row(step: StepScore) -> dict[str, Any]:
            return {
                "label": step.label,
                "title": step.title,
                "technique": step.technique,
                "verdict": step.verdict,
                "records": step.records,
                "found": step.found,
                "by": list(step.by),
            }

        return {
            "steps": [row(step) for step in self.steps],
            "decoys_accused": [row(decoy) for decoy in self.decoys if decoy.found],
            "decoys": len(self.decoys),
            "ordinary_accused": dict(self.ordinary),
            "benign_records": self.benign_records,
            "missing_logs_seen": self.gap_seen,
        }


def score(truth: Path, findings: Iterable[Mapping[str, Any]], silences: Iterable[Mapping[str, Any]]) -> Score:
    """Hold findings against the truth.

    Args:
        truth: the demo's truth file.
        findings: rows with ``title``, ``severity`` and ``records`` (all addresses of the finding).
        silences: rows with ``silence_from`` and ``silence_to`` (ISO 8601, UTC) of each source.
    """
    stated = json.loads(truth.read_text())
    attack = _addresses(stated["steps"])
    decoy = _addresses(stated["decoys"])
    seen: dict[str, dict[str, str]] = {}
    steps: dict[str, Counter[str]] = {}
    decoys: dict[str, Counter[str]] = {}
    ordinary: Counter[str] = Counter()
    for row in findings:
        on_attack = [address for address in row["records"] if address in attack]
        if row["severity"] in SEEN:
            for address in on_attack:
                seen.setdefault(attack[address], {})[address] = row["title"]
                steps.setdefault(attack[address], Counter())[row["title"]] += 1
        if row["severity"] in ACCUSED and not on_attack:
            for address in row["records"]:
                if address in decoy:
                    decoys.setdefault(decoy[address], Counter())[row["title"]] += 1
                else:
                    ordinary[row["title"]] += 1
    return Score(
        steps=tuple(_scored(step, len(seen.get(step["label"], {})), steps) for step in stated["steps"]),
        decoys=tuple(
            _scored(step, sum(decoys.get(step["label"], Counter()).values()), decoys) for step in stated["decoys"]
        ),
        ordinary=dict(ordinary.most_common()),
        benign_records=stated["records"] - len(attack),
        gap_seen=_covers(silences, stated["gap"]),
    )


def _addresses(steps: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{content}:{record}": step["label"]
        for step in steps
        for content, records in step["records"].items()
        for record in records
    }


def _scored(step: Mapping[str, Any], found: int, by: Mapping[str, Counter[str]]) -> StepScore:
    records = sum(len(numbers) for numbers in step["records"].values())
    rules = tuple(title for title, _ in by.get(step["label"], Counter()).most_common())
    return StepScore(
        step["label"], step["title"], step["technique"], step["needs"], records, min(found, records), rules
    )


def _covers(silences: Iterable[Mapping[str, Any]], gap: Mapping[str, str]) -> bool:
    """Whether one named silence covers at least nine tenths of the stated gap."""

    def moment(text: str) -> float:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    begin, end = moment(gap["from"]), moment(gap["to"])
    for row in silences:
        if row.get("silence_from") and row.get("silence_to"):
            overlap = min(end, moment(row["silence_to"])) - max(begin, moment(row["silence_from"]))
            if overlap >= 0.9 * (end - begin):
                return True
    return False
