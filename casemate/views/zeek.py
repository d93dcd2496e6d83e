"""Zeek's logs as OCSF events.

Meanings of fields are those of Zeek's documentation; for ``conn_state`` of
``base/protocols/conn/main.zeek``.  The originator is the source, the responder the destination.
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
    first,
    hashes,
    http_activity_name,
    http_status,
    json_array,
    milliseconds,
    seconds_in_milliseconds,
    truth,
    url_path,
)

ESTABLISHED = ("SF", "S1", "S2", "S3", "RSTO", "RSTR")
NOT_ESTABLISHED = ("S0", "REJ", "RSTOS0", "SH")
"""The rest (RSTRH, SHR, OTH) was seen from the middle or one side only: Unknown."""
CONNECTION_ACTIVITIES = {
    "SF": "Close", "S1": "Open", "S2": "Close", "S3": "Close", "S0": "Fail", "SH": "Fail", "REJ": "Refuse",
    "RSTO": "Reset", "RSTR": "Reset", "RSTOS0": "Reset", "RSTRH": "Reset",
}  # fmt: skip
NTLM_SERVICES = {
    "139": "smb", "445": "smb", "80": "http", "443": "http", "5985": "winrm", "5986": "winrm", "3389": "rdp",
    "135": "dce_rpc", "389": "ldap", "636": "ldap", "25": "smtp", "1433": "mssql",
}  # fmt: skip
"""NTLM is carried by other protocols; which one is told by the responder's port."""
KERBEROS_STEPS = ("KDC_ERR_PREAUTH_REQUIRED",)
"""Errors that every logon of a Windows client begins with: no failure."""
SMB_ACTIONS = {
    "SMB::FILE_READ": "Read", "SMB::FILE_WRITE": "Update", "SMB::FILE_OPEN": "Open", "SMB::FILE_DELETE": "Delete",
    "SMB::FILE_RENAME": "Rename", "SMB::FILE_SET_ATTRIBUTE": "Set Attributes",
}  # fmt: skip


def _base(t: ibis.Table, log: str) -> dict[str, Any]:
    return {
        "evidence": t.evidence,
        "record": t.record,
        "time": t.time,
        "metadata_product_name": ibis.literal("zeek"),
        "metadata_log_name": ibis.literal(log),
        "device_hostname": ibis.coalesce(known(t["_system_name"]), known(t["_node_name"])),
        "connection_info_uid": known(t.uid),
        "src_endpoint_ip": address(t["id.orig_h"]),
        "src_endpoint_port": integer(t["id.orig_p"]),
        "dst_endpoint_ip": address(t["id.resp_h"]),
        "dst_endpoint_port": integer(t["id.resp_p"]),
    }


def connections(t: ibis.Table) -> ibis.Table:
    """``zeek_conn``; ``time`` is the first packet.  ICMP has type and code where others have ports, which are null."""
    ports = {
        name: ibis.ifelse(t.proto == "icmp", ibis.null("int64"), integer(t[column]))
        for name, column in (("src_endpoint_port", "id.orig_p"), ("dst_endpoint_port", "id.resp_p"))
    }
    columns = {
        **_base(t, "conn"),
        **ports,
        "activity_name": t.conn_state.cases(*CONNECTION_ACTIVITIES.items(), else_="Traffic"),
        "status": ibis.cases(
            (t.conn_state.isin(ESTABLISHED), "Success"),
            (t.conn_state.isin(NOT_ESTABLISHED), "Failure"),
            else_="Unknown",
        ),
        "connection_info_protocol_name": known(t.proto),
        "app_name": first(t.service.re_replace(",", "\n")),
        "duration": milliseconds(t.duration),
        "traffic_bytes_out": integer(t.orig_bytes),
        "traffic_bytes_in": integer(t.resp_bytes),
        "traffic_packets_out": integer(t.orig_pkts),
        "traffic_packets_in": integer(t.resp_pkts),
        "unmapped_conn_state": known(t.conn_state),
        "unmapped_history": known(t.history),
        "unmapped_icmp_type": ibis.ifelse(t.proto == "icmp", integer(t["id.orig_p"]), ibis.null("int64")),
    }
    return conform(t.select(**columns), NETWORK_ACTIVITY)


def dns(t: ibis.Table) -> ibis.Table:
    """``zeek_dns``: a query with its reply is one record."""
    rcode = known(t.rcode_name)
    columns = {
        **_base(t, "dns"),
        "activity_name": ibis.literal("Traffic"),
        "status": ibis.cases((rcode.isnull(), "Unknown"), (rcode == "NOERROR", "Success"), else_="Failure"),
        "query_hostname": known(t.query),
        "query_type": known(t.qtype_name),
        "rcode": rcode,
        "answers": json_array(t.answers),
    }
    return conform(t.select(**columns), DNS_ACTIVITY)


def http(t: ibis.Table) -> ibis.Table:
    """``zeek_http``: a request with its reply is one record."""
    code = integer(t.status_code)
    columns = {
        **_base(t, "http"),
        "activity_name": http_activity_name(known(t.method)),
        "status": http_status(code),
        "status_detail": known(t.status_msg),
        "http_request_http_method": known(t.method),
        "http_request_url_hostname": known(t.host),
        "http_request_url_path": url_path(t.uri),
        "http_request_url_text": known(t.uri),
        "http_request_user_agent": known(t.user_agent),
        "http_request_referrer": known(t.referrer),
        "http_response_code": code,
        "traffic_bytes_out": integer(t.request_body_len),
        "traffic_bytes_in": integer(t.response_body_len),
        "actor_user_name": known(t.username),
    }
    return conform(t.select(**columns), HTTP_ACTIVITY)


def tls(t: ibis.Table) -> ibis.Table:
    """``zeek_ssl``: a handshake; ``subject`` and ``issuer`` are there where Zeek was told to log them."""
    columns = {
        **_base(t, "ssl"),
        "activity_name": ibis.literal("Open"),
        "status": truth(t.established),
        "status_detail": known(t.last_alert),
        "tls_version": known(t.version),
        "tls_cipher": known(t.cipher),
        "tls_sni": known(t.server_name),
        "tls_ja3_hash": known(t.ja3),
        "tls_ja3s_hash": known(t.ja3s),
        "ja4_fingerprint_list": hashes(JA4=t.ja4),
        "tls_certificate_subject": known(t.subject),
        "tls_certificate_issuer": known(t.issuer),
        "tls_certificate_fingerprints": fingerprints(first(t.cert_chain_fps)),
    }
    return conform(t.select(**columns), TLS_ACTIVITY)


def certificates(t: ibis.Table) -> ibis.Table:
    """``zeek_x509``: a certificate as it was shown.  The log names no connection; the handshake has its fingerprint."""
    columns = {
        "evidence": t.evidence,
        "record": t.record,
        "time": t.time,
        "metadata_product_name": ibis.literal("zeek"),
        "metadata_log_name": ibis.literal("x509"),
        "device_hostname": ibis.coalesce(known(t["_system_name"]), known(t["_node_name"])),
        "activity_name": ibis.literal("Traffic"),
        "status": ibis.literal("Unknown"),
        "tls_certificate_subject": known(t["certificate.subject"]),
        "tls_certificate_issuer": known(t["certificate.issuer"]),
        "tls_certificate_serial_number": known(t["certificate.serial"]),
        "tls_certificate_fingerprints": fingerprints(t.fingerprint),
        "tls_certificate_created_time": seconds_in_milliseconds(t["certificate.not_valid_before"]),
        "tls_certificate_expiration_time": seconds_in_milliseconds(t["certificate.not_valid_after"]),
        "tls_certificate_sans": json_array(known(t["san.dns"])),
    }
    return conform(t.select(**columns), TLS_ACTIVITY)


def ssh_sessions(t: ibis.Table) -> ibis.Table:
    """``zeek_ssh`` as a session: what both sides call themselves."""
    columns = {
        **_base(t, "ssh"),
        "activity_name": ibis.literal("Open"),
        "status": ibis.literal("Unknown"),
        "protocol_ver": known(t.version),
        "client_hassh_fingerprint": known(t.hassh),
        "server_hassh_fingerprint": known(t.hasshServer),
        "unmapped_client": known(t.client),
        "unmapped_server": known(t.server),
    }
    return conform(t.select(**columns), SSH_ACTIVITY)


def _logons(t: ibis.Table, log: str, **columns: Any) -> ibis.Table:
    fixed = {"activity_name": ibis.literal("Logon"), "unmapped_attempts": ibis.literal(1, "int64")}
    return conform(t.select(**{**_base(t, log), **fixed, **columns}), AUTHENTICATION)


def ssh(t: ibis.Table) -> ibis.Table:
    """``zeek_ssh``: Zeek's own verdict, Unknown where it gave none (the session is encrypted)."""
    return _logons(
        t,
        "ssh",
        status=truth(t.auth_success),
        service_name=ibis.literal("ssh"),
        unmapped_attempts=ibis.coalesce(integer(t.auth_attempts), ibis.literal(1, "int64")),
    )


def rdp(t: ibis.Table) -> ibis.Table:
    """``zeek_rdp``: Zeek sees the negotiation, not whether the logon succeeded: always Unknown.

    `status_detail` is the result of the negotiation; the cookie holds what the client sent as user.
    """
    return _logons(
        t,
        "rdp",
        status=ibis.literal("Unknown"),
        status_detail=known(t.result),
        user_name=known(t.cookie),
        src_endpoint_hostname=known(t.client_name),
        service_name=ibis.literal("rdp"),
        logon_type=ibis.literal("RemoteInteractive"),
    )


def ntlm(t: ibis.Table) -> ibis.Table:
    """``zeek_ntlm``: success as far as the carrying protocol told it."""
    return _logons(
        t,
        "ntlm",
        status=truth(t.success),
        status_detail=known(t.status),
        user_name=known(t.username),
        user_domain=known(t.domainname),
        src_endpoint_hostname=known(t.hostname),
        dst_endpoint_hostname=ibis.coalesce(known(t.server_dns_computer_name), known(t.server_nb_computer_name)),
        auth_protocol=ibis.literal("NTLM"),
        service_name=t["id.resp_p"].cases(*NTLM_SERVICES.items(), else_="ntlm"),
        logon_type=ibis.literal("Network"),
    )


def kerberos(t: ibis.Table) -> ibis.Table:
    """``zeek_kerberos``: AS requests are authentications, TGS requests ask for a service with a ticket."""
    client = known(t.client)
    return _logons(
        t,
        "kerberos",
        activity_name=t.request_type.cases(("AS", "Authentication Ticket"), ("TGS", "Service Ticket Request"),
                                           else_="Other"),
        status=ibis.ifelse(t.error_msg.isin(KERBEROS_STEPS), ibis.literal("Unknown"), truth(t.success)),
        status_detail=known(t.error_msg),
        user_name=known(client.re_replace(r"/[^/]*\z", "")),
        user_domain=ibis.ifelse(client.contains("/"), known(client.re_replace(r"^[\s\S]*/", "")), ibis.null("string")),
        auth_protocol=ibis.literal("Kerberos"),
        service_name=ibis.literal("kerberos"),
    )  # fmt: skip


def ftp(t: ibis.Table) -> ibis.Table:
    """``zeek_ftp``: PASS with its answer, and USER where the server decided without a password (RFC 959)."""
    code, command = integer(t.reply_code), t.command.upper()
    decided = t.filter((command == "PASS") | ((command == "USER") & code.isin([230, 232, 530])))
    code = integer(decided.reply_code)
    return _logons(
        decided,
        "ftp",
        status=ibis.cases((code.isin([230, 232, 202]), "Success"), (code >= 400, "Failure"), else_="Unknown"),
        status_detail=known(decided.reply_msg),
        user_name=known(decided.user),
        auth_protocol=ibis.literal("password"),
        service_name=ibis.literal("ftp"),
    )


def rfb(t: ibis.Table) -> ibis.Table:
    """``zeek_rfb`` (VNC)."""
    return _logons(
        t,
        "rfb",
        status=truth(t.auth),
        auth_protocol=known(t.authentication_method),
        service_name=ibis.literal("vnc"),
        logon_type=ibis.literal("RemoteInteractive"),
    )


def radius(t: ibis.Table) -> ibis.Table:
    """``zeek_radius``."""
    return _logons(
        t,
        "radius",
        status=t.result.cases(("success", "Success"), ("failed", "Failure"), else_="Unknown"),
        status_detail=known(t.reply_msg),
        user_name=known(t.username),
        auth_protocol=ibis.literal("RADIUS"),
        service_name=ibis.literal("radius"),
    )


def files(t: ibis.Table) -> ibis.Table:
    """``zeek_files`` without the certificates of TLS handshakes.

    The source is who asked for or sent the file (the originator of the connection).  Older logs name
    sender and receivers only; `is_orig` says which of them the originator is.
    """
    t = t.filter(~known(t.mime_type).fill_null("").startswith("application/x-x509"))
    sent = t.is_orig == "true"
    sender, receiver = first(t.tx_hosts), first(t.rx_hosts)
    source = ibis.coalesce(known(t["id.orig_h"]), ibis.ifelse(sent, sender, receiver))
    target = ibis.coalesce(known(t["id.resp_h"]), ibis.ifelse(sent, receiver, sender))
    columns = {
        **_base(t, "files"),
        "activity_name": t.is_orig.cases(("true", "Create"), ("false", "Read"), else_="Unknown"),
        "status": ibis.literal("Unknown"),
        "status_detail": known(t.mime_type),
        "file_path": known(t.filename),
        "file_name": known(t.filename),
        "file_size": ibis.coalesce(integer(t.total_bytes), integer(t.seen_bytes)),
        "file_hashes": hashes(MD5=t.md5, SHA1=t.sha1, SHA256=t.sha256),
        "src_endpoint_ip": source.lower(),
        "dst_endpoint_ip": target.lower(),
    }
    return conform(t.select(**columns), FILE_ACTIVITY)


def smb_files(t: ibis.Table) -> ibis.Table:
    """``zeek_smb_files``; the share's path stands before the name."""
    folder, name = known(t.path), known(t.name)
    columns = {
        **_base(t, "smb_files"),
        "activity_name": t.action.cases(*SMB_ACTIONS.items(), else_="Other"),
        "status": ibis.literal("Unknown"),
        "status_detail": known(t.action),
        "file_path": ibis.coalesce(folder + ibis.literal("\\") + name, name, folder),
        "file_name": name.re_replace(r"^[\s\S]*\\", ""),
        "file_size": integer(t.size),
    }
    return conform(t.select(**columns), FILE_ACTIVITY)


VIEWS: tuple[View, ...] = (
    View("zeek_conn", NETWORK_ACTIVITY, connections),
    View("zeek_dns", DNS_ACTIVITY, dns),
    View("zeek_http", HTTP_ACTIVITY, http),
    View("zeek_ssl", TLS_ACTIVITY, tls),
    View("zeek_x509", TLS_ACTIVITY, certificates),
    View("zeek_ssh", SSH_ACTIVITY, ssh_sessions),
    View("zeek_ssh", AUTHENTICATION, ssh),
    View("zeek_rdp", AUTHENTICATION, rdp),
    View("zeek_ntlm", AUTHENTICATION, ntlm),
    View("zeek_kerberos", AUTHENTICATION, kerberos),
    View("zeek_ftp", AUTHENTICATION, ftp),
    View("zeek_rfb", AUTHENTICATION, rfb),
    View("zeek_radius", AUTHENTICATION, radius),
    View("zeek_files", FILE_ACTIVITY, files),
    View("zeek_smb_files", FILE_ACTIVITY, smb_files),
)
