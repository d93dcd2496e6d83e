"""Own hosts through which an outside source reaches others, from ``network_activity``.

Method: Zhang and Paxson, "Detecting Stepping Stones" (USENIX Security 2000): a host that passes traffic on has an
inner and an outer side that are busy at the same time and carry as much.  Here the outer side is one long session from
outside, and the inner one are connections to the outside that begin while it lasts.

Told is a session during which the host spoke to many peers it had not spoken to before, where both directions of the
session carried about what those connections did, within a factor of two (one side is compressed or encrypted again).

Left out: hosts that take such sessions from several sources, which is what gateways and proxies of the network are
for; whoever administers a host and lets it fetch updates meets few peers, and gets none of their bytes back.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.pairs import PAIR, microseconds, of_a_pair, of_pairs, service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key


@dataclass(frozen=True)
class RelaySettings:
    """Thresholds."""

    session_milliseconds: int = 60_000
    session_bytes: int = 50_000
    """Of each direction: less is somebody at a keyboard."""
    peers: int = 10
    """New peers of the host while the session lasted."""
    visitors: int = 3
    """Sources of such sessions; a host with more is a gateway."""
    factor: int = 2


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "relay",
        "Own host passes an outside source on to many peers",
        "medium",
        "network",
        ("T1090",),
        ("command-and-control",),
        "while a session from outside lasted, an own host spoke to many peers outside that it had not spoken to "
        "before, and both carried as much: the source uses the host as its proxy",
    ),
)


def may_be_session(pairs: ibis.Table, settings: RelaySettings) -> ir.BooleanValue:
    """Whether a pair comes from outside and may hold a session long and busy enough."""
    busy = (pairs.said >= settings.session_bytes) & (pairs.heard >= settings.session_bytes)
    return ~pairs.from_own & pairs.to_own & busy & (pairs.lasted >= settings.session_milliseconds)


def relayed_pairs(pairs: ibis.Table, settings: RelaySettings) -> ibis.Table:
    """Pairs of hosts with such a session and enough new peers after it began, with ``host`` and ``outer``."""
    sessions = pairs.filter(may_be_session(pairs, settings)).mutate(host=ibis._.target)
    hosts = sessions.group_by("host").agg(since=sessions["first"].min(), visitors=sessions.source.nunique())
    hosts = hosts.filter(hosts.visitors <= settings.visitors).select("host", "since")
    onward = pairs.filter(pairs.from_own & ~pairs.to_own & (pairs.heard > 0)).mutate(host=ibis._.source)
    onward = onward.inner_join(hosts, "host")
    onward = onward.filter(onward["first"] >= onward.since)
    enough = onward.group_by("host").agg(peers=onward.target.nunique())
    enough = enough.filter(enough.peers >= settings.peers)
    outer = sessions.semi_join(enough, "host").select(*PAIR, "host", outer=ibis.literal(True))
    return outer.union(onward.semi_join(enough, "host").select(*PAIR, "host", outer=ibis.literal(False)))


def relayed(chosen: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: RelaySettings) -> ibis.Table:
    """The connections of such pairs."""
    rows = of_pairs(network, chosen)
    return rows.mutate(service=service_of(rows.port, rows.protocol), begun=microseconds(rows.time))


def relaying(table: ibis.Table, settings: RelaySettings) -> ibis.Table:
    """Sessions that were passed on, and the connections they were passed on by: ``visitor, host, service``."""
    long = (table.lasted >= settings.session_milliseconds) & (table.said >= settings.session_bytes)
    sessions = table.filter(table.outer & long & (table.heard >= settings.session_bytes))
    sessions = sessions.select(
        *("host", "service", "evidence", "record", "time", "said", "heard"),
        visitor=sessions.source,
        opened=sessions.begun,
        closed=sessions.begun + sessions.lasted * 1000,
        session=key(sessions.evidence, sessions.record),
    )
    onward = table.filter(~table.outer)
    onward = onward.select(
        "host",
        "evidence",
        "record",
        "time",
        "begun",
        peer=onward.target,
        passed_out=onward.said,
        passed_in=onward.heard,
    )
    during = sessions.drop("evidence", "record", "time").inner_join(onward, "host")
    during = during.filter((during.begun >= during.opened) & (during.begun <= during.closed))
    sums = during.group_by("session").agg(
        peers=during.peer.nunique(),
        passed_out=during.passed_out.sum(),
        passed_in=during.passed_in.sum(),
        said=during.said.max(),
        heard=during.heard.max(),
    )
    factor = settings.factor
    alike = (
        (sums.passed_out <= sums.said * factor)
        & (sums.said <= sums.passed_out * factor)
        & (sums.passed_in <= sums.heard * factor)
        & (sums.heard <= sums.passed_in * factor)
    )
    told = sums.filter((sums.peers >= settings.peers) & alike).select("session")
    place = ["visitor", "host", "service", "evidence", "record", "time"]
    outer = sessions.semi_join(told, "session")
    inner = during.semi_join(told, "session")
    nothing = ibis.null("string")
    return outer.select(*place, "said", "heard", peer=nothing).union(
        inner.select(*place, said=inner.passed_out, heard=inner.passed_in, peer=inner.peer)
    )


def relays(table: ibis.Table, _settings: RelaySettings) -> Statements:
    """One statement per source, host and service.

    Returns:
        statements of :data:`RULES`; counts: ``sessions, connections, peers, bytes_in, bytes_out`` (of the sessions, as
        the host sees them), ``passed_out, passed_in`` (to and from the peers).
    """
    table = table.mutate(rule=ibis.literal("relay"), key=key("relay", table.visitor, table.host, table.service))

    def summarise(rows: ibis.Table) -> ibis.Table:
        session = rows.peer.isnull()
        grouped = rows.group_by(["key", "rule", "visitor", "host", "service"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            sessions=session.cast("int64").sum(),
            connections=(~session).cast("int64").sum(),
            peers=rows.peer.nunique(),
            bytes_in=ibis.ifelse(session, rows.said, 0).sum(),
            bytes_out=ibis.ifelse(session, rows.heard, 0).sum(),
            passed_out=ibis.ifelse(session, 0, rows.said).sum(),
            passed_in=ibis.ifelse(session, 0, rows.heard).sum(),
        )
        named = grouped.mutate(source=grouped.visitor, target=grouped.host)
        counts = ["sessions", "connections", "peers", "bytes_in", "bytes_out", "passed_out", "passed_in"]
        about = {**of_a_pair(named), "outcome": ibis.literal("succeeded")}
        return named.select(**about, confidence=ibis.literal("medium"), **{name: named[name] for name in counts})

    return Statements(table, summarise)
