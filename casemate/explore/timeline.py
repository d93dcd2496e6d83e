"""All sources in one order: what every OCSF class says of who, where and what, in the same columns.

Columns: ``time`` (UTC, null where unknown), ``class_name``, ``product``, ``host`` (that wrote the record, or
was logged on to), ``user``, ``source`` and ``target`` (addresses, else host names), ``status``, ``what``,
``evidence``, ``record``.  Logons, stacks and pivots narrow and count these rows.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import ibis

WHAT: dict[str, tuple[str, ...]] = {
    "network_activity": ("app_name", "connection_info_protocol_name"),
    "dns_activity": ("query_hostname",),
    "http_activity": ("http_request_url_text", "http_request_url_path", "http_request_url_hostname"),
    "tls_activity": ("tls_sni", "tls_certificate_subject"),
    "authentication": ("service_name",),
    "process_activity": ("process_cmd_line", "process_file_path", "process_name"),
    "file_activity": ("file_path", "file_name"),
    "api_activity": ("api_operation",),
    "email_activity": ("email_subject",),
}
"""Columns that say what was done or asked for; the first that is known.  Classes that are not here
(``ssh_activity``) show records that another class shows already."""
WHO: dict[str, tuple[str, ...]] = {
    "host": ("device_hostname", "dst_endpoint_hostname"),
    "user": ("user_name", "actor_user_name", "email_to"),
    "source": ("src_endpoint_ip", "src_endpoint_hostname", "email_from"),
    "target": ("dst_endpoint_ip", "dst_endpoint_hostname", "resource_name"),
}


@dataclass(frozen=True)
class Looking:
    """Which rows: all of what is given.  Names are compared without case; `begin` is in, `until` is not.

    `marked` are the only records wanted, as ``evidence:record``.
    """

    host: str | None = None
    user: str | None = None
    address: str | None = None
    begin: datetime | None = None
    until: datetime | None = None
    marked: tuple[str, ...] | None = None


def first_known(table: ibis.Table, names: tuple[str, ...]):
    """The first of these columns that the table has and that is not null."""
    present = [table[name] for name in names if name in table.columns]
    return ibis.coalesce(*present) if present else ibis.null("string")


def timeline(tables: Mapping[str, ibis.Table]) -> ibis.Table:
    """The rows of all OCSF `tables` (by class) with the columns named above, in no order."""
    parts = []
    for name, table in tables.items():
        if name not in WHAT:
            continue
        who = {column: first_known(table, sources) for column, sources in WHO.items()}
        parts.append(
            table.select(
                time=table.time,
                class_name=ibis.literal(name),
                product=table.metadata_product_name,
                **who,
                status=table.status,
                activity=table.activity_name,
                what=first_known(table, WHAT[name]),
                evidence=table.evidence,
                record=table.record,
            )
        )
    first, *others = parts
    for other in others:
        first = first.union(other, distinct=False)
    return first


def narrowed(table: ibis.Table, looking: Looking) -> ibis.Table:
    """The rows of any OCSF table or of :func:`timeline` that fit `looking`."""
    columns = set(table.columns)
    tests = (
        (looking.host, ("host", "device_hostname", "dst_endpoint_hostname")),
        (looking.user, ("user", "user_name", "actor_user_name")),
        (looking.address, ("source", "target", "src_endpoint_ip", "dst_endpoint_ip")),
    )
    for wanted, names in tests:
        if wanted is None:
            continue
        fits = [table[name].lower() == wanted.lower() for name in names if name in columns]
        if not fits:
            return table.limit(0)
        condition = fits[0].fill_null(False)
        for fit in fits[1:]:
            condition = condition | fit.fill_null(False)
        table = table.filter(condition)
    if looking.marked is not None:
        table = table.filter((table.evidence + ":" + table.record.cast("string")).isin(list(looking.marked)))
    if looking.begin is not None:
        table = table.filter(table.time >= ibis.literal(looking.begin, "timestamp('UTC', 6)"))
    if looking.until is not None:
        table = table.filter(table.time < ibis.literal(looking.until, "timestamp('UTC', 6)"))
    return table
