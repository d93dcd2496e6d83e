"""Who spoke to whom, from ``network_activity``: what the network analytics begin with.

Grouping all connections once is dear; looking at the groups is not.  :func:`pairs` is executed once for a case, and
every analytic that only needs some pairs takes their connections back by :func:`of_pairs`.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.networks import NOT_ONE_HOST, within

PAIR = ("source", "target", "port", "protocol")
UNANSWERED = ("S0", "REJ", "RSTOS0", "SH")
"""Zeek's states of connections that never came about (``base/protocols/conn/main.zeek``)."""


def pairs(network: ibis.Table, own: Sequence[str]) -> ibis.Table:
    """One row per :data:`PAIR`.

    Columns: :data:`PAIR`, ``n`` connections, ``first`` and ``last`` (UTC), ``said`` and ``heard`` (bytes from and to
    the source), ``lasted`` (milliseconds, the longest), ``failed`` (how many never came about), ``quiet`` (how many may
    be called failed or empty by :mod:`casemate.detect.behaviour.scans`; never fewer than are), ``from_own``,
    ``to_own``.  ``port`` is -1 where there is none.  Left out: multicast and broadcast, and what has no time.
    """
    table = named(network)
    state = table.unmapped_conn_state.fill_null("")
    blocked = (table.disposition == "Blocked").fill_null(False)
    lost = state.isin(UNANSWERED) | blocked
    silent = (table.traffic_bytes_in.fill_null(0) == 0) | (table.traffic_bytes_out.fill_null(0) == 0)
    refused = (table.traffic_packets_in == 0).fill_null(False) | (table.status == "Failure").fill_null(False)
    quiet = lost | ibis.ifelse(state == "", refused, silent)
    grouped = table.group_by(list(PAIR)).agg(
        n=table.count(),
        first=table.time.min(),
        last=table.time.max(),
        said=table.traffic_bytes_out.sum().fill_null(0),
        heard=table.traffic_bytes_in.sum().fill_null(0),
        lasted=table.duration.max().fill_null(0),
        failed=lost.cast("int64").sum(),
        quiet=quiet.cast("int64").sum(),
    )
    grouped = grouped.mutate(quiet=ibis.ifelse(is_icmp(grouped.protocol), grouped.n, grouped.quiet))
    grouped = grouped.mutate(from_own=within(grouped.source, own), to_own=within(grouped.target, own))
    return grouped.filter(~within(grouped.target, NOT_ONE_HOST) & (grouped.source != grouped.target))


def of_pairs(network: ibis.Table, wanted: ibis.Table) -> ibis.Table:
    """The connections of some pairs, with every column of `wanted`.

    Columns: ``evidence, record, time, uid, said, heard, lasted`` (milliseconds), ``failed`` (1 where it never came
    about), and those of `wanted`, which holds at least :data:`PAIR`, each pair once.
    """
    table = named(network)
    state = table.unmapped_conn_state.fill_null("")
    rows = table.select(
        *("evidence", "record", "time", *PAIR),
        uid=table.connection_info_uid,
        said=table.traffic_bytes_out.fill_null(0),
        heard=table.traffic_bytes_in.fill_null(0),
        lasted=table.duration.fill_null(0),
        failed=(state.isin(UNANSWERED) | (table.disposition == "Blocked").fill_null(False)).cast("int64"),
    )
    return rows.inner_join(wanted, list(PAIR))


def of_any(network: ibis.Table, wanted: Sequence[ibis.Table]) -> ibis.Table:
    """The rows of ``network_activity`` whose pair stands in one of some tables with :data:`PAIR`."""
    first, *others = [table.select(*PAIR) for table in wanted]
    for other in others:
        first = first.union(other)
    return named(network).semi_join(first.distinct(), list(PAIR)).select(*network.columns)


def of_a_pair(grouped: ibis.Table) -> dict[str, ir.Value]:
    """What a statement about one pair says in any case: when, from which address, to which address and service."""
    return {
        "key": grouped.key,
        "rule": grouped.rule,
        "time": grouped.time,
        "time_end": grouped.time_end,
        "source_kind": ibis.literal("address"),
        "source_value": grouped.source,
        "target_kind": ibis.literal("address"),
        "target_value": grouped.target,
        "target_service": grouped.service,
        "outcome": ibis.literal("unknown"),
    }


def service_of(port: ir.IntegerValue, protocol: ir.StringValue) -> ir.StringValue:
    """``443/tcp``; the protocol alone where there is no port."""
    return ibis.ifelse(port >= 0, port.cast("string") + "/" + protocol, protocol)


def is_icmp(protocol: ir.StringValue) -> ir.BooleanValue:
    """Whether a protocol is one of the two whose messages have no ports."""
    return protocol.lower().isin(["icmp", "icmp6", "ipv6-icmp"])


def microseconds(time: ir.TimestampValue) -> ir.IntegerValue:
    """Since 1970-01-01 UTC."""
    return time.delta(ibis.literal("1970-01-01T00:00:00Z").cast("timestamp('UTC', 6)"), unit="microsecond")


def named(network: ibis.Table) -> ibis.Table:
    """Connections with a time and two addresses, with the columns :data:`PAIR`."""
    table = network.filter(
        network.time.notnull() & network.src_endpoint_ip.notnull() & network.dst_endpoint_ip.notnull()
    )
    return table.mutate(
        source=table.src_endpoint_ip,
        target=table.dst_endpoint_ip,
        port=table.dst_endpoint_port.fill_null(-1),
        protocol=table.connection_info_protocol_name.fill_null("ip"),
    )
