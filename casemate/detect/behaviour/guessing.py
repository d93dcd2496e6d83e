"""Password guessing and spraying, and the success after it, from logons of any log.

Method: tries are counted per source and service in bursts, and once more over all of the evidence
for the slow ones.  Thresholds are those defenders already act on: fail2ban bans after 5 failures
(``maxretry``), CIS Benchmarks lock an account after 5, and a person who mistypes needs two or three.

* **password guessing** (T1110.001): many failures against one service.
* **password spraying** (T1110.003): failures of many different accounts from one source, few tries
  each, that mostly stay failures; people behind one shared address mostly succeed.
* **account names tried at Kerberos** (T1087.002): the same where the domain knew none of the names, so that no
  password was looked at.
* **success after guessing**: a logon that got in, after guessing of the same source on the same
  service, by an account that was guessed (or by an unnamed one, where the log names none).
* **success after guessing of other accounts**: the same from outside by an account that was not guessed, soon
  after; of low confidence, since people may share an address.
* **repeated failure of one account**: steady failures, no faster than a clock would make them, of one account that
  had logged on from the same source before, or from inside: an expired or wrongly stored password.
* **failed logons from outside** and **visit to a login service**: outside addresses that try less
  often than that; only where the source never got in, so that an admin who mistypes is not named.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from dataclasses import dataclass, field

import ibis

from casemate.detect.behaviour.logons import LogonSettings
from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, first_of, key, over

SLOW = -1


@dataclass(frozen=True)
class GuessingSettings:
    """Thresholds; where they come from stands at the top of this file."""

    burst_gap_seconds: int = 300
    """Tries further apart begin a new burst."""
    failures: int = 5
    """Failed tries of a burst from outside."""
    failures_inside: int = 10
    """Failed tries of a burst from inside, where forgotten passwords are everyday."""
    failures_slow: int = 10
    """Failed tries over all of the evidence, from outside."""
    failures_inside_slow: int = 50
    mistakes: int = 3
    """Failures of an account that gets in from the same source which are called mistyping."""
    undecided: int = 10
    """Failed and undecided tries together, in a burst or over all, from outside."""
    accounts: int = 5
    """Failing accounts of one source and service for spraying."""
    steady_per_hour: int = 60
    """Failures of one account at most this often are a stored password, not guessing."""
    soon_seconds: int = 3600
    """How long after a failure its account getting in shows that it belongs there, and after guessing another
    account getting in is told of."""
    logons: LogonSettings = field(default_factory=LogonSettings)


def _rule(
    name: str, title: str, severity: str, technique: str, means: str, vector: str = "credential"
) -> BehaviourRule:
    tactic = "reconnaissance" if vector == "network" else "credential-access"
    tactic = "discovery" if name == "account_enumeration" else tactic
    tactics = ("credential-access", "initial-access") if name.startswith("success_after_guessing") else (tactic,)
    return BehaviourRule(name, title, severity, vector, tuple(technique.split()), tactics, means)


RULES: tuple[BehaviourRule, ...] = (
    _rule(
        "success_after_guessing",
        "Logon succeeded after password guessing",
        "high",
        "T1078 T1110",
        "a source that had guessed passwords got in on the same service",
    ),
    _rule(
        "success_after_guessing_others",
        "Logon succeeded after password guessing of other accounts",
        "medium",
        "T1078 T1110",
        "an outside source that had guessed passwords soon got in on the same service, with an account that it had "
        "not been seen to guess: it may be another user of the address",
    ),
    _rule(
        "password_spraying",
        "Password spraying",
        "medium",
        "T1110.003",
        "one source failed with many different accounts",
    ),
    _rule(
        "password_spraying_outside",
        "Password spraying from outside",
        "low",
        "T1110.003",
        "an outside source failed with many different accounts; every service facing the internet sees this",
    ),
    _rule(
        "account_enumeration",
        "Account names tried at Kerberos",
        "medium",
        "T1087.002",
        "one source asked for tickets of many names, and the domain knew none of them: no password was tried",
    ),
    _rule(
        "password_guessing", "Password guessing", "medium", "T1110.001", "one source failed many times on one service"
    ),
    _rule(
        "password_guessing_outside",
        "Password guessing from outside",
        "low",
        "T1110.001",
        "an outside source failed many times on one service; every service facing the internet sees this",
    ),
    _rule(
        "repeated_failure",
        "Repeated failure of one account",
        "low",
        "T1110",
        "one account failed steadily from one place, as an expired or wrongly stored password does",
    ),
    _rule(
        "failed_logon_outside",
        "Failed logon from outside",
        "informational",
        "T1110.001",
        "an outside source failed to log on, fewer times than is called guessing, and never got in",
    ),
    _rule(
        "login_service_visit",
        "Unasked visit to a login service",
        "informational",
        "T1595.002",
        "an outside source spoke to a login service without any sign that it logged on",
        "network",
    ),
)


def failing_scopes(table: ibis.Table, settings: GuessingSettings) -> ibis.Table:
    """The tries of those scopes in which something failed often enough to be worth sorting.

    No rule says anything of a source and service whose failures, excused or not, stay below the lowest threshold,
    unless the source is outside and never got in: most logons of most networks belong to no such scope.
    """
    table = table.filter(table.time.notnull() & (table.source != ""))
    failed, got_in = table.result == "failure", table.result.isin(["success", "likely_success"])
    lost = failed | (table.result == "undecided")
    counted = table.group_by(_SCOPE).agg(
        outside=(~table.inside & ~got_in).cast("int64").max(),
        ever_in=got_in.cast("int64").max(),
        failures=ibis.ifelse(failed, table.tries, 0).sum(),
        lost=lost.cast("int64").sum(),
        accounts=ibis.ifelse(failed, table.user, ibis.null("string")).nunique(),
    )
    outside = counted.outside == 1
    few_inside = min(settings.failures_inside, settings.failures_inside_slow)
    few = min(settings.failures, settings.failures_slow, few_inside)
    enough = counted.filter(
        (outside & ((counted.ever_in == 0) | (counted.lost >= settings.undecided)))
        | (counted.failures >= ibis.ifelse(outside, few, few_inside))
        | (counted.accounts >= settings.accounts)
    )
    return table.semi_join(enough, _SCOPE)


def guessing(table: ibis.Table, wanted: GuessingSettings) -> Statements:
    """Guessing, spraying and what came of it.

    Args:
        table: what :func:`failing_scopes` left of the tries of :mod:`casemate.detect.behaviour.logons`.
        wanted: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``records, visits, tries, failures, undecided, successes,
        likely_successes, accounts, slow`` and ``account`` (one of the accounts, the first by name).
    """
    table = _judged(table, wanted)
    failed = table.filter(table.rule.notnull())
    failed = failed.mutate(
        key=key(failed.rule, failed.source_kind, failed.source, failed.target, failed.service, failed.episode)
    )
    won = table.filter(table.won)
    won = bursts(won, [*_SCOPE, "other_account"], wanted.burst_gap_seconds, "won_burst")
    won = won.mutate(
        rule=ibis.ifelse(won.other_account == 1, "success_after_guessing_others", "success_after_guessing"),
        episode=won.won_burst,
    )
    won = won.mutate(key=key(won.rule, won.source_kind, won.source, won.target, won.service, won.episode))
    columns = [*_GROUP, "evidence", "record", "time", "result", "tries", "user", "inside"]
    every = failed.select(columns).union(won.select(columns))
    return Statements(every, _findings)


_GUESSES = ["password_spraying", "password_spraying_outside", "password_guessing", "password_guessing_outside"]
_SUCCESSES = ["success_after_guessing", "success_after_guessing_others"]
_SCOPE = ["source_kind", "source", "target", "service"]
_GROUP = ["key", "rule", "source_kind", "source", "target_kind", "target", "service", "episode"]


def _judged(table: ibis.Table, settings: GuessingSettings) -> ibis.Table:
    """Adds ``rule`` and ``episode`` to tries, ``won`` to logons that got in after guessing."""
    table = _mistakes_excused(table, settings)
    table = table.mutate(
        lost=(table.result.isin(["failure", "undecided"]) & ~table.excused).cast("int64"),
        failures=ibis.ifelse((table.result == "failure") & ~table.excused, table.tries, 0),
        got_in=table.result.isin(["success", "likely_success"]).cast("int64"),
    )
    table = bursts(table, [*_SCOPE, "lost"], settings.burst_gap_seconds, "burst")
    scope, burst, account = over(_SCOPE), over([*_SCOPE, "lost", "burst"]), over([*_SCOPE, "account"])
    tried = over([*_SCOPE, "lost"])
    named_failure = (table.result == "failure") & (table.account != "")
    table = table.mutate(
        burst_failures=table.failures.sum().over(burst),
        burst_tries=table.lost.sum().over(burst),
        burst_span=table.time.max().over(burst).delta(table.time.min().over(burst), unit="microsecond"),
        all_failures=table.failures.sum().over(scope),
        ever_in=table.got_in.max().over(scope),
        account_failed=named_failure.cast("int64").max().over(account),
        account_wrong=(named_failure & ~table.belongs).cast("int64").max().over(account),
        account_first=first_of(table, [*_SCOPE, "account"]) * (table.account != "").cast("int64"),
        span=table.time.max().over(tried).delta(table.time.min().over(tried), unit="microsecond"),
    )
    failing_first = table.account_first * table.account_failed
    threshold = ibis.ifelse(table.inside, settings.failures_inside, settings.failures)
    table = table.mutate(
        accounts=failing_first.sum().over(scope),
        lost_accounts=(failing_first * table.account_wrong).sum().over(scope),
        fast=(table.burst_failures >= threshold) | (~table.inside & (table.burst_tries >= settings.undecided)),
    )
    # Slow guessing is judged on what no fast burst explains, or it would bridge bursts days apart.
    rest = over([*_SCOPE, "fast"])
    table = table.mutate(rest_failures=table.failures.sum().over(rest), rest_tries=table.lost.sum().over(rest))
    enough = ibis.ifelse(table.inside, settings.failures_inside_slow, settings.failures_slow)
    undecided = ~table.inside & (table.rest_tries >= settings.undecided) & (table.ever_in == 0)
    table = table.mutate(slow=~table.fast & ((table.rest_failures >= enough) | undecided))
    table = table.mutate(
        sprayed=(table.lost_accounts >= settings.accounts) & (table.lost_accounts * 2 > table.accounts)
    )
    guessed = ((table.fast | table.slow) & (table.lost == 1)).cast("int64").max().over(scope) == 1
    # A stored password is tried by a clock: no burst of it is faster, whatever else the log holds.
    pace = 3_600_000_000 // settings.steady_per_hour
    calm = table.burst_failures < threshold + table.burst_span // pace
    hours = table.span // 3_600_000_000 + 1
    steady = (table.all_failures <= hours * settings.steady_per_hour) & (table.span >= 1_800_000_000)
    # Of one account that is known to belong there: what failed later had been right before.
    returning = (table.result == "failure") & (table.account != "") & (table.successes_before > 0)
    stored = (table.accounts == 1) & calm & (returning | (table.inside & steady))
    asked = (table.asked & (table.lost == 1)).cast("int64").max().over(scope) == 1
    outside = ~table.inside
    table = table.mutate(
        rule=ibis.cases(
            ((table.result == "visit") & outside & (table.ever_in == 0), "login_service_visit"),
            (table.lost == 0, ibis.null("string")),
            (stored & (table.all_failures >= settings.failures_inside), "repeated_failure"),
            (stored, ibis.null("string")),
            ((table.sprayed | guessed) & ~asked, "account_enumeration"),
            (table.sprayed & outside, "password_spraying_outside"),
            (table.sprayed, "password_spraying"),
            (guessed & outside, "password_guessing_outside"),
            (guessed, "password_guessing"),
            (outside & (table.ever_in == 0) & (table.all_failures > 0), "failed_logon_outside"),
            (outside & (table.ever_in == 0), "login_service_visit"),
            else_=ibis.null("string"),
        ),
        episode=ibis.ifelse(table.slow, ibis.literal(SLOW, type="int64"), table.burst),
    )
    return _won(table, settings)


def _mistakes_excused(table: ibis.Table, settings: GuessingSettings) -> ibis.Table:
    """Adds ``account``, ``successes_before``, ``belongs`` and ``excused``.

    * ``belongs``: the account got in from there before this record, or soon after it;
    * ``excused``: a failure of an account that rarely fails, in a burst too short for guessing, and that got in
      before or in the same burst.  What came later excuses nothing: whoever guessed right gets in at will.
    """
    table = table.mutate(account=table.user.fill_null(""))
    by = [*_SCOPE, "account"]
    table = bursts(table, by, settings.burst_gap_seconds, "account_burst")
    order = [table.time, table.record, table.evidence]
    until = ibis.window(group_by=by, order_by=order, preceding=None, following=0)
    onward = ibis.window(group_by=by, order_by=order, preceding=0, following=None)
    failures = ibis.ifelse(table.result == "failure", table.tries, 0)
    success = table.result == "success"
    in_time = ibis.ifelse(table.result.isin(["success", "likely_success"]), table.time, ibis.null(table.time.type()))
    table = table.mutate(
        account_failures=failures,
        failures_until=failures.sum().over(until),
        successes_until=success.cast("int64").sum().over(until),
        successes_before=in_time.notnull().cast("int64").sum().over(until) - in_time.notnull().cast("int64"),
        next_in=in_time.min().over(onward),
    )
    burst = over([*by, "account_burst"])
    table = table.mutate(
        failures_then=table.failures_until.max().over(burst),
        successes_then=table.successes_until.max().over(burst),
        in_a_row=table.account_failures.sum().over(burst),
    )
    soon = (table.next_in.delta(table.time, unit="microsecond") <= settings.soon_seconds * 1_000_000).fill_null(False)
    rarely = (table.failures_then <= settings.mistakes) | (table.failures_then <= table.successes_then)
    few = table.in_a_row < ibis.ifelse(table.inside, settings.failures_inside, settings.failures)
    return table.mutate(
        belongs=(table.successes_before > 0) | soon,
        excused=(table.account != "") & (table.successes_then > 0) & rarely & few,
    )


def _won(table: ibis.Table, settings: GuessingSettings) -> ibis.Table:
    """Adds ``won`` (this record got in after guessing of the same source and service) and ``other_account``."""
    order = [table.time, table.record, table.evidence]
    before = ibis.window(group_by=_SCOPE, order_by=order, preceding=(None, 1))
    account_before = ibis.window(group_by=[*_SCOPE, "account"], order_by=order, preceding=(None, 1))
    guess = table.rule.isin(_GUESSES).fill_null(False)
    weight = ibis.ifelse(guess, ibis.greatest(table.failures, table.lost), 0)
    failed = (table.result == "failure").cast("int64")
    tried = table.mutate(
        guessed_before=weight.sum().over(before).fill_null(0),
        guessed_account=weight.sum().over(account_before).fill_null(0),
        account_failed_before=failed.max().over(account_before).fill_null(0),
        last_guess=ibis.ifelse(guess, table.time, ibis.null(table.time.type())).max().over(before),
    )
    # What had been guessed of an account when it last got in: a second success needs new guesses.
    told = ibis.ifelse(tried.got_in == 1, tried.guessed_account, 0).max().over(account_before).fill_null(0)
    tried = tried.mutate(guessed_since=tried.guessed_account - told)
    enough = ibis.ifelse(tried.result == "likely_success", 10, 5)
    fresh = (tried.successes_before == 0) & (tried.guessed_before >= enough)
    again = (tried.successes_before > 0) & (tried.guessed_since >= enough)
    # An unnamed success follows unnamed guesses; a named one must have been among the guessed accounts,
    # unless many accounts were tried once each: spraying hits at the first try.
    unnamed = (tried.account == "") & (tried.guessed_before >= enough)
    named = (tried.account != "") & ((fresh & ((tried.account_failed_before == 1) | tried.sprayed)) | again)
    since_guess = tried.time.delta(tried.last_guess, unit="microsecond")
    soon = (since_guess <= settings.soon_seconds * 1_000_000).fill_null(False)
    other = (tried.account != "") & fresh & ~named & soon & ~tried.inside
    return tried.mutate(
        won=(tried.got_in == 1) & (unnamed | named | other), other_account=(other & (tried.got_in == 1)).cast("int64")
    )


def _findings(table: ibis.Table) -> ibis.Table:
    def counted(*results: str):
        return table.result.isin(results).cast("int64").sum()

    grouped = table.group_by([*_GROUP, "inside"]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        records=table.count(),
        tries=ibis.ifelse(table.result.isin(["failure", "undecided"]), table.tries, 0).sum(),
        failures=ibis.ifelse(table.result == "failure", table.tries, 0).sum(),
        visits=counted("visit"),
        undecided=counted("undecided"),
        successes=counted("success"),
        likely_successes=counted("likely_success"),
        accounts=table.user.nunique(),
        account=table.user.min(),
    )
    won = grouped.rule.isin(_SUCCESSES)
    # Whoever got in does not go on guessing, and no session was long enough for a login that was used:
    # many undecided tries are called failed, with low confidence; a single visit stays unknown.
    guessed = grouped.rule.isin(_GUESSES)
    outcome = ibis.cases((won, "succeeded"), ((grouped.failures > 0) | guessed, "failed"), else_="unknown")
    confidence = ibis.cases(
        ((grouped.rule == "success_after_guessing_others") | (won & (grouped.successes == 0)), "low"),
        (won, "high"),
        (grouped.failures == 0, "low"),
        (grouped.failures * 2 < grouped.tries, "medium"),
        else_="high",
    )
    return grouped.select(
        key=grouped.key,
        rule=grouped.rule,
        time=grouped.time,
        time_end=grouped.time_end,
        source_kind=grouped.source_kind,
        source_value=grouped.source,
        target_kind=grouped.target_kind,
        target_value=grouped.target,
        target_service=grouped.service,
        outcome=outcome,
        confidence=confidence,
        records=grouped.records,
        tries=grouped.tries,
        failures=grouped.failures,
        visits=grouped.visits,
        undecided=grouped.undecided,
        successes=grouped.successes,
        likely_successes=grouped.likely_successes,
        accounts=grouped.accounts,
        account=grouped.account,
        slow=(grouped.episode == SLOW).cast("int64"),
    )
