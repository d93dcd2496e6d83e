"""How much of the demo's truth an investigation found, what it called wrongly, what it cannot see yet.

A step counts as found when a finding of at least `low` severity rests on one of its records.  A
decoy or an ordinary record counts as wrongly called when a finding of at least `medium` severity
rests on it and on no record of the attack.

What is no finding but a hole in the view is held against the case's coverage instead: the stretch of
missing logs, the cleared log, the clock that is wrong.

The *noise* is benign too, but a rule that knows no better must call it an attack: its records are
counted by themselves, so that what a tuning is worth can be seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

NOT_YET: tuple[str, ...] = ("identity behaviour",)
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
class Seen:
    """One hole in the view that the truth states, held against the coverage: what of it was said, if anything."""

    label: str
    title: str
    found: bool
    said: str | None = None


@dataclass(frozen=True)
class Noise:
    """Benign records that a rule calls an attack until somebody says better.

    Args:
        title: what they are.
        records, found: how many there are, and how many of them a finding accuses.
        by: the rules that do, most records first.
        where, reason: the condition that tells them apart, and why, as ``casemate tune`` takes them.
    """

    title: str
    records: int
    found: int
    by: tuple[str, ...]
    where: str
    reason: str


@dataclass(frozen=True)
class Score:
    """The whole comparison.

    Args:
        steps: the attack's steps.
        decoys: benign twins that were accused, with the rules that did.
        ordinary: other benign records accused, by rule.
        benign_records: how many records are not the attack's.
        holes: what the coverage must name: missing logs, a cleared log, a wrong clock.
        clocks_accused: hosts whose clocks are called wrong and are not.
        noise: what a tuning is for.
    """

    steps: tuple[StepScore, ...]
    decoys: tuple[StepScore, ...]
    ordinary: Mapping[str, int] = field(default_factory=dict)
    benign_records: int = 0
    holes: tuple[Seen, ...] = ()
    clocks_accused: tuple[str, ...] = ()
    noise: Noise | None = None

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
            "missing_logs_seen": any(hole.found for hole in self.holes if hole.label == "missing-logs"),
            "holes": [vars(hole) for hole in self.holes],
            "clocks_accused": list(self.clocks_accused),
            "noise": None if self.noise is None else {**vars(self.noise), "by": list(self.noise.by)},
        }


def score(truth: Path, findings: Iterable[Mapping[str, Any]], coverage: Mapping[str, Any]) -> Score:
    """Hold findings and coverage against the truth.

    Args:
        truth: the demo's truth file.
        findings: rows with ``title``, ``severity`` and ``records`` (all addresses of the finding).
        coverage: what ``casemate coverage --json`` says; read are ``sources`` (``silence_from``,
            ``silence_to``), ``stopped`` and ``clocks``.
    """
    stated = json.loads(truth.read_text())
    attack = _addresses(stated["steps"])
    decoy = _addresses(stated["decoys"])
    noise = _addresses([{"label": "noise", **stated["noise"]}])
    seen: dict[str, dict[str, str]] = {}
    steps: dict[str, Counter[str]] = {}
    decoys: dict[str, Counter[str]] = {}
    ordinary: Counter[str] = Counter()
    noisy: Counter[str] = Counter()
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
                elif address in noise:
                    noisy[row["title"]] += 1
                else:
                    ordinary[row["title"]] += 1
    return Score(
        steps=tuple(_scored(step, len(seen.get(step["label"], {})), steps) for step in stated["steps"]),
        decoys=tuple(
            _scored(step, sum(decoys.get(step["label"], Counter()).values()), decoys) for step in stated["decoys"]
        ),
        ordinary=dict(ordinary.most_common()),
        benign_records=stated["records"] - len(attack),
        holes=(
            _gap(coverage.get("sources") or (), stated["gap"]),
            _cleared(coverage.get("stopped") or (), stated["cleared"]),
            _clock(_offsets(coverage), stated["clock"]),
        ),
        clocks_accused=tuple(sorted(_accused_clocks(_offsets(coverage), stated["clock"]["host"]))),
        noise=Noise(
            stated["noise"]["title"],
            len(noise),
            min(sum(noisy.values()), len(noise)),
            _ranked(noisy),
            stated["noise"]["where"],
            stated["noise"]["reason"],
        ),
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
    rules = _ranked(by.get(step["label"], Counter()))
    return StepScore(
        step["label"], step["title"], step["technique"], step["needs"], records, min(found, records), rules
    )


def _ranked(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda title: (-counts[title], title)))


def _gap(silences: Iterable[Mapping[str, Any]], stated: Mapping[str, Any]) -> Seen:
    """Whether one named silence covers at least nine tenths of the stated gap."""
    begin, end = _moment(stated["from"]), _moment(stated["to"])
    for row in silences:
        if row.get("silence_from") and row.get("silence_to"):
            overlap = min(end, _moment(row["silence_to"])) - max(begin, _moment(row["silence_from"]))
            if overlap >= 0.9 * (end - begin):
                said = f"{row['table']}: silent from {row['silence_from']} to {row['silence_to']}"
                return Seen(stated["label"], stated["title"], True, said)
    return Seen(stated["label"], stated["title"], False)


def _cleared(acts: Iterable[Mapping[str, Any]], stated: Mapping[str, Any]) -> Seen:
    """Whether it is named that the host's log was cleared, on the day (either side of it: clocks are wrong)."""
    day = _moment(stated["day"] + "T00:00:00+00:00")
    for row in acts:
        near = row.get("first") and -86_400 < _moment(row["first"]) - day < 2 * 86_400
        if row["kind"] == "cleared" and near and _is_host(row.get("host"), stated["host"]):
            return Seen("cleared-log", stated["title"], True, f"{row['host']} {row['first']}: {row['says']}")
    return Seen("cleared-log", stated["title"], False)


def _clock(offsets: Iterable[Mapping[str, Any]], stated: Mapping[str, Any]) -> Seen:
    """Whether the host's clock is said to disagree with another, by the stated time within two minutes."""
    for row in offsets:
        for name, ahead in ((row["other"], row["seconds"]), (row["one"], -row["seconds"])):
            right = abs(ahead - stated["seconds"]) <= 120
            if row["verdict"] == "disagree" and right and _is_host(name, stated["host"]):
                said = f"{name} is {abs(ahead) / 60:.0f} minutes {'ahead' if ahead > 0 else 'behind'}"
                return Seen("wrong-clock", stated["title"], True, said)
    return Seen("wrong-clock", stated["title"], False)


def _accused_clocks(offsets: Iterable[Mapping[str, Any]], wrong: str) -> set[str]:
    """Pairs of clocks that are said to disagree though both are right."""
    return {
        f"{row['one']}, {row['other']}"
        for row in offsets
        if row["verdict"] == "disagree" and not _is_host(row["one"], wrong) and not _is_host(row["other"], wrong)
    }


def _offsets(coverage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((coverage.get("clocks") or {}).get("offsets") or ())


def _is_host(name: str | None, host: str) -> bool:
    return (name or "").lower().split(".")[0] == host


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
