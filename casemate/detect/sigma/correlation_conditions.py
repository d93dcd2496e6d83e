"""The condition of a correlation: bounds of a measure, or a boolean expression as alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from casemate.detect.sigma.correlation_bounds import BOUNDS_ATTRIBUTE
from casemate.detect.sigma.correlation_rules import NUMERIC_KINDS, Alternative, Bound, Reference

LARGEST_EXPRESSION = 256
"""Most alternatives of a boolean condition once it is written as "any of these combinations"."""
LONGEST_SEQUENCE = 16
"""Most rules of an ordered correlation whose condition is a count other than "all of them"."""


class RefusedError(Exception):
    """A correlation cannot be compiled; the argument is the reason."""


def bounds_of(rule: SigmaCorrelationRule, condition: SigmaCorrelationCondition) -> tuple[Bound, ...]:
    kept = rule.custom_attributes.get(BOUNDS_ATTRIBUTE)
    if isinstance(kept, list):
        return tuple(Bound(name, Fraction(text)) for name, text in kept)
    operator = SigmaCorrelationConditionOperator(condition.op).name.lower()
    return (Bound(operator, Fraction(condition.count)),)


def check(
    kind: str,
    references: Sequence[Reference],
    bounds: Sequence[Bound],
    value_fields: Sequence[str],
    condition: SigmaCorrelationCondition | SigmaExtendedCorrelationCondition,
) -> None:
    if kind in NUMERIC_KINDS:
        if len(value_fields) != 1:
            raise RefusedError(f"{kind} needs exactly one field")
        if any(reference.correlation for reference in references):
            raise RefusedError(f"{kind} over another correlation: a match of a correlation has no number")
    if kind == "value_percentile":
        percentile = condition.percentile if isinstance(condition, SigmaCorrelationCondition) else None
        if percentile is None or not 0 <= percentile <= 100:
            raise RefusedError("value_percentile needs a percentile from 0 to 100")
    whole = kind == "temporal_ordered" and bounds != (Bound("gte", Fraction(len(references))),)
    if whole and bounds and len(references) > LONGEST_SEQUENCE:
        raise RefusedError(f"a count over more than {LONGEST_SEQUENCE} ordered rules")


Clause = tuple[tuple[int, ...], frozenset[int]]


def alternatives_of(
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
                raise RefusedError("its condition has too many combinations")
        return joined
    if not isinstance(node, (CorrelationConditionAND, CorrelationConditionOR)):
        raise RefusedError("its condition is of an unknown kind")
    return [clause for part in parts for clause in part]
