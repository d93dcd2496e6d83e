"""Beacons: own hosts that call a peer outside by the clock, from ``network_activity`` and ``http_activity``.

Method: the parts that RITA v5 scores and what they miss (:mod:`casemate.detect.behaviour.beacon_scores` says both);
prevalence, age and names as RITA v5's modifiers use them.  A peer is an address and service or, where requests go
through a proxy, to changing addresses, or stand in no connection log, the host name that was asked for.

Programs on any desk call home by the clock too.  A regular pair is only told at `medium` when nothing of these
explains it, and the why-tree says in ``decided`` what did:

* **common**: many own hosts speak to the peer, or ask for names of its zone (left out altogether);
* **time service**: NTP (left out altogether);
* **well-known name**: every name seen for the address belongs to a maker of everyday software;
* **downloads**: the usual answer is too large for a question whether there is work;
* **uploads**: it sends too much each time, as a backup does; that is for
  :mod:`casemate.detect.behaviour.exfiltration` to say;
* **varied sizes**: both directions vary as those of programs with content do;
* **kept open**: one connection follows the other without a pause, as clients that wait for messages do.

A common peer that is an attacker's is therefore not seen here.  Prevalence needs hosts: with fewer than eight own
hosts that speak to the outside it excuses nobody, which ``cold_start`` states.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.beacon_scores import may_be_regular, regular, scores
from casemate.detect.behaviour.networks import within
from casemate.detect.behaviour.pairs import PAIR, named, of_pairs, service_of
from casemate.detect.behaviour.peers import askers, names, well_known, zone_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key


@dataclass(frozen=True)
class BeaconSettings:
    """Thresholds; where they come from stands at the top of this file."""

    contacts: int = 7
    """Fewest contacts: a beacon every three hours makes eight a day, and one may be lost."""
    contacts_most: int = 50_000
    """More are no beacon's; a pair that busy is told as a strobe."""
    lasting_seconds: int = 600
    """From the first contact to the last; a fifth of it where there are many, as of an implant that never sleeps."""
    many: int = 30
    common_hosts: int = 5
    """Own hosts with the same peer, if they are a tenth of those that speak to the outside; three if a quarter."""
    hosts_for_prevalence: int = 8
    download_bytes: int = 50_000
    upload_bytes: int = 500_000


def _rule(name: str, title: str, severity: str, means: str, tactic: str = "command-and-control") -> BehaviourRule:
    return BehaviourRule(name, title, severity, "network", ("T1071",), (tactic,), means)


RULES: tuple[BehaviourRule, ...] = (
    _rule(
        "beacon",
        "Own host calls a rare outside peer by the clock",
        "medium",
        "an own host spoke to a peer outside at regular times, and nothing seen of the peer explains it as ordinary "
        "software",
    ),
    _rule(
        "beacon_failed",
        "Own host calls an outside peer by the clock and gets no answer",
        "medium",
        "an own host tried to reach a peer outside at regular times and nearly always failed: software whose server "
        "is gone does this, and so does an implant whose controller is gone or blocked",
    ),
    _rule(
        "regular_contact",
        "Own host calls an outside peer by the clock, as software does",
        "informational",
        "an own host spoke to a peer outside at regular times in a way that ordinary software explains",
    ),
    _rule(
        "beacon_inside",
        "Own host calls another own host by the clock on an unusual service",
        "low",
        "an own host spoke to another at regular times and with equal sizes, on a service few use: relays of an "
        "implant do this, and so do many programs of the network's own",
    ),
)

INSIDE_SERVICES = (22, 25, 53, 67, 68, 80, 88, 111, 123, 135, 137, 138, 139, 161, 162, 389, 443, 445, 464, 514, 587,
                   631, 636, 993, 1433, 1521, 2049, 3128, 3268, 3269, 3306, 3389, 5353, 5432, 5985, 5986, 6379,
                   9090, 9093, 9100, 9200, 10050, 10051, 10250)  # fmt: skip
"""Ports on which programs inside a network speak to each other by the clock every day."""

_WHO = ["source", "peer_kind", "peer", "service"]
_CONTEXT = ["hosts", "all_hosts", "name", "known", "inside"]


def likely_pairs(pairs: ibis.Table, settings: BeaconSettings) -> ibis.Table:
    """Those of :func:`casemate.detect.behaviour.pairs.pairs` that spoke often and long enough, to a rare peer.

    Adds ``hosts`` (own hosts that speak to the peer), ``all_hosts`` (own hosts that speak to the outside) and
    ``pair``, a number.
    """
    likely = pairs.filter(often(pairs, settings))
    outward = pairs.filter(pairs.from_own & ~pairs.to_own)
    usage = outward.group_by("target").agg(hosts=outward.source.nunique())
    everyone = outward.agg(all_hosts=outward.source.nunique()).mutate(one=1)
    inside = pairs.filter(pairs.from_own & pairs.to_own).group_by("target").agg(inside_hosts=ibis._.source.nunique())
    likely = likely.left_join(usage, "target").drop("target_right").left_join(inside, "target").drop("target_right")
    likely = likely.mutate(one=1).inner_join(everyone, "one")
    likely = likely.mutate(hosts=ibis.coalesce(likely.hosts, likely.inside_hosts, 1))
    likely = likely.filter(_rare(likely, settings))
    number = ibis.row_number().over(ibis.window(order_by=[likely[name] for name in PAIR]))
    return likely.select(*PAIR, "n", "hosts", "all_hosts", "to_own", pair=number)


def often(pairs: ibis.Table, settings: BeaconSettings) -> ir.BooleanValue:
    """Whether a pair spoke often and long enough to be looked at."""
    time_service = (pairs.port == 123) & (pairs.protocol == "udp")
    lasting = pairs.last.delta(pairs.first, unit="microsecond") // 1_000_000
    resolver = (pairs.port == 53) & (pairs.protocol == "udp")
    likely = (
        pairs.from_own
        & (pairs.n >= settings.contacts)
        & (pairs.port >= 0)
        & (lasting >= ibis.ifelse(pairs.n >= settings.many, settings.lasting_seconds // 5, settings.lasting_seconds))
        & ~time_service
        & ~resolver
    )
    inside = (pairs.n >= 20) & (pairs.protocol == "tcp") & ~pairs.port.isin(INSIDE_SERVICES)
    return likely & (pairs.n <= settings.contacts_most) & (~pairs.to_own | inside)


def clocked_pairs(likely: ibis.Table, network: ibis.Table, settings: BeaconSettings) -> ibis.Table:
    """Those of :func:`likely_pairs` whose gaps may be a clock's: only they are worth knowing more of."""
    table = named(network)
    numbers = likely.select(*PAIR, number=likely.pair.cast("int32"))
    contacts = table.select(*PAIR, "time").inner_join(numbers, list(PAIR))
    clocked = may_be_regular(contacts.select("time", pair=contacts.number), settings.contacts)
    return likely.semi_join(clocked, "pair")


def asked_hosts(http: ibis.Table, settings: BeaconSettings) -> ibis.Table:
    """Requests by ``source, peer`` (host name), ``target`` (address or ""): ``n`` of them and ``in_all``, of all
    targets; only of names asked for often enough."""
    table = _requests(http)
    grouped = table.group_by(["source", "peer", "target"]).agg(n=table.count())
    grouped = grouped.mutate(in_all=grouped.n.sum().over(ibis.window(group_by=["source", "peer"])))
    return grouped.filter(grouped.in_all >= settings.contacts)


def _requests(http: ibis.Table) -> ibis.Table:
    # a name without a dot is a host of the network's own
    table = http.filter(
        http.time.notnull() & http.src_endpoint_ip.notnull() & http.http_request_url_hostname.contains(".")
    )
    return table.mutate(
        source=table.src_endpoint_ip,
        target=table.dst_endpoint_ip.fill_null(""),
        peer=table.http_request_url_hostname.lower().re_replace(r":[0-9]+\z", ""),
    )


def contacts(
    likely: ibis.Table,
    network: ibis.Table,
    dns: ibis.Table,
    http: ibis.Table,
    _own: Sequence[str],
    settings: BeaconSettings,
) -> ibis.Table:
    """Connections of pairs that may be beacons, with what is known of the peer.

    Args:
        likely: from :func:`clocked_pairs`.
        network: ``network_activity``.
        dns, http: ``dns_activity``, ``http_activity``.
        settings: thresholds.
    """
    known = names(dns, http)
    likely = likely.left_join(known, "target").drop("target_right")
    likely = likely.left_join(askers(dns, http), "zone").drop("zone_right")
    likely = likely.mutate(hosts=ibis.greatest(likely.hosts, likely.asked_by.fill_null(0)))
    likely = likely.filter(_rare(likely, settings))
    wanted = likely.select(
        *PAIR,
        "n",
        "hosts",
        "all_hosts",
        "pair",
        name=likely.name,
        known=likely.known.fill_null(0),
        inside=likely.to_own,
    )
    rows = of_pairs(network, wanted)
    return rows.select(
        *_ROW,
        peer_kind=ibis.literal("address"),
        peer=rows.target,
        service=service_of(rows.port, rows.protocol),
        **{name: rows[name] for name in _CONTEXT},
    )


_ROW = ["pair", "source", "evidence", "record", "time", "said", "heard", "lasted", "failed", "n"]


def named_contacts(
    asked: ibis.Table,
    http: ibis.Table,
    pairs: ibis.Table,
    dns: ibis.Table,
    own: Sequence[str],
    settings: BeaconSettings,
) -> ibis.Table:
    """Requests of own hosts by the host name they asked for; columns of :func:`contacts`.

    Only names of which a request went to an own address (a proxy), to none, or to an address that no connection of
    the source is known to, and names at several addresses: others are pairs of addresses already.

    Args:
        asked: from :func:`asked_hosts`.
    """
    seen = pairs.select("source", "target").distinct().mutate(connected=1)
    grouped = asked.left_join(seen, ["source", "target"])
    grouped = grouped.mutate(alone=(grouped.connected.isnull() | within(grouped.target, own)).cast("int64"))
    named = grouped.group_by(["source", "peer"]).agg(
        n=grouped.n.sum(), alone=grouped.alone.max(), addresses=grouped.target.nunique()
    )
    named = named.filter(within(named.source, own))
    everyone = named.agg(all_hosts=named.source.nunique()).mutate(one=1)
    named = named.mutate(zone=zone_of(named.peer))
    usage = named.group_by("zone").agg(hosts=named.source.nunique())
    likely = named.filter(((named.alone == 1) | (named.addresses > 1)) & ~within(named.peer, own))
    likely = likely.inner_join(usage, "zone").left_join(askers(dns, http), "zone").drop("zone_right")
    likely = likely.mutate(one=1).inner_join(everyone, "one")
    likely = likely.mutate(hosts=ibis.greatest(likely.hosts, likely.asked_by.fill_null(0)))
    likely = likely.filter(~_common(likely, settings))
    number = ibis.row_number().over(ibis.window(order_by=[likely.source, likely.peer]))
    wanted = likely.select(
        "source", "peer", "n", "hosts", "all_hosts", pair=-1 - number, known=well_known(likely.peer).cast("int64")
    )
    rows = _requests(http).inner_join(wanted, ["source", "peer"])
    return rows.select(
        pair=rows.pair,
        source=rows.source,
        evidence=rows.evidence,
        record=rows.record,
        time=rows.time,
        said=rows.traffic_bytes_out.fill_null(0),
        heard=rows.traffic_bytes_in.fill_null(0),
        lasted=ibis.literal(0, type="int64"),
        failed=(rows.http_response_code.fill_null(200) >= 500).cast("int64"),
        n=rows.n,
        peer_kind=ibis.literal("host"),
        peer=rows.peer,
        service=ibis.literal("http"),
        hosts=rows.hosts,
        all_hosts=rows.all_hosts,
        name=rows.peer,
        known=rows.known,
        inside=ibis.literal(False),
    )


def _rare(table: ibis.Table, settings: BeaconSettings) -> ir.BooleanValue:
    return ibis.ifelse(table.to_own, table.hosts <= 3, ~_common(table, settings))


def _common(table: ibis.Table, settings: BeaconSettings) -> ir.BooleanValue:
    tenth = (table.hosts >= settings.common_hosts) & (table.hosts * 10 >= table.all_hosts)
    quarter = (table.hosts >= 3) & (table.hosts * 4 >= table.all_hosts)
    return (tenth | quarter) & (table.all_hosts >= settings.hosts_for_prevalence)


def regular_pairs(table: ibis.Table, settings: BeaconSettings) -> ibis.Table:
    """The contacts of pairs whose gaps are a clock's, and of strobes, with the numbers that say so and ``rule``."""
    calm = table.filter(table.n <= settings.contacts_most)
    told = scores(calm.select("pair", "time", "said", "heard"))
    told = told.filter((told.beats >= settings.contacts) & regular(told))
    calm = calm.inner_join(told, "pair")
    by_pair = calm.group_by("pair").agg(
        lost=calm.failed.sum(), contacts=calm.count(), open_share=calm.lasted.quantile(0.5) * 1000
    )
    calm = calm.inner_join(by_pair, "pair")
    failing = calm.lost * 10 >= calm.contacts * 9
    explained = ibis.cases(
        (calm.known == 1, "well-known name"),
        (calm.answer >= settings.download_bytes, "downloads"),
        (calm.size >= settings.upload_bytes, "uploads"),
        ((calm.size_spread > 0.4) & (calm.answer_spread > 0.4), "varied sizes"),
        ((calm.open_share >= calm.gap * 0.8) & (calm.gap > 0), "kept open"),
        else_="",
    )
    rule = ibis.cases(
        (calm.inside & (calm.size_spread <= 0.1) & ~failing, "beacon_inside"),
        (calm.inside, ibis.null("string")),
        (failing & (calm.known == 0), "beacon_failed"),
        (explained != "", "regular_contact"),
        else_="beacon",
    )
    calm = calm.mutate(rule=rule, explained=ibis.ifelse(failing, "", explained))
    return calm.filter(calm.rule.notnull())


def beacons(table: ibis.Table, settings: BeaconSettings) -> Statements:
    """Beacons, and regular contacts that are explained.

    Args:
        table: from :func:`regular_pairs`.
        settings: thresholds.

    Returns:
        statements of :data:`RULES`, whose source is the own host and whose target the peer; counts: ``contacts,
        beats, gap_seconds, gap_deviation_percent, gap_skew_percent, bytes_out, bytes_in`` (medians),
        ``bytes_deviation_percent, bytes_skew_percent, hours, lasting_hours, unanswered, own_hosts, own_hosts_in_all,
        name, decided, cold_start``.
    """
    table = table.mutate(key=key(table.rule, table.source, table.peer, table.service))

    def summarise(rows: ibis.Table) -> ibis.Table:
        grouped = rows.group_by(["key", "rule", *_WHO]).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            contacts=rows.count(),
            **{name: rows[name].max() for name in _NUMBERS},
            unanswered=rows.failed.sum(),
            name=rows.name.min(),
            explained=rows.explained.max(),
            hosts=rows.hosts.max(),
            all_hosts=rows.all_hosts.max(),
        )
        cold = grouped.all_hosts < settings.hosts_for_prevalence
        decided = ibis.cases(
            (grouped.explained != "", grouped.explained),
            (cold, "regular gaps; too few own hosts to say whether the peer is common"),
            (grouped.name.isnull(), "regular gaps, rare peer, no name seen for it"),
            else_="regular gaps, rare peer, name not well known",
        )
        sure = (grouped.beats >= 20) & (grouped.spread <= 0.3) & (grouped.size_spread <= 0.1)
        return grouped.select(
            key=grouped.key,
            rule=grouped.rule,
            time=grouped.time,
            time_end=grouped.time_end,
            source_kind=ibis.literal("address"),
            source_value=grouped.source,
            target_kind=grouped.peer_kind,
            target_value=grouped.peer,
            target_service=grouped.service,
            outcome=ibis.ifelse(grouped.rule == "beacon_failed", "failed", "unknown"),
            confidence=ibis.cases(
                (grouped.rule.isin(["regular_contact", "beacon_inside"]), "low"),
                (sure & ~cold, "high"),
                (grouped.beats >= 12, "medium"),
                else_="low",
            ),
            contacts=grouped.contacts,
            beats=grouped.beats,
            gap_seconds=(grouped.gap / 1_000_000).floor().cast("int64"),
            gap_deviation_percent=(grouped.spread * 100).floor().cast("int64"),
            gap_skew_percent=(grouped.skew * 100).floor().cast("int64"),
            bytes_out=grouped.size.floor().cast("int64"),
            bytes_in=grouped.answer.floor().cast("int64"),
            bytes_deviation_percent=(grouped.size_spread * 100).floor().cast("int64"),
            bytes_skew_percent=(grouped.size_skew * 100).floor().cast("int64"),
            hours=grouped.hours,
            lasting_hours=grouped.lasting,
            unanswered=grouped.unanswered,
            own_hosts=grouped.hosts,
            own_hosts_in_all=grouped.all_hosts,
            name=grouped.name,
            decided=decided,
            cold_start=cold.cast("int64"),
        )

    return Statements(table, summarise)


_NUMBERS = ["beats", "gap", "spread", "skew", "size", "answer", "size_spread", "size_skew", "hours", "lasting"]
