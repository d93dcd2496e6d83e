"""What a correlation measures in each window, and whether its condition holds there.

A measure is one numerator per window over one denominator (common or per window), in whole
numbers, so a sum of decimals or an average meets its threshold exactly or not at all.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from casemate.detect.sigma.correlation_events import Events
from casemate.detect.sigma.correlation_rules import Bound, Correlation
from casemate.detect.sigma.correlation_windows import (
    Flags,
    Integers,
    Order,
    Windows,
    distinct,
    has_sequence,
    longest_sequence,
    order_of,
    order_statistic,
)

COMPARE = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


@dataclass(frozen=True)
class Measured:
    """Numerators (int64 or Python integers) over denominators, and where the condition holds."""

    numerator: np.ndarray
    denominator: np.ndarray | int
    satisfied: Flags

    def value(self, row: int) -> float | int:
        """The measure of one row's window as a number for people."""
        below = int(self.denominator) if isinstance(self.denominator, int) else int(self.denominator[row])
        above = int(self.numerator[row])
        return above // below if above % below == 0 else above / below

    def peak(self, begin: int, end: int) -> float | int:
        """The largest measure of the satisfied windows that end with rows ``[begin, end)``."""
        rows = np.flatnonzero(self.satisfied[begin:end]) + begin
        if isinstance(self.denominator, int):
            return self.value(int(rows[np.argmax(self.numerator[rows])]))
        ratios = self.numerator[rows] / self.denominator[rows]
        return self.value(int(rows[np.argmax(ratios)]))


def measure(correlation: Correlation, events: Events, over: Windows) -> Measured:
    """Measure every window of `events` and compare with the correlation's condition."""
    if correlation.kind == "event_count":
        counts = over.counts()
        if np.any(events.subject >= 0):  # matches of correlations are present at several moments
            counts = distinct(_subjects(events), over)
        return _compared(correlation.bounds, counts, 1)
    if correlation.kind == "value_count":
        assert events.value is not None
        return _compared(correlation.bounds, distinct(events.value.astype(np.int64), over), 1)
    if correlation.kind in ("temporal", "temporal_ordered"):
        return _temporal(correlation, events, over)
    return _numeric(correlation, events, over)


def _subjects(events: Events) -> Integers:
    """A number per match: rows of one run of one reference share it, other rows have their own."""
    several = events.subject >= 0
    width = int(events.position.max(initial=0)) + 1
    shared = events.subject * width + events.position
    return np.where(several, shared, int(shared.max(initial=0)) + 1 + np.arange(len(events)))


def _numeric(correlation: Correlation, events: Events, over: Windows) -> Measured:
    assert events.value is not None
    values, counts = events.value, over.counts()
    if correlation.kind in ("value_sum", "value_avg"):
        largest = max((abs(int(value)) for value in (values.min(), values.max())), default=0) if len(values) else 0
        if largest * max(len(values), 1) >= 2**62:
            values = values.astype(object)
        sums = over.sums(values)
        if correlation.kind == "value_sum":
            return _compared(correlation.bounds, sums, events.scale)
        return _compared(correlation.bounds, sums, counts * _wide(events.scale, counts))
    sorted_values, ranks = np.unique(values, return_inverse=True)
    percent = 50 if correlation.kind == "value_median" else int(correlation.percentile or 0)
    place = (counts - 1) * percent  # the place of the percentile, in hundredths of a row
    low = order_statistic(ranks, over, place // 100)
    high = order_statistic(ranks, over, np.minimum(place // 100 + 1, counts - 1))
    wide = sorted_values.astype(object) if len(sorted_values) and _is_large(sorted_values) else sorted_values
    numerator = 100 * wide[low] + (place % 100) * (wide[high] - wide[low])
    return _compared(correlation.bounds, numerator, 100 * events.scale)


def _is_large(values: np.ndarray) -> bool:
    return values.dtype == object or max(abs(int(values[0])), abs(int(values[-1]))) >= 2**52


def _wide(scale: int, counts: Integers) -> int | np.ndarray:
    return scale if scale * int(counts.max(initial=1)) < 2**62 else np.array([scale], object)


def _compared(bounds: Sequence[Bound], numerator: np.ndarray, denominator: np.ndarray | int) -> Measured:
    satisfied = np.ones(len(numerator), bool)
    for bound in bounds:
        left, right = _scaled(numerator, bound.value.denominator), _scaled(denominator, bound.value.numerator)
        satisfied &= np.asarray(COMPARE[bound.operator](left, right), bool)
    return Measured(numerator, denominator, satisfied)


def _scaled(values: np.ndarray | int, factor: int) -> np.ndarray | int:
    """``values * factor`` in Python integers where int64 could overflow."""
    if isinstance(values, int):
        product = values * factor
        return product if abs(product) < 2**62 else np.array([product], object)
    if values.dtype != object and len(values):
        largest = max(abs(int(values.min())), abs(int(values.max())))
        if largest * abs(factor) >= 2**62:
            values = values.astype(object)
    return values * factor


def _temporal(correlation: Correlation, events: Events, over: Windows) -> Measured:
    distinct_keys = list(dict.fromkeys(reference.key for reference in correlation.references))
    rows_of = [np.flatnonzero(events.position == index) for index in range(len(distinct_keys))]
    place_of = [distinct_keys.index(reference.key) for reference in correlation.references]
    ordered = correlation.kind == "temporal_ordered"
    order = order_of(events.group, events.time, events.evidence, events.record) if ordered else None
    present = [over.contains(events.position == index) for index in range(len(distinct_keys))]
    seen = np.asarray(np.sum([present[place] for place in place_of], axis=0, dtype=np.int64))
    if correlation.alternatives or correlation.expression is not None:
        satisfied = np.zeros(len(events), bool)
        for alternative in correlation.alternatives:
            places = [place_of[index] for index in alternative.present]
            holds = np.logical_and.reduce(
                [np.ones(len(events), bool)]
                + [present[place] for place in places]
                + [~present[place_of[index]] for index in alternative.absent]
            )
            if order is not None and len(places) > 1:
                holds &= has_sequence([rows_of[place] for place in places], order, over)
            satisfied |= holds
        return Measured(seen, 1, satisfied)
    if order is None:
        return _compared(correlation.bounds, seen, 1)
    return _ordered(correlation, [rows_of[place] for place in place_of], order, over)


def _ordered(correlation: Correlation, steps: Sequence[Integers], order: Order, over: Windows) -> Measured:
    if [(bound.operator, bound.value) for bound in correlation.bounds] == [("gte", len(steps))]:
        whole = has_sequence(steps, order, over)
        return Measured(np.where(whole, len(steps), 0), 1, whole)
    return _compared(correlation.bounds, longest_sequence(steps, order, over), 1)
