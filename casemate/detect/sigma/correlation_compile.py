"""From pySigma's parsed correlation rules to :mod:`.correlation_rules`.

Bounds come from :mod:`casemate.detect.sigma.correlation_bounds` where the loader kept them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
)
from sigma.rule.base import SigmaRuleBase

from casemate.detect.sigma.compile import CONFIDENCE
from casemate.detect.sigma.correlation_conditions import RefusedError, alternatives_of, bounds_of, check
from casemate.detect.sigma.correlation_rules import (
    DEFAULT_SEVERITY,
    Alternative,
    Bound,
    Correlation,
    Reference,
    Uncompiled,
)
from casemate.detect.sigma.load import LoadedRule
from casemate.detect.sigma.tags import attack_of
from casemate.schema.findings import SEVERITIES

VERSION_DIGITS = 16
"""A rule without dates has the beginning of its hash as its version."""


def compile_correlations(
    rules: Iterable[LoadedRule], unusable: Mapping[str, str] | None = None
) -> tuple[list[Correlation], list[Uncompiled]]:
    """Compile every correlation among `rules`, which also holds the rules they refer to.

    References are resolved here by id or name (pySigma's own resolution need not have run).

    Args:
        unusable: id or name of what cannot be referred to, and the reason: a correlation over a rule
            that is never evaluated would say "never together with" of what nobody looked for.

    Returns:
        the correlations, each after those it refers to, and what could not be compiled and why.
    """
    known = list(rules)
    reasons = {name.lower(): reason for name, reason in (unusable or {}).items()}
    names: dict[str, list[LoadedRule]] = {}
    for rule in known:
        for name in {rule.id, rule.name}:
            if name:
                names.setdefault(name, []).append(rule)
    done: dict[str, Correlation | Uncompiled] = {}
    for rule in known:
        if isinstance(rule.parsed, SigmaCorrelationRule):
            _compile(rule, names, reasons, done, ())
    return (
        [entry for entry in done.values() if isinstance(entry, Correlation)],
        [entry for entry in done.values() if isinstance(entry, Uncompiled)],
    )


def _compile(
    loaded: LoadedRule,
    names: Mapping[str, Sequence[LoadedRule]],
    reasons: Mapping[str, str],
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
        written, targets = _references(loaded, rule, names, reasons)
        inner: dict[str, Correlation] = {}
        for target in targets:
            if isinstance(target.parsed, SigmaCorrelationRule):
                compiled = _compile(target, names, reasons, done, (*path, loaded.id))
                if isinstance(compiled, Uncompiled):
                    raise RefusedError(f"it refers to '{target.title}', which cannot be evaluated: {compiled.reason}")
                inner[target.id] = compiled
        result: Correlation | Uncompiled = _correlation(loaded, rule, written, targets, inner)
    except RefusedError as refusal:
        result = Uncompiled(loaded.id, loaded.title, str(refusal))
    done[loaded.id] = result
    return result


def references(rule: SigmaRuleBase) -> list[str]:
    """Ids and names of the rules a correlation refers to, as written."""
    if not isinstance(rule, SigmaCorrelationRule):
        return []
    if rule.rules:
        return [str(reference.reference) for reference in rule.rules]
    condition = rule.condition
    return condition.get_referenced_rules() if isinstance(condition, SigmaExtendedCorrelationCondition) else []


def _references(
    loaded: LoadedRule,
    rule: SigmaCorrelationRule,
    names: Mapping[str, Sequence[LoadedRule]],
    reasons: Mapping[str, str],
) -> tuple[list[str], list[LoadedRule]]:
    written = references(rule)
    if not written:
        raise RefusedError("it refers to no rule")
    for alias in rule.aliases:
        for reference in alias.mapping:
            if not _called(str(reference.reference), names):
                raise RefusedError(
                    f"its alias '{alias.alias}' names the rule '{reference.reference}', which is not installed"
                )
    return written, [_resolve(name, loaded, names, reasons) for name in written]


def _called(name: str, names: Mapping[str, Sequence[LoadedRule]]) -> list[LoadedRule]:
    return list(names.get(name, ())) or list(names.get(name.lower(), ()))


def _resolve(
    name: str, loaded: LoadedRule, names: Mapping[str, Sequence[LoadedRule]], reasons: Mapping[str, str]
) -> LoadedRule:
    found = _called(name, names)
    if len(found) > 1:  # a name is unique within one file, not among all
        found = [other for other in found if other.path == loaded.path] or found
    if not found:
        reason = reasons.get(name.lower())
        raise RefusedError(
            f"the rule '{name}' it refers to {'is not installed' if reason is None else f'cannot be used: {reason}'}"
        )
    if len(found) > 1:
        raise RefusedError(f"{len(found)} rules are called '{name}'")
    if found[0].id.lower() in reasons and not isinstance(found[0].parsed, SigmaCorrelationRule):
        raise RefusedError(f"the rule '{name}' it refers to cannot be used: {reasons[found[0].id.lower()]}")
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
        alternatives = alternatives_of(condition.parsed, {name: index for index, name in enumerate(written)})
    else:
        bounds = bounds_of(rule, condition)
    check(kind, references, bounds, value_fields, condition)
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


def _level(rule: SigmaRuleBase) -> str | None:
    return rule.level.name.lower() if rule.level is not None else None
