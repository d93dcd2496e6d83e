"""Suricata's EVE events as OCSF events.

Alerts are findings of another tool and not activities; they are not here.  A flow is logged when it
ends or times out: its ``time`` is that of the record, ``duration`` goes back from there.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from typing import Any

import ibis

from casemate.schema.ocsf import (
    AUTHENTICATION,
    DNS_ACTIVITY,
    FILE_ACTIVITY,
    HTTP_ACTIVITY,
    NETWORK_ACTIVITY,
    SSH_ACTIVITY,
    TLS_ACTIVITY,
)
from casemate.views.base import View, conform, integer, known
from casemate.views.text_columns import (
    address,
    fingerprints,
    hashes,
    http_activity_name,
    http_status,
    iso_milliseconds,
    json_array,
    milliseconds,
    url_path,
)

NATIVE = "suricata_event"
RESET_AND_ACK = ("14", "04")
"""TCP flags (hexadecimal) of a server that answered with nothing but a refusal."""
SMB_STATUS = {"STATUS_SUCCESS": "Success", "STATUS_LOGON_FAILURE": "Failure", "STATUS_ACCESS_DENIED": "Failure",
              "STATUS_ACCOUNT_LOCKED_OUT": "Failure", "STATUS_ACCOUNT_DISABLED": "Failure",
              "STATUS_WRONG_PASSWORD": "Failure", "STATUS_NO_SUCH_USER": "Failure"}  # fmt: skip


def _base(t: ibis.Table, log: str) -> dict[str, Any]:
    return {
        "evidence": t.evidence,
        "record": t.record,
        "time": t.time,
        "metadata_product_name": ibis.literal("suricata"),
        "metadata_log_name": ibis.literal(log),
        "device_hostname": ibis.coalesce(known(t.host), known(t.sensor_name)),
        "connection_info_uid": known(t.flow_id),
        "src_endpoint_ip": address(t.src_ip),
        "src_endpoint_port": integer(t.src_port),
        "dst_endpoint_ip": address(t.dest_ip),
        "dst_endpoint_port": integer(t.dest_port),
    }


def flows(t: ibis.Table) -> ibis.Table:
    """Events of type ``flow``.

    Suricata has no state like Zeek's; the two that scans are told by are given where the event shows
    them: ``S0`` (no packet came back) and ``REJ`` (nothing but a reset came back).
    """
    t = t.filter(t.event_type == "flow")
    back = integer(t["flow.pkts_toclient"])
    protocol = known(t.proto).lower().re_replace("^(ipv6-)?icmp.*", "icmp")
    unanswered = back == 0
    refused = (protocol == "tcp") & t["tcp.tcp_flags_tc"].isin(RESET_AND_ACK)
    state = t["flow.state"]
    columns = {
        **_base(t, "flow"),
        "activity_name": ibis.cases((unanswered, "Fail"), (refused, "Refuse"), else_="Traffic"),
        "status": ibis.cases(
            (unanswered | refused, "Failure"), (state.isin(["established", "closed", "bypassed"]), "Success"),
            else_="Unknown",
        ),
        "status_detail": known(t["flow.reason"]),
        "connection_info_protocol_name": protocol,
        "app_name": ibis.ifelse(t.app_proto == "failed", ibis.null("string"), known(t.app_proto)),
        "duration": milliseconds(t["flow.age"]),
        "traffic_bytes_out": integer(t["flow.bytes_toserver"]),
        "traffic_bytes_in": integer(t["flow.bytes_toclient"]),
        "traffic_packets_out": integer(t["flow.pkts_toserver"]),
        "traffic_packets_in": back,
        "disposition": t["flow.action"].cases(("drop", "Blocked"), ("accept", "Allowed"), ("pass", "Allowed")),
        "unmapped_conn_state": ibis.cases((unanswered, "S0"), (refused, "REJ")),
        "unmapped_icmp_type": integer(t.icmp_type),
    }  # fmt: skip
    return conform(t.select(**columns), NETWORK_ACTIVITY)


def dns(t: ibis.Table) -> ibis.Table:
    """Events of type ``dns``: queries and replies are records of their own (`activity_name` says which)."""
    t = t.filter(t.event_type == "dns")
    kind = t["dns.type"].cases(("query", "Query"), ("request", "Query"), ("answer", "Response"),
                               ("response", "Response"), else_="Traffic")  # fmt: skip
    rcode = known(t["dns.rcode"])
    in_queries = {name: known(t["dns.queries"].re_extract(rf'"{name}":"([^"]*)"', 1)) for name in ("rrname", "rrtype")}
    columns = {
        **_base(t, "dns"),
        "activity_name": kind,
        "status": ibis.cases((rcode.isnull(), "Unknown"), (rcode == "NOERROR", "Success"), else_="Failure"),
        "query_hostname": ibis.coalesce(known(t["dns.rrname"]), in_queries["rrname"]),
        "query_type": ibis.coalesce(known(t["dns.rrtype"]), in_queries["rrtype"]),
        "rcode": rcode,
        "answers": json_array(
            ibis.coalesce(t["dns.grouped.A"], t["dns.grouped.AAAA"], t["dns.grouped.CNAME"], t["dns.grouped.TXT"],
                          t["dns.rdata"])
        ),
    }  # fmt: skip
    return conform(t.select(**columns), DNS_ACTIVITY)


def http(t: ibis.Table) -> ibis.Table:
    """Events of type ``http``."""
    t = t.filter(t.event_type == "http")
    code = integer(t["http.status"])
    columns = {
        **_base(t, "http"),
        "activity_name": http_activity_name(known(t["http.http_method"])),
        "status": http_status(code),
        "http_request_http_method": known(t["http.http_method"]),
        "http_request_url_hostname": known(t["http.hostname"]),
        "http_request_url_path": url_path(t["http.url"]),
        "http_request_url_text": known(t["http.url"]),
        "http_request_user_agent": known(t["http.http_user_agent"]),
        "http_request_referrer": known(t["http.http_refer"]),
        "http_response_code": code,
        "traffic_bytes_in": integer(t["http.length"]),
    }
    return conform(t.select(**columns), HTTP_ACTIVITY)


def tls(t: ibis.Table) -> ibis.Table:
    """Events of type ``tls``, and of ``quic``, which has TLS inside."""
    t = t.filter(t.event_type.isin(["tls", "quic"]))
    columns = {
        **_base(t, "tls"),
        "metadata_log_name": t.event_type,
        "activity_name": ibis.literal("Open"),
        "status": ibis.literal("Unknown"),
        "tls_version": ibis.coalesce(known(t["tls.version"]), known(t["quic.version"])),
        "tls_sni": ibis.coalesce(known(t["tls.sni"]), known(t["quic.sni"])),
        "tls_ja3_hash": ibis.coalesce(known(t["tls.ja3.hash"]), known(t["quic.ja3.hash"])),
        "tls_ja3s_hash": known(t["tls.ja3s.hash"]),
        "ja4_fingerprint_list": hashes(JA4=ibis.coalesce(known(t["tls.ja4"]), known(t["quic.ja4"]))),
        "tls_certificate_subject": known(t["tls.subject"]),
        "tls_certificate_issuer": known(t["tls.issuerdn"]),
        "tls_certificate_serial_number": known(t["tls.serial"]),
        "tls_certificate_fingerprints": fingerprints(t["tls.fingerprint"]),
        "tls_certificate_created_time": iso_milliseconds(t["tls.notbefore"]),
        "tls_certificate_expiration_time": iso_milliseconds(t["tls.notafter"]),
        "tls_certificate_sans": json_array(known(t["tls.subjectaltname"])),
    }
    return conform(t.select(**columns), TLS_ACTIVITY)


def ssh(t: ibis.Table) -> ibis.Table:
    """Events of type ``ssh``; Suricata keeps the version of the protocol apart from the software."""
    t = t.filter(t.event_type == "ssh")
    named = {
        side: ibis.literal("SSH-") + known(t[f"ssh.{side}.proto_version"]) + ibis.literal("-")
        + known(t[f"ssh.{side}.software_version"])
        for side in ("client", "server")
    }  # fmt: skip
    columns = {
        **_base(t, "ssh"),
        "activity_name": ibis.literal("Open"),
        "status": ibis.literal("Unknown"),
        "protocol_ver": ibis.coalesce(known(t["ssh.client.proto_version"]), known(t["ssh.server.proto_version"])),
        "client_hassh_fingerprint": known(t["ssh.client.hassh.hash"]),
        "server_hassh_fingerprint": known(t["ssh.server.hassh.hash"]),
        "unmapped_client": named["client"],
        "unmapped_server": named["server"],
    }
    return conform(t.select(**columns), SSH_ACTIVITY)


def smb_logons(t: ibis.Table) -> ibis.Table:
    """Events of type ``smb`` that carry an NTLM authentication with its status."""
    t = t.filter((t.event_type == "smb") & known(t["smb.ntlmssp.user"]).notnull())
    columns = {
        **_base(t, "smb"),
        "activity_name": ibis.literal("Logon"),
        "status": t["smb.status"].cases(*SMB_STATUS.items(), else_="Unknown"),
        "status_detail": known(t["smb.status"]),
        "user_name": known(t["smb.ntlmssp.user"]),
        "user_domain": known(t["smb.ntlmssp.domain"]),
        "src_endpoint_hostname": known(t["smb.ntlmssp.host"]),
        "auth_protocol": ibis.literal("NTLM"),
        "logon_type": ibis.literal("Network"),
        "service_name": ibis.literal("smb"),
        "unmapped_attempts": ibis.literal(1, "int64"),
    }
    return conform(t.select(**columns), AUTHENTICATION)


def files(t: ibis.Table) -> ibis.Table:
    """Events of type ``fileinfo``."""
    t = t.filter(t.event_type == "fileinfo")
    name = known(t["fileinfo.filename"])
    columns = {
        **_base(t, "fileinfo"),
        "activity_name": ibis.literal("Unknown"),
        "status": t["fileinfo.state"].cases(("CLOSED", "Success"), else_="Unknown"),
        "status_detail": known(t["fileinfo.state"]),
        "file_path": name,
        "file_name": name.re_replace(r"^[\s\S]*[/\\]", ""),
        "file_size": integer(t["fileinfo.size"]),
        "file_hashes": hashes(MD5=t["fileinfo.md5"], SHA1=t["fileinfo.sha1"], SHA256=t["fileinfo.sha256"]),
    }
    return conform(t.select(**columns), FILE_ACTIVITY)


VIEWS: tuple[View, ...] = (
    View(NATIVE, NETWORK_ACTIVITY, flows),
    View(NATIVE, DNS_ACTIVITY, dns),
    View(NATIVE, HTTP_ACTIVITY, http),
    View(NATIVE, TLS_ACTIVITY, tls),
    View(NATIVE, SSH_ACTIVITY, ssh),
    View(NATIVE, AUTHENTICATION, smb_logons),
    View(NATIVE, FILE_ACTIVITY, files),
)
