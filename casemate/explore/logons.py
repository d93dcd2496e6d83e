"""Who logged on from where, how, first and last, and how many failures came before the first success.

One row per user, source, host, service, and kind of logon.  Windows, SSH and other services and cloud
consoles come from ``authentication``; Kubernetes has no logons, so every request of its audit log that
names a user counts: refused with 401 is a failure, everything else (403 too, which is no right but a
known user) a success.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping

import ibis

KEYS = ("user", "domain", "source", "host", "service", "kind", "product")
COLUMNS = (*KEYS, "successes", "failures", "unknown", "first", "last", "first_success", "failures_before_success")
ENDS = ("Logoff",)
_NO_TIME = ibis.null("timestamp('UTC', 6)")
_NO_COUNT, _NONE = ibis.null("int64"), ibis.literal(0, "int64")


def logons(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """Columns: those of :data:`KEYS`, then ``successes, failures, unknown`` (tries), ``first``, ``last``,
    ``first_success`` (UTC) and ``failures_before_success`` (null where nothing succeeded).

    Args:
        tables: ``authentication`` and ``api_activity``, one of them at least.
    """  # fmt: skip
    made = {"authentication": _authentication, "api_activity": _kubernetes}
    tries, *others = [make(tables[name]) for name, make in made.items() if name in tables]
    for other in others:
        tries = tries.union(other, distinct=False)
    failed, timed = tries.status == "Failure", tries.time.notnull()
    count, failure_time = tries.tries, ibis.ifelse(failed, tries.time, _NO_TIME)
    found = tries.group_by(*KEYS).aggregate(
        successes=_sum(tries.status == "Success", count),
        failures=_sum(failed, count),
        unknown=_sum(~tries.status.isin(["Success", "Failure"]), count),
        first=tries.time.min(),
        last=tries.time.max(),
        first_success=ibis.ifelse(tries.status == "Success", tries.time, _NO_TIME).min(),
        first_failure=failure_time.min(),
        last_failure=failure_time.max(),
        timed_failures=_sum(failed & timed, count),
    )
    # nearly always all failures came before the first success or none did: only the others are read again
    mixed = ((found.first_failure < found.first_success) & (found.last_failure >= found.first_success)).fill_null(False)
    before = ibis.ifelse((found.last_failure < found.first_success).fill_null(False), found.timed_failures, _NONE)
    known = found.mutate(failures_before_success=ibis.ifelse(found.first_success.isnull(), _NO_COUNT, before))
    return known.filter(~mixed).select(*COLUMNS).union(_counted(found.filter(mixed), tries), distinct=False)


def _counted(found: ibis.Table, tries: ibis.Table) -> ibis.Table:
    """Rows of `found` with the failures before the first success counted one by one."""
    failures = tries.filter(tries.status == "Failure").select(*KEYS, "time", "tries")
    same = [failures[name].identical_to(found[name]) for name in KEYS]
    joined = failures.join(found, same, rname="found_{name}")
    early = joined.time < joined.first_success
    kept = {name: joined[name].min() for name in COLUMNS if name not in (*KEYS, COLUMNS[-1])}
    return joined.group_by(*KEYS).aggregate(**kept, failures_before_success=_sum(early, joined.tries)).select(*COLUMNS)


def _sum(condition, count):
    return ibis.ifelse(condition.fill_null(False), count, _NONE).sum()


def _authentication(table: ibis.Table) -> ibis.Table:
    rows = table.filter(~table.activity_name.isin(list(ENDS)).fill_null(False))
    return rows.select(
        user=rows.user_name,
        domain=rows.user_domain,
        source=rows.src_endpoint_ip.coalesce(rows.src_endpoint_hostname),
        host=rows.dst_endpoint_hostname.coalesce(rows.device_hostname).coalesce(rows.dst_endpoint_ip),
        service=rows.service_name,
        kind=rows.logon_type,
        product=rows.metadata_product_name,
        status=rows.status,
        time=rows.time,
        tries=rows.unmapped_attempts.coalesce(ibis.literal(1, "int64")),
    )


def _kubernetes(table: ibis.Table) -> ibis.Table:
    rows = table.filter((table.metadata_product_name == "kubernetes") & table.actor_user_name.notnull())
    return rows.select(
        user=rows.actor_user_name,
        domain=ibis.null("string"),
        source=rows.src_endpoint_ip,
        host=rows.device_hostname,
        service=ibis.literal("kubernetes"),
        kind=rows.actor_user_type,
        product=rows.metadata_product_name,
        status=ibis.ifelse((rows.api_response_code == "401").fill_null(False), "Failure", "Success"),
        time=rows.time,
        tries=ibis.literal(1, "int64"),
    )
