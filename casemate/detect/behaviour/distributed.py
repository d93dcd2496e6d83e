"""Guessing that many sources share, each of them below what one source is called out for.

Method: after Javed and Paxson, "Detecting Stealthy, Distributed SSH Brute-Forcing" (ACM CCS 2013): failures are put
together over all sources, and sources with a history of getting in are taken out before anything is counted.  They
find the time of an attack by a change in the site's rate of failures; here tries of one **account** against one
service within a day of each other are one episode, which needs no learned rate.  Counted are not sources but the
networks they are in (two octets of IPv4, two groups of IPv6): one office that changes its address, a telephone that
roams with an old password, or IPv6 privacy addresses are many sources in few networks.

What is left out: sources that got in with that account at any time, sources that guess on their own (5 failures
from outside), and failures of an account from where it had been right before.

* **distributed guessing of an account in use**: it got in from somewhere, so that it exists and is worth guessing;
* **distributed guessing**: of any other account.  Names such as ``root`` are tried by unconnected sources all over
  the internet, and the log cannot tell these from a herd: of low severity and confidence;
* **one account fails from many inside hosts**: almost always a service whose stored password expired; guessing from
  many taken-over hosts would look the same, so it is told, and told low.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, first_of, key, over

MANY = "many addresses"
"""The source of a finding: what they have in common is the account they try."""


@dataclass(frozen=True)
class DistributedSettings:
    """Thresholds."""

    episode_gap_seconds: int = 86_400
    networks: int = 10
    """Distinct networks outside; hosts inside."""
    failures_alone: int = 5
    """Failures of one source against the account that are guessing of its own (``GuessingSettings.failures``)."""


def _rule(name: str, title: str, severity: str, means: str) -> BehaviourRule:
    return BehaviourRule(name, title, severity, "credential", ("T1110.001",), ("credential-access",), means)


RULES: tuple[BehaviourRule, ...] = (
    _rule(
        "distributed_guessing_known",
        "Account in use guessed from many networks",
        "medium",
        "sources in many networks, none of which ever got in, each failed a few times with an account that is in use",
    ),
    _rule(
        "distributed_guessing",
        "Account guessed from many networks",
        "low",
        "sources in many networks each failed a few times with one account that nobody was seen to use; "
        "unconnected sources that try common names look the same",
    ),
    _rule(
        "failing_from_many_hosts",
        "One account fails from many inside hosts",
        "low",
        "one account failed from many inside hosts: most often a service whose password expired or was changed, "
        "and, from hosts that have no reason to use it, guessing",
    ),
)

_ACCOUNT = ["target_kind", "target", "service", "user", "inside"]


def shared_failures(table: ibis.Table, settings: DistributedSettings) -> ibis.Table:
    """Failures of accounts that fail from enough networks, of sources that never got in and do not guess alone.

    Adds ``network`` and ``in_use`` (1 where the account got in from any source).
    """
    table = table.filter(table.time.notnull() & (table.source_kind == "address") & table.user.notnull() & table.asked)
    by_source = table.group_by([*_ACCOUNT, "source"]).agg(
        ever_in=table.result.isin(["success", "likely_success"]).cast("int64").max(),
        failures=ibis.ifelse(table.result == "failure", table.tries, 0).sum(),
    )
    # inside, a service with an old password fails on each of its hosts as often as its clock makes it
    few = by_source.inside | (by_source.failures < settings.failures_alone)
    alone = by_source.filter((by_source.ever_in == 0) & (by_source.failures > 0) & few)
    alone = alone.mutate(network=ibis.ifelse(alone.inside, alone.source, network_of(alone.source)))
    many = alone.group_by(_ACCOUNT).agg(networks=alone.network.nunique())
    many = many.filter(many.networks >= settings.networks).drop("networks")
    in_use = by_source.group_by("user").agg(in_use=by_source.ever_in.max())
    failed = table.filter(table.result == "failure").drop("asked", "result", "explicit")
    failed = failed.semi_join(many, _ACCOUNT)
    failed = failed.inner_join(alone.select(*_ACCOUNT, "source", "network"), [*_ACCOUNT, "source"])
    return failed.inner_join(in_use, "user")


def network_of(address: ir.StringValue) -> ir.StringValue:
    """The first two octets of IPv4, the first two groups of IPv6."""
    return address.re_extract(r"^([0-9]+[.][0-9]+|[0-9a-f]*:[0-9a-f]*)", 1)


def distributed_guessing(table: ibis.Table, settings: DistributedSettings) -> Statements:
    """Episodes of failures of one account from many networks.

    Args:
        table: from :func:`shared_failures`.
        settings: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``records, failures, sources, networks``.
    """
    table = bursts(table, _ACCOUNT, settings.episode_gap_seconds, "episode")
    group = [*_ACCOUNT, "episode"]
    table = table.mutate(network_first=first_of(table, [*group, "network"]))
    table = table.mutate(networks=table.network_first.sum().over(over(group)))
    table = table.filter(table.networks >= settings.networks)
    table = table.mutate(
        rule=ibis.cases(
            (table.inside, "failing_from_many_hosts"),
            (table.in_use == 1, "distributed_guessing_known"),
            else_="distributed_guessing",
        )
    )
    table = table.mutate(key=key(table.rule, table.target, table.service, table.user, table.episode))
    columns = ["key", "rule", *_ACCOUNT, "evidence", "record", "time", "source", "network", "tries"]
    return Statements(table.select(columns), _findings)


def _findings(table: ibis.Table) -> ibis.Table:
    grouped = table.group_by(["key", "rule", *_ACCOUNT]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        records=table.count(),
        failures=table.tries.sum(),
        sources=table.source.nunique(),
        networks=table.network.nunique(),
    )
    return grouped.select(
        key=grouped.key,
        rule=grouped.rule,
        time=grouped.time,
        time_end=grouped.time_end,
        source_kind=ibis.literal("unknown"),
        source_value=ibis.literal(MANY),
        target_kind=grouped.target_kind,
        target_value=grouped.target,
        target_service=grouped.service,
        outcome=ibis.literal("failed"),
        confidence=ibis.ifelse(grouped.rule == "distributed_guessing_known", "medium", "low"),
        records=grouped.records,
        failures=grouped.failures,
        sources=grouped.sources,
        networks=grouped.networks,
        account=grouped.user,
    )
