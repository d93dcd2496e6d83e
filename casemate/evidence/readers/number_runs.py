"""Sets of record numbers kept as runs, so that a million consecutive ones cost nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

SHOWN = 8
"""Runs named in one note."""


class NumberRuns:
    """Numbers seen so far."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def add(self, number: int) -> bool:
        """Remember a number; False if it was there."""
        place = bisect_right(self._first, number) - 1
        if place >= 0 and number <= self._last[place]:
            return False
        joins_before = place >= 0 and self._last[place] == number - 1
        joins_after = place + 1 < len(self._first) and self._first[place + 1] == number + 1
        if joins_before and joins_after:
            self._last[place] = self._last[place + 1]
            del self._first[place + 1], self._last[place + 1]
        elif joins_before:
            self._last[place] = number
        elif joins_after:
            self._first[place + 1] = number
        else:
            self._first.insert(place + 1, number)
            self._last.insert(place + 1, number)
        return True

    def runs(self) -> list[tuple[int, int]]:
        """First and last number of each run, ascending."""
        return list(zip(self._first, self._last, strict=True))

    def holes(self) -> list[tuple[int, int]]:
        """First and last number of what is absent between the runs."""
        return [(last + 1, first - 1) for first, last in zip(self._first[1:], self._last[:-1], strict=True)]


def ranges(runs: Sequence[tuple[int, int]]) -> str:
    """``1-3, 7 and 2 more ranges``."""
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:SHOWN])
    return f"{shown} and {len(runs) - SHOWN} more ranges" if len(runs) > SHOWN else shown
