"""Connections of own hosts that stay, and pairs that connect without end, from ``network_activity``.

Method: RITA v5's long connections (its limits: one, four, eight, twelve hours) and strobes (more than once a second
for a day).  A connection still open when the log was written counts for as long as it had lasted then.  Peers that
many own hosts speak to are left out: messengers and remote meetings stay connected all day.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.pairs import PAIR, of_a_pair, of_pairs, service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key


@dataclass(frozen=True)
class LongSettings:
    """Thresholds."""

    hours: int = 4
    common_hosts: int = 3
    """Own hosts that speak to the peer for it to be common."""
    strobe_contacts: int = 10_000
    """Fewest connections of a strobe, which also are more than one a second."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "long_connection",
        "Own host stays connected to a rare outside peer for hours",
        "low",
        "network",
        ("T1071", "T1219"),
        ("command-and-control",),
        "an own host held a connection to a peer outside for hours, and hardly any other own host speaks to it; "
        "tunnels, remote control and sessions of people look the same",
    ),
    BehaviourRule(
        "strobe",
        "Own host connects to one outside peer all the time",
        "low",
        "network",
        ("T1071",),
        ("command-and-control",),
        "an own host connected to one peer outside more often than once a second for as long as it did",
    ),
)


def lasting_pairs(pairs: ibis.Table, settings: LongSettings) -> ibis.Table:
    """Outward pairs with a long connection or very many, with ``rule`` and ``hosts``."""
    outward = pairs.filter(pairs.from_own & ~pairs.to_own)
    strobe = _strobe(outward, settings)
    hosts = outward.group_by("target").agg(hosts=outward.source.nunique())
    kept = outward.mutate(
        rule=ibis.cases(
            (strobe, "strobe"), (outward.lasted >= settings.hours * 3_600_000, "long_connection"),
            else_=ibis.null("string"),
        )
    )  # fmt: skip
    kept = kept.filter(kept.rule.notnull()).inner_join(hosts, "target")
    return kept.filter((kept.hosts < settings.common_hosts) | (kept.rule == "strobe")).select(*PAIR, "rule", "hosts")


def may_last(pairs: ibis.Table, settings: LongSettings) -> ir.BooleanValue:
    """Whether a pair goes outward and has a long connection or very many."""
    long = pairs.lasted >= settings.hours * 3_600_000
    return pairs.from_own & ~pairs.to_own & (long | _strobe(pairs, settings))


def _strobe(pairs: ibis.Table, settings: LongSettings) -> ir.BooleanValue:
    seconds = pairs.last.delta(pairs.first, unit="microsecond") // 1_000_000 + 1
    return (pairs.n >= settings.strobe_contacts) & (pairs.n >= seconds)


def lasting(kept: ibis.Table, network: ibis.Table, _own: Sequence[str], settings: LongSettings) -> ibis.Table:
    """The long connections, and all of a strobe's."""
    rows = of_pairs(network, kept)
    rows = rows.mutate(service=service_of(rows.port, rows.protocol))
    return rows.filter((rows.rule == "strobe") | (rows.lasted >= settings.hours * 3_600_000))


def every_row(table: ibis.Table, _settings: LongSettings) -> ibis.Table:
    """Nothing more to leave out."""
    return table


def long_connections(table: ibis.Table, _settings: LongSettings) -> Statements:
    """One statement per pair; counts: ``connections, longest_seconds, bytes_out, bytes_in, own_hosts``."""
    table = table.mutate(key=key(table.rule, table.source, table.target, table.service))

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule", "source", "target", "service"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            connections=rows.count(),
            longest=rows.lasted.max(),
            said=rows.said.sum(),
            heard=rows.heard.sum(),
            hosts=rows.hosts.max(),
        )
        return grouped.select(
            **of_a_pair(grouped),
            confidence=ibis.literal("low"),
            connections=grouped.connections,
            longest_seconds=grouped.longest // 1000,
            bytes_out=grouped.said,
            bytes_in=grouped.heard,
            own_hosts=grouped.hosts,
        )

    return Statements(table, summarise)
