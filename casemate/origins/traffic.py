"""How much came from the sources of attempts: attempts, connections and bytes, per source and day.

A connection counts where its source is the source of an attempt and it began while one of that source's
attempts was going on (from its first to its last finding); each counts once, however many attempts there
were at the time.  Its bytes are those of both directions.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir

MICROSECONDS_OF_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS_WITH_ADDRESS = ("address", "network")


def with_address(attempts: ibis.Table) -> ibis.Table:
    """Attempts whose source is an address or a network: ``address, network, started, ended``."""
    table = attempts.mutate(kind=attempts.source["kind"], address=attempts.source["value"])
    table = table.filter(table.kind.isin(KINDS_WITH_ADDRESS) & table.address.notnull() & (table.address != ""))
    return table.select("address", "started", "ended", network=(table.kind == "network"))


def attempts_by_day(attempts: ibis.Table) -> ibis.Table:
    """``address, day, attempts``: by the day (since 1970, UTC) on which they began, null where unknown.

    Args:
        attempts: table of :data:`casemate.schema.attempts.ATTEMPTS`.
    """
    table = with_address(attempts)
    table = table.mutate(day=_day(table.started))
    return table.group_by(["address", "day"]).agg(attempts=table.count())


def traffic_by_day(attempts: ibis.Table, network: ibis.Table) -> ibis.Table:
    """``address, day, connections, bytes, without_bytes`` of the sources of attempts.

    Args:
        attempts: table of :data:`casemate.schema.attempts.ATTEMPTS`.
        network: ``network_activity``.
    """
    sources = with_address(attempts)
    sources = sources.filter(sources.started.notnull())
    named = sources.select("address").distinct()
    out, back = network.traffic_bytes_out, network.traffic_bytes_in
    table = network.filter(network.time.notnull() & network.src_endpoint_ip.notnull())
    table = table.select(
        "time",
        ip=table.src_endpoint_ip,
        size=(out.fill_null(0) + back.fill_null(0)).cast("int64"),
        unsized=(out.isnull() & back.isnull()).cast("int64"),
    )
    alone = table.rename(address="ip")
    # sources that are networks are written as such; a connection belongs to its /24
    wide = table.filter(table.ip.re_search(r"^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$"))
    wide = wide.mutate(address=wide.ip.re_extract(r"^([0-9]+[.][0-9]+[.][0-9]+)[.]", 1) + ".0/24").drop("ip")
    seen = alone.select("address", "time", "size", "unsized").union(wide.select("address", "time", "size", "unsized"))
    seen = seen.semi_join(named, "address")
    events = _events(seen.address, seen.time, 1, 0, seen.size, seen.unsized, seen)
    events = events.union(_events(sources.address, sources.started, 0, 1, None, None, sources))
    events = events.union(_events(sources.address, sources.ended, 2, -1, None, None, sources))
    until = ibis.window(group_by="address", order_by=[events.time, events.turn], preceding=None, following=0)
    events = events.mutate(going_on=events.step.sum().over(until))
    inside = events.filter((events.turn == 1) & (events.going_on > 0))
    inside = inside.mutate(day=_day(inside.time))
    return inside.group_by(["address", "day"]).agg(
        connections=inside.count(), bytes=inside.size.sum(), without_bytes=inside.unsized.sum()
    )


def _events(
    address: ir.StringValue,
    time: ir.TimestampValue,
    turn: int,
    step: int,
    size: ir.IntegerValue | None,
    unsized: ir.IntegerValue | None,
    table: ibis.Table,
) -> ibis.Table:
    """Beginnings and ends of attempts, and the connections between them, as rows of one shape."""
    return table.select(
        address=address,
        time=time,
        turn=ibis.literal(turn, type="int64"),
        step=ibis.literal(step, type="int64"),
        size=size if size is not None else ibis.literal(0, type="int64"),
        unsized=unsized if unsized is not None else ibis.literal(0, type="int64"),
    )


def _day(time: ir.TimestampValue) -> ir.IntegerValue:
    origin = ibis.literal(EPOCH, type="timestamp('UTC', 6)")
    return (time.delta(origin, unit="microsecond") // MICROSECONDS_OF_DAY).cast("int64")
