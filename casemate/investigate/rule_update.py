"""What another rule set would say of a case: findings gained and lost.

Only rules that were added, removed or changed are matched, with the old and with the new rules, over the records the
case holds; a finding keeps its id where both say the same of the same records.  Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from casemate.case import Case
from casemate.detect.sigma.cache import InstalledRules, install_rule_files
from casemate.detect.sigma.kernel import SigmaFindings
from casemate.detect.sigma.load import documents_of
from casemate.detect.sigma.rule_files import RuleFile, read_rule_files
from casemate.engine.protocol import Engine, StoredTables
from casemate.errors import BadInput
from casemate.explore.tables import native_filled, stored_tables
from casemate.intel.diff import Difference, RuleText, compare_rules, rule_texts
from casemate.intel.store import OWN_RULES, current, own_rules, versions
from casemate.investigate.correlations import detect_correlations
from casemate.schema.findings import FINDINGS_WITH_RECORDS

ROWS_SHOWN = 10
"""Findings told of each side."""
COLUMNS = ("id", "rule_id", "title", "severity", "time", "source", "target")


@dataclass(frozen=True)
class RuleSide:
    """One of two rule sets: what it was called, its files, and its documents by id."""

    name: str
    files: tuple[RuleFile, ...]
    rules: Mapping[str, RuleText]


@dataclass(frozen=True)
class RuleEffect:
    """What the difference of one rule does to a case."""

    rule_id: str
    title: str
    change: str
    gained: int
    lost: int


@dataclass(frozen=True)
class CaseEffect:
    """What a rule update does to the findings of a case, before any tuning.

    Args:
        gained, lost: findings only the new, only the old rules make.
        same: findings of changed rules that both make; `severity_changed` of them with another severity.
        rules: rules with a gain or a loss, the greatest first.
        first_gained, first_lost: the first of them by time.
        not_compiled: changed or added rules that cannot be compiled, with the reason.
    """

    gained: int
    lost: int
    same: int
    severity_changed: int
    rules: tuple[RuleEffect, ...]
    first_gained: tuple[Mapping[str, Any], ...]
    first_lost: tuple[Mapping[str, Any], ...]
    not_compiled: tuple[tuple[str, str], ...]


def read_side(text: str, home: Path | None = None) -> RuleSide:
    """A rule set by its path, or an installed version by its name (or a unique beginning), ``current``, ``casemate``.

    Raises:
        BadInput: it is neither, or holds no rule.
    """
    path = _place(text, home)
    files = tuple(read_rule_files([path]))
    documents = [(file.name, document) for file in files for document in documents_of(file)]
    rules = rule_texts(documents)
    if not rules:
        raise BadInput("holds no Sigma rule", where=text)
    return RuleSide(text, files, rules)


def _place(text: str, home: Path | None) -> Path:
    if Path(text).exists():
        return Path(text)
    if text == OWN_RULES:
        return own_rules()
    installed = versions("sigma", home)
    if text == "current":
        found = [one for one in [current("sigma", home)] if one is not None]
    else:
        found = [one for one in installed if one.version.startswith(text) or one.sha256.startswith(text)]
    if len(found) != 1:
        known = ", ".join(one.version for one in installed) or "none"
        what = "no such path or installed version of the rules" if not found else "more than one version begins so"
        raise BadInput(what, where=text, hint=f"installed: {known}")
    return found[0].path


def differences(old: RuleSide, new: RuleSide) -> list[Difference]:
    """Every rule that is another in `new`."""
    return compare_rules(old.rules, new.rules)


def case_effect(
    case: Case,
    engine: Engine,
    old: RuleSide,
    new: RuleSide,
    found: Sequence[Difference],
    cache: Path,
    placeholders: Mapping[str, tuple[str, ...]],
) -> CaseEffect:
    """What the difference does to the findings of a case.

    Raises:
        CannotFinish: the cache cannot be written.
    """
    stored = stored_tables(case)
    engine.use(stored)
    touched = _touched(old, new, found)
    before, faults_before = _findings(engine, stored, old, touched, cache, placeholders)
    after, faults = _findings(engine, stored, new, touched, cache, placeholders)
    gained, lost = [id_ for id_ in after if id_ not in before], [id_ for id_ in before if id_ not in after]
    same = [id_ for id_ in after if id_ in before]
    change = {one.id: one.change for one in found}
    counts = Counter((after[id_]["rule_id"], "gained") for id_ in gained)
    counts.update((before[id_]["rule_id"], "lost") for id_ in lost)
    titles = {row["rule_id"]: row["title"] for row in (*before.values(), *after.values())}
    effects = [
        RuleEffect(
            rule, titles[rule], change.get(rule, "changed by others"), counts[rule, "gained"], counts[rule, "lost"]
        )
        for rule in {rule for rule, _ in counts}
    ]
    known = {fault[0] for fault in faults_before}
    return CaseEffect(
        len(gained),
        len(lost),
        len(same),
        sum(before[id_]["severity"] != after[id_]["severity"] for id_ in same),
        tuple(sorted(effects, key=lambda one: (-(one.gained + one.lost), one.rule_id))),
        _first(after, gained),
        _first(before, lost),
        tuple(fault for fault in faults if fault[0] not in known),
    )


def _touched(old: RuleSide, new: RuleSide, found: Sequence[Difference]) -> set[str]:
    """Ids of rules whose findings may differ: changed themselves, by a filter, or by a rule they look at."""
    touched = {one.id for one in found if one.change != "metadata"}
    every = {**old.rules, **new.rules}
    for rule in [every[id_] for id_ in touched if every[id_].kind == "filter"]:
        for side in (old, new):
            text = side.rules.get(rule.id, rule)
            named = _named(text.document.get("filter"))
            touched |= {id_ for id_, one in every.items() if named is None or id_ in named or _name(one) in named}
    for id_, rule in every.items():
        for side in (old, new):
            text = side.rules.get(id_, rule)
            if text.kind == "correlation" and (_named(text.document.get("correlation")) or set()) & _names(
                touched, every
            ):
                touched.add(id_)
    return touched


def _named(part: Any) -> set[str] | None:
    """Ids and names a correlation or filter names, lower case; None for any."""
    rules = part.get("rules") if isinstance(part, dict) else None
    if rules is None or rules == "any" or rules == []:
        return None
    return {str(rule).lower() for rule in ([rules] if isinstance(rules, str) else rules)}


def _name(rule: RuleText) -> str:
    return str(rule.document.get("name", "")).lower()


def _names(ids: Collection[str], every: Mapping[str, RuleText]) -> set[str]:
    return {*ids, *(_name(every[id_]) for id_ in ids)} - {""}


def _files(side: RuleSide, touched: Collection[str]) -> list[RuleFile]:
    """The files of touched rules, of the rules that touched correlations look at, and of all filters."""
    wanted = set(touched)
    for rule in side.rules.values():
        if rule.kind == "correlation" and rule.id in touched:
            named = _named(rule.document.get("correlation")) or set()
            wanted |= {id_ for id_, one in side.rules.items() if id_ in named or _name(one) in named}
    paths = {rule.path for rule in side.rules.values() if rule.id in wanted or rule.kind == "filter"}
    return [file for file in side.files if file.name in paths]


def _findings(
    engine: Engine,
    stored: StoredTables,
    side: RuleSide,
    touched: Collection[str],
    cache: Path,
    placeholders: Mapping[str, tuple[str, ...]],
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """The findings of touched rules by id, and the rules that could not be compiled."""
    files = _files(side, touched)
    if not any(rule.id in touched and rule.kind != "filter" for rule in side.rules.values()):
        return {}, []
    installed = install_rule_files(files, cache, placeholders=placeholders, where=side.name)
    found: dict[str, dict[str, Any]] = {}
    for batch in _batches(engine, stored, installed):
        for row in batch.select(list(COLUMNS)).to_pylist():
            # a rule without an id is known by its title, as in the comparison
            rule = row["rule_id"] if row["rule_id"] in side.rules else f"title:{row['title']}"
            if rule in touched:
                found[row["id"]] = {**row, "rule_id": rule}
    faults = [(one.id or one.path, one.reason) for one in installed.rules.refused if (one.id or "") in touched]
    return found, faults


def _batches(engine: Engine, stored: StoredTables, installed: InstalledRules) -> Iterator[pa.RecordBatch]:
    for table in native_filled(stored):
        if table in installed.tables:
            kernel = SigmaFindings(str(installed.folder), table)
            columns = kernel.columns(stored[table].schema.names)
            yield from engine.map_batches(table, kernel, FINDINGS_WITH_RECORDS, columns=columns)
    yield from detect_correlations(engine, installed, stored).to_batches()


def _first(rows: Mapping[str, Mapping[str, Any]], ids: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    chosen = sorted((rows[id_] for id_ in ids), key=lambda row: (row["time"] is None, row["time"] or 0, row["id"]))
    return tuple(chosen[:ROWS_SHOWN])
