"""Sigma correlation rules as plain values, taken from pySigma's parsed rules.

Definition: Sigma Correlation Rules Specification 2.0.2 and 2.2 (``tags``), with the additions of
pySigma 1.5 (``value_sum``, ``value_avg``, ``value_percentile``, ``value_median``, ``neq``, boolean
conditions of temporal rules, timespans in w, M and y).  What is decided where both are silent
stands in ``docs/decisions/0004-correlations.md``.

Bounds come from :mod:`casemate.detect.sigma.correlation_bounds` where the loader kept them there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)
from sigma.rule.base import SigmaRuleBase

from casemate.detect.sigma.compile import CONFIDENCE
from casemate.detect.sigma.correlation_bounds import BOUNDS_ATTRIBUTE
from casemate.detect.sigma.load import LoadedRule
from casemate.detect.sigma.tags import attack_of
from casemate.schema.findings import SEVERITIES

COUNTING_KINDS = ("event_count", "value_count")
NUMERIC_KINDS = ("value_sum", "value_avg", "value_percentile", "value_median")
TEMPORAL_KINDS = ("temporal", "temporal_ordered")
LARGEST_EXPRESSION = 256
"""Most alternatives of a boolean condition once it is written as "any of these combinations"."""
LONGEST_SEQUENCE = 16
"""Most rules of an ordered correlation whose condition is a count other than "all of them"."""
DEFAULT_SEVERITY = "informational"
VERSION_DIGITS = 16
"""A rule without dates has the beginning of its hash as its version."""


@dataclass(frozen=True)
class Bound:
    """``measure operator value``; the operator is one of :data:`OPERATORS`."""

    operator: str
    value: Fraction

    def __str__(self) -> str:
        number = self.value.numerator if self.value.denominator == 1 else float(self.value)
        return f"{self.operator} {number}"


@dataclass(frozen=True)
class Alternative:
    """One combination that satisfies a boolean condition; numbers are positions in ``references``.

    `present` is in the order of appearance in the condition, which ``temporal_ordered`` keeps.
    """

    present: tuple[int, ...]
    absent: tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """One rule a correlation refers to.

    Args:
        key: id of the rule.
        title: its title, for people.
        correlation: whether it is itself a correlation.
        group_fields: the event fields that stand for the correlation's ``group-by``, in its order,
            aliases resolved for this rule.
        value_fields: the same for the condition's ``field``.
    """

    key: str
    title: str
    correlation: bool
    group_fields: tuple[str, ...]
    value_fields: tuple[str, ...]


@dataclass(frozen=True)
class Correlation:
    """One correlation rule, compiled.  `timespan` is in microseconds; `labels_from` says whether
    severity, techniques and tactics are the rule's own (``rule``) or those of the rules it refers
    to (``references``)."""

    key: str
    title: str
    version: str
    kind: str
    references: tuple[Reference, ...]
    timespan: int
    timespan_text: str
    group_by: tuple[str, ...]
    bounds: tuple[Bound, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    expression: str | None = None
    percentile: int | None = None
    generate: bool = False
    severity: str = DEFAULT_SEVERITY
    confidence: str = "medium"
    techniques: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()
    labels_from: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Uncompiled:
    """A correlation that cannot be evaluated, with the reason in one clause."""

    key: str
    title: str
    reason: str


def compile_correlations(rules: Iterable[LoadedRule]) -> tuple[list[Correlation], list[Uncompiled]]:
    """Compile every correlation among `rules`, which also holds the rules they refer to.

    References are resolved here by id or name (pySigma's own resolution need not have run).

    Returns:
        the correlations, each after those it refers to, and what could not be compiled and why.
    """
    known = list(rules)
    names: dict[str, list[LoadedRule]] = {}
    for rule in known:
        for name in {rule.id, rule.name}:
            if name:
                names.setdefault(name, []).append(rule)
    done: dict[str, Correlation | Uncompiled] = {}
    for rule in known:
        if isinstance(rule.parsed, SigmaCorrelationRule):
            _compile(rule, names, done, ())
    return (
        [entry for entry in done.values() if isinstance(entry, Correlation)],
        [entry for entry in done.values() if isinstance(entry, Uncompiled)],
    )


class _RefusedError(Exception):
    """A correlation cannot be compiled; the argument is the reason."""


def _compile(
    loaded: LoadedRule,
    names: Mapping[str, Sequence[LoadedRule]],
    done: dict[str, Correlation | Uncompiled],
    path: tuple[str, ...],
) -> Correlation | Uncompiled:
    if loaded.id in done:
        return done[loaded.id]
    if loaded.id in path:  # reported by the frame that began the circle
        return Uncompiled(loaded.id, loaded.title, "it refers to itself")
    rule = loaded.parsed
    assert isinstance(rule, SigmaCorrelationRule)
    try:
        written, targets = _references(loaded, rule, names)
        inner: dict[str, Correlation] = {}
        for target in targets:
            if isinstance(target.parsed, SigmaCorrelationRule):
                compiled = _compile(target, names, done, (*path, loaded.id))
                if isinstance(compiled, Uncompiled):
                    raise _RefusedError(f"it refers to '{target.title}', which cannot be evaluated: {compiled.reason}")
                inner[target.id] = compiled
        result: Correlation | Uncompiled = _correlation(loaded, rule, written, targets, inner)
    except _RefusedError as refusal:
        result = Uncompiled(loaded.id, loaded.title, str(refusal))
    done[loaded.id] = result
    return result


def _references(
    loaded: LoadedRule, rule: SigmaCorrelationRule, names: Mapping[str, Sequence[LoadedRule]]
) -> tuple[list[str], list[LoadedRule]]:
    if rule.rules:
        written = [str(reference.reference) for reference in rule.rules]
    elif isinstance(rule.condition, SigmaExtendedCorrelationCondition):
        written = rule.condition.get_referenced_rules()
    else:
        raise _RefusedError("it refers to no rule")
    return written, [_resolve(name, loaded, names) for name in written]


def _resolve(name: str, loaded: LoadedRule, names: Mapping[str, Sequence[LoadedRule]]) -> LoadedRule:
    found = list(names.get(name, ())) or list(names.get(name.lower(), ()))
    if len(found) > 1:  # a name is unique within one file, not among all
        found = [other for other in found if other.path == loaded.path] or found
    if not found:
        raise _RefusedError(f"the rule '{name}' it refers to is not installed")
    if len(found) > 1:
        raise _RefusedError(f"{len(found)} rules are called '{name}'")
    return found[0]


def _correlation(
    loaded: LoadedRule,
    rule: SigmaCorrelationRule,
    written: Sequence[str],
    targets: Sequence[LoadedRule],
    inner: Mapping[str, Correlation],
) -> Correlation:
    kind = rule.type.name.lower()
    group_by = tuple(rule.group_by or ())
    condition = rule.condition
    value_fields: tuple[str, ...] = ()
    if isinstance(condition, SigmaCorrelationCondition) and condition.fieldref is not None:
        named = condition.fieldref
        value_fields = (named,) if isinstance(named, str) else tuple(named)
    references = tuple(
        Reference(
            key=target.id,
            title=target.title,
            correlation=isinstance(target.parsed, SigmaCorrelationRule),
            group_fields=tuple(_event_field(rule, name, target) for name in group_by),
            value_fields=tuple(_event_field(rule, name, target) for name in value_fields),
        )
        for target in targets
    )
    alternatives: tuple[Alternative, ...] = ()
    bounds: tuple[Bound, ...] = ()
    expression = None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        expression = condition.expression
        alternatives = _alternatives(condition.parsed, {name: index for index, name in enumerate(written)})
    else:
        bounds = _bounds(rule, condition)
    _check(kind, references, bounds, value_fields, condition)
    levels = [inner[t.id].severity if t.id in inner else _level(t.parsed) for t in targets]
    tags = attack_of(rule)
    source = "rule" if any(tags) else "references"
    if not any(tags):
        below = [
            (inner[t.id].techniques, inner[t.id].tactics) if t.id in inner else attack_of(t.parsed) for t in targets
        ]
        tags = tuple(tuple(sorted({label for pair in below for label in pair[part]})) for part in (0, 1))
    severity = _level(rule) or max((level for level in levels if level), key=SEVERITIES.index, default=DEFAULT_SEVERITY)
    return Correlation(
        key=loaded.id,
        title=loaded.title,
        version=str(rule.modified or rule.date or loaded.hash[:VERSION_DIGITS])[:VERSION_DIGITS],
        kind=kind,
        references=references,
        timespan=rule.timespan.seconds * 1_000_000,
        timespan_text=rule.timespan.spec,
        group_by=group_by,
        bounds=bounds,
        alternatives=alternatives,
        expression=expression,
        percentile=condition.percentile if isinstance(condition, SigmaCorrelationCondition) else None,
        generate=rule.generate,
        severity=severity,
        confidence=CONFIDENCE.get(rule.status.name.lower() if rule.status is not None else "", "medium"),
        techniques=tags[0],
        tactics=tags[1],
        labels_from={"severity": "rule" if _level(rule) else "references", "techniques": source},
    )


def _check(
    kind: str,
    references: Sequence[Reference],
    bounds: Sequence[Bound],
    value_fields: Sequence[str],
    condition: SigmaCorrelationCondition | SigmaExtendedCorrelationCondition,
) -> None:
    if kind in NUMERIC_KINDS:
        if len(value_fields) != 1:
            raise _RefusedError(f"{kind} needs exactly one field")
        if any(reference.correlation for reference in references):
            raise _RefusedError(f"{kind} over another correlation: a match of a correlation has no number")
    if kind == "value_percentile":
        percentile = condition.percentile if isinstance(condition, SigmaCorrelationCondition) else None
        if percentile is None or not 0 <= percentile <= 100:
            raise _RefusedError("value_percentile needs a percentile from 0 to 100")
    whole = kind == "temporal_ordered" and bounds != (Bound("gte", Fraction(len(references))),)
    if whole and bounds and len(references) > LONGEST_SEQUENCE:
        raise _RefusedError(f"a count over more than {LONGEST_SEQUENCE} ordered rules")


def _event_field(rule: SigmaCorrelationRule, name: str, target: LoadedRule) -> str:
    """The field of `target`'s events that `name` stands for: an alias, or itself."""
    alias = rule.aliases.aliases.get(name)
    if alias is None:
        return name
    own_names = {target.id, target.name}
    for reference, field_name in alias.mapping.items():
        if str(reference.reference) in own_names or str(reference.reference).lower() in own_names:
            return str(field_name)
    return name


def _bounds(rule: SigmaCorrelationRule, condition: SigmaCorrelationCondition) -> tuple[Bound, ...]:
    kept = rule.custom_attributes.get(BOUNDS_ATTRIBUTE)
    if isinstance(kept, list):
        return tuple(Bound(name, Fraction(text)) for name, text in kept)
    operator = SigmaCorrelationConditionOperator(condition.op).name.lower()
    return (Bound(operator, Fraction(condition.count)),)


Clause = tuple[tuple[int, ...], frozenset[int]]


def _alternatives(
    node: CorrelationConditionItem | SigmaRuleReference, positions: Mapping[str, int]
) -> tuple[Alternative, ...]:
    """A boolean condition as the combinations that satisfy it (disjunctive normal form)."""
    clauses = _clauses(node, positions, True)
    possible = [clause for clause in clauses if not set(clause[0]) & clause[1]]
    return tuple(dict.fromkeys(Alternative(present, tuple(sorted(absent))) for present, absent in possible))


def _clauses(
    node: CorrelationConditionItem | SigmaRuleReference, positions: Mapping[str, int], wanted: bool
) -> list[Clause]:
    if isinstance(node, SigmaRuleReference):
        position = positions[node.reference]
        return [((position,), frozenset())] if wanted else [((), frozenset((position,)))]
    if isinstance(node, CorrelationConditionNOT):
        return _clauses(node.args[0], positions, not wanted)
    parts = [_clauses(argument, positions, wanted) for argument in node.args]
    if isinstance(node, CorrelationConditionAND) == wanted:  # "not (a or b)" is "not a and not b"
        joined: list[Clause] = [((), frozenset())]
        for part in parts:
            joined = [
                (tuple(dict.fromkeys((*left[0], *right[0]))), left[1] | right[1]) for left in joined for right in part
            ]
            if len(joined) > LARGEST_EXPRESSION:
                raise _RefusedError("its condition has too many combinations")
        return joined
    if not isinstance(node, (CorrelationConditionAND, CorrelationConditionOR)):
        raise _RefusedError("its condition is of an unknown kind")
    return [clause for part in parts for clause in part]


def _level(rule: SigmaRuleBase) -> str | None:
    return rule.level.name.lower() if rule.level is not None else None


def needed_fields(correlations: Sequence[Correlation]) -> dict[str, tuple[str, ...]]:
    """Which event fields of which base rules' matches the correlations need.

    Returns:
        key of a base rule to sorted field names, as the rules write them (Sigma names).
    """
    by_key = {correlation.key: correlation for correlation in correlations}
    needed: dict[str, set[str]] = {}

    def ask(correlation: Correlation, carried: frozenset[str]) -> None:
        for reference in correlation.references:
            wanted = {*reference.group_fields, *reference.value_fields, *carried}
            if reference.correlation:
                below = by_key[reference.key]
                ask(below, frozenset(wanted - set(below.group_by)))
            else:
                needed.setdefault(reference.key, set()).update(wanted)

    for correlation in correlations:
        ask(correlation, frozenset())
    return {key: tuple(sorted(names)) for key, names in sorted(needed.items())}


def silent_rules(correlations: Sequence[Correlation]) -> frozenset[str]:
    """Keys of rules (and correlations) that feed correlations only and give no findings themselves.

    That is the specification's default; one correlation with ``generate: true`` is enough to let
    the rules it names speak.
    """
    fed: set[str] = set()
    spoken: set[str] = set()
    for correlation in correlations:
        names = {reference.key for reference in correlation.references}
        fed |= names
        if correlation.generate:
            spoken |= names
    return frozenset(fed - spoken)


def unfed(correlations: Sequence[Correlation], ran: Collection[str]) -> list[Uncompiled]:
    """Correlations that cannot find all they look for because a base rule did not run.

    Args:
        correlations: as compiled.
        ran: ids of the single-event rules that ran on some records.
    """
    told: list[Uncompiled] = []
    missing: dict[str, tuple[str, ...]] = {}
    for correlation in correlations:  # each after those it refers to
        lacking = [
            title
            for reference in correlation.references
            for title in (
                missing[reference.key]
                if reference.correlation
                else (() if reference.key in ran else (reference.title,))
            )
        ]
        missing[correlation.key] = tuple(dict.fromkeys(lacking))
        if lacking:
            named = "', '".join(missing[correlation.key])
            told.append(Uncompiled(correlation.key, correlation.title, f"its rule did not run: '{named}'"))
    return told
