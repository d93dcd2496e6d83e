"""From parsed rules to plans: conditions of atoms about columns of native tables.

What Sigma leaves open is decided in ``docs/decisions/0003-sigma-semantics.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import orjson
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from casemate.detect.sigma.atoms import Atom
from casemate.detect.sigma.compiled import (
    KEYWORDS,
    CompiledRule,
    CompiledRules,
    CompiledSource,
    Node,
    Plan,
    Refused,
    TablePlans,
    column_of,
)
from casemate.detect.sigma.conditions import ConditionReader
from casemate.detect.sigma.load import LoadedRule, RuleError
from casemate.detect.sigma.logsources import EventSource, sources_for
from casemate.detect.sigma.placeholders import Placeholders
from casemate.detect.sigma.selectivity import in_order, needed_atoms
from casemate.detect.sigma.tags import attack_of
from casemate.detect.sigma.values import UncompilableError
from casemate.schema.findings import SEVERITIES

CONFIDENCE: dict[str, str] = {"stable": "high", "test": "medium", "experimental": "low", "unsupported": "low"}
"""Sigma's status -> confidence; ``medium`` without one.  A rule that hunts (level informational or
low) is never surer than ``medium``."""


def compile_rules(
    rules: Iterable[LoadedRule],
    *,
    errors: Iterable[RuleError] = (),
    placeholders: Placeholders | None = None,
    silent: frozenset[str] = frozenset(),
) -> CompiledRules:
    """Compile rules; correlations and filters among them are passed over.

    Args:
        rules: see :mod:`.load`.
        errors: what could not be loaded, to be listed with what cannot be compiled.
        placeholders: values of ``%name%`` for the modifier ``expand``; a rule with a placeholder
            that is not here is refused.
        silent: ids of rules whose matches only feed correlations and are no findings.
    """
    compiled = CompiledRules(refused=[Refused(error.id, error.title, error.path, error.reason) for error in errors])
    writers: dict[str, _TableWriter] = {}
    for rule in rules:
        if not isinstance(rule.parsed, SigmaRule):
            continue
        condition = read_condition(rule.parsed, placeholders or {})
        if isinstance(condition, str):
            compiled.refused.append(Refused(rule.id, rule.title, rule.path, condition))
        else:
            _compile_rule(rule, rule.parsed, condition, compiled, writers, rule.id in silent)
    compiled.tables = {name: writers[name].finish() for name in sorted(writers)}
    return compiled


def read_condition(rule: SigmaRule, placeholders: Placeholders) -> Node | str:
    """The rule's condition, or the reason why it cannot be read."""
    try:
        return ConditionReader(rule, placeholders).condition()
    except (UncompilableError, SigmaError) as error:
        return " ".join(str(error).split())[:500]
    except (RecursionError, re.error, ValueError, TypeError, AttributeError, KeyError) as error:
        return f"pySigma cannot read its condition: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


class _TableWriter:
    """The plans of one table while they are written; gives each atom of a column one number."""

    def __init__(self) -> None:
        self.table = TablePlans()
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._sources: dict[str, int] = {}
        self._asks: list[set[str]] = []
        self._reads: set[str] = set()

    def finish(self) -> TablePlans:
        """The table, complete."""
        self.table.asks = [sorted(asked) for asked in self._asks]
        self.table.reads = sorted(self._reads)
        return self.table

    def note(self, source: int, node: Node) -> None:
        """Keep which columns a condition asks and reads."""
        kind = node[0]
        if kind in ("and", "or"):
            for part in node[1]:
                self.note(source, part)
        elif kind in ("not", "selection"):
            self.note(source, node[-1])
        elif kind != "keyword":
            self._reads.update((node[2], node[4]) if kind == "reference" else (node[2],))
            if kind == "field":
                self._asks[source].add(node[2])

    def atom(self, column: str, atom: Atom) -> int:
        key = (column, orjson.dumps(atom))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self.table.atoms.setdefault(column, {})[number] = atom
        return number

    def source(self, source: EventSource) -> int:
        plain = CompiledSource(
            source.name,
            tuple((where.column, tuple(sorted(where.values)), where.absent) for where in source.where),
            source.one_of,
            dict(source.fields),
        )
        key = repr(plain)
        if key not in self._sources:
            self._sources[key] = len(self.table.sources)
            self.table.sources.append(plain)
            self._asks.append(set())
            self._reads.update(column.lower() for column in (*(test[0] for test in plain.where), *plain.one_of))
        return self._sources[key]


def _compile_rule(
    rule: LoadedRule,
    parsed: SigmaRule,
    condition: Node,
    compiled: CompiledRules,
    writers: dict[str, _TableWriter],
    silent: bool,
) -> None:
    log_source = parsed.logsource
    parts = (log_source.product, log_source.category, log_source.service)
    written = "/".join(part or "*" for part in parts)
    sources = sources_for(*parts)
    if not sources:
        reason = f"no reader for this log source yet: {written}"
        compiled.unread.append(Refused(rule.id, rule.title, rule.path, reason))
        return
    missing = [tuple(sorted(_unanswered(condition, source))) if source.recorded else () for source in sources]
    answering = [pair for pair in zip(sources, missing, strict=True) if not (pair[1] and pair[0].strict)]
    if not answering:
        lacking = sorted({name for names in missing for name in names})
        reason = (
            f"it rules out by {', '.join(lacking)}, which no events of this log source that Casemate reads "
            f"({', '.join(source.name for source in sources)}) record"
        )
        compiled.unread.append(Refused(rule.id, rule.title, rule.path, reason))
        return
    number = len(compiled.rules)
    compiled.rules.append(_describe(rule, parsed, written, silent))
    for source, unanswered in answering:
        writer = writers.setdefault(source.table, _TableWriter())
        number_of_source = writer.source(source)
        tree = in_order(_on_columns(condition, source, writer), writer.table.atoms)
        needed = needed_atoms(tree, writer.table.atoms)
        plan = Plan(
            number,
            number_of_source,
            None if needed is None else tuple(sorted(needed[1])),
            orjson.dumps(tree).decode(),
            unanswered,
        )
        writer.table.plans.append(plan)
        writer.note(number_of_source, tree)


def _describe(rule: LoadedRule, parsed: SigmaRule, log_source: str, silent: bool) -> CompiledRule:
    level = parsed.level.name.lower() if parsed.level is not None else ""
    severity = level if level in SEVERITIES else "informational"
    status = parsed.status.name.lower() if parsed.status is not None else ""
    confidence = CONFIDENCE.get(status, "medium")
    if confidence == "high" and severity in ("informational", "low"):
        confidence = "medium"
    techniques, tactics = attack_of(parsed)
    dated = parsed.modified or parsed.date
    return CompiledRule(
        id=rule.id,
        title=rule.title,
        path=rule.path,
        hash=rule.hash,
        version=str(dated)[:10] if dated is not None else rule.hash[:16],
        severity=severity,
        techniques=techniques,
        tactics=tactics,
        confidence=confidence,
        finding=not silent,
        log_source=log_source,
        notes=rule.notes,
    )


def _on_columns(node: Node, source: EventSource, writer: _TableWriter) -> Node:
    kind = node[0]
    if kind in ("and", "or"):
        return [kind, [_on_columns(part, source, writer) for part in node[1]]]
    if kind == "not":
        return [kind, _on_columns(node[1], source, writer)]
    if kind == "selection":
        return [kind, node[1], _on_columns(node[2], source, writer)]
    if kind == "keyword":
        return [kind, sorted(writer.atom(KEYWORDS, atom) for atom in node[1])]
    column = column_of(node[1], source.fields).lower()
    if kind == "field":
        return [kind, node[1], column, sorted(writer.atom(column, atom) for atom in node[2])]
    if kind == "reference":
        return [kind, node[1], column, node[2], column_of(node[2], source.fields).lower(), node[3]]
    return [kind, node[1], column]


def _unanswered(node: Node, source: EventSource, *, negated: bool = False) -> set[str]:
    """Fields under a ``not`` that the source's events do not hold."""
    kind = node[0]
    if kind in ("and", "or"):
        return {field for part in node[1] for field in _unanswered(part, source, negated=negated)}
    if kind == "not":
        return _unanswered(node[1], source, negated=not negated)
    if kind == "selection":
        return _unanswered(node[2], source, negated=negated)
    if kind == "keyword" or not negated or node[1].lower() in source.recorded:
        return set()
    return {node[1]}
