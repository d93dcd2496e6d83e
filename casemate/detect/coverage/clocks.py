"""Clocks: which were set, and which disagree.

**Set.** Windows tells when its clock was set (Security 4616, System 1 of Kernel-General); a fall of the time
against the order of numbers is in :mod:`casemate.detect.coverage.numbers`, against the order of lines here
(:data:`ORDERED`).  A virtual machine that is resumed or set back does the same: only the step is told, not why.

**Disagree.** Two observers often record one event: a connection at both ends, or on the wire and at a server
(source address and source port); a Kerberos logon at the target and where it was asked for (the logon GUID of
4624, 4648, 4769); a web request on the wire and in the server's log.  What stands under one key at two observers
is one event if both have it equally often (repeats within ten minutes count once); the first of the one is
paired with the first of the other.  The offset of two clocks is the median of the differences: half of the pairs
may be wrong without moving it (Huber, Robust Statistics, 1981).  Its spread is the quartile distance.  An offset
within the natural delay between seeing a connection and logging on (:data:`AGREE_SECONDS`) is agreement.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import ibis

from casemate.detect.coverage.sources import KEYS, UTC_TIME, Collect, Hold, of_source, stacked

AGREE_SECONDS = 60
FEWEST_PAIRS = 3
WIDEST_SPREAD = 120
"""Quartile distance in seconds above which the pairs do not speak of one offset."""
LONGEST_SECONDS = 26 * 3600
"""Clocks are off by a date line at most; what lies further apart is not one event."""
MOST_REPEATS = 20
REPEAT_SECONDS = 600
EPHEMERAL = 1024
"""Source ports below are those of services and used again and again."""
MOST_ROWS = 2_000
STEP_SECONDS = 60
NO_GUID = "00000000-0000-0000-0000-000000000000"

ORDERED: dict[str, int] = {"syslog": 60, "web_error": 60, "web_access": 900}
"""Tables whose lines are written in order of time, and by how many seconds a line may fall behind: a web server
writes the time at which a request began when the request has ended."""

SET_PREVIOUS = r'"(?:PreviousTime|OldTime)":"([0-9T:.-]{19,29})Z?"'
SET_NEW = r'"NewTime":"([0-9T:.-]{19,29})Z?"'


@dataclass(frozen=True)
class ClockStep:
    """A clock moved by `seconds` (negative: back), between the times `before` and `after` (UTC).

    `how`: ``set`` (the machine says so), ``numbers`` or ``lines`` (time fell against the order of records).
    """

    table: str
    host: str | None
    stream: str | None
    how: str
    before: datetime
    after: datetime
    seconds: int
    record: str | None


@dataclass(frozen=True)
class Offset:
    """How far the clock of `other` is ahead of that of `one`, in seconds; `pairs` events seen by both.

    `spread` is the quartile distance; `kind` what was paired.
    """

    one: str
    other: str
    kind: str
    pairs: int
    seconds: float
    spread: float

    @property
    def verdict(self) -> str:
        """``agree``, ``disagree`` or ``unclear`` (too few pairs, or they do not speak of one offset)."""
        if self.pairs < FEWEST_PAIRS or self.spread > WIDEST_SPREAD:
            return "unclear"
        return "disagree" if abs(self.seconds) > AGREE_SECONDS + self.spread else "agree"


# clocks that were set


def lines_back(tables: Mapping[str, ibis.Table]) -> ibis.Table | None:
    """Lines whose time falls behind the line before by more than :data:`ORDERED` allows."""
    parts = []
    for name, most in ORDERED.items():
        if name not in tables:
            continue
        table = tables[name]
        rows = table.select("evidence", "record", "time", "flags", **of_source(table, name))
        rows = rows.filter(rows.time.notnull())
        window = ibis.window(group_by=["evidence", "named"], order_by="record")
        after = rows.mutate(previous=rows.time.lag().over(window))
        after = after.mutate(back=after.previous.delta(after.time, unit="microsecond").fill_null(0))
        # years that were inferred may have been inferred wrongly; a year back is no clock
        inferred = after.flags.fill_null("").contains("year_inferred") & (after.back > 300 * 86_400_000_000)
        parts.append(
            after.filter((after.back > most * 1_000_000) & ~inferred).select(
                *KEYS, "previous", "back", "time", "evidence", "record"
            )
        )
    return stacked(parts) if parts else None


def clocks_set(windows: ibis.Table) -> ibis.Table:
    """Windows events that the clock was set, with the texts of both times: :data:`KEYS`, ``old``, ``new``,
    ``evidence``, ``record``."""  # fmt: skip
    provider = windows.Provider_Name.lower().fill_null("")
    by_kernel = (windows.EventID == "1") & (provider == "microsoft-windows-kernel-general")
    by_audit = (windows.EventID == "4616") & provider.isin(["microsoft-windows-security-auditing", ""])
    rows = windows.filter(by_kernel | by_audit)
    rest = rows.rest.fill_null("")
    return rows.select(
        **of_source(rows, "windows_event"),
        old=rest.re_extract(SET_PREVIOUS, 1),
        new=rest.re_extract(SET_NEW, 1),
        evidence=rows.evidence,
        record=rows.record,
    )


def clock_steps(tables: Mapping[str, ibis.Table], collect: Collect) -> tuple[ClockStep, ...]:
    """Clocks that were set by a minute or more, and lines out of order, the largest first."""
    found = []
    back = lines_back(tables)
    if back is not None:
        for row in collect(back.order_by([ibis.desc(back.back), "evidence", "record"]).limit(MOST_ROWS)).to_pylist():
            found.append(_step(row, "lines", row["previous"], row["time"], -int(row["back"]) // 1_000_000))
    if "windows_event" in tables and "rest" in tables["windows_event"].columns:
        told = clocks_set(tables["windows_event"])
        for row in collect(told.order_by(["evidence", "record"]).limit(MOST_ROWS)).to_pylist():
            old, new = _moment(row["old"]), _moment(row["new"])
            seconds = int((new - old).total_seconds()) if old and new else 0
            if old and new and abs(seconds) >= STEP_SECONDS:
                found.append(_step(row, "set", old, new, seconds))
    return tuple(sorted(found, key=lambda one: (-abs(one.seconds), one.table, one.host or "", one.record or "")))


def _step(row: Mapping, how: str, before: datetime, after: datetime, seconds: int) -> ClockStep:
    address = f"{row['evidence']}:{row['record']}"
    return ClockStep(row["table"], row["named"] or None, row["flow"] or None, how, before, after, seconds, address)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat((text or "")[:26]).replace(tzinfo=UTC)
    except ValueError:
        return None


# clocks that disagree


def sightings(events: Mapping[str, ibis.Table], windows: ibis.Table | None) -> ibis.Table | None:
    """What may be seen twice: ``observer``, ``kind``, ``key``, ``time``; None where nothing can be.

    Args:
        events: the OCSF tables ``network_activity``, ``authentication`` and ``http_activity``, those there are.
        windows: the native table of Windows events.
    """
    parts = []
    for name in ("network_activity", "authentication"):
        if name not in events:
            continue
        table = events[name]
        port = table.src_endpoint_port
        rows = table.filter(table.src_endpoint_ip.notnull() & (port >= EPHEMERAL).fill_null(False))
        key = rows.src_endpoint_ip + " " + rows.src_endpoint_port.cast("string")
        parts.append(_seen(rows, _observer(rows), "connection", key))
    if "http_activity" in events:
        web = events["http_activity"]
        web = web.filter(web.src_endpoint_ip.notnull() & web.http_request_url_path.notnull())
        key = web.src_endpoint_ip + " " + web.http_request_http_method.fill_null("") + " " + web.http_request_url_path
        parts.append(_seen(web, _observer(web), "request", key))
    if windows is not None and {"LogonGuid", "TargetLogonGuid"} <= set(windows.columns):
        guid = ibis.cases(
            (windows.EventID.isin(["4624", "4769"]), windows.LogonGuid),
            (windows.EventID == "4648", windows.TargetLogonGuid),
            else_=ibis.null("string"),
        )
        rows = windows.mutate(guid=guid.lower().re_extract(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", 0))
        rows = rows.filter(rows.guid.notnull() & ~rows.guid.isin(["", NO_GUID]) & rows.Computer.notnull())
        parts.append(_seen(rows, rows.Computer.lower(), "logon", rows.guid))
    if not parts:
        return None
    found = stacked(parts)
    return found.filter(found.time.notnull())


def _observer(table: ibis.Table) -> ibis.Value:
    host = ibis.ifelse(_zeek(table), ibis.null("string"), table.device_hostname.lower())
    return ibis.coalesce(host, table.metadata_product_name, "")


def _seen(rows: ibis.Table, observer: ibis.Value, kind: str, key: ibis.Value) -> ibis.Table:
    return rows.select(observer=observer, kind=ibis.literal(kind), key=key, time=rows.time.cast(UTC_TIME))


def _zeek(rows: ibis.Table) -> ibis.Value:
    """Records of Zeek: all are one observer, because a cluster's workers are named in some of its logs only."""
    return (rows.metadata_product_name == "zeek").fill_null(False)


def pairs(seen: ibis.Table) -> ibis.Table:
    """Events seen by two observers: ``kind``, ``one``, ``other`` and ``apart`` (microseconds other is later)."""
    # what one observer alone has is most of it, and cannot be paired
    shared = seen.group_by(["kind", "key"]).agg(low=seen.observer.min(), high=seen.observer.max())
    shared = shared.filter(shared.low < shared.high).select("kind", "key")
    seen = seen.semi_join(shared, ["kind", "key"])
    same = ["observer", "kind", "key"]
    after = seen.mutate(previous=seen.time.lag().over(ibis.window(group_by=same, order_by="time")))
    gap = after.time.delta(after.previous, unit="microsecond")
    firsts = after.filter((gap > REPEAT_SECONDS * 1_000_000).fill_null(True)).drop("previous")
    window = ibis.window(group_by=same, order_by="time")
    placed = firsts.mutate(place=ibis.row_number().over(window), number=firsts.count().over(ibis.window(group_by=same)))
    placed = placed.filter(placed.number <= MOST_REPEATS)
    others = placed.view()
    joined = placed.join(
        others,
        [
            placed.kind == others.kind,
            placed.key == others.key,
            placed.place == others.place,
            placed.number == others.number,
            placed.observer < others.observer,
        ],
    )
    apart = others.time.delta(placed.time, unit="microsecond")
    found = joined.select(kind=placed.kind, one=placed.observer, other=others.observer, apart=apart)
    return found.filter((found.apart <= LONGEST_SECONDS * 1_000_000) & (found.apart >= -LONGEST_SECONDS * 1_000_000))


def offsets(paired: ibis.Table) -> ibis.Table:
    """Per two observers and kind: ``pairs``, ``median``, ``quarter``, ``three_quarters`` (microseconds)."""
    return paired.group_by(["one", "other", "kind"]).agg(
        pairs=paired.count(),
        median=paired.apart.quantile(0.5).cast("float64"),
        quarter=paired.apart.quantile(0.25).cast("float64"),
        three_quarters=paired.apart.quantile(0.75).cast("float64"),
    )


def clock_offsets(
    events: Mapping[str, ibis.Table], windows: ibis.Table | None, collect: Collect, hold: Hold
) -> tuple[Offset, ...]:
    """Every two observers that saw the same events, those that disagree most first."""
    seen = sightings(events, windows)
    if seen is None:
        return ()
    found = offsets(pairs(hold(seen)))
    made = [
        Offset(
            one=row["one"],
            other=row["other"],
            kind=row["kind"],
            pairs=row["pairs"],
            seconds=round(row["median"] / 1e6, 3),
            spread=round((row["three_quarters"] - row["quarter"]) / 1e6, 3),
        )
        for row in collect(found.order_by([ibis.desc("pairs"), "one", "other", "kind"]).limit(MOST_ROWS)).to_pylist()
    ]
    order = {"disagree": 0, "agree": 1, "unclear": 2}
    return tuple(sorted(made, key=lambda one: (order[one.verdict], -abs(one.seconds), one.one, one.other, one.kind)))
