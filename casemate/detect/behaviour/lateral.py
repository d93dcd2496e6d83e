"""Own hosts that reach others for the first time by the services of administration, and new services, from
``network_activity``.

Method: first-contact anomalies over a baseline (Bohara et al., "An Unsupervised Multi-Detector Approach for
Identifying Malicious Lateral Movement", IEEE SRDS 2017, whose detectors are new connections and their fan-out).  The
baseline is each network's own: a pair is new when its first connection came a day or more after the source, and the
target, were first seen in the logs.  Logs of less than two days hold no such pair: then only a fan-out is told, low,
and ``cold_start`` says so.

Left out: sources that administer many hosts already.  Servers that many own hosts use (files, the domain) do not count
towards a fan-out: whoever joins the network speaks to them.  A worm does not make its victims servers: what counts is
who had used the service a day earlier (an hour, without a baseline).
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.pairs import PAIR, microseconds, of_pairs, service_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, key, over

SERVICES: tuple[int, ...] = (22, 135, 139, 445, 3389, 5985, 5986)
"""SSH, DCE-RPC, SMB, RDP, WinRM (ATT&CK T1021 and T1047)."""
DAY = 86_400_000_000
HOUR = 3_600_000_000


@dataclass(frozen=True)
class LateralSettings:
    """Thresholds."""

    baseline_seconds: int = 86_400
    many: int = 3
    """New hosts a source reached within a day."""
    many_cold: int = 8
    """Hosts a source reached within an hour where there is no baseline."""
    administers: int = 10
    """Hosts a source had reached before; more new ones are its work."""
    serves: int = 5
    """Own hosts that use a service of a host before it is a server for all."""
    service_baseline_seconds: int = 3 * 86_400
    ephemeral: int = 32_768
    """Ports from here on are given out for a moment and are no services."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "first_admin_contact",
        "Own host reached another for the first time by a service of administration",
        "low",
        "network",
        ("T1021",),
        ("lateral-movement",),
        "two own hosts, both known for at least a day, spoke for the first time, by SMB, DCE-RPC, WinRM, SSH or RDP",
    ),
    BehaviourRule(
        "lateral_fan_out",
        "Own host reached several others for the first time by services of administration",
        "medium",
        "network",
        ("T1021",),
        ("lateral-movement",),
        "within a day an own host reached several hosts it never spoke to before, by SMB, DCE-RPC, WinRM, SSH or RDP",
    ),
    BehaviourRule(
        "admin_fan_out",
        "Own host reached many others by services of administration, without a baseline",
        "low",
        "network",
        ("T1021",),
        ("lateral-movement",),
        "within an hour an own host reached many others by SMB, DCE-RPC, WinRM, SSH or RDP; the logs do not reach "
        "back far enough to say whether it always does",
    ),
    BehaviourRule(
        "new_service",
        "Own host answers on a service it never offered before",
        "informational",
        "network",
        ("T1571",),
        ("persistence",),
        "an own host known for days answered on a port on which it had not been asked before, or not answered",
    ),
)


def new_pairs(pairs: ibis.Table, settings: LateralSettings) -> ibis.Table:
    """Pairs inside that are new, by ``rule``, ``scope`` (of what there is one finding) and ``first_us``."""
    inside = pairs.filter(pairs.from_own & pairs.to_own)
    inside = inside.mutate(first_us=microseconds(inside.first))
    begun = pairs.agg(begun=microseconds(pairs.first).min(), ended=microseconds(pairs.last).max()).mutate(one=1)
    as_source = pairs.group_by("source").agg(source_first=microseconds(pairs.first).min())
    as_target = inside.group_by("target").agg(target_first=inside.first_us.min())
    spoke = inside.group_by(["source", "target"]).agg(spoke_first=inside.first_us.min())
    answered = inside.filter(answered_inside(inside))
    reached = answered.filter(answered.port.isin(SERVICES)).mutate(one=1).inner_join(begun, "one").drop("one")
    reached = reached.inner_join(as_source, "source").inner_join(as_target, "target")
    reached = reached.inner_join(spoke, ["source", "target"])
    baseline = settings.baseline_seconds * 1_000_000
    is_new = (
        (reached.spoke_first == reached.first_us)
        & (reached.first_us - reached.source_first >= baseline)
        & (reached.first_us - reached.target_first >= baseline)
    )
    cold = reached.ended - reached.begun < 2 * baseline
    reached = reached.mutate(is_new=is_new.cast("int64"), cold=cold.cast("int64"))
    old = reached.filter(reached.is_new == 0).group_by("source").agg(administered=ibis._.target.nunique())
    reached = reached.left_join(old, "source").drop("source_right")
    reached = _served(reached, answered, settings)
    reached = reached.mutate(slot=ibis.ifelse(reached.cold == 1, reached.first_us // HOUR, reached.first_us // DAY))
    looked = reached.filter((reached.is_new == 1) | (reached.cold == 1))
    scope = over(["source", "slot"])
    first = ibis.row_number().over(
        ibis.window(group_by=["source", "slot", "target"], order_by=[looked.serves, looked.first_us, looked.port])
    )
    looked = looked.mutate(one_target=((first == 0) & ~looked.serves).cast("int64"))
    looked = looked.mutate(targets=looked.one_target.sum().over(scope))
    few_before = looked.administered.fill_null(0) < settings.administers
    rule = ibis.cases(
        ((looked.cold == 1) & (looked.targets >= settings.many_cold), "admin_fan_out"),
        (looked.cold == 1, ibis.null("string")),
        (few_before & (looked.targets >= settings.many), "lateral_fan_out"),
        (few_before, "first_admin_contact"),
        else_=ibis.null("string"),
    )
    looked = looked.mutate(rule=rule).filter(ibis._.rule.notnull())
    alone = looked.rule == "first_admin_contact"
    moved = looked.select(
        *PAIR,
        "rule",
        "first_us",
        "cold",
        scope_source=looked.source,
        scope_target=ibis.ifelse(alone, looked.target, ibis.null("string")),
        slot=looked.slot,
    )
    return moved.union(_new_services(answered, as_target, settings))


def _served(reached: ibis.Table, answered: ibis.Table, settings: LateralSettings) -> ibis.Table:
    """Adds ``serves``: whether enough other own hosts had used that service of the target well before."""
    used = answered.filter(answered.port.isin(SERVICES)).select("target", "port", "source", "first_us")
    place = ibis.row_number().over(ibis.window(group_by=["target", "port"], order_by=[used.first_us, used.source]))
    used = used.mutate(place=place)
    since = used.filter(used.place == settings.serves - 1).select("target", "port", serves_since=ibis._.first_us)
    reached = reached.left_join(since, ["target", "port"]).drop("target_right", "port_right")
    before = ibis.ifelse(reached.cold == 1, HOUR, settings.baseline_seconds * 1_000_000)
    return reached.mutate(serves=(reached.first_us - reached.serves_since >= before).fill_null(False))


def answered_inside(pairs: ibis.Table) -> ir.BooleanValue:
    """Whether an own host was answered by another."""
    answered = (pairs.failed < pairs.n) & (pairs.heard > 0) & (pairs.protocol == "tcp")
    return pairs.from_own & pairs.to_own & answered


def _new_services(answered: ibis.Table, as_target: ibis.Table, settings: LateralSettings) -> ibis.Table:
    offered = answered.filter((answered.port < settings.ephemeral) & ~answered.port.isin(SERVICES))
    services = offered.group_by(["target", "port", "protocol"]).agg(service_first=offered.first_us.min())
    services = services.inner_join(as_target, "target")
    baseline = settings.service_baseline_seconds * 1_000_000
    services = services.filter(services.service_first - services.target_first >= baseline)
    several = services.group_by("target").agg(new=services.port.count())
    services = services.inner_join(several.filter(several.new <= 3), "target")
    rows = offered.inner_join(services.select("target", "port", "protocol", "service_first"),
                              ["target", "port", "protocol"])  # fmt: skip
    rows = rows.filter(rows.first_us == rows.service_first)
    return rows.select(
        *PAIR,
        rule=ibis.literal("new_service"),
        first_us=rows.first_us,
        cold=ibis.literal(0, type="int64"),
        scope_source=rows.source,
        scope_target=rows.target,
        slot=rows.port,
    )


def first_contacts(new: ibis.Table, network: ibis.Table, _own: Sequence[str], _settings: LateralSettings) -> ibis.Table:
    """The connections of the first hour of new pairs."""
    rows = of_pairs(network, new)
    rows = rows.filter(microseconds(rows.time) - rows.first_us <= HOUR)
    return rows.mutate(service=service_of(rows.port, rows.protocol))


def lateral(table: ibis.Table, _settings: LateralSettings) -> Statements:
    """One statement per source and target, or per source and day (hour, without a baseline) of a fan-out.

    Returns:
        statements of :data:`RULES`; counts: ``connections, hosts, services, bytes_out, bytes_in, cold_start``.
    """
    single = table.rule.isin(["first_admin_contact", "new_service"])
    table = table.mutate(
        scope_service=ibis.ifelse(single, table.service, ibis.null("string")),
        key=key(table.rule, table.scope_source, table.scope_target, table.slot, ibis.ifelse(single, table.service, "")),
    )

    def summarise(rows: ibis.Table) -> ibis.Table:
        group = ["key", "rule", "scope_source", "scope_target", "scope_service"]
        grouped = rows.group_by(group).agg(
            time=rows.time.min(),
            time_end=rows.time.max(),
            connections=rows.count(),
            hosts=rows.target.nunique(),
            services=rows.service.nunique(),
            said=rows.said.sum(),
            heard=rows.heard.sum(),
            cold=rows.cold.max(),
        )
        fan = grouped.scope_target.isnull()
        return grouped.select(
            key=grouped.key,
            rule=grouped.rule,
            time=grouped.time,
            time_end=grouped.time_end,
            source_kind=ibis.literal("address"),
            source_value=grouped.scope_source,
            target_kind=ibis.ifelse(fan, "own_network", "address"),
            target_value=ibis.ifelse(fan, "own network", grouped.scope_target),
            target_service=grouped.scope_service,
            outcome=ibis.literal("unknown"),
            confidence=ibis.ifelse(grouped.rule == "lateral_fan_out", "medium", "low"),
            connections=grouped.connections,
            hosts=grouped.hosts,
            services=grouped.services,
            bytes_out=grouped.said,
            bytes_in=grouped.heard,
            cold_start=grouped.cold,
        )

    return Statements(table, summarise)
