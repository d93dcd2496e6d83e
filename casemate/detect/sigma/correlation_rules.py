"""Sigma correlation rules as plain values, which know nothing of pySigma.

Definition: Sigma Correlation Rules Specification 2.0.2 and 2.2 (``tags``), with the additions of
pySigma 1.5 (``value_sum``, ``value_avg``, ``value_percentile``, ``value_median``, ``neq``, boolean
conditions of temporal rules, timespans in w, M and y).  What is decided where both are silent
stands in ``docs/decisions/0004-correlations.md``.

They are made by :mod:`.correlation_compile`; what they ask of other rules is in :mod:`.correlation_needs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

COUNTING_KINDS = ("event_count", "value_count")
NUMERIC_KINDS = ("value_sum", "value_avg", "value_percentile", "value_median")
TEMPORAL_KINDS = ("temporal", "temporal_ordered")
DEFAULT_SEVERITY = "informational"


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
