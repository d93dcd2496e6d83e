"""From pySigma's parsed rules to plans: conditions of atoms about columns of native tables.

Everything is taken from pySigma's objects (the parse tree of the condition, detection items with
their modifiers applied, typed values), nothing from text.  What Sigma leaves open is decided in
``docs/decisions/0003-sigma-semantics.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule
from sigma.rule.detection import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from casemate.detect.sigma.atoms import (
    MANY,
    ONE,
    PATTERN_FLAGS,
    SLOW,
    Atom,
    like_expression,
    refused_reason,
    regex_expression,
    regex_flags,
)
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
from casemate.detect.sigma.load import LoadedRule, RuleError
from casemate.detect.sigma.logsources import EventSource, sources_for
from casemate.detect.sigma.selectivity import in_order, needed_atoms
from casemate.schema.findings import SEVERITIES

CONFIDENCE: dict[str, str] = {"stable": "high", "test": "medium", "experimental": "low", "unsupported": "low"}
"""Sigma's status -> confidence; ``medium`` without one.  A rule that hunts (level informational or
low) is never surer than ``medium``."""
NODES = 100_000
"""Most nodes of one condition once its values are spelled out."""
TECHNIQUE = re.compile(r"t\d{4}(?:\.\d{3})?", re.ASCII)
ATLAS_TECHNIQUE = re.compile(r"(?:aml\.)?t\d{4}(?:\.\d{3})?", re.ASCII)
NOT_TACTIC = re.compile(r"(?:[tgsc]|ta|ds)\d{4}.*", re.ASCII)
LONG_PATTERN = 256
"""Parts and characters of a wildcard pattern beyond which the pattern engine may refuse it."""
MANY_PARTS = 200
"""Parts of a wildcard pattern beyond which the engine would take seconds to compile it."""
SHOWN_PATTERN = 120
"""Characters of a regular expression that a reason shows."""
FLAG_LETTERS = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}

Placeholders = Mapping[str, tuple[str, ...]]


class UncompilableError(ValueError):
    """A rule that cannot be compiled; the text says why in one clause."""


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
        try:
            _compile_rule(rule, compiled, writers, placeholders or {}, rule.id in silent)
        except (UncompilableError, SigmaError) as error:
            compiled.refused.append(Refused(rule.id, rule.title, rule.path, " ".join(str(error).split())[:500]))
        except (RecursionError, re.error, ValueError, TypeError, AttributeError, KeyError) as error:
            reason = f"pySigma cannot read its condition: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            compiled.refused.append(Refused(rule.id, rule.title, rule.path, reason))
    compiled.tables = {name: writers[name].finish() for name in sorted(writers)}
    return compiled


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
    compiled: CompiledRules,
    writers: dict[str, _TableWriter],
    placeholders: Placeholders,
    silent: bool,
) -> None:
    parsed = rule.parsed
    assert isinstance(parsed, SigmaRule)
    condition = _Reader(parsed, placeholders).condition()
    log_source = parsed.logsource
    parts = (log_source.product, log_source.category, log_source.service)
    written = "/".join(part or "*" for part in parts)
    sources = sources_for(*parts)
    if not sources:
        reason = f"no reader for this log source yet: {written}"
        compiled.unread.append(Refused(rule.id, rule.title, rule.path, reason))
        return
    number = len(compiled.rules)
    compiled.rules.append(_describe(rule, parsed, written, silent))
    for source in sources:
        unanswered = tuple(sorted(_unanswered(condition, source))) if source.recorded else ()
        if unanswered and source.strict:
            continue
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


def attack_of(parsed: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Techniques (``T1059.001``, ``AML.T0024``) and tactics (``credential-access``) of a rule's tags, sorted."""
    techniques: set[str] = set()
    tactics: set[str] = set()
    for tag in parsed.tags or ():
        namespace, name = tag.namespace.lower(), tag.name.lower()
        if namespace == "attack":
            if TECHNIQUE.fullmatch(name):
                techniques.add(name.upper())
            elif not NOT_TACTIC.fullmatch(name):
                tactics.add(name.replace("_", "-"))
        elif namespace in ("atlas", "aml"):
            if ATLAS_TECHNIQUE.fullmatch(name):
                techniques.add("AML." + name.removeprefix("aml.").upper())
            elif not NOT_TACTIC.fullmatch(name.removeprefix("aml.")):
                tactics.add(name.replace("_", "-"))
    return tuple(sorted(techniques)), tuple(sorted(tactics))


class _Reader:
    """Reads one rule's conditions into a tree whose leaves hold atoms instead of atom numbers."""

    def __init__(self, rule: SigmaRule, placeholders: Placeholders) -> None:
        self._rule = rule
        self._placeholders = placeholders
        self._nodes = 0

    def condition(self) -> Node:
        """All conditions of the rule; a record must fulfil one of them."""
        found = [self._tree(condition.parse(postprocess=False)) for condition in self._rule.detection.parsed_condition]
        return found[0] if len(found) == 1 else ["or", found]

    def _tree(self, node: Any) -> Node:
        if isinstance(node, ConditionNOT):
            return ["not", self._tree(node.args[0])]
        if isinstance(node, (ConditionAND, ConditionOR)):
            return _join("and" if isinstance(node, ConditionAND) else "or", [self._tree(arg) for arg in node.args])
        if isinstance(node, ConditionSelector):
            named = node.resolve_referenced_detections(self._rule.detection)
            if not named:
                raise UncompilableError(f"'{node.args[0]} of {node.pattern}' fits no part of the detection")
            return _join("and" if node.cond_class is ConditionAND else "or", [self._tree(name) for name in named])
        if isinstance(node, ConditionIdentifier):
            detection = self._rule.detection.detections.get(node.identifier)
            if detection is None:
                raise UncompilableError(f"the condition names '{node.identifier}', which the detection does not have")
            return ["selection", node.identifier, self._detection(detection)]
        raise UncompilableError(f"unknown part of a condition: {type(node).__name__}")

    def _detection(self, detection: SigmaDetection) -> Node:
        parts = [
            self._detection(item) if isinstance(item, SigmaDetection) else self._item(item)
            for item in detection.detection_items
        ]
        return _join("and" if detection.item_linking is ConditionAND else "or", parts)

    def _item(self, item: SigmaDetectionItem) -> Node:
        self._nodes += 1 + len(item.value)
        if self._nodes > NODES:
            raise UncompilableError(f"more than {NODES} values")
        values = item.value or [SigmaNull()]
        if item.value_linking is ConditionAND:
            node = _join("and", [self._any_of(item.field, [value]) for value in values])
        else:
            node = self._any_of(item.field, values)
        return ["not", node] if item.negated else node

    def _any_of(self, field: str | None, values: list[SigmaType]) -> Node:
        """One of the values; those that are atoms of the same field become one leaf."""
        atoms: list[Atom] = []
        others: list[Node] = []
        for value in self._expanded(values):
            if isinstance(value, SigmaNull):
                others.append(["null", _field(field, "null")])
            elif isinstance(value, SigmaExists):
                there: Node = ["exists", _field(field, "exists")]
                others.append(there if value.exists else ["not", there])
            elif isinstance(value, SigmaFieldReference):
                form = ("equals", "startswith", "endswith", "contains")[value.starts_with + 2 * value.ends_with]
                others.append(["reference", _field(field, "fieldref"), value.field, form])
            else:
                atoms.append(_atom(value, keyword=field is None))
        if atoms:
            unique = list({orjson.dumps(atom): atom for atom in atoms}.values())
            others.append(["keyword", unique] if field is None else ["field", field, unique])
        return _join("or", others)

    def _expanded(self, values: list[SigmaType]) -> Iterator[SigmaType]:
        for value in values:
            if isinstance(value, SigmaExpansion):
                yield from self._expanded(value.values)
            elif isinstance(value, (SigmaString, SigmaRegularExpression)) and value.contains_placeholder():
                yield from value.replace_placeholders(self._values_of)
            else:
                yield value

    def _values_of(self, placeholder: Placeholder) -> Iterator[str | SigmaString]:
        values = self._placeholders.get(placeholder.name)
        if values is None:
            raise UncompilableError(f"no values are given for the placeholder %{placeholder.name}%")
        yield from values


def _field(field: str | None, modifier: str) -> str:
    if field is None:
        raise UncompilableError(f"{modifier} needs a field")
    return field


def _join(kind: str, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else [kind, parts]


def _atom(value: SigmaType, *, keyword: bool) -> Atom:
    if isinstance(value, SigmaTimestampPart):
        return ["clock", value.timestamp_part.name.lower(), value.number]
    if isinstance(value, SigmaNumber):
        return _text_atom([str(value.number)], cased=False, keyword=True) if keyword else ["number", value.number]
    if isinstance(value, SigmaBool):
        return _text_atom([str(value.boolean).lower()], cased=False, keyword=keyword)
    if isinstance(value, SigmaString):
        parts = [_part(part) for part in value.s]
        return _text_atom(parts, cased=isinstance(value, SigmaCasedString), keyword=keyword)
    if isinstance(value, SigmaRegularExpression):
        letters = "".join(sorted(FLAG_LETTERS[flag.name] for flag in value.flags))
        _refuse_regex(str(value.regexp), letters)
        return ["regex", str(value.regexp), letters]
    if isinstance(value, SigmaCIDRExpression):
        return ["network", str(value.network)]
    if isinstance(value, SigmaCompareExpression):
        return ["compare", value.op.name.lower(), value.number.number]
    raise UncompilableError(f"values of the kind {type(value).__name__} are not supported")


@lru_cache(maxsize=10_000)
def _refusal(pattern: str, letters: str) -> str | None:
    return refused_reason(regex_expression(pattern), regex_flags(letters))


def _refuse_regex(pattern: str, letters: str) -> None:
    """One expression that the engine refuses would keep those of all rules from being compiled."""
    reason = _refusal(pattern, letters)
    if reason is not None:
        shown = pattern if len(pattern) <= SHOWN_PATTERN else f"{pattern[:SHOWN_PATTERN]}..."
        raise UncompilableError(f"the regular expression {shown!r} is not supported: {reason}")


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return part
    if part is SpecialChars.WILDCARD_MULTI:
        return MANY
    if part is SpecialChars.WILDCARD_SINGLE:
        return ONE
    raise UncompilableError(f"unknown part of a value: {part!r}")


def _text_atom(parts: list[Any], *, cased: bool, keyword: bool) -> Atom:
    """A text with its wildcards; a keyword stands anywhere in a value."""
    if keyword:
        parts = [MANY, *parts, MANY]
    merged: list[Any] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "" and not (part == MANY and merged and merged[-1] == MANY):
            merged.append(part)
    if merged == [MANY]:
        return ["any"]
    if all(isinstance(part, str) for part in merged):
        return ["cased" if cased else "text", "".join(merged)]
    atom = ["likecased" if cased else "like", merged]
    if len(merged) > MANY_PARTS or (
        sum(map(len, merged)) > LONG_PATTERN
        and refused_reason(like_expression(merged, cased=cased), PATTERN_FLAGS) is not None
    ):
        atom.append(SLOW)
    return atom


# --- from fields to columns ------------------------------------------------------------------------------


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
