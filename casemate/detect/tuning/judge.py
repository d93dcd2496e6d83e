"""What tunings and core assets say of findings.

The condition of each tuning is compiled as a Sigma rule of its own on the log source of the rule it is for, by the
same compiler and matcher as all rules; it matches what the filter takes out.  Conditions on findings are compiled
on the log source ``casemate/finding``.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from casemate.detect.sigma.cache import InstalledRules, install_rule_files, open_matcher
from casemate.detect.sigma.kernel import SigmaMatches, matches_of
from casemate.detect.sigma.logsources.findings import FINDING_TABLE
from casemate.detect.sigma.rule_files import RuleFile
from casemate.detect.tuning.assets import CoreAssets
from casemate.detect.tuning.fields import as_records
from casemate.detect.tuning.severity import Change, one_step_up, with_changes, without_changes
from casemate.detect.tuning.tunings import FINDING_LOG_SOURCE, Tuning, as_yaml, filter_document
from casemate.errors import BadInput

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KnownRule:
    """A rule that tunings may be for.

    Args:
        id, title: as findings have them.
        log_source: ``product/category/service`` with ``*`` for what is not named; None for correlations and behaviours.
        severity: its own, if it has one.
    """

    id: str
    title: str
    log_source: str | None
    severity: str | None = None


@dataclass(frozen=True)
class Condition:
    """The condition of one tuning on one log source: the id of its compiled rule, and the rules it is for."""

    id: str
    tuning: int
    rules: frozenset[str]


@dataclass(frozen=True)
class Compiled:
    """Tunings ready to be held against findings.

    Args:
        tunings: in order of precedence.
        conditions: compiled conditions.
        installed: the compiled rules; None where no tuning has a condition.
        refused: id of a tuning to the reason why it does nothing.
    """

    tunings: tuple[Tuning, ...]
    conditions: tuple[Condition, ...]
    installed: InstalledRules | None
    refused: Mapping[str, str]

    def on_records(self, kind: str | None = None) -> list[Condition]:
        """Conditions on records (of tunings of this kind)."""
        return [
            one
            for one in self.conditions
            if self.tunings[one.tuning].about == "record" and kind in (None, self.tunings[one.tuning].kind)
        ]


def fits(tuning: Tuning, rule: KnownRule) -> bool:
    """Whether a tuning is for a rule: it names it, and its log source does not contradict it."""
    if tuning.rules and rule.id.lower() not in tuning.rules:
        return False
    if tuning.about == "finding" or tuning.detection is None:
        return bool(tuning.rules) or tuning.about == "finding"
    if rule.log_source is None:
        return False
    had = _log_source(rule.log_source)
    return all(had.get(part, "").lower() == str(wanted).lower() for part, wanted in tuning.log_source.items())


def _log_source(text: str) -> dict[str, str]:
    """``product/category/service`` as a Sigma log source; ``*`` stands for what is not named."""
    parts = zip(("product", "category", "service"), text.split("/"), strict=False)
    return {str(name): part for name, part in parts if part and part != "*"}


def compile_tunings(tunings: Sequence[Tuning], rules: Sequence[KnownRule], cache: Path) -> Compiled:
    """Compile the conditions of tunings for the rules of a case.

    Raises:
        CannotFinish: the cache cannot be written.
    """
    conditions: list[Condition] = []
    files: list[RuleFile] = []
    refused: dict[str, str] = {}
    for number, tuning in enumerate(tunings):
        concerned = [rule for rule in rules if fits(tuning, rule)]
        if not concerned:
            refused[tuning.id] = "the case has no such rule of this log source"
        elif tuning.detection is not None:
            for place, (source, ids) in enumerate(sorted(_by_source(tuning, concerned).items())):
                condition = Condition(f"{tuning.id}/{place}", number, frozenset(ids))
                conditions.append(condition)
                files.append(RuleFile(f"{condition.id}.yml", as_yaml(_rule_of(tuning, condition.id, source)).encode()))
    if not files:
        return Compiled(tuple(tunings), (), None, refused)
    installed = install_rule_files(files, cache)
    for one in (*installed.rules.refused, *installed.rules.unread):
        refused[one.path.split("/")[0]] = one.reason
    usable = {rule.id for rule in installed.rules.rules}
    return Compiled(tuple(tunings), tuple(one for one in conditions if one.id in usable), installed, refused)


def _by_source(tuning: Tuning, rules: Sequence[KnownRule]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in rules:
        source = rule.log_source if tuning.about == "record" and rule.log_source is not None else ""
        found.setdefault(source, []).append(rule.id)
    return found


def _rule_of(tuning: Tuning, identity: str, source: str) -> dict[str, Any]:
    """The Sigma rule that finds what the filter takes out, on the log source of the rule it is for."""
    assert tuning.detection is not None
    log_source = _log_source(source) if source else dict(FINDING_LOG_SOURCE)
    detection = dict(tuning.detection)
    detection["condition"] = f"not ({detection['condition']})"
    return {"title": identity, "id": identity, "logsource": log_source, "detection": detection}


def check(tuning: Tuning, rules: Sequence[KnownRule], cache: Path) -> Compiled:
    """A tuning compiled, after pySigma has read it as the Sigma filter it is.

    Raises:
        BadInput: it is no filter, or does not fit the rules it names, or cannot be compiled.
    """
    if tuning.detection is not None:
        from casemate.detect.sigma.load import parse_rule_files  # pySigma is slow to start, and rarely needed here

        parsed = parse_rule_files([RuleFile("filter.yml", as_yaml(filter_document(tuning)).encode())])
        if parsed.errors or not parsed.filters:
            reason = parsed.errors[0].reason if parsed.errors else "it has no filter"
            raise BadInput(f"not a Sigma filter: {reason}", where="--where")
    compiled = compile_tunings([tuning], rules, cache)
    if tuning.id in compiled.refused:
        raise BadInput(f"cannot be used: {compiled.refused[tuning.id]}", where="--where")
    return compiled


def kernel_for(compiled: Compiled, table: str, conditions: Sequence[Condition]) -> SigmaMatches:
    """The kernel that finds the records of a native table that fulfil conditions."""
    assert compiled.installed is not None
    return SigmaMatches(str(compiled.installed.folder), table, tuple(one.id for one in conditions))


def as_detected(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Findings with the severity and the why that detectors gave them.

    Raises:
        ValueError, KeyError, TypeError: a why is not what this module writes.
    """
    why = batch.column("why")
    changed = np.flatnonzero(pc.starts_with(why, '{"tuned":').to_numpy(zero_copy_only=False))
    if not len(changed):
        return batch
    whys, severities = why.to_pylist(), batch.column("severity").to_pylist()
    for row in changed.tolist():
        whys[row], severities[row] = without_changes(whys[row], severities[row])
    return _with(batch, {"why": whys, "severity": severities})


def _with(batch: pa.RecordBatch, columns: Mapping[str, list[Any]]) -> pa.RecordBatch:
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else batch.column(field.name)
        for field in batch.schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


@dataclass(frozen=True)
class Judged:
    """What is to become of a batch of findings.

    Args:
        batch: the findings with their severities changed, those taken out included (these unchanged).
        suppressed_by: per row the number of the tuning that takes it out, -1 for none.
        severity_by: per row the number of the tuning that set its severity, -1 for none.
        assets: per row the core asset that raised it, or None.
    """

    batch: pa.RecordBatch
    suppressed_by: Rows
    severity_by: Rows
    assets: list[str | None]


class Judge:
    """Holds findings against tunings and core assets.

    Args:
        compiled: the tunings.
        core: the core assets.
        by_records: number of a tuning on records to the ids of the findings whose record fulfils it.
    """

    def __init__(self, compiled: Compiled, core: CoreAssets, by_records: Mapping[int, pa.Array]) -> None:
        self._compiled = compiled
        self._core = core
        self._by_records = by_records
        self._on_findings = [one for one in compiled.conditions if compiled.tunings[one.tuning].about == "finding"]

    def judge(self, findings: pa.RecordBatch) -> Judged:
        """Judge findings as detectors gave them (:func:`as_detected`), columns of ``FINDINGS``."""
        rows = findings.num_rows
        suppressed_by, severity_by = np.full(rows, -1, np.int64), np.full(rows, -1, np.int64)
        told = self._matches(findings)
        for number, tuning in enumerate(self._compiled.tunings):
            mask = self._holds(number, tuning, findings, told)
            if mask is None:
                continue
            by = suppressed_by if tuning.kind == "suppress" else severity_by
            by[mask & (by < 0)] = number
        severity_by[suppressed_by >= 0] = -1
        assets = self._assets(findings, suppressed_by)
        return Judged(self._changed(findings, severity_by, assets), suppressed_by, severity_by, assets)

    def _holds(
        self, number: int, tuning: Tuning, findings: pa.RecordBatch, told: Mapping[int, pa.Array]
    ) -> npt.NDArray[np.bool_] | None:
        if tuning.id in self._compiled.refused:
            return None
        if tuning.detection is None:
            return _is_in(pc.utf8_lower(findings.column("rule_id")), pa.array(tuning.rules, pa.string()))
        ids = self._by_records.get(number) if tuning.about == "record" else told.get(number)
        return None if ids is None or not len(ids) else _is_in(findings.column("id"), ids)

    def _matches(self, findings: pa.RecordBatch) -> dict[int, pa.Array]:
        """Per tuning on findings the ids of those that fulfil it and are of its rules."""
        installed = self._compiled.installed
        if not self._on_findings or installed is None or not findings.num_rows:
            return {}
        kernel = kernel_for(self._compiled, FINDING_TABLE, self._on_findings)
        matcher = open_matcher(installed.folder, FINDING_TABLE, only=frozenset(kernel.rules))
        found = matches_of(matcher, as_records(findings, matcher.column_names()), (), kernel.schema())
        of_rule = dict(zip(findings.column("id").to_pylist(), findings.column("rule_id").to_pylist(), strict=True))
        by_id = {one.id: one for one in self._on_findings}
        ids: dict[int, list[str]] = {}
        for condition, finding in zip(
            found.column("rule").to_pylist(), found.column("evidence").to_pylist(), strict=True
        ):
            if of_rule[finding] in by_id[condition].rules:
                ids.setdefault(by_id[condition].tuning, []).append(finding)
        return {number: pa.array(names, pa.string()) for number, names in ids.items()}

    def _assets(self, findings: pa.RecordBatch, suppressed_by: Rows) -> list[str | None]:
        if not self._core:
            return [None] * findings.num_rows
        source, target = findings.column("source"), findings.column("target")
        texts = [pc.struct_field(target, "value"), pc.struct_field(target, "service"), pc.struct_field(source, "value")]
        named: list[str | None] = [None] * findings.num_rows
        for column in texts:
            encoded = column.dictionary_encode()
            assets = [None if text is None else self._core.named(text) for text in encoded.dictionary.to_pylist()]
            for row, code in enumerate(encoded.indices.to_pylist()):
                if code is not None and named[row] is None:
                    named[row] = assets[code]
        return [None if by >= 0 else name for name, by in zip(named, suppressed_by.tolist(), strict=True)]

    def _changed(self, findings: pa.RecordBatch, severity_by: Rows, assets: list[str | None]) -> pa.RecordBatch:
        rows = [row for row, (by, name) in enumerate(zip(severity_by.tolist(), assets, strict=True)) if by >= 0 or name]
        if not rows:
            return findings
        severities, whys = findings.column("severity").to_pylist(), findings.column("why").to_pylist()
        for row in rows:
            was = severities[row]
            changes: list[Change] = []
            if severity_by[row] >= 0:
                tuning = self._compiled.tunings[int(severity_by[row])]
                assert tuning.severity is not None
                changes.append(Change(tuning.severity, "tuning", tuning.id, tuning.reason))
            name = assets[row]
            if name is not None:
                before = changes[-1].to if changes else was
                changes.append(Change(one_step_up(before), "core_asset", name, f"it names the core asset {name}"))
            severities[row], whys[row] = changes[-1].to, with_changes(whys[row], was, changes)
        return _with(findings, {"severity": severities, "why": whys})


def _is_in(column: pa.Array, values: pa.Array) -> npt.NDArray[np.bool_]:
    return pc.is_in(column, value_set=values).to_numpy(zero_copy_only=False)
