"""The series a behaviour analytic judged: what happened over time, and when the threshold was reached."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.lookup import Ranges, rows_at
from casemate.explore.tables import native_filled, stored_tables, views
from casemate.explore.why_judged import Judged, judged

MOST_BUCKETS = 54
WIDTHS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
"""Widths of buckets in seconds; the first that gives at most :data:`MOST_BUCKETS`."""
MOST_EVENTS = 500_000
"""Most events that are drawn; of more, the first so many, and it is said."""
BEFORE_SUCCESS = timedelta(hours=24)
"""How long before a success the guessing is looked for."""
AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Event:
    """One record of a series: when, what kind, and what is told apart in the count (account, host, port, path)."""

    time: datetime
    kind: str
    distinct: str | None


@dataclass(frozen=True)
class Series:
    """Counts over time.

    Args:
        of: what is drawn, one clause.
        begin: UTC, of the first bucket; `bucket_seconds` is how long each is.
        counts: per kind of event the number in each bucket.
        measure: what is held against the threshold; `reached` its value at the end of each bucket.
        threshold: that value, None where there is none.
        moments: times to be marked: when the threshold was reached, the first success.
        cut: whether there were more events than are drawn.
    """

    of: str
    begin: datetime
    bucket_seconds: int
    counts: Mapping[str, tuple[int, ...]]
    measure: str
    reached: tuple[int, ...]
    threshold: float | None
    moments: tuple[tuple[str, datetime], ...]
    cut: bool = False


def series_of(case: Case, finding: Mapping[str, Any], tree: Any, records: Ranges) -> Series | None:
    """The series behind a finding of a behaviour; None where its records have no time."""
    if not isinstance(tree, Mapping) or finding["time"] is None:
        return None
    read = READERS.get(str(tree.get("analytic")))
    events: list[Event] = []
    of = "records of the finding"
    if read is not None:
        engine = DuckDBEngine()
        try:
            stored = stored_tables(case)
            engine.use(stored)
            of, expression, convert = read(views(engine, stored), finding, tree)
            rows = engine.collect(expression.limit(MOST_EVENTS + 1)).to_pylist()
            events = [convert(row) for row in rows if row["time"] is not None]
        finally:
            engine.close()
    if not events:
        of = "records of the finding"
        events = [Event(time, "records", None) for time in _times(case, records)]
    return drawn(of, events, judged(tree))


def drawn(of: str, events: Iterable[Event], decided: Judged | None) -> Series | None:
    """The series of these events against what decided."""
    ordered = sorted(events, key=lambda event: event.time)
    cut = len(ordered) > MOST_EVENTS
    ordered = ordered[:MOST_EVENTS]
    if not ordered:
        return None
    seconds = (ordered[-1].time - ordered[0].time).total_seconds()
    width = next((one for one in WIDTHS if seconds / one < MOST_BUCKETS - 1), int(seconds // (MOST_BUCKETS - 1)) + 1)
    begin = datetime.fromtimestamp(int(ordered[0].time.timestamp()) // width * width, UTC)
    number = int((ordered[-1].time - begin).total_seconds() // width) + 1
    kinds = {event.kind for event in ordered}
    counts = {kind: [0] * number for kind in sorted(kinds, key=_order)}
    reached = [0] * number
    seen: set[str] = set()
    value = 0
    when: datetime | None = None
    apart = decided is not None and decided.count in DISTINCT
    # only what is drawn is held against the threshold: not the count of records against one of networks
    if decided is not None and not (apart and any(event.distinct for event in ordered)) and decided.count not in EACH:
        decided = None
    for event in ordered:
        place = int((event.time - begin).total_seconds() // width)
        counts[event.kind][place] += 1
        if event.kind not in NOT_COUNTED:
            if apart and event.distinct is not None:
                seen.add(event.distinct)
            value = len(seen) if apart else value + 1
        reached[place] = value
        if when is None and decided is not None and value >= decided.threshold:
            when = event.time
    for place in range(1, number):
        reached[place] = max(reached[place], reached[place - 1])
    same = decided is not None and (not decided.exact or decided.value == value)
    moments = [("threshold reached", when)] if when is not None and same else []
    lost = next((event.time for event in ordered if event.kind == "failures"), None)
    won = next((e.time for e in ordered if e.kind == "successes" and (lost is None or e.time >= lost)), None)
    if won is not None:
        moments.append(("first success" if lost is None else "success after failure", won))
    return Series(
        of,
        begin,
        width,
        {kind: tuple(values) for kind, values in counts.items()},
        decided.what if decided is not None else "records",
        tuple(reached),
        decided.threshold if decided is not None else None,
        tuple(moments),
        cut,
    )


DISTINCT = frozenset({"accounts", "hosts", "services", "paths", "networks"})
"""Counts of different values."""
EACH = frozenset({"failures", "tries", "probes", "requests"})
"""Counts of events."""
NOT_COUNTED = frozenset({"successes", "answered"})
KINDS = ("failures", "undecided", "successes", "unanswered", "refused", "blocked", "empty", "answered", "errors")


def _order(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _times(case: Case, records: Ranges) -> Iterator[datetime]:
    stored = stored_tables(case)
    for table in native_filled(stored):
        for batch in rows_at(stored[table].parts, records, ["time"]) if "time" in stored[table].schema.names else ():
            yield from (time for time in batch.column("time").to_pylist() if time is not None)


# what is read for which analytic: what it is, the rows, and how a row becomes an event

Read = tuple[str, ibis.Table, Callable[[dict[str, Any]], Event]]
STATUS_KINDS = {"Failure": "failures", "Success": "successes"}


def _guessing(tables: Mapping[str, ibis.Table], finding: Mapping[str, Any], tree: Mapping[str, Any]) -> Read:
    rows = tables["authentication"]
    source, target = _value(finding["source"]), _value(finding["target"])
    won = str(tree.get("rule", "")).startswith("success_after")
    begin = finding["time"] - (BEFORE_SUCCESS if won else timedelta())
    rows = _between(rows, begin, (finding["time_end"] or finding["time"]) + (AFTER if won else timedelta()))
    names = ["src_endpoint_ip", "src_endpoint_hostname", "device_hostname"]
    if (finding["source"] or {}).get("kind") == "address":
        names = names[:1]
    rows = rows.filter(_any(rows, names, source))
    rows = rows.filter(
        _any(rows, ["dst_endpoint_ip", "dst_endpoint_hostname", "device_hostname", "service_name"], target)
    )
    rows = rows.filter((rows.activity_name != "Logoff").fill_null(True))
    rows = rows.select("time", "status", distinct=rows.user_name.lower())

    def event(row: dict[str, Any]) -> Event:
        return Event(_utc(row["time"]), STATUS_KINDS.get(row["status"], "undecided"), row["distinct"])

    return f"logons from {source} to {target}", rows.order_by("time"), event


def _distributed(tables: Mapping[str, ibis.Table], finding: Mapping[str, Any], tree: Mapping[str, Any]) -> Read:
    rows = tables["authentication"]
    target, account = _value(finding["target"]), str(tree.get("counts", {}).get("account"))
    rows = _between(rows, finding["time"], finding["time_end"] or finding["time"])
    rows = rows.filter(
        _any(rows, ["dst_endpoint_ip", "dst_endpoint_hostname", "device_hostname", "service_name"], target)
    )
    rows = rows.filter(
        (rows.user_name.lower() == account).fill_null(False) & (rows.status == "Failure").fill_null(False)
    )
    inside = tree.get("rule") == "failing_from_many_hosts"
    rows = rows.select("time", address=rows.src_endpoint_ip)

    def event(row: dict[str, Any]) -> Event:
        address = row["address"] or ""
        separator = ":" if ":" in address else "."
        network = address if inside else separator.join(address.split(separator)[:2])
        return Event(_utc(row["time"]), "failures", network or None)

    return f"failed logons of {account} to {target}", rows.order_by("time"), event


def _scans(tables: Mapping[str, ibis.Table], finding: Mapping[str, Any], tree: Mapping[str, Any]) -> Read:
    rows = tables["network_activity"]
    source, target = _value(finding["source"]), _value(finding["target"])
    service = (finding["target"] or {}).get("service")
    rows = _between(rows, finding["time"], finding["time_end"] or finding["time"])
    rows = rows.filter((rows.src_endpoint_ip == source).fill_null(False))
    horizontal = (finding["target"] or {}).get("kind") == "own_network"
    if not horizontal:
        rows = rows.filter((rows.dst_endpoint_ip == target).fill_null(False))
    port, _, protocol = str(service or "").partition("/")
    if port.isdigit():
        rows = rows.filter((rows.dst_endpoint_port == int(port)).fill_null(False))
    if protocol:
        rows = rows.filter((rows.connection_info_protocol_name.lower() == protocol).fill_null(False))
    ports = rows.dst_endpoint_port.cast("string") + "/" + rows.connection_info_protocol_name.lower().fill_null("")
    rows = rows.select(
        "time",
        state=rows.unmapped_conn_state,
        blocked=(rows.disposition == "Blocked").fill_null(False),
        said=rows.traffic_bytes_out.fill_null(0),
        heard=rows.traffic_bytes_in.fill_null(0),
        distinct=rows.dst_endpoint_ip if horizontal else ports,
    )

    def event(row: dict[str, Any]) -> Event:
        return Event(_utc(row["time"]), _connection(row), row["distinct"])

    against = "own hosts" if horizontal else target
    return f"connections from {source} to {against}", rows.order_by("time"), event


def _connection(row: Mapping[str, Any]) -> str:
    """How a connection ended, by Zeek's state where there is one."""
    state = row["state"] or ""
    if row["blocked"]:
        return "blocked"
    if state == "REJ":
        return "refused"
    if state in ("S0", "SH", "RSTOS0"):
        return "unanswered"
    if row["said"] and row["heard"]:
        return "answered"
    return "empty" if row["said"] or row["heard"] or state else "unanswered"


def _web(tables: Mapping[str, ibis.Table], finding: Mapping[str, Any], tree: Mapping[str, Any]) -> Read:
    rows = tables["http_activity"]
    source, target = _value(finding["source"]), _value(finding["target"])
    rows = _between(rows, finding["time"], finding["time_end"] or finding["time"])
    rows = rows.filter((rows.src_endpoint_ip == source).fill_null(False))
    if target != "web":
        rows = rows.filter(_any(rows, ["dst_endpoint_ip", "http_request_url_hostname", "device_hostname"], target))
    rows = rows.select("time", code=rows.http_response_code, distinct=rows.http_request_url_path)

    def event(row: dict[str, Any]) -> Event:
        code = row["code"]
        return Event(_utc(row["time"]), "errors" if code is not None and code >= 400 else "answered", row["distinct"])

    return f"requests from {source} to {target}", rows.order_by("time"), event


READERS: dict[str, Callable[[Mapping[str, ibis.Table], Mapping[str, Any], Mapping[str, Any]], Read]] = {
    "guessing": _guessing,
    "distributed_guessing": _distributed,
    "scans": _scans,
    "web_searches": _web,
}


def _between(rows: ibis.Table, begin: datetime, end: datetime) -> ibis.Table:
    first, last = (ibis.literal(time, type="timestamp('UTC', 6)") for time in (begin, end))
    return rows.filter((rows.time >= first) & (rows.time <= last))


def _any(rows: ibis.Table, names: Sequence[str], value: str) -> Any:
    test = (rows[names[0]] == value).fill_null(False)
    for name in names[1:]:
        test = test | (rows[name] == value).fill_null(False)
    return test


def _value(end: Mapping[str, str | None] | None) -> str:
    return str((end or {}).get("value") or "")


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
