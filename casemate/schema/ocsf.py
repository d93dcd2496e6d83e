"""OCSF event classes as flat tables.

Views (:mod:`casemate.views`) turn native tables into these; behaviour analytics read nothing else.
Attribute paths of OCSF are written with ``_`` for ``.`` (``src_endpoint.ip`` is
``src_endpoint_ip``).  Pinned to OCSF 1.8 (https://schema.ocsf.io/1.8.0).  Attributes that OCSF
keeps under ``unmapped`` have the prefix ``unmapped_``.

Every table begins with :data:`BASE`.  ``time`` is UTC.  Text is null when unknown, never "-" or "".
``status`` is ``Success``, ``Failure`` or ``Unknown``.  User, host and domain names keep their case;
addresses are text in canonical form (lower-case, IPv6 compressed as recorded).
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.schema as ibis_schema

OCSF_VERSION = "1.8.0"

BASE: dict[str, str] = {
    "evidence": "string",
    "record": "int64",
    "time": "timestamp('UTC', 6)",
    "activity_name": "string",
    "status": "string",
    "status_detail": "string",
    "metadata_product_name": "string",  # "zeek", "windows", "sysmon", "openssh", "suricata", "aws", ...
    "metadata_log_name": "string",  # channel, log file type or service: "Security", "conn", "auth"
    "device_hostname": "string",  # the host that wrote the record, where it says so
}

ENDPOINTS: dict[str, str] = {
    "src_endpoint_ip": "string",
    "src_endpoint_port": "int64",
    "src_endpoint_hostname": "string",
    "dst_endpoint_ip": "string",
    "dst_endpoint_port": "int64",
    "dst_endpoint_hostname": "string",
}


@dataclass(frozen=True)
class EventClass:
    """One OCSF event class: table name, ``class_uid`` and the columns after :data:`BASE`."""

    name: str
    class_uid: int
    columns: dict[str, str]

    @property
    def schema(self) -> ibis_schema.Schema:
        """All columns in order, as an Ibis schema."""
        return ibis.schema({**BASE, **self.columns})


NETWORK_ACTIVITY = EventClass(
    "network_activity",
    4001,
    {
        **ENDPOINTS,
        "connection_info_protocol_name": "string",  # "tcp", "udp", "icmp"
        "connection_info_uid": "string",
        "app_name": "string",  # service on the wire as detected: "ssh", "http", "ssl", "dns", ...
        "duration": "int64",  # milliseconds
        "traffic_bytes_out": "int64",  # from source to destination, payload
        "traffic_bytes_in": "int64",
        "traffic_packets_out": "int64",
        "traffic_packets_in": "int64",
        "disposition": "string",  # "Allowed", "Blocked" where a device decided
        "unmapped_conn_state": "string",  # Zeek's: S0 S1 SF REJ S2 S3 RSTO RSTR RSTOS0 RSTRH SH SHR OTH
        "unmapped_history": "string",
        "unmapped_icmp_type": "int64",  # of the first message: 8 and 128 ask for an echo
        "actor_process_name": "string",
        "actor_user_name": "string",
    },
)
DNS_ACTIVITY = EventClass(
    "dns_activity",
    4003,
    {
        **ENDPOINTS,
        "connection_info_uid": "string",
        "query_hostname": "string",
        "query_type": "string",  # "A", "TXT", ...
        "rcode": "string",  # "NOERROR", "NXDOMAIN", ...
        "answers": "string",  # JSON array of text
        "actor_process_name": "string",
    },
)
HTTP_ACTIVITY = EventClass(
    "http_activity",
    4002,
    {
        **ENDPOINTS,
        "connection_info_uid": "string",
        "http_request_http_method": "string",
        "http_request_url_hostname": "string",
        "http_request_url_path": "string",  # without query
        "http_request_url_text": "string",  # as recorded, with query
        "http_request_user_agent": "string",
        "http_request_referrer": "string",
        "http_response_code": "int64",
        "traffic_bytes_out": "int64",  # request body
        "traffic_bytes_in": "int64",  # response body
        "actor_user_name": "string",
    },
)
TLS_ACTIVITY = EventClass(
    "tls_activity",
    4001,  # OCSF's attribute tls of network_activity, in a table of its own: connections count once
    {
        **ENDPOINTS,
        "connection_info_uid": "string",
        "tls_version": "string",  # as recorded: "TLSv12", "TLS 1.2"
        "tls_cipher": "string",
        "tls_sni": "string",  # the name the client asked for
        "tls_ja3_hash": "string",
        "tls_ja3s_hash": "string",
        "ja4_fingerprint_list": "string",  # "JA4=value"
        "tls_certificate_subject": "string",  # of the server; of a record of x509 of that certificate
        "tls_certificate_issuer": "string",
        "tls_certificate_serial_number": "string",
        "tls_certificate_fingerprints": "string",  # "SHA-256=value,SHA-1=value", lower-case hexadecimal
        "tls_certificate_created_time": "int64",  # valid from, milliseconds since 1970 in UTC
        "tls_certificate_expiration_time": "int64",
        "tls_certificate_sans": "string",  # JSON array of names
    },
)
SSH_ACTIVITY = EventClass(
    "ssh_activity",
    4007,
    {
        **ENDPOINTS,
        "connection_info_uid": "string",
        "protocol_ver": "string",
        "client_hassh_fingerprint": "string",
        "server_hassh_fingerprint": "string",
        "unmapped_client": "string",  # what each side calls itself: "SSH-2.0-OpenSSH_9.6"
        "unmapped_server": "string",
    },
)
AUTHENTICATION = EventClass(
    "authentication",
    3002,
    {
        **ENDPOINTS,
        "connection_info_uid": "string",
        "user_name": "string",
        "user_domain": "string",
        "auth_protocol": "string",  # "NTLM", "Kerberos", "password", "publickey", ...
        "logon_type": "string",  # "Interactive", "Network", "RemoteInteractive", ...
        "service_name": "string",  # "ssh", "rdp", "windows_logon", "kerberos", "web", "smb", "aws_console", ...
        "session_uid": "string",
        "unmapped_attempts": "int64",  # tries inside this one record (1 unless the record says more)
    },
)
PROCESS_ACTIVITY = EventClass(
    "process_activity",
    1007,
    {
        "process_pid": "int64",
        "process_uid": "string",  # GUID where recorded
        "process_name": "string",  # base name
        "process_file_path": "string",
        "process_cmd_line": "string",
        "process_parent_process_pid": "int64",
        "process_parent_process_file_path": "string",
        "process_parent_process_cmd_line": "string",
        "actor_user_name": "string",
        "actor_user_domain": "string",
    },
)
FILE_ACTIVITY = EventClass(
    "file_activity",
    1001,
    {
        "file_path": "string",
        "file_name": "string",
        "file_size": "int64",
        "file_hashes": "string",  # "ALGORITHM=value,..." as recorded
        "actor_process_file_path": "string",
        "actor_user_name": "string",
        "src_endpoint_ip": "string",  # who reached the file over the network
        "dst_endpoint_ip": "string",
    },
)
API_ACTIVITY = EventClass(
    "api_activity",
    6003,
    {
        "src_endpoint_ip": "string",
        "api_operation": "string",
        "api_service_name": "string",
        "api_request_uid": "string",
        "api_response_code": "string",
        "http_request_user_agent": "string",
        "actor_user_name": "string",
        "actor_user_type": "string",
        "actor_user_account_uid": "string",
        "actor_user_credential_uid": "string",  # access key id, never a secret
        "cloud_provider": "string",
        "cloud_region": "string",
        "resource_name": "string",
        "resource_type": "string",
        "resource_namespace": "string",
    },
)
EMAIL_ACTIVITY = EventClass(
    "email_activity", 4009, {"email_from": "string", "email_to": "string", "email_subject": "string"}
)

EVENT_CLASSES: tuple[EventClass, ...] = (
    NETWORK_ACTIVITY,
    DNS_ACTIVITY,
    HTTP_ACTIVITY,
    TLS_ACTIVITY,
    SSH_ACTIVITY,
    AUTHENTICATION,
    PROCESS_ACTIVITY,
    FILE_ACTIVITY,
    API_ACTIVITY,
    EMAIL_ACTIVITY,
)
