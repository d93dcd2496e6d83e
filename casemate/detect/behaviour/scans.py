"""Scans and unasked probes, from ``network_activity``.

What is told apart, most telling first; each connection belongs to one finding at most:

* **horizontal scan**: one source, one service, many own hosts.  Sequential hypothesis testing
  (Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential Hypothesis Testing,
  IEEE S&P 2004): the first contact with each host is a failure or a success; with their
  parameters (0.8 and 0.2, errors of 1 %) four failures more than successes decide for a scanner.
* **vertical scan**: one source, one own host, many services: the threshold of Zeek's former scan
  policy (``Scan::port_scan_threshold = 15``, ``port_scan_interval = 5min``).
* **slow** forms of both: connections that belong to no fast scan, counted over all of the
  evidence; one finding from the first probe to the last.
* **slow and network scans**: what is left of one source or of neighbours, over different services
  (:mod:`casemate.detect.behaviour.slow_scans`).
* **unasked probe**: an outside address tries a service of an own host and nothing comes of it.

A connection *fails* when it is unanswered, refused, blocked by a device, or empty: opened and
closed without the client saying anything, as a SYN or connect scan of an open port does.  Only
failures count, so that a resolver, a proxy or a monitoring host that is answered is no scanner.
Left out: traffic to many hosts at once, replies without a question (backscatter), traceroute.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.networks import NOT_ONE_HOST, within
from casemate.detect.behaviour.pairs import PAIR, is_icmp, named
from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, key
from casemate.detect.behaviour.slow_scans import RULES as SLOW_RULES
from casemate.detect.behaviour.slow_scans import gathered

SLOW = -1
"""The number of the "burst" of a slow scan."""


@dataclass(frozen=True)
class ScanSettings:
    """Thresholds; where they come from stands at the top of this file."""

    burst_gap_seconds: int = 300
    """Probes further apart begin a new burst; below the smallest reported gap between attempts (10 min)."""
    hosts: int = 4
    """Failing minus answering own hosts for an outside source (Jung et al. 2004)."""
    hosts_inside: int = 10
    """The same for an inside source: inside, dead hosts are tried by mistake as well."""
    hosts_inside_slow: int = 25
    """The same over all of the evidence (Zeek's ``addr_scan_threshold``)."""
    services: int = 15
    """Failing services of one host (Zeek's ``port_scan_threshold``)."""
    tried: int = 8
    """Different services of different hosts that one source, or network, tried over all of the evidence."""
    neighbours: int = 3
    """Sources of one network (/24) that make it a scanning network."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "horizontal_scan",
        "Many own hosts tried on one service",
        "low",
        "network",
        ("T1595.001",),
        ("reconnaissance",),
        "an outside source tried one service on many own hosts and mostly failed",
    ),
    BehaviourRule(
        "horizontal_scan_inside",
        "Inside host tries one service on many own hosts",
        "low",
        "network",
        ("T1046",),
        ("discovery",),
        "an inside source tried one service on many own hosts and mostly failed; the lab's own scanner does this too",
    ),
    BehaviourRule(
        "ping_sweep_inside",
        "Inside host pings many own hosts",
        "low",
        "network",
        ("T1018",),
        ("discovery",),
        "an inside source asked many own addresses for an echo and mostly got none; network management, and a DHCP "
        "server that checks addresses before it gives them away, do this too",
    ),
    BehaviourRule(
        "vertical_scan",
        "Many services of one host tried",
        "low",
        "network",
        ("T1595.001", "T1595.002"),
        ("reconnaissance",),
        "an outside source tried many services of one own host that did not answer or were left unused",
    ),
    BehaviourRule(
        "vertical_scan_inside",
        "Inside host tries many services of one host",
        "low",
        "network",
        ("T1046",),
        ("discovery",),
        "an inside source tried many services of one own host; the lab's own scanner does this too",
    ),
    BehaviourRule(
        "unasked_probe",
        "Unasked probe from outside",
        "informational",
        "network",
        ("T1595.001",),
        ("reconnaissance",),
        "an outside source tried a service of an own host unasked and no conversation came of it",
    ),
    *SLOW_RULES,
)


def probed_pairs(pairs: ibis.Table, settings: ScanSettings) -> ibis.Table:
    """Inward pairs whose connections are worth judging one by one: ``inside``, and the columns that name a pair.

    What :func:`failing_enough` asks of connections is asked here of pairs, whose ``quiet`` is never too small: most
    connections of most networks belong to no such pair, and are not read again.
    """
    inward = pairs.filter(pairs.to_own & ~within(pairs.source, NOT_ONE_HOST))
    inward = inward.mutate(service=_service(inward.port, inward.protocol.lower()), inside=inward.from_own)
    table = inward.select(*PAIR, "service", "inside", failed=(inward.quiet > 0).cast("int64"))
    return failing_enough(table, settings).select(*PAIR, "inside")


def _service(port: ir.IntegerValue, protocol: ir.StringValue) -> ir.StringValue:
    return ibis.ifelse(is_icmp(protocol), ibis.literal("icmp"), port.cast("string") + "/" + protocol)


def connections(
    probed: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: ScanSettings | None = None
) -> ibis.Table:
    """Connections to own hosts: ``evidence, record, time, source, inside, target, service, result, failed``.

    Args:
        probed: from :func:`probed_pairs`.
        network: ``network_activity``.

    ``result`` is ``unanswered, refused, blocked, empty, answered``.  Connections without a time, of
    unknown result, and those left out (see above) are not in it.
    """
    table = named(network).inner_join(probed, list(PAIR))
    protocol = table.connection_info_protocol_name.lower().fill_null("")
    state = table.unmapped_conn_state.fill_null("")
    heard = table.traffic_bytes_in.fill_null(0)
    said = table.traffic_bytes_out.fill_null(0)
    icmp = is_icmp(protocol)
    # 8 and 128 are echo requests (RFC 792, RFC 4443).  Where the log does not keep the type, a message
    # that got an answer was a question; an unanswered one may itself be an answer.
    replied = (heard > 0) | (table.traffic_packets_in.fill_null(0) > 0)
    is_question = table.unmapped_icmp_type.isin([8, 128]).fill_null(replied)
    is_ping = icmp & is_question
    destination_port = table.port
    traceroute = (protocol == "udp") & (destination_port >= 33434) & (destination_port <= 33534)
    reply = (protocol == "udp") & table.src_endpoint_port.isin([53, 123, 443, 161, 1900]).fill_null(False)
    reply &= destination_port >= 1024
    opened = state.isin(["SF", "S1", "S2", "S3", "RSTO", "RSTR"])
    result = ibis.cases(
        ((table.disposition == "Blocked").fill_null(False), "blocked"),
        (is_ping & replied, "answered_ping"),
        (is_ping, "unanswered"),
        (icmp, ""),
        (state.isin(["S0", "SH", "RSTOS0"]), "unanswered"),
        (state == "REJ", "refused"),
        (opened & ((said == 0) | (heard == 0)), "empty"),
        (opened, "answered"),
        (state != "", ""),  # OTH, SHR, RSTRH: the beginning was not seen, or it answers nobody's question
        (replied, "answered"),
        (table.traffic_packets_in == 0, "unanswered"),
        (table.status == "Failure", "refused"),
        else_="",
    )
    result_of = table.select(
        *("evidence", "record", "time", "source", "inside", "target"),
        service=_service(destination_port, protocol),
        result=result,
        left_out=(traceroute | reply).fill_null(False) & (result != "blocked"),
    )
    known = result_of.filter((result_of.result != "") & ~result_of.left_out).drop("left_out")
    # A ping from outside is a probe whether or not the host answers; inside it is everyday work.
    judged = known.mutate(
        result=ibis.cases(
            ((known.result == "answered_ping") & known.inside, "answered"),
            (known.result == "answered_ping", "empty"),
            else_=known.result,
        )
    )
    return judged.mutate(failed=(judged.result != "answered").cast("int64"))


def scans(table: ibis.Table, wanted: ScanSettings) -> Statements:
    """Horizontal and vertical scans, fast and slow, and unasked probes.

    Args:
        table: what :func:`failing_enough` left of :func:`connections`.
        wanted: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``probes, sources, hosts, services, unanswered, refused,
        blocked, empty, answered, slow`` (1 for a slow scan).
    """
    table = _horizontal(table, wanted)
    across = table.filter(table.horizontal)
    table = _vertical(table.filter(~table.horizontal), wanted)
    down = table.filter(table.vertical)
    probes = table.filter(~table.vertical & ~table.inside & (table.failed == 1))
    nothing = ibis.null("string")
    told = (
        _told(
            across,
            rule=ibis.cases(
                (across.inside & (across.service == "icmp"), "ping_sweep_inside"),
                (across.inside, "horizontal_scan_inside"),
                else_="horizontal_scan",
            ),
            episode=across.horizontal_burst,
            scope_target=nothing,
            scope_service=across.service,
        ),
        _told(
            down,
            rule=ibis.ifelse(down.inside, "vertical_scan_inside", "vertical_scan"),
            episode=down.vertical_burst,
            scope_target=down.target,
            scope_service=nothing,
        ),
        _probes(probes, wanted),
    )
    rows = ibis.union(*told)
    rows = rows.mutate(key=key(rows.rule, rows.scanner, rows.scope_target, rows.scope_service, rows.episode))
    return Statements(rows.select(_ROWS), _findings)


def _probes(table: ibis.Table, settings: ScanSettings) -> ibis.Table:
    """What is said of probes that belong to no scan of one service or one host."""
    table = bursts(table, ["source", "target", "service"], settings.burst_gap_seconds, "probe_burst")
    table = gathered(table, settings.tried, settings.neighbours)
    alone, of_network = table.scan.isnull(), (table.scan == "network_scan").fill_null(False)
    return _told(
        table,
        rule=table.scan.fill_null("unasked_probe"),
        episode=ibis.ifelse(alone, table.probe_burst, SLOW),
        scope_target=ibis.ifelse(alone, table.target, ibis.null("string")),
        scope_service=ibis.ifelse(alone, table.service, ibis.null("string")),
        source_kind=ibis.ifelse(of_network, "network", "address"),
        scanner=ibis.ifelse(of_network, table.network, table.source),
    )


def _told(table: ibis.Table, **said: ir.Value) -> ibis.Table:
    """Connections with what is said of them; the scanner is their source where nothing else is said."""
    said = {"source_kind": ibis.literal("address"), "scanner": table.source, **said}
    return table.select(*_CONNECTION, **{name: said[name] for name in _SAID})


def failing_enough(table: ibis.Table, settings: ScanSettings) -> ibis.Table:
    """Connections whose source failed often enough to be worth sorting; what is left out can be no finding.

    No margin below can exceed the failing hosts of a source and service, or the failing services of a
    source and host, and a probe is a failure: most connections of most networks belong to no such group.
    """
    failing = table.filter(table.failed == 1)
    hosts = failing.group_by(["source", "service"]).agg(inside=failing.inside.max(), n=failing.target.nunique())
    enough = ibis.ifelse(hosts.inside, min(settings.hosts_inside, settings.hosts_inside_slow), 1)
    hosts = hosts.filter(hosts.n >= enough).select(hosts_source="source", hosts_service="service")
    services = failing.group_by(["source", "target"]).agg(inside=failing.inside.max(), n=failing.service.nunique())
    enough = ibis.ifelse(services.inside, settings.services, 1)
    services = services.filter(services.n >= enough).select(services_source="source", services_target="target")
    joined = table.left_join(
        hosts, (table.source == hosts.hosts_source) & (table.service == hosts.hosts_service)
    ).left_join(services, (table.source == services.services_source) & (table.target == services.services_target))
    kept = joined.filter(joined.hosts_source.notnull() | joined.services_source.notnull())
    return kept.drop("hosts_source", "hosts_service", "services_source", "services_target")


def _horizontal(table: ibis.Table, settings: ScanSettings) -> ibis.Table:
    """Adds ``horizontal`` and ``horizontal_burst`` (:data:`SLOW` for slow scans)."""
    table = bursts(table, ["source", "service"], settings.burst_gap_seconds, "horizontal_burst")
    table = _margin(table, ["source", "service", "horizontal_burst"], "target")
    enough = ibis.ifelse(table.inside, settings.hosts_inside, settings.hosts)
    table = table.mutate(fast=table.margin >= enough)
    table = _margin(table, ["source", "service", "fast"], "target")
    enough_slow = ibis.ifelse(table.inside, settings.hosts_inside_slow, settings.hosts)
    table = table.mutate(horizontal=table.fast | (table.margin >= enough_slow))
    burst = ibis.ifelse(table.fast, table.horizontal_burst, SLOW)
    return table.mutate(horizontal_burst=burst).drop("fast", "margin")


def _vertical(table: ibis.Table, settings: ScanSettings) -> ibis.Table:
    """Adds ``vertical`` and ``vertical_burst`` to connections of no horizontal scan."""
    group = ["source", "target"]
    table = bursts(table, group, settings.burst_gap_seconds, "vertical_burst")
    table = _margin(table, [*group, "vertical_burst"], "service")
    table = table.mutate(fast=table.margin >= settings.services)
    table = _margin(table, [*group, "fast"], "service")
    slow = ~table.fast & (table.margin >= settings.services)
    # What the host answered inside a fast scan is part of it; over days it is ordinary use.
    vertical = table.fast | (slow & (table.failed == 1))
    burst = ibis.ifelse(table.fast, table.vertical_burst, SLOW)
    return table.mutate(vertical=vertical, vertical_burst=burst).drop("fast", "margin")


def _margin(table: ibis.Table, group: Sequence[str], what: str) -> ibis.Table:
    """Adds ``margin`` (instead of one there is): distinct `what` of the group that only failed, minus those that ever
    answered."""
    things = table.group_by([*group, what]).agg(ever=(1 - table.failed).max())
    margins = things.group_by(list(group)).agg(margin=(1 - 2 * things.ever).sum())
    before = table.drop("margin") if "margin" in table.columns else table
    return before.inner_join(margins, list(group))


_CONNECTION = ("evidence", "record", "time", "source", "target", "service", "result")
_SAID = ("rule", "source_kind", "scanner", "scope_target", "scope_service", "episode")
_ROWS = ("key", *_SAID, *_CONNECTION)


def _findings(table: ibis.Table) -> ibis.Table:
    def counted(result: str):
        return (table.result == result).cast("int64").sum()

    grouped = table.group_by(["key", "rule", "source_kind", "scanner", "scope_target", "scope_service", "episode"]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        probes=table.count(),
        sources=table.source.nunique(),
        hosts=table.target.nunique(),
        services=table.service.nunique(),
        unanswered=counted("unanswered"),
        refused=counted("refused"),
        blocked=counted("blocked"),
        empty=counted("empty"),
        answered=counted("answered"),
    )
    horizontal = grouped.scope_target.isnull()
    # That a service answered says that the source learned of it, not that it got in: unknown.
    outcome = ibis.cases(
        (grouped.blocked == grouped.probes, "blocked"),
        (grouped.empty + grouped.answered == 0, "failed"),
        else_="unknown",
    )
    many = grouped.rule != "unasked_probe"
    return grouped.select(
        key=grouped.key,
        rule=grouped.rule,
        time=grouped.time,
        time_end=grouped.time_end,
        source_kind=grouped.source_kind,
        source_value=grouped.scanner,
        target_kind=ibis.ifelse(horizontal, "own_network", "address"),
        target_value=ibis.ifelse(horizontal, "own network", grouped.scope_target),
        target_service=grouped.scope_service,
        outcome=outcome,
        confidence=ibis.ifelse(many, "high", "medium"),
        probes=grouped.probes,
        sources=grouped.sources,
        hosts=grouped.hosts,
        services=grouped.services,
        unanswered=grouped.unanswered,
        refused=grouped.refused,
        blocked=grouped.blocked,
        empty=grouped.empty,
        answered=grouped.answered,
        slow=((grouped.episode == SLOW) & many).cast("int64"),
    )
