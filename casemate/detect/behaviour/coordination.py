"""Outside sources that did the same things in the same order, from ``network_activity`` and ``http_activity``.

Method: alerts are put together by equal sequences of what was tried (Zhou, Leckie, Karunasekera, "A survey of
coordinated attacks and collaborative intrusion detection", Computers & Security 29, 2010).  A source's sequence is the
order in which it first tried each service of each own host, or each path that was not there.  Chance gives one order
of four things in twenty-four; three sources with the same order of four or more, and nothing else, share a tool or a
hand.  Only failing things count: that everybody opens the same pages in the same order is how pages are made.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.networks import within
from casemate.detect.behaviour.pairs import PAIR, microseconds, of_pairs, service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key

MANY = "many addresses"


@dataclass(frozen=True)
class CoordinationSettings:
    """Thresholds."""

    steps: int = 4
    steps_most: int = 500
    sources: int = 3


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "coordinated_sources",
        "Outside sources tried the same services in the same order",
        "low",
        "network",
        ("T1595",),
        ("reconnaissance",),
        "several outside sources tried exactly the same services of own hosts in the same order",
    ),
    BehaviourRule(
        "coordinated_requests",
        "Outside sources asked for the same missing paths in the same order",
        "low",
        "web",
        ("T1595.003",),
        ("reconnaissance",),
        "several outside sources asked for exactly the same paths that were not there, in the same order",
    ),
)


def _alike(steps: ibis.Table, settings: CoordinationSettings) -> ibis.Table:
    """``source, scheme`` of sources that share their sequence with enough others; `steps`: source, thing, at."""
    counted = steps.group_by("source").agg(count=steps.count())
    counted = counted.filter((counted["count"] >= settings.steps) & (counted["count"] <= settings.steps_most))
    steps = steps.semi_join(counted, "source")
    number = ibis.row_number().over(ibis.window(group_by=["source"], order_by=[steps["at"], steps.thing]))
    steps = steps.mutate(step=(number + 1_000).cast("string") + " " + steps.thing)
    schemes = steps.group_by("source").agg(scheme=steps.step.collect().sort().join("\n"))
    schemes = schemes.mutate(scheme=schemes.scheme.hexdigest("sha256").substr(0, 16))
    shared = schemes.group_by("scheme").agg(sources=schemes.source.nunique())
    shared = shared.filter(shared.sources >= settings.sources)
    return schemes.inner_join(shared, "scheme").select("source", "scheme")


def shared_orders(pairs: ibis.Table, settings: CoordinationSettings) -> ibis.Table:
    """Inward pairs that mostly failed, of sources whose order others share, with ``scheme``."""
    inward = pairs.filter(mostly_failed(pairs))
    thing = inward.target + " " + service_of(inward.port, inward.protocol)
    steps = inward.select("source", thing=thing, at=microseconds(inward.first))
    return inward.select(*PAIR).inner_join(_alike(steps, settings), "source")


def mostly_failed(pairs: ibis.Table) -> ir.BooleanValue:
    """Whether a pair comes from outside and mostly got no answer."""
    return ~pairs.from_own & pairs.to_own & (pairs.failed * 2 >= pairs.n)


def coordinated_connections(
    shared: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: CoordinationSettings
) -> ibis.Table:
    """The connections of such pairs."""
    rows = of_pairs(network, shared)
    return rows.select(
        *("scheme", "source", "evidence", "record", "time"),
        rule=ibis.literal("coordinated_sources"),
        target=rows.target,
        thing=rows.target + " " + service_of(rows.port, rows.protocol),
    )


def missing_paths(http: ibis.Table, settings: CoordinationSettings) -> ibis.Table:
    """First requests for paths that were not there, of sources that asked for several: ``source, thing, at``."""
    lost = http.filter(
        http.time.notnull()
        & http.src_endpoint_ip.notnull()
        & (http.http_response_code >= 400)
        & ~http.http_response_code.isin([401, 407])
    )
    steps = lost.group_by(source=lost.src_endpoint_ip, thing=lost.http_request_url_path.fill_null("")).agg(
        at=microseconds(lost.time).min()
    )
    counted = steps.group_by("source").agg(count=steps.count())
    return steps.semi_join(counted.filter(counted["count"] >= settings.steps), "source")


def coordinated_requests(
    steps: ibis.Table, http: ibis.Table, own: Sequence[str], settings: CoordinationSettings
) -> ibis.Table:
    """The failing requests of sources whose order others share."""
    alike = _alike(steps.filter(~within(steps.source, own)), settings)
    lost = http.filter((http.http_response_code >= 400) & ~http.http_response_code.isin([401, 407]))
    lost = lost.filter(lost.time.notnull()).mutate(source=lost.src_endpoint_ip)
    rows = lost.inner_join(alike, "source")
    return rows.select(
        *("scheme", "source", "evidence", "record", "time"),
        rule=ibis.literal("coordinated_requests"),
        target=ibis.coalesce(rows.dst_endpoint_ip, rows.http_request_url_hostname, rows.device_hostname).fill_null(
            "web"
        ),
        thing=rows.http_request_url_path.fill_null(""),
    )


def coordination(table: ibis.Table, _settings: CoordinationSettings) -> Statements:
    """One statement per shared order; counts: ``records, sources, steps, hosts, address`` (one of the sources)."""
    table = table.mutate(key=key(table.rule, table.scheme))

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule"]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            records=rows.count(),
            sources=rows.source.nunique(),
            steps=rows.thing.nunique(),
            hosts=rows.target.nunique(),
            address=rows.source.min(),
        )
        return grouped.select(
            key=grouped.key,
            rule=grouped.rule,
            time=grouped.time,
            time_end=grouped.time_end,
            source_kind=ibis.literal("unknown"),
            source_value=ibis.literal(MANY),
            target_kind=ibis.literal("own_network"),
            target_value=ibis.literal("own network"),
            target_service=ibis.null("string"),
            outcome=ibis.literal("unknown"),
            confidence=ibis.literal("medium"),
            records=grouped.records,
            sources=grouped.sources,
            steps=grouped.steps,
            hosts=grouped.hosts,
            address=grouped.address,
        )

    return Statements(table, summarise)
