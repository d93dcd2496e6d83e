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
import ibis

KEYS = ("user", "domain", "source", "host", "service", "kind", "product")
ENDS = ("Logoff",)


def logons(authentication: ibis.Table, api_activity: ibis.Table) -> ibis.Table:
    """Columns: those of :data:`KEYS`, then ``successes, failures, unknown`` (tries), ``first``, ``last``,
    ``first_success`` (UTC) and ``failures_before_success`` (null where nothing succeeded)."""  # fmt: skip
    tries = _authentication(authentication).union(_kubernetes(api_activity), distinct=False)
    same = ibis.window(group_by=[tries[name] for name in KEYS])
    begun = ibis.ifelse(tries.status == "Success", tries.time, ibis.null("timestamp('UTC', 6)")).min().over(same)
    tries = tries.mutate(first_success=begun)
    count = tries.tries
    early = (tries.status == "Failure") & (tries.time < tries.first_success)
    return tries.group_by(*KEYS).aggregate(
        successes=_sum(tries.status == "Success", count),
        failures=_sum(tries.status == "Failure", count),
        unknown=_sum(~tries.status.isin(["Success", "Failure"]), count),
        first=tries.time.min(),
        last=tries.time.max(),
        first_success=tries.first_success.min(),
        failures_before_success=ibis.ifelse(tries.first_success.min().isnull(), ibis.null("int64"), _sum(early, count)),
    )


def _sum(condition, count):
    return ibis.ifelse(condition.fill_null(False), count, ibis.literal(0, "int64")).sum()


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
