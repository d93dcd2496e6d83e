"""What each log source of each host recorded: from when to when, how many records, and its silences.

A *source* is a native table, the host its records name, and within it a *stream*: what has a numbering and a
rhythm of its own (the channel of Windows events; null where a table has no streams).  A silence is a stretch
between two records that follow one another; those shorter than a minute are not looked for, because records
are gathered by the minute first, which keeps the windows small whatever the size of the log.

All functions describe work and execute nothing.  Whether a silence means anything is judged in
:mod:`casemate.detect.coverage.rhythm`.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import ibis
import pyarrow as pa

from casemate.detect.coverage.rhythm import Activity, Silence, unusual

SILENCE_SECONDS = 3600
"""Shorter silences are not worth naming; the design speaks of silent hours."""
LISTED_SECONDS = 600
"""Shortest silence that counts as one of a source's own when the longest is compared with the others."""
SILENCES_JUDGED = 20
"""Longest silences of each source that are judged."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000

HOST_COLUMNS: dict[str, str] = {
    "windows_event": "Computer",
    "syslog": "host",
    "journald": "_HOSTNAME",
    "linux_audit": "node",
    "linux_sysmon": "Computer",
    "suricata_event": "host",
}
"""Column of a native table that names the host which wrote the record; other tables name none."""

STREAM_COLUMNS: dict[str, tuple[str, ...]] = {"windows_event": ("Channel", "Provider_Name")}
"""Columns that name the stream; the first that is known."""

KEYS = ("table", "named", "flow")
"""Table, host and stream; the last two are empty, not null, where unknown, so that they can be grouped by."""

UTC_TIME = "timestamp('UTC', 6)"
"""The type of every time; Spark forgets the zone of what it holds."""

Collect = Callable[[ibis.Table], pa.Table]
"""Executes an expression and gives its rows, times as UTC."""
Hold = Callable[[ibis.Table], ibis.Table]
"""Executes an expression once and gives a table of its rows."""


@dataclass(frozen=True)
class SourceCoverage:
    """What one log source of one host shows; times are UTC, null where no record has a time.

    `unusual` are its silences that its own rhythm does not explain, the longest first.
    """

    table: str
    host: str | None
    records: int
    undated: int
    first: datetime | None
    last: datetime | None
    longest_silence_seconds: int
    silence_from: datetime | None
    silence_to: datetime | None
    stream: str | None = None
    unusual: tuple[Silence, ...] = ()

    @property
    def silence_is_unusual(self) -> bool:
        """Whether some silence of an hour or more is one that this source's own rhythm does not explain."""
        return bool(self.unusual)

    @property
    def unseen(self) -> float:
        """How many records its unusual silences would have held at the source's own rate."""
        return sum(silence.expected_records for silence in self.unusual)

    @property
    def name(self) -> str:
        """``table (stream) of host``, as far as known."""
        stream = f" ({self.stream})" if self.stream else ""
        return f"{self.table}{stream} of {self.host}" if self.host else f"{self.table}{stream}"


def of_source(table: ibis.Table, name: str, streams: bool = True) -> dict[str, ibis.Value]:
    """The columns :data:`KEYS` of a native table called `name`; all its streams are one unless asked for."""
    host = HOST_COLUMNS.get(name)
    known = [table[column] for column in STREAM_COLUMNS.get(name, ()) if streams and column in table.columns]
    return {
        "table": ibis.literal(name),
        "named": _text(table[host]) if host in table.columns else ibis.literal(""),
        "flow": _text(ibis.coalesce(*known)) if known else ibis.literal(""),
    }


def _text(column: ibis.Value) -> ibis.Value:
    return column.cast("string").fill_null("")


def observed(tables: Mapping[str, ibis.Table], streams: bool = True) -> ibis.Table | None:
    """:data:`KEYS` and the time of every record of these native tables; None where there are none."""
    parts = [
        tables[name].select(**of_source(tables[name], name, streams), time=tables[name].time) for name in sorted(tables)
    ]
    return stacked(parts) if parts else None


def stacked(parts: Sequence[ibis.Table]) -> ibis.Table:
    """All rows of tables of the same columns."""
    first, *others = parts
    for other in others:
        first = first.union(other, distinct=False)
    return first


def minutes(seen: ibis.Table, length: int = 1) -> ibis.Table:
    """Per source and minute (since 1970): ``records`` and ``begin`` and ``end``, their first and last time; the
    records without a time have the minute null.  Everything else here is asked of these rows.  Stretches of more
    than a minute, `length` of them, are numbered by their own length."""  # fmt: skip
    origin = ibis.literal(EPOCH, type=UTC_TIME)
    placed = seen.mutate(minute=(seen.time.delta(origin, unit="microsecond") // (length * MINUTE)).cast("int64"))
    return placed.group_by([*KEYS, "minute"]).agg(
        records=placed.count(), begin=placed.time.min(), end=placed.time.max()
    )


def without_streams(busy: ibis.Table) -> ibis.Table:
    """The rows of :func:`minutes`, all streams of a table and host as one."""
    merged = busy.mutate(flow=ibis.literal(""))
    return merged.group_by([*KEYS, "minute"]).agg(
        records=merged.records.sum().cast("int64"), begin=merged.begin.min(), end=merged.end.max()
    )


def coverage(busy: ibis.Table) -> ibis.Table:
    """One row per source from :func:`minutes`: :data:`KEYS`, ``records, undated, first, last``."""
    undated = ibis.ifelse(busy.minute.isnull(), busy.records, ibis.literal(0, "int64"))
    return busy.group_by(list(KEYS)).agg(
        records=busy.records.sum().cast("int64"),
        undated=undated.sum().cast("int64"),
        first=busy.begin.min(),
        last=busy.end.max(),
    )


def silences(busy: ibis.Table) -> ibis.Table:
    """The longest silences of each source, from :func:`minutes`.

    Columns: :data:`KEYS`, ``seconds``, ``silence_from``, ``silence_to``, ``place`` (0 is the longest; the longest
    is there however short, others from :data:`LISTED_SECONDS` on), and about all of the source's silences of
    at least :data:`LISTED_SECONDS`: ``number``, ``quarter`` and ``three_quarters`` (their quartiles, in seconds).
    """
    found = _between(busy)
    # only those that may be told of are put in order
    longest = found.seconds.max().over(ibis.window(group_by=list(KEYS)))
    marked = found.mutate(longest=longest)
    some = marked.filter((marked.seconds >= LISTED_SECONDS) | (marked.seconds == marked.longest)).drop("longest")
    order = [ibis.desc(some.seconds), some.silence_from]
    placed = some.mutate(place=ibis.row_number().over(ibis.window(group_by=list(KEYS), order_by=order)))
    long = placed.filter((placed.place == 0) | (placed.seconds >= LISTED_SECONDS))
    spread = long.group_by(list(KEYS)).agg(
        number=(long.seconds >= LISTED_SECONDS).cast("int64").sum().cast("int64"),
        quarter=long.seconds.quantile(0.25).cast("float64"),
        three_quarters=long.seconds.quantile(0.75).cast("float64"),
    )
    return long.filter(long.place < SILENCES_JUDGED).join(spread, list(KEYS))


def _between(busy: ibis.Table) -> ibis.Table:
    """The stretches between those of :func:`minutes` that follow one another: :data:`KEYS`, ``silence_from``,
    ``silence_to``, ``seconds``."""  # fmt: skip
    busy = busy.filter(busy.minute.notnull())
    window = ibis.window(group_by=list(KEYS), order_by="minute")
    after = busy.mutate(silence_from=busy.end.lag().over(window))
    found = after.mutate(microseconds=after.begin.delta(after.silence_from, unit="microsecond"))
    found = found.filter(found.microseconds.notnull())
    return found.select(
        *KEYS, "silence_from", silence_to=found.begin, seconds=(found.microseconds // 1_000_000).cast("int64")
    )


def sources_with_long_silences(hours: ibis.Table) -> ibis.Table:
    """:data:`KEYS` of the sources of :func:`minutes` (60 together) that are silent for an hour or more somewhere.

    Records of one hour are less than an hour apart, so each such silence lies between two of these rows.
    """
    found = _between(hours)
    return found.filter(found.seconds >= SILENCE_SECONDS).select(*KEYS).distinct()


def activity(busy: ibis.Table) -> ibis.Table:
    """When each source speaks, from :func:`minutes`: :data:`KEYS`, ``hour_of_week`` (0: Monday, midnight UTC),
    ``hours`` in which it has records, and ``tens``, stretches of ten minutes (of the clock) with some."""  # fmt: skip
    busy = busy.filter(busy.minute.notnull())
    tens = busy.select(*KEYS, ten=busy.minute // 10).distinct()
    hours = tens.mutate(hour=tens.ten // 6).group_by([*KEYS, "hour"]).agg(tens=lambda table: table.count())
    # 1970-01-01 was a Thursday
    hours = hours.mutate(hour_of_week=((hours.hour + 72) % 168).cast("int64"))
    return hours.group_by([*KEYS, "hour_of_week"]).agg(hours=hours.count(), tens=hours.tens.sum().cast("int64"))


def sources(busy: ibis.Table, collect: Collect) -> tuple[SourceCoverage, ...]:
    """Every source of :func:`minutes` with its silences judged, sorted by table, host and stream."""
    return _judged(collect(coverage(busy)).to_pylist(), busy, collect)


def sources_at_a_glance(seen: ibis.Table, collect: Collect, hold: Hold) -> tuple[SourceCoverage, ...]:
    """What :func:`sources` says of :func:`observed`, but of silences only where one is an hour or longer.

    Gathering by the hour first costs a fraction of gathering by the minute where many hosts write little each.
    """
    hours = hold(minutes(seen, 60))
    counted = collect(coverage(hours)).to_pylist()
    silent = {_key(row) for row in collect(sources_with_long_silences(hours)).to_pylist()}
    if not silent:
        return _judged(counted, None, collect)
    if len(silent) < len(counted):
        hosts, tables = ({key[place] for key in silent} for place in (1, 0))
        seen = seen.filter(seen.named.isin(sorted(hosts)) & seen.table.isin(sorted(tables)))
    return _judged(counted, hold(minutes(seen)), collect, silent)


def _judged(
    counted: Sequence[Mapping], busy: ibis.Table | None, collect: Collect, silent: set[tuple] | None = None
) -> tuple[SourceCoverage, ...]:
    """The sources that were counted with their silences in `busy`; only those of `silent` unless it is None."""
    quiet: dict[tuple, list[dict]] = {}
    for row in collect(silences(busy)).to_pylist() if busy is not None else ():
        if silent is None or _key(row) in silent:
            quiet.setdefault(_key(row), []).append(row)
    active: dict[tuple, list[dict]] = {}
    if busy is not None and any(row["seconds"] >= SILENCE_SECONDS for rows in quiet.values() for row in rows):
        for row in collect(activity(busy)).to_pylist():
            active.setdefault(_key(row), []).append(row)
    made = [_source(row, quiet.get(_key(row), []), active.get(_key(row), [])) for row in counted]
    return tuple(sorted(made, key=lambda one: (one.table, one.host or "", one.stream or "")))


def _key(row: Mapping) -> tuple:
    return tuple(row[name] for name in KEYS)


def _source(row: Mapping, quiet: Sequence[Mapping], busy: Sequence[Mapping]) -> SourceCoverage:
    ranked = sorted(quiet, key=lambda one: one["place"])
    longest = ranked[0] if ranked else None
    found: tuple[Silence, ...] = ()
    if longest and longest["seconds"] >= SILENCE_SECONDS and busy:
        hours, tens = {}, 0
        for one in busy:
            hours[one["hour_of_week"]] = one["hours"]
            tens += one["tens"]
        rhythm = Activity(
            records=row["records"] - row["undated"],
            first=row["first"],
            last=row["last"],
            hours=hours,
            tens=tens,
            silences=longest["number"],
            quarter=longest["quarter"],
            three_quarters=longest["three_quarters"],
        )
        stretches = [(one["silence_from"], one["silence_to"]) for one in ranked if one["seconds"] >= SILENCE_SECONDS]
        found = unusual(rhythm, stretches)
    return SourceCoverage(
        table=row["table"],
        host=row["named"] or None,
        stream=row["flow"] or None,
        records=row["records"],
        undated=row["undated"],
        first=row["first"],
        last=row["last"],
        longest_silence_seconds=longest["seconds"] if longest else 0,
        silence_from=longest["silence_from"] if longest else None,
        silence_to=longest["silence_to"] if longest else None,
        unusual=found,
    )


def largest_blind_spot(found: Sequence[SourceCoverage]) -> SourceCoverage | None:
    """The source whose unusual silences hide the most records at its own rate; None where there is none."""
    silent = [source for source in found if source.silence_is_unusual]
    return max(silent, key=lambda source: (source.unseen, source.name), default=None)
