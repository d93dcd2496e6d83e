"""Low and slow scans: probes of one source, or of one network, that no burst and no single service puts together.

Method: after Staniford, Hoagland, McAlerney, "Practical Automated Detection of Stealthy Portscans" (Journal of
Computer Security 10, 2002), who group rare failing events over long times by what they have in common.  Here that is
the source, or its network (/24 of IPv4, the first four groups of IPv6), and what counts is how many different services
of different hosts were tried, over all of the evidence.  One such scan is one finding, from its first probe to its
last.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.rules import BehaviourRule

RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "slow_scan",
        "Different services of own hosts tried over time by one source",
        "low",
        "network",
        ("T1595.001",),
        ("reconnaissance",),
        "an outside source tried different services of own hosts, a few at a time, and no conversation came of it",
    ),
    BehaviourRule(
        "network_scan",
        "Different services of own hosts tried over time from one network",
        "low",
        "network",
        ("T1595.001",),
        ("reconnaissance",),
        "neighbouring outside addresses each tried a few services of own hosts, and no conversation came of it; "
        "scanners that spread over a network do this, and so may unconnected guests of one provider",
    ),
)


def gathered(table: ibis.Table, tried: int, neighbours: int) -> ibis.Table:
    """Adds ``network`` and ``scan`` ("network_scan", "slow_scan", or null) to probes.

    Args:
        table: probes with ``source, target, service``.
        tried: different services of hosts.
        neighbours: sources of one network.
    """
    table = table.mutate(network=network_of(table.source))
    services = table.select("source", "network", "target", "service").distinct()
    by_source = services.group_by("source").agg(things=services.count())
    tried_by_network = services.select("network", "target", "service").distinct()
    things = tried_by_network.group_by("network").agg(network_things=tried_by_network.count())
    sources = services.group_by("network").agg(sources=services.source.nunique())
    table = table.inner_join(by_source, "source").inner_join(things, "network").inner_join(sources, "network")
    shared = (table.sources >= neighbours) & (table.network_things >= tried)
    scan = ibis.cases((shared, "network_scan"), (table.things >= tried, "slow_scan"), else_=ibis.null("string"))
    return table.mutate(scan=scan).drop("things", "network_things", "sources")


def network_of(address: ir.StringValue) -> ir.StringValue:
    """``203.0.113.0/24``; of IPv6 the first four groups as written, ``2001:db8:1:2::/64``."""
    fourth = address.re_extract(r"^([0-9]+[.][0-9]+[.][0-9]+)[.]", 1)
    sixth = address.re_extract(r"^([0-9a-f]*:[0-9a-f]*:[0-9a-f]*:[0-9a-f]*):", 1)
    return ibis.cases((fourth != "", fourth + ".0/24"), (sixth != "", sixth + "::/64"), else_=address)
