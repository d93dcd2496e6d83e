"""Windows connections and look-ups -> OCSF ``network_activity`` and ``dns_activity``.

Sysmon 3 and 22; the filtering platform's 5156 (permitted), 5157 (connection blocked), 5152 (packet blocked)
of the Security log.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.schema.ocsf import DNS_ACTIVITY, NETWORK_ACTIVITY
from casemate.views.base import Part, View, integer, known, parted
from casemate.views.windows_text import ORIGIN, account, address, base_name, from_security, from_sysmon, origin

PROTOCOLS: dict[str, str] = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp"}
"""Assigned internet protocol numbers -> the name in ``connection_info_protocol_name``."""

RCODES: dict[str, str] = {
    "0": "NOERROR",
    "9001": "FORMERR",
    "9002": "SERVFAIL",
    "9003": "NXDOMAIN",
    "9004": "NOTIMP",
    "9005": "REFUSED",
    "9501": "NOERROR",  # the name exists, the type does not
}
"""Windows' DNS error codes (winerror.h) -> RCODE."""


def _sysmon(table: ibis.Table) -> ibis.Table:
    rows = from_sysmon(table, "3")
    return rows.select(
        **origin(rows, "sysmon"),
        activity_name=ibis.literal("Open"),
        status=ibis.literal("Success"),
        src_endpoint_ip=address(rows.SourceIp),
        src_endpoint_port=integer(rows.SourcePort),
        src_endpoint_hostname=known(rows.SourceHostname),
        dst_endpoint_ip=address(rows.DestinationIp),
        dst_endpoint_port=integer(rows.DestinationPort),
        dst_endpoint_hostname=known(rows.DestinationHostname),
        connection_info_protocol_name=known(rows.Protocol).lower(),
        actor_process_name=base_name(rows.Image),
        actor_user_name=account(rows.User),
    )


def _filtering(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, "5156", "5157", "5152")
    permitted = rows.EventID == "5156"
    return rows.select(
        **origin(rows, "windows"),
        activity_name=ibis.ifelse(permitted, "Open", "Refuse"),
        status=ibis.ifelse(permitted, "Success", "Failure"),
        src_endpoint_ip=address(rows.SourceAddress),
        src_endpoint_port=integer(rows.SourcePort),
        dst_endpoint_ip=address(rows.DestAddress),
        dst_endpoint_port=integer(rows.DestPort),
        connection_info_protocol_name=rows.Protocol.cases(*PROTOCOLS.items(), else_=known(rows.Protocol)),
        disposition=ibis.ifelse(permitted, "Allowed", "Blocked"),
        actor_process_name=base_name(rows.Application),
    )


def _look_ups(table: ibis.Table) -> ibis.Table:
    """Look-ups seen by Sysmon on the client."""
    rows = from_sysmon(table, "22")
    results = known(rows.QueryResults)
    quoted = results.replace("\\", "\\\\").replace('"', '\\"').re_replace(r";+$", "").replace(";", '","')
    return rows.select(
        **origin(rows, "sysmon"),
        activity_name=ibis.literal("Query"),
        status=ibis.ifelse(rows.QueryStatus == "0", "Success", "Failure"),
        src_endpoint_hostname=known(rows.Computer),
        query_hostname=known(rows.QueryName),
        rcode=rows.QueryStatus.cases(*RCODES.items(), else_=known(rows.QueryStatus)),
        answers=ibis.literal('["') + quoted + '"]',
        actor_process_name=base_name(rows.Image),
    )


CONNECTIONS_READ = (
    *ORIGIN,
    *("SourceIp", "SourcePort", "SourceHostname", "DestinationIp", "DestinationPort", "DestinationHostname"),
    *("Protocol", "Image", "User", "SourceAddress", "DestAddress", "DestPort", "Application"),
)
QUESTIONS_READ = (*ORIGIN, "QueryName", "QueryStatus", "QueryResults", "Image")
VIEWS: tuple[View, ...] = (
    parted(
        "windows_event",
        NETWORK_ACTIVITY,
        (Part(("3",), _sysmon), Part(("5156", "5157", "5152"), _filtering)),
        CONNECTIONS_READ,
    ),
    parted("windows_event", DNS_ACTIVITY, (Part(("22",), _look_ups),), QUESTIONS_READ),
)
