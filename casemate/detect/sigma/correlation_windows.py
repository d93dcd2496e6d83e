"""Sliding windows over grouped events: exact, without a loop over events.

All functions take rows sorted by group, then time, and look at one window per row: the window of
length `span` that ends at that row's time, both ends included, within the row's group.  A window
is the row range ``[start, end)``; events at equal times are in it together.  ``start`` and ``end``
never decrease from row to row, which is what makes the vectorised forms below possible.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Windows:
    """For each row the row range of the window that ends with it."""

    start: Integers
    end: Integers

    def counts(self) -> Integers:
        """Rows in each window."""
        return self.end - self.start

    def sums(self, values: npt.NDArray) -> npt.NDArray:
        """Sum of integer `values` (int64, or Python integers where int64 is too small)."""
        total = np.concatenate(([values.dtype.type(0) if values.dtype != object else 0], np.cumsum(values)))
        return total[self.end] - total[self.start]

    def contains(self, chosen: Flags) -> Flags:
        """Whether any row of `chosen` is in each window."""
        return self.sums(chosen.astype(np.int64)) > 0


def windows(group: Integers, time: Integers, span: int) -> Windows:
    """Windows of `span` (same unit as `time`) ending at each row.

    Times are replaced by their ranks so that group and time fit one sortable integer.
    """
    moments, rank = np.unique(time, return_inverse=True)
    earliest = np.searchsorted(moments, moments - span, side="left")
    width = len(moments) + 1
    keys = group * width + rank
    start = np.searchsorted(keys, group * width + earliest[rank], side="left")
    end = np.searchsorted(keys, keys, side="right")
    return Windows(start.astype(np.int64), end.astype(np.int64))


def distinct(codes: Integers, over: Windows) -> Integers:
    """Number of different `codes` in each window.

    A row counts in exactly the windows that hold it but not the row before it with the same code;
    as windows only move forward, these are consecutive, so each row adds one interval.
    """
    rows = len(codes)
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    before = np.full(rows, -1, np.int64)
    before[order[1:][same]] = order[:-1][same]
    row = np.arange(rows, dtype=np.int64)
    first = np.maximum(np.searchsorted(over.end, row, side="right"), np.searchsorted(over.start, before, side="right"))
    last = np.searchsorted(over.start, row, side="right")
    counted = first < last
    steps = np.bincount(first[counted], minlength=rows + 1) - np.bincount(last[counted], minlength=rows + 1)
    return np.cumsum(steps[:rows])


def order_statistic(ranks: Integers, over: Windows, place: Integers) -> Integers:
    """The `place`-th smallest (0-based) of `ranks` in each window.

    A wavelet matrix walked once for all windows together: bit by bit, from the highest, the rows
    are split into zeros and ones and each window follows the half that holds its answer
    (Claude, Navarro, Ordonez: The wavelet matrix, 2015).
    """
    left, right, wanted = over.start.copy(), over.end.copy(), place.copy()
    current, answer = ranks, np.zeros(len(place), np.int64)
    bits = max(1, int(ranks.max()).bit_length()) if len(ranks) else 0
    for bit in reversed(range(bits)):
        ones = (current >> bit & 1).astype(bool)
        zeros_before = np.concatenate(([0], np.cumsum(~ones)))
        zero_left, zero_right = zeros_before[left], zeros_before[right]
        zeros = zero_right - zero_left
        to_ones = wanted >= zeros
        wanted = np.where(to_ones, wanted - zeros, wanted)
        left = np.where(to_ones, zeros_before[-1] + left - zero_left, zero_left)
        right = np.where(to_ones, zeros_before[-1] + right - zero_right, zero_right)
        answer |= to_ones.astype(np.int64) << bit
        current = np.concatenate((current[~ones], current[ones]))
    return answer


@dataclass(frozen=True)
class Order:
    """Which row comes before which: `step` never decreases; rows of one step are simultaneous.
    Where `open_tie` the rows of one step come from different logs and any order is accepted."""

    step: Integers
    open_tie: Flags


def order_of(group: Integers, time: Integers, evidence: Integers, record: Integers) -> Order:
    """The order of rows sorted by group, time, evidence, record.

    Events at equal times of one log are ordered by record number.  Equal times in different logs
    say nothing about the order, so every order is accepted.
    """
    rows = len(time)
    new_time = np.ones(rows, bool)
    new_time[1:] = (group[1:] != group[:-1]) | (time[1:] != time[:-1])
    begins = np.flatnonzero(new_time)
    if not len(begins):
        return Order(np.zeros(0, np.int64), np.zeros(0, bool))
    mixed = np.minimum.reduceat(evidence, begins) != np.maximum.reduceat(evidence, begins)
    open_tie = np.repeat(mixed, np.diff(np.append(begins, rows)))
    new_step = new_time.copy()
    new_step[1:] |= ~open_tie[1:] & (record[1:] != record[:-1])
    return Order(np.cumsum(new_step), open_tie)


def _row_before(rows: Integers, earlier: Integers, order: Order) -> Integers:
    """For each of `rows` the place in `earlier` of the last row that comes before it, or -1."""
    steps, own = order.step[earlier], order.step[rows]
    strict = np.searchsorted(steps, own, side="left")
    loose = np.searchsorted(steps, own, side="right")
    return np.where(order.open_tie[rows], loose, strict) - 1


def _taken(values: Integers, places: Integers) -> Integers:
    if not len(values):
        return np.full(len(places), -1, np.int64)
    return np.where(places >= 0, values[np.maximum(places, 0)], -1)


def has_sequence(steps: Sequence[Integers], order: Order, over: Windows) -> Flags:
    """Whether each window holds a row of each of `steps`, one after the other.

    Args:
        steps: for each place of the sequence the rows that can take it, ascending.
    """
    start_row = steps[0]  # where the latest chain that ends at this row begins
    for earlier, rows in itertools.pairwise(steps):
        start_row = _taken(start_row, _row_before(rows, earlier, order))
    return _taken(start_row, np.searchsorted(steps[-1], over.end, side="left") - 1) >= over.start


def longest_sequence(steps: Sequence[Integers], order: Order, over: Windows) -> Integers:
    """Most places of the sequence that each window holds in order, places may be skipped."""
    before = {
        (early, late): _row_before(steps[late], steps[early], order)
        for late in range(len(steps))
        for early in range(late)
    }
    chains = list(steps)  # for each place, row by row: where the latest chain of this length begins
    longest = np.zeros(len(over.start), np.int64)
    for length in range(1, len(steps) + 1):
        for rows, begins in zip(steps, chains, strict=True):
            last = np.searchsorted(rows, over.end, side="left") - 1
            longest[_taken(begins, last) >= over.start] = length
        chains = [
            np.max(
                [_taken(chains[early], before[early, late]) for early in range(late)]
                or [np.full(len(steps[late]), -1, np.int64)],
                axis=0,
            )
            for late in range(len(steps))
        ]
    return longest


def runs(satisfied: Flags, over: Windows) -> tuple[Integers, Integers, Integers]:
    """Satisfied windows that share an event, one after the other, merged.

    Returns:
        for each run its first row, the row after its last, and the row whose window was the
        first to satisfy.  Runs do not overlap and are in row order.
    """
    chosen = np.flatnonzero(satisfied)
    if not len(chosen):
        none = np.zeros(0, np.int64)
        return none, none, none
    new = np.ones(len(chosen), bool)
    new[1:] = over.start[chosen[1:]] >= over.end[chosen[:-1]]
    firsts = np.flatnonzero(new)
    lasts = np.append(firsts[1:], len(chosen)) - 1
    return over.start[chosen[firsts]], over.end[chosen[lasts]], chosen[firsts]
