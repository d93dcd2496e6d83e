"""Whether a silence breaks the rhythm of its own source.

A source is judged by nothing but itself.  For every class of hours (hour of the day; apart for weekends once
there are two weeks to learn from) the share of hours outside the silence in which it had records is its chance
of speaking, p = (active + 1/2) / (all + 1), the estimate of Krichevsky and Trofimov (IEEE Transactions on
Information Theory 27, 1981), which is never 0 or 1.  Hours, not records, are counted, so that a burst of a
thousand records weighs no more than one.  A silence is surprising if the product of (1 - p) over its whole
hours is below one in a hundred for all of the source's hours taken together (Bonferroni).

Sources that are bursty by nature have long silences of every length: where a source is not nearly always
there (p below :data:`STEADY`), a silence must moreover lie beyond the outer fence of the source's own silences,
third quartile plus three quartile distances (Tukey, Exploratory Data Analysis, 1977), on the scale of
logarithms because lengths of silences are spread by factors.

A source of less than two days knows no nights: it is judged by stretches of ten minutes at one chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

FEWEST_RECORDS = 50
"""A source with fewer records has no rhythm that a silence could break."""
FEWEST_ACTIVE = 6
"""Nor has one with records in fewer hours (or stretches of ten minutes)."""
STEADY = 0.8
ONE_IN = 100.0
LEAST_SPREAD = 0.25
"""Quartile distance (of logarithms) that is assumed at least, so that equal nights do not accuse a long weekend."""
DAYS_FOR_HOURS, DAYS_FOR_WEEKENDS = 2, 14
MOST_HOURS = 24 * 366
"""Hours of a silence that are looked at one by one."""
LONG_WEEKEND_HOURS = 96
TEN, HOUR = 600, 3600


@dataclass(frozen=True)
class Activity:
    """When a source speaks; see :func:`casemate.detect.coverage.sources.activity`.

    `hours` by hour of the week (0 is Monday, midnight UTC); `quarter`, `three_quarters` in seconds.
    """

    records: int
    first: datetime
    last: datetime
    hours: Mapping[int, int]
    tens: int
    silences: int
    quarter: float
    three_quarters: float


@dataclass(frozen=True)
class Silence:
    """A silence that its source's rhythm does not explain.

    Args:
        start, end: the records on both sides (UTC).
        expected_records: how many it would have held at the source's own rate in these hours.
        over_weekend: whether it covers a Saturday or Sunday, and the source has no other weekend to compare with.
    """

    start: datetime
    end: datetime
    expected_records: float
    over_weekend: bool = False

    @property
    def seconds(self) -> int:
        return int((self.end - self.start).total_seconds())


def unusual(source: Activity, stretches: Sequence[tuple[datetime, datetime]]) -> tuple[Silence, ...]:
    """Those of the source's silences (start and end, the longest first) that break its rhythm."""
    if source.records < FEWEST_RECORDS:
        return ()
    found = []
    for start, end in stretches:
        silence = _judged(source, start, end)
        if silence is not None:
            found.append(silence)
    return tuple(found)


def _judged(source: Activity, start: datetime, end: datetime) -> Silence | None:
    span = (source.last - source.first).total_seconds()
    talking = span - (end - start).total_seconds()
    if talking < DAYS_FOR_HOURS * 86_400:
        return _without_hours(source, start, end, talking)
    weekends = talking >= DAYS_FOR_WEEKENDS * 86_400
    silent = range(-(-int(start.timestamp()) // HOUR), int(end.timestamp()) // HOUR)
    active = sum(source.hours.values())
    if active < FEWEST_ACTIVE or not silent:
        return None
    begin, finish = int(source.first.timestamp()) // HOUR, int(source.last.timestamp()) // HOUR + 1
    chances = _chances(source.hours, begin, finish, silent, weekends)
    surprise = expected = 0.0
    for hour in silent[:MOST_HOURS]:
        chance = chances[_class(_hour_of_week(hour), weekends)]
        surprise -= math.log1p(-chance)
        expected += chance
    if surprise <= math.log(ONE_IN * active) or _bursty(source, end - start, expected / len(silent[:MOST_HOURS])):
        return None
    days = {(hour // 24 + 3) % 7 for hour in silent[:MOST_HOURS]}
    rest = not weekends and (5 in days or 6 in days) and len(silent) <= LONG_WEEKEND_HOURS
    # the hours at both ends count in part
    part = (end - start).total_seconds() / HOUR / len(silent)
    return Silence(start, end, expected * part * source.records / active, rest)


def _without_hours(source: Activity, start: datetime, end: datetime, talking: float) -> Silence | None:
    """One chance for all stretches of ten minutes."""
    if source.tens < FEWEST_ACTIVE:
        return None
    silent = int((end - start).total_seconds() // TEN)
    chance = min((source.tens + 0.5) / (max(talking / TEN, source.tens) + 1), 0.999)
    surprise = -silent * math.log1p(-chance)
    if surprise <= math.log(ONE_IN * source.tens) or _bursty(source, end - start, chance):
        return None
    return Silence(start, end, silent * chance * source.records / source.tens)


def _bursty(source: Activity, length, chance: float) -> bool:
    """Whether this silence is one of many kinds that the source has anyway."""
    if chance >= STEADY:
        return False
    if source.silences < 4:
        # too few to know their spread
        return source.silences > 1 and length.total_seconds() < 2 * source.three_quarters
    low, high = math.log(max(source.quarter, 1.0)), math.log(max(source.three_quarters, 1.0))
    return math.log(length.total_seconds()) <= high + 3 * max(high - low, LEAST_SPREAD)


def _chances(
    active: Mapping[int, int], begin: int, finish: int, silent: range, weekends: bool
) -> dict[tuple[int, bool], float]:
    """By class of hours: the chance that an hour from `begin` to `finish`, outside the silence, has records."""
    spoke: dict[tuple[int, bool], int] = {}
    there: dict[tuple[int, bool], int] = {}
    for hour in range(168):
        kind = _class(hour, weekends)
        outside = _hours_between(begin, finish, hour) - _hours_between(silent.start, silent.stop, hour)
        there[kind] = there.get(kind, 0) + max(outside, 0)
        spoke[kind] = spoke.get(kind, 0) + active.get(hour, 0)
    return {kind: (min(spoke[kind], number) + 0.5) / (number + 1) for kind, number in there.items()}


def _class(hour_of_week: int, weekends: bool) -> tuple[int, bool]:
    return hour_of_week % 24, weekends and hour_of_week >= 120


def _hour_of_week(hour: int) -> int:
    return (hour + 72) % 168


def _hours_between(begin: int, end: int, hour_of_week: int) -> int:
    """How many hours (since 1970) from `begin` on and before `end` are this hour of their week."""
    residue = (hour_of_week - 72) % 168

    def before(limit: int) -> int:
        return (limit - residue + 167) // 168

    return before(end) - before(begin)
