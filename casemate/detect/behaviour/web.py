"""Searching a web server for content that is not there, and unasked requests, from ``http_activity``.

Method: content discovery (ATT&CK T1595.003) asks for many different paths, most of which do not
exist.  Browsers also meet errors (a missing icon, a dead link), but few different ones, and they
get most of what they ask for.  Counted are *distinct* paths that only ever answered with an error.

An outside request that names the server by its bare address, or that the server could not
understand (400), is a probe: whoever means the site asks for it by name.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Sequence
from dataclasses import dataclass

import ibis

from casemate.detect.behaviour.networks import within
from casemate.detect.behaviour.rules import BehaviourRule, Statements, bursts, first_of, key, over

_BARE_ADDRESS = r"^([0-9]{1,3}([.][0-9]{1,3}){3}|.[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*.)(:[0-9]+)?$"
"""An IPv4 address, or an IPv6 address in brackets (any character here: engines read brackets differently)."""


@dataclass(frozen=True)
class WebSettings:
    """Thresholds."""

    burst_gap_seconds: int = 300
    paths: int = 10
    """Distinct paths that answered only with errors, in one burst."""


RULES: tuple[BehaviourRule, ...] = (
    BehaviourRule(
        "web_content_search",
        "Web server searched for content",
        "low",
        "web",
        ("T1595.003",),
        ("reconnaissance",),
        "one source asked for many different paths, most of which do not exist",
    ),
    BehaviourRule(
        "web_probe",
        "Unasked web request",
        "informational",
        "web",
        ("T1595.002",),
        ("reconnaissance",),
        "an outside source asked the bare address for a page, or sent what no browser sends",
    ),
)


def requests(http: ibis.Table, own: Sequence[str], _settings: WebSettings | None = None) -> ibis.Table:
    """Answered requests to own servers: ``source, target, service, path, unasked, failed`` and their place.

    Args:
        http: ``http_activity``.
        own: own networks in CIDR; requests to other addresses are not counted.
    """
    served = http.dst_endpoint_ip.isnull() | within(http.dst_endpoint_ip, own)
    table = http.filter(
        http.time.notnull() & http.src_endpoint_ip.notnull() & http.http_response_code.notnull() & served
    )
    host = ibis.coalesce(table.dst_endpoint_ip, table.http_request_url_hostname, table.device_hostname)
    port = table.dst_endpoint_port
    bare = table.http_request_url_hostname.re_search(_BARE_ADDRESS).fill_null(False)
    return table.select(
        evidence=table.evidence,
        record=table.record,
        time=table.time,
        source=table.src_endpoint_ip,
        target_kind=ibis.cases((table.dst_endpoint_ip.notnull(), "address"), (host.notnull(), "host"), else_="service"),
        target=host.fill_null("web"),
        service=ibis.ifelse(
            table.dst_endpoint_ip.notnull() & port.notnull(), port.cast("string") + "/tcp", ibis.literal("web")
        ),
        path=table.http_request_url_path.fill_null(""),
        unasked=~within(table.src_endpoint_ip, own) & ((table.http_response_code == 400) | bare),
        failed=((table.http_response_code >= 400) & (table.http_response_code != 401)).cast("int64"),
    )


def searched_enough(table: ibis.Table, settings: WebSettings) -> ibis.Table:
    """The requests of those scopes that failed on enough paths, or hold an unasked request; others say nothing."""
    group = ["source", "target", "service"]
    lost = ibis.ifelse(table.failed == 1, table.path, ibis.null("string"))
    counted = table.mutate(lost=lost).group_by(group)
    enough = counted.agg(paths=lambda rows: rows.lost.nunique(), unasked=lambda rows: rows.unasked.max())
    enough = enough.filter(enough.unasked.fill_null(False) | (enough.paths >= settings.paths))
    return table.semi_join(enough, group)


def web_searches(table: ibis.Table, wanted: WebSettings) -> Statements:
    """Bursts of requests for content that is not there.

    Args:
        table: what :func:`searched_enough` left of :func:`requests`.
        wanted: thresholds.

    Returns:
        statements of :data:`RULES`; counts: ``requests, paths, errors, answered``.
    """
    group = ["source", "target", "service"]
    table = bursts(table, group, wanted.burst_gap_seconds, "burst")
    group = [*group, "burst"]
    table = table.mutate(
        first=first_of(table, [*group, "path"]), answered=(1 - table.failed).max().over(over([*group, "path"]))
    )
    table = table.mutate(
        paths=table["first"].sum().over(over(group)),
        lost=(table["first"] * (1 - table.answered)).sum().over(over(group)),
    )
    searched = (table.lost >= wanted.paths) & (table.lost * 2 > table.paths)
    table = table.mutate(
        rule=ibis.cases((searched, "web_content_search"), (table.unasked, "web_probe"), else_=ibis.null("string"))
    )
    table = table.filter(table.rule.notnull())
    table = table.mutate(key=key(table.rule, table.source, table.target, table.service, table.burst))
    return Statements(table, _findings)


def _findings(table: ibis.Table) -> ibis.Table:
    grouped = table.group_by(["key", "rule", "source", "target_kind", "target", "service"]).agg(
        time=table.time.min(),
        time_end=table.time.max(),
        requests=table.count(),
        paths=table.path.nunique(),
        errors=table.failed.sum(),
        answered=(1 - table.failed).sum(),
    )
    return grouped.select(
        key=grouped.key,
        rule=grouped.rule,
        time=grouped.time,
        time_end=grouped.time_end,
        source_kind=ibis.literal("address"),
        source_value=grouped.source,
        target_kind=grouped.target_kind,
        target_value=grouped.target,
        target_service=grouped.service,
        outcome=ibis.ifelse(grouped.answered == 0, "failed", "unknown"),
        confidence=ibis.literal("medium"),
        requests=grouped.requests,
        paths=grouped.paths,
        errors=grouped.errors,
        answered=grouped.answered,
    )
