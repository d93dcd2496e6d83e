"""Which silences break a rhythm: never those of sources that are bursty, rare, or asleep at night."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.detect.coverage import (
    SourceCoverage,
    minutes,
    observed,
    sources,
    sources_at_a_glance,
    without_streams,
)

START = datetime(2026, 3, 2, tzinfo=UTC)


def seen(times: Sequence[datetime | None]) -> SourceCoverage:
    connection = ibis.duckdb.connect()
    table = pa.table({"time": pa.array(times, pa.timestamp("us", tz="UTC"))})
    rows = observed({"syslog": connection.create_table("syslog", table, temp=True)})
    assert rows is not None
    held = connection.create_table("held", without_streams(minutes(rows)), temp=True)
    [source] = sources(held, lambda expression: expression.to_pyarrow())
    return source


def every(step: timedelta, number: int, start: datetime = START) -> list[datetime]:
    return [start + step * place for place in range(number)]


def test_a_gap_in_a_steady_log_is_unusual_and_its_loss_is_estimated() -> None:
    times = every(timedelta(minutes=1), 14_400)
    gap = START + timedelta(days=4), START + timedelta(days=5, hours=6)
    source = seen([time for time in times if not gap[0] < time < gap[1]])
    [silence] = source.unusual
    assert (silence.start, silence.end) == gap
    assert silence.expected_records == pytest.approx(1_800, rel=0.1)


def test_several_gaps_are_all_named() -> None:
    begins = [START + timedelta(days=day, hours=hour) for day, hour in ((1, 2), (3, 17), (4, 12), (6, 7), (8, 22))]
    gaps = [(begin, begin + timedelta(hours=5)) for begin in begins]
    times = every(timedelta(minutes=2), 7_200)
    source = seen([time for time in times if not any(a < time < b for a, b in gaps)])
    assert sorted((one.start, one.end) for one in source.unusual) == gaps


def office(days: int) -> list[datetime]:
    return [time for time in every(timedelta(minutes=3), days * 480) if time.weekday() < 5 and 8 <= time.hour < 18]


def test_nights_and_weekends_of_an_office_are_its_rhythm() -> None:
    assert seen(office(40)).unusual == ()


def test_a_day_without_records_in_an_office_is_not() -> None:
    day = START + timedelta(days=22)
    source = seen([time for time in office(40) if time.date() != day.date()])
    assert [one.start.date() for one in source.unusual] == [(day - timedelta(days=1)).date()]


def test_one_weekend_alone_is_named_as_one() -> None:
    for silence in seen(office(9)).unusual:
        assert silence.over_weekend


@pytest.mark.parametrize("times", [[], [None], [START], [START, START + timedelta(days=400)], every(timedelta(0), 500)])
def test_few_records_have_no_rhythm(times: Sequence[datetime | None]) -> None:
    if times:
        assert seen(times).unusual == ()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.6, 2.5))
def test_sources_that_are_bursty_by_nature_are_not_accused(seed: int, heavy: float) -> None:
    """Bursts whose distances are spread over orders of magnitude (log-normal)."""
    chance = random.Random(seed)
    times, now = [], START
    for _ in range(120):
        now += timedelta(hours=min(chance.lognormvariate(0.5, heavy), 2_000))
        times += [now + timedelta(seconds=place) for place in range(chance.randrange(1, 20))]
    found = seen(times).unusual
    # one in a hundred is allowed for; a whole set of accusations is not
    assert len(found) <= 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200))
def test_records_that_come_at_random_are_not_accused(seed: int, per_day: int) -> None:
    chance = random.Random(seed)
    span = 20 * 86_400
    times = sorted(START + timedelta(seconds=chance.random() * span) for _ in range(per_day * 20))
    assert len(seen(times).unusual) <= 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2199, 1, 1)) | st.none(), min_size=1, max_size=80))
def test_any_times_are_counted_and_none_breaks_it(times: list[datetime | None]) -> None:
    source = seen([time.replace(tzinfo=UTC) if time else None for time in times])
    assert source.records == len(times)
    assert source.undated == times.count(None)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(["web1", "web2", None]), st.none() | st.integers(0, 200_000_000)),
        min_size=1, max_size=60,
    )
)  # fmt: skip
def test_a_glance_says_the_same_of_every_silence_of_an_hour(rows: list[tuple[str | None, int | None]]) -> None:
    times = [None if tenth is None else START + timedelta(seconds=tenth / 10_000) for _host, tenth in rows]
    table = pa.table(
        {"host": pa.array([host for host, _ in rows], pa.string()), "time": pa.array(times, pa.timestamp("us", "UTC"))}
    )
    records = observed({"syslog": ibis.memtable(table)}, streams=False)
    assert records is not None
    whole = sources(minutes(records), lambda expression: expression.to_pyarrow())
    glance = sources_at_a_glance(records, lambda expression: expression.to_pyarrow(), lambda expression: expression)
    assert [one.unusual for one in glance] == [one.unusual for one in whole]
    for one, other in zip(glance, whole, strict=True):
        assert (one.records, one.undated, one.first, one.last) == (
            other.records,
            other.undated,
            other.first,
            other.last,
        )
        if other.longest_silence_seconds >= 3600:
            assert one == other
