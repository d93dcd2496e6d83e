"""Many accounts tried with explicit credentials: spraying that only the host it started from has recorded.

Method: Windows writes 4648 where a process logs on with credentials that are not its user's, before anyone knows
how that ends (Microsoft, "4648(S): A logon was attempted using explicit credentials").  Tools that spray over SMB or
LDAP leave one such event per try on their own host, while the failures (4625, 4771, 4776) stand in logs of servers
that may not be at hand.  Counted are distinct accounts of one source and server in bursts; accounts that got in
from the same source are left out.

What else looks like it: a tool that checks or changes the passwords of many accounts, each once.  The log does not
say whether a try failed, so the outcome is unknown and the confidence never high.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from dataclasses import dataclass

import ibis

from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, first_of, key, over


@dataclass(frozen=True)
class CredentialSettings:
    """Thresholds."""

    burst_gap_seconds: int = 300
    accounts: int = 10
    """Distinct accounts of a burst: more than a person uses, twice what is enough where failures are known."""
    accounts_sure: int = 20
    """With so many accounts, each tried twice or more on average, the confidence is medium."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "password_spraying_explicit",
        "Many accounts tried with explicit credentials",
        "medium",
        "credential",
        ("T1110.003",),
        ("credential-access",),
        "one source used the credentials of many different accounts in a short time, as spraying does; "
        "whether any was right is not in this log, and a tool that checks many passwords looks the same",
    ),
)

_SCOPE = ["source_kind", "source", "target_kind", "target", "service"]


def explicit_uses(table: ibis.Table, settings: CredentialSettings) -> ibis.Table:
    """Explicit uses of accounts that did not get in from the same source, where there are enough of them."""
    table = table.filter(table.time.notnull() & (table.source != "") & table.user.notnull())
    got_in = table.filter(table.result == "success").select("source", "user").distinct()
    uses = table.filter(table.explicit).anti_join(got_in, ["source", "user"])
    enough = uses.group_by(_SCOPE).agg(accounts=uses.user.nunique())
    return uses.semi_join(enough.filter(enough.accounts >= settings.accounts), _SCOPE)


def explicit_spraying(table: ibis.Table, settings: CredentialSettings) -> Statements:
    """Bursts of explicit uses of many accounts.

    Args:
        table: from :func:`explicit_uses`.
        settings: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``tries, accounts`` and ``account`` (the first by name).
    """
    table = bursts(table, _SCOPE, settings.burst_gap_seconds, "burst")
    group = [*_SCOPE, "burst"]
    table = table.mutate(account_first=first_of(table, [*group, "user"]))
    table = table.mutate(accounts=table.account_first.sum().over(over(group)))
    table = table.filter(table.accounts >= settings.accounts)
    table = table.mutate(
        key=key("password_spraying_explicit", table.source_kind, table.source, table.target, table.service, table.burst)
    )
    columns = ["key", *_SCOPE, "evidence", "record", "time", "user"]
    return Statements(table.select(columns), lambda rows: _findings(rows, settings))


def _findings(table: ibis.Table, settings: CredentialSettings) -> ibis.Table:
    grouped = table.group_by(["key", *_SCOPE]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        tries=table.count(),
        accounts=table.user.nunique(),
        account=table.user.min(),
    )
    sure = (grouped.accounts >= settings.accounts_sure) & (grouped.tries >= grouped.accounts * 2)
    return grouped.select(
        key=grouped.key,
        rule=ibis.literal("password_spraying_explicit"),
        time=grouped.time,
        time_end=grouped.time_end,
        source_kind=grouped.source_kind,
        source_value=grouped.source,
        target_kind=grouped.target_kind,
        target_value=grouped.target,
        target_service=grouped.service,
        outcome=ibis.literal("unknown"),
        confidence=ibis.ifelse(sure, "medium", "low"),
        tries=grouped.tries,
        accounts=grouped.accounts,
        account=grouped.account,
    )
