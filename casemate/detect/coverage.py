"""Coverage: what could be seen at all, per log source and host.

For each native table and the host its records name: how many records, from when to when, how many
without a time, and the longest silence between two of its records.  A silence is a *possible* gap:
it says that nothing was recorded, not why.  The largest blind spot of a case is its longest silence
of at least :data:`SILENCE_SECONDS` that the source's own rhythm does not explain.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import ibis
import pyarrow as pa

SILENCE_SECONDS = 3600
"""Shorter silences are not worth naming; the design speaks of silent hours."""

HOST_COLUMNS: dict[str, str] = {
    "windows_event": "Computer",
    "syslog": "host",
    "journald": "_HOSTNAME",
    "linux_audit": "node",
    "linux_sysmon": "Computer",
    "suricata_event": "host",
}
"""Column of a native table that names the host which wrote the record; other tables name none."""


@dataclass(frozen=True)
class SourceCoverage:
    """What one log source of one host shows; times are UTC, null where no record has a time."""

    table: str
    host: str | None
    records: int
    undated: int
    first: datetime | None
    last: datetime | None
    longest_silence_seconds: int
    silence_from: datetime | None
    silence_to: datetime | None

    @property
    def silence_is_unusual(self) -> bool:
        """Whether the longest silence is one that this source's own rhythm does not explain.

        If records came independently at the source's mean rate, a silence this long among its n
        would be seen in fewer than one case in a hundred: silence > mean * (ln n + ln 100).
        """
        if (
            self.first is None
            or self.last is None
            or self.records < 4
            or self.longest_silence_seconds < SILENCE_SECONDS
        ):
            return False
        others = self.records - self.undated - 2
        if others < 1:
            return False
        rest = (self.last - self.first).total_seconds() - self.longest_silence_seconds
        return self.longest_silence_seconds > rest / others * (math.log(others + 1) + math.log(100))


def observed(tables: Mapping[str, ibis.Table]) -> ibis.Table | None:
    """Table, host and time of every record of these native tables; None where there are none."""
    parts = []
    for name in sorted(tables):
        table = tables[name]
        host = HOST_COLUMNS.get(name)
        host = host if host in table.columns else None
        parts.append(
            table.select(
                table=ibis.literal(name),
                host=table[host].cast("string") if host else ibis.null("string"),
                time=table.time,
            )
        )
    if not parts:
        return None
    first, *others = parts
    for other in others:
        first = first.union(other)
    return first


def coverage(seen: ibis.Table) -> ibis.Table:
    """One row per table and host from :func:`observed`, columns as in :class:`SourceCoverage`."""
    # One row per distinct time keeps the window small on logs that write many records at once.
    named = seen.mutate(named=seen.host.fill_null(""))
    counted = named.group_by(["table", "named"]).agg(
        records=named.count(),
        undated=named.time.isnull().cast("int64").sum(),
        first=named.time.min(),
        last=named.time.max(),
    )
    times = named.filter(named.time.notnull()).select("table", "named", "time").distinct()
    window = ibis.window(group_by=["table", "named"], order_by="time")
    before = times.mutate(before=times.time.lag().over(window))
    silences = before.mutate(silence=before.time.delta(before.before, unit="microsecond"))
    silences = silences.filter(silences.silence.notnull())
    longest = silences.group_by(["table", "named"]).agg(silence=silences.silence.max())
    placed = silences.join(longest, ["table", "named", "silence"], how="inner")
    placed = placed.group_by(["table", "named"]).agg(
        silence=placed.silence.max(), silence_from=placed.before.min(), silence_to=placed.time.min()
    )
    joined = counted.left_join(placed, ["table", "named"])
    return joined.select(
        table=joined.table,
        host=ibis.ifelse(joined.named == "", ibis.null("string"), joined.named),
        records=joined.records,
        undated=joined.undated,
        first=joined["first"],
        last=joined["last"],
        longest_silence_seconds=(joined.silence // 1_000_000).fill_null(0).cast("int64"),
        silence_from=joined.silence_from,
        silence_to=joined.silence_to,
    )


def sources(rows: pa.Table) -> tuple[SourceCoverage, ...]:
    """The executed rows of :func:`coverage` as values, sorted by table and host."""
    found = [SourceCoverage(**row) for row in rows.to_pylist()]
    return tuple(sorted(found, key=lambda source: (source.table, source.host or "")))


FEWEST_RECORDS = 50
"""A source with fewer records has no rhythm that a silence could break."""


def largest_blind_spot(found: tuple[SourceCoverage, ...]) -> SourceCoverage | None:
    """The source whose unusual silence hides the most: its length times the source's own rate outside it."""
    silent = [source for source in found if source.silence_is_unusual and source.records >= FEWEST_RECORDS]
    return max(silent, key=lambda source: (_unseen(source), source.table, source.host or ""), default=None)


def _unseen(source: SourceCoverage) -> float:
    """How many records the silence would have held at the source's own rate."""
    if source.first is None or source.last is None:
        return 0.0
    talking = (source.last - source.first).total_seconds() - source.longest_silence_seconds
    return source.longest_silence_seconds * source.records / max(talking, 1.0)
