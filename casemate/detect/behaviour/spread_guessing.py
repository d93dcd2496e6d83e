"""Guessing that is spread over sources *and* accounts, so that neither one source nor one account stands out.

Method: after Javed and Paxson, "Detecting Stealthy, Distributed SSH Brute-Forcing" (ACM CCS 2013), as in
:mod:`casemate.detect.behaviour.distributed`, which tells of one account tried from many networks.  Here are

* **guessing from one network**: neighbours, of which each fails too seldom to be called guessing, together fail often.
  A subscriber of IPv6 holds at least a /64 and takes any address of it (RFC 6177, RFC 8981), so two sources of a /64
  are enough; of IPv4 three of a /24, as for scans.  One account that is in use is no guess: telephones try an old
  password from ever new addresses;
* **distributed spraying**: many accounts fail on one service from many networks, a few times from each.

Put together are only failures from outside whose source never got in on that service, and whose account never got in
from the same network: people who mistype on a Monday, from home or behind the address of an office, get in with the
next try.  So a source that guessed right is not counted either; what it did afterwards is for others to tell.

Every service that faces the internet is tried by unconnected sources with names such as ``admin``: spraying is told
`medium` only where enough of the accounts are in use, which strangers do not know, and low otherwise.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from dataclasses import dataclass

import ibis

from casemate.detect.behaviour.distributed import MANY
from casemate.detect.behaviour.distributed import network_of as wide_network_of
from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, first_of, key, over
from casemate.detect.behaviour.slow_scans import network_of


@dataclass(frozen=True)
class SpreadSettings:
    """Thresholds."""

    episode_gap_seconds: int = 6 * 3600
    failures_alone: int = 5
    """Failures of one source that are guessing of its own (``GuessingSettings.failures``)."""
    failures_together: int = 10
    """Failures of one network over an episode (``GuessingSettings.failures_slow``)."""
    neighbours: int = 3
    neighbours_ipv6: int = 2
    networks: int = 10
    """Distinct networks (two octets of IPv4, two groups of IPv6) of spraying (``DistributedSettings.networks``)."""
    accounts: int = 10
    """Distinct accounts of spraying."""
    accounts_in_use: int = 5
    """How many of them got in from elsewhere, for spraying to be told medium."""


def _rule(name: str, title: str, severity: str, technique: str, means: str) -> BehaviourRule:
    return BehaviourRule(name, title, severity, "credential", (technique,), ("credential-access",), means)


RULES: tuple[BehaviourRule, ...] = (
    _rule(
        "guessing_from_network",
        "Password guessing spread over the addresses of one network",
        "low",
        "T1110.001",
        "neighbouring outside addresses, none of which got in, each failed a few times on one service and often "
        "together; guests of one provider who have nothing to do with each other are rarely so many",
    ),
    _rule(
        "distributed_spraying_known",
        "Accounts in use sprayed from many networks",
        "medium",
        "T1110.003",
        "sources in many networks, none of which ever got in, each failed a few times with many different accounts, "
        "several of which are in use: strangers do not know their names",
    ),
    _rule(
        "distributed_spraying",
        "Many accounts fail from many networks",
        "low",
        "T1110.003",
        "sources in many networks each failed a few times with many different accounts; unconnected sources that try "
        "common names look the same",
    ),
)

_SCOPE = ["target_kind", "target", "service"]


def spread_failures(table: ibis.Table, settings: SpreadSettings) -> ibis.Table:
    """Failures from outside that stand out neither by source nor by account, where there are enough of them.

    Adds ``near`` (the /24 or /64), ``network`` (two octets or groups) and ``in_use`` (1 where the account got in).
    """
    named = table.time.notnull() & (table.source_kind == "address") & table.user.notnull() & table.asked
    table = table.filter(named)
    table = table.mutate(
        near=network_of(table.source),
        network=wide_network_of(table.source),
        got_in=table.result.isin(["success", "likely_success"]).cast("int64"),
        failures=ibis.ifelse(table.result == "failure", table.tries, 0),
    )
    belongs = table.filter(table.got_in == 1)
    table = table.filter(~table.inside)
    by_source = table.group_by([*_SCOPE, "source"]).agg(ever_in=table.got_in.max(), failures=table.failures.sum())
    few = (by_source.ever_in == 0) & (by_source.failures > 0) & (by_source.failures < settings.failures_alone)
    failed = table.filter(table.failures > 0).semi_join(by_source.filter(few), [*_SCOPE, "source"])
    failed = failed.anti_join(belongs.select("near", "user").distinct(), ["near", "user"])
    shared = failed.group_by([*_SCOPE, "user"]).agg(networks=failed.network.nunique())
    failed = failed.anti_join(shared.filter(shared.networks >= settings.networks), [*_SCOPE, "user"])
    by_near = failed.group_by([*_SCOPE, "near"]).agg(failures=failed.failures.sum(), sources=failed.source.nunique())
    close = by_near.filter((by_near.failures >= settings.failures_together) & (by_near.sources > 1))
    by_scope = failed.group_by(_SCOPE).agg(networks=failed.network.nunique(), accounts=failed.user.nunique())
    far = by_scope.filter((by_scope.networks >= settings.networks) & (by_scope.accounts >= settings.accounts))
    enough = close.select(*_SCOPE).union(far.select(*_SCOPE)).distinct()
    in_use = belongs.select("user").distinct().mutate(used=1)
    kept = failed.semi_join(enough, _SCOPE).left_join(in_use, "user").drop("user_right")
    return kept.select(
        *("evidence", "record", "time", *_SCOPE, "source", "near", "network", "user", "failures"),
        in_use=kept.used.fill_null(0),
    )


def spread_guessing(table: ibis.Table, settings: SpreadSettings) -> Statements:
    """Episodes of such failures.

    Args:
        table: from :func:`spread_failures`.
        settings: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``records, failures, sources, networks, accounts, accounts_in_use,
        account`` (the first by name).
    """
    near = [*_SCOPE, "near"]
    table = bursts(table, near, settings.episode_gap_seconds, "near_episode")
    group = [*near, "near_episode"]
    table = table.mutate(one_source=first_of(table, [*group, "source"]), one_account=first_of(table, [*group, "user"]))
    table = table.mutate(
        sources=table.one_source.sum().over(over(group)),
        together=table.failures.sum().over(over(group)),
        guessed=(table.one_account.sum().over(over(group)) > 1) | (table.in_use == 0),
    )
    fewest = ibis.ifelse(table.near.contains(":"), settings.neighbours_ipv6, settings.neighbours)
    many = (table.sources >= fewest) & (table.together >= settings.failures_together)
    table = table.mutate(close=many & table.guessed)
    rest = [*_SCOPE, "close"]
    table = bursts(table, rest, settings.episode_gap_seconds, "far_episode")
    group = [*rest, "far_episode"]
    table = table.mutate(
        one_network=first_of(table, [*group, "network"]), one_account=first_of(table, [*group, "user"])
    )
    table = table.mutate(
        networks=table.one_network.sum().over(over(group)),
        accounts=table.one_account.sum().over(over(group)),
        used=(table.one_account * table.in_use).sum().over(over(group)),
    )
    far = (table.networks >= settings.networks) & (table.accounts >= settings.accounts)
    rule = ibis.cases(
        (table.close, "guessing_from_network"),
        (far & (table.used >= settings.accounts_in_use), "distributed_spraying_known"),
        (far, "distributed_spraying"),
        else_=ibis.null("string"),
    )
    table = table.mutate(
        rule=rule,
        source_kind=ibis.ifelse(table.close, "network", "unknown"),
        source_value=ibis.ifelse(table.close, table.near, MANY),
        episode=ibis.ifelse(table.close, table.near_episode, table.far_episode),
    ).filter(rule.notnull())
    table = table.mutate(key=key(table.rule, table.source_value, table.target, table.service, table.episode))
    columns = ["key", "rule", "source_kind", "source_value", *_SCOPE, "evidence", "record", "time"]
    return Statements(table.select(*columns, "source", "network", "user", "failures", "in_use"), _findings)


def _findings(table: ibis.Table) -> ibis.Table:
    used = ibis.ifelse(table.in_use == 1, table.user, ibis.null("string"))
    grouped = table.group_by(["key", "rule", "source_kind", "source_value", *_SCOPE]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        records=table.count(),
        failures=table.failures.sum(),
        sources=table.source.nunique(),
        networks=table.network.nunique(),
        accounts=table.user.nunique(),
        accounts_in_use=used.nunique(),
        account=table.user.min(),
    )
    return grouped.select(
        *("key", "rule", "time", "time_end", "source_kind", "source_value"),
        target_kind=grouped.target_kind,
        target_value=grouped.target,
        target_service=grouped.service,
        outcome=ibis.literal("failed"),
        confidence=ibis.ifelse(grouped.rule == "distributed_spraying", "low", "medium"),
        records=grouped.records,
        failures=grouped.failures,
        sources=grouped.sources,
        networks=grouped.networks,
        accounts=grouped.accounts,
        accounts_in_use=grouped.accounts_in_use,
        account=grouped.account,
    )
