"""Zeek, Suricata and web access records as OCSF events, on DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import ibis
import pyarrow as pa
import pytest

from casemate.evidence.readers.suricata import SURICATA_EVENT
from casemate.evidence.readers.web_request import WEB_ACCESS
from casemate.evidence.readers.zeek_fields import TABLES
from casemate.schema.native import NativeTable
from casemate.schema.ocsf import OCSF_VERSION, SSH_ACTIVITY, TLS_ACTIVITY, EventClass
from casemate.views import suricata, web_access, zeek
from casemate.views.base import View

NATIVE: dict[str, NativeTable] = {
    **{table.name: table for table in TABLES.values()},
    SURICATA_EVENT.name: SURICATA_EVENT,
    WEB_ACCESS.name: WEB_ACCESS,
}
ALL_VIEWS = (*zeek.VIEWS, *suricata.VIEWS, *web_access.VIEWS)
WHEN = datetime(2024, 4, 21, 22, 59, 51, tzinfo=UTC)
PAIR = {"uid": "C1", "id.orig_h": "203.0.113.9", "id.orig_p": "2163", "id.resp_h": "10.0.0.5", "id.resp_p": "22"}
FLOW = {"src_ip": "203.0.113.9", "src_port": "2163", "dest_ip": "10.0.0.5", "dest_port": "22", "flow_id": "1",
        "event_type": "flow", "proto": "TCP"}  # fmt: skip


def rows(view: View, records: Iterable[Mapping[str, str | None]]) -> list[dict]:
    """What `view` makes of `records`, by record number."""
    table = NATIVE[view.native]
    full = [
        {"evidence": "e", "record": number, "offset": 0, "length": 1, "time": WHEN, **record}
        for number, record in enumerate(records, start=1)
    ]
    known = set(table.schema.names)
    assert all(set(record) <= known for record in full)
    stored = pa.Table.from_pylist(full, table.schema)
    connection = ibis.duckdb.connect()
    result = view.build(connection.create_table(view.native, stored)).to_pyarrow()
    assert tuple(result.schema.names) == tuple(view.event_class.schema)
    return sorted(result.to_pylist(), key=lambda row: row["record"])


def view_of(function: object) -> View:
    return next(view for view in ALL_VIEWS if view.build is function)


@pytest.mark.parametrize("view", ALL_VIEWS, ids=lambda view: f"{view.native}-{view.event_class.name}")
def test_odd_values_never_break_a_view(view: View) -> None:
    columns = NATIVE[view.native].columns
    odd = ["", "-", "nan", "1e999", "9" * 30, "-5", "035.1.1.1", 'a\nb"\\', "\\x00", "true", "é\U0001f600"]
    records = [dict.fromkeys(columns, value) for value in [None, *odd]]
    for record in records:
        if "event_type" in record:
            record["event_type"] = view.build.__name__.rstrip("s") if view.build is not suricata.smb_logons else "smb"
    rows(view, records)


def test_zeek_connections() -> None:
    base = {**PAIR, "proto": "tcp", "duration": "3.463938", "orig_bytes": "1250", "resp_bytes": "1694",
            "service": "gssapi,smb", "_system_name": "sensor"}  # fmt: skip
    states = ["SF", "S0", "REJ", "RSTO", "RSTRH", "OTH", None]
    result = rows(view_of(zeek.connections), [{**base, "conn_state": state} for state in states])
    assert [row["status"] for row in result] == [
        "Success", "Failure", "Failure", "Success", "Unknown", "Unknown", "Unknown",
    ]  # fmt: skip
    first = result[0]
    assert (first["src_endpoint_ip"], first["dst_endpoint_port"], first["connection_info_uid"]) == (
        "203.0.113.9",
        22,
        "C1",
    )
    assert (first["duration"], first["traffic_bytes_out"], first["traffic_bytes_in"]) == (3463, 1250, 1694)
    assert (first["app_name"], first["device_hostname"], first["time"]) == ("gssapi", "sensor", WHEN)
    (icmp,) = rows(view_of(zeek.connections), [{**base, "proto": "icmp", "id.orig_p": "8", "id.resp_p": "0"}])
    assert (icmp["src_endpoint_port"], icmp["dst_endpoint_port"]) == (None, None)


def test_zeek_dns_answers_are_a_json_array() -> None:
    result = rows(
        view_of(zeek.dns),
        [
            {
                **PAIR,
                "query": "a.example",
                "qtype_name": "A",
                "rcode_name": "NOERROR",
                "answers": "b.example\n10.0.0.1",
            },
            {**PAIR, "query": "c.example", "rcode_name": "NXDOMAIN", "answers": 'TXT 3 a"b\\'},
            {**PAIR, "query": None, "answers": ""},
        ],
    )
    assert [row["answers"] for row in result] == ['["b.example","10.0.0.1"]', '["TXT 3 a\\"b\\\\"]', None]
    assert [row["status"] for row in result] == ["Success", "Failure", "Unknown"]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b?x=/y#z", "/a/b"),
        ("http://h.example:80/p?q", "/p"),
        ("/", "/"),
        ("*", "*"),
        ("h.example:443", "h.example:443"),
    ],
)
def test_zeek_http_paths(uri: str, path: str) -> None:
    (row,) = rows(view_of(zeek.http), [{**PAIR, "method": "PROPFIND", "uri": uri, "status_code": "404"}])
    assert (row["http_request_url_path"], row["http_request_url_text"]) == (path, uri)
    assert (row["activity_name"], row["status"], row["http_response_code"]) == ("Other", "Failure", 404)


def test_zeek_ssh_tells_sessions_that_got_past_authentication_from_those_that_did_not() -> None:
    verdicts = [("true", "2"), ("false", "5"), (None, "0"), (None, None)]
    result = rows(view_of(zeek.ssh), [{**PAIR, "auth_success": said, "auth_attempts": n} for said, n in verdicts])
    assert [row["status"] for row in result] == ["Success", "Failure", "Unknown", "Unknown"]
    assert [row["unmapped_attempts"] for row in result] == [2, 5, 0, 1]
    assert {row["service_name"] for row in result} == {"ssh"}


def test_zeek_logons_of_other_protocols() -> None:
    (rdp,) = rows(view_of(zeek.rdp), [{**PAIR, "cookie": "alice", "result": "Success"}])
    assert (rdp["status"], rdp["status_detail"], rdp["user_name"]) == ("Unknown", "Success", "alice")
    ntlm = rows(
        view_of(zeek.ntlm), [{**PAIR, "id.resp_p": "445", "username": "bob", "domainname": "LAB", "success": "false"}]
    )
    assert (ntlm[0]["service_name"], ntlm[0]["status"], ntlm[0]["user_domain"]) == ("smb", "Failure", "LAB")
    kerberos = rows(
        view_of(zeek.kerberos),
        [
            {**PAIR, "request_type": "AS", "client": "carol/LAB.EXAMPLE", "success": "true"},
            {
                **PAIR,
                "request_type": "AS",
                "client": "carol",
                "success": "false",
                "error_msg": "KDC_ERR_PREAUTH_REQUIRED",
            },
            {
                **PAIR,
                "request_type": "TGS",
                "client": "host/a/LAB",
                "success": "false",
                "error_msg": "KDC_ERR_PREAUTH_FAILED",
            },
        ],
    )
    assert [row["status"] for row in kerberos] == ["Success", "Unknown", "Failure"]
    assert [(row["user_name"], row["user_domain"]) for row in kerberos] == [
        ("carol", "LAB.EXAMPLE"), ("carol", None), ("host/a", "LAB"),
    ]  # fmt: skip


def test_zeek_ftp_counts_decided_logons_only_and_never_shows_a_password() -> None:
    answers = [("USER", "331"), ("PASS", "230"), ("PASS", "530"), ("USER", "530"), ("RETR", "226")]
    records = [
        {**PAIR, "command": name, "reply_code": code, "user": "dave", "password": "hunter2"} for name, code in answers
    ]
    result = rows(view_of(zeek.ftp), records)
    assert [(row["record"], row["status"]) for row in result] == [(2, "Success"), (3, "Failure"), (4, "Failure")]
    assert "hunter2" not in str(result)


def test_zeek_files() -> None:
    records = [
        {"tx_hosts": "10.0.0.5", "rx_hosts": "203.0.113.9", "is_orig": "false", "mime_type": "text/html", "md5": "aa",
         "sha256": "bb", "seen_bytes": "7"},
        {"tx_hosts": "203.0.113.9", "rx_hosts": "10.0.0.5", "is_orig": "true", "total_bytes": "9", "filename": "x.bin"},
        {"id.orig_h": "203.0.113.9", "id.resp_h": "10.0.0.5", "mime_type": "application/x-x509-user-cert"},
    ]  # fmt: skip
    download, upload = rows(view_of(zeek.files), records)
    assert (download["activity_name"], download["file_hashes"], download["file_size"]) == (
        "Read",
        "MD5=aa,SHA256=bb",
        7,
    )
    assert (upload["activity_name"], upload["file_name"], upload["file_size"]) == ("Create", "x.bin", 9)
    assert {row["src_endpoint_ip"] for row in (download, upload)} == {"203.0.113.9"}
    (smb,) = rows(
        view_of(zeek.smb_files), [{**PAIR, "action": "SMB::FILE_DELETE", "path": "\\\\h\\C$", "name": "a\\b.exe"}]
    )
    assert (smb["file_path"], smb["file_name"], smb["activity_name"]) == ("\\\\h\\C$\\a\\b.exe", "b.exe", "Delete")


def test_suricata_flows() -> None:
    answered = {"flow.pkts_toserver": "3", "flow.pkts_toclient": "2", "flow.age": "4", "flow.bytes_toserver": "99"}
    records = [
        {**FLOW, **answered, "flow.state": "closed", "app_proto": "ssh"},
        {**FLOW, **answered, "flow.state": "new", "flow.pkts_toclient": "0", "app_proto": "failed"},
        {**FLOW, **answered, "flow.state": "closed", "tcp.tcp_flags_tc": "14"},
        {**FLOW, "event_type": "alert"},
        {**FLOW, "proto": "IPv6-ICMP"},
    ]
    result = rows(view_of(suricata.flows), records)
    assert [(row["record"], row["status"], row["unmapped_conn_state"]) for row in result] == [
        (1, "Success", None), (2, "Failure", "S0"), (3, "Failure", "REJ"), (5, "Unknown", None),
    ]  # fmt: skip
    assert (result[0]["duration"], result[0]["traffic_bytes_out"], result[0]["app_name"]) == (4000, 99, "ssh")
    assert (result[1]["app_name"], result[3]["connection_info_protocol_name"]) == (None, "icmp")


def test_suricata_dns_http_and_smb() -> None:
    dns = rows(
        view_of(suricata.dns),
        [
            {**FLOW, "event_type": "dns", "dns.type": "answer", "dns.rrname": "a.example", "dns.rcode": "NOERROR",
             "dns.grouped.A": "10.0.0.1\n10.0.0.2"},
            {**FLOW, "event_type": "dns", "dns.type": "request",
             "dns.queries": '[{"rrname":"b.example","rrtype":"TXT"}]'},
        ],
    )  # fmt: skip
    assert [(row["activity_name"], row["query_hostname"], row["query_type"], row["answers"]) for row in dns] == [
        ("Response", "a.example", None, '["10.0.0.1","10.0.0.2"]'), ("Query", "b.example", "TXT", None),
    ]  # fmt: skip
    (http,) = rows(
        view_of(suricata.http),
        [{**FLOW, "event_type": "http", "http.http_method": "POST", "http.url": "/x?y", "http.status": "200"}],
    )
    assert (http["http_request_url_path"], http["activity_name"], http["status"]) == ("/x", "Post", "Success")
    smb = rows(
        view_of(suricata.smb_logons),
        [
            {**FLOW, "event_type": "smb", "smb.ntlmssp.user": "bob", "smb.status": "STATUS_LOGON_FAILURE"},
            {**FLOW, "event_type": "smb", "smb.status": "STATUS_SUCCESS"},
        ],
    )
    assert [(row["user_name"], row["status"]) for row in smb] == [("bob", "Failure")]


def test_zeek_tls_names_fingerprints_and_certificates() -> None:
    (row,) = rows(
        view_of(zeek.tls),
        [{**PAIR, "version": "TLSv12", "cipher": "TLS_AES_128_GCM_SHA256", "server_name": "c2.example.org",
          "established": "true", "ja3": "a" * 32, "ja3s": "b" * 32, "ja4": "t13d1516h2_8daaf6152771_b186095e22b6",
          "subject": "CN=c2.example.org", "issuer": "CN=ca", "cert_chain_fps": "A" * 64 + "\n" + "b" * 64}],
    )  # fmt: skip
    assert (row["connection_info_uid"], row["status"], row["tls_sni"]) == ("C1", "Success", "c2.example.org")
    assert row["ja4_fingerprint_list"] == "JA4=t13d1516h2_8daaf6152771_b186095e22b6"
    assert (row["tls_ja3_hash"], row["tls_ja3s_hash"]) == ("a" * 32, "b" * 32)
    assert row["tls_certificate_fingerprints"] == "SHA-256=" + "a" * 64
    assert (row["tls_certificate_subject"], row["tls_certificate_issuer"]) == ("CN=c2.example.org", "CN=ca")
    (shown,) = rows(
        view_of(zeek.certificates),
        [{"fingerprint": "c" * 64, "certificate.subject": "CN=x", "certificate.serial": "0A", "san.dns": "x\ny",
          "certificate.not_valid_before": "1642229370.000000", "certificate.not_valid_after": "-86400.000000"}],
    )  # fmt: skip
    assert shown["tls_certificate_created_time"] == 1_642_229_370_000
    assert shown["tls_certificate_expiration_time"] == -86_400_000
    assert (shown["tls_certificate_fingerprints"], shown["tls_certificate_sans"]) == (
        "SHA-256=" + "c" * 64,
        '["x","y"]',
    )
    assert (shown["src_endpoint_ip"], shown["status"]) == (None, "Unknown")


def test_suricata_tls_and_ssh() -> None:
    tls = {**FLOW, "event_type": "tls", "tls.subject": "CN=x", "tls.issuerdn": "CN=ca", "tls.sni": "x.example.org",
           "tls.fingerprint": ":".join(["aB"] * 20), "tls.notbefore": "2024-02-29T23:59:59", "tls.serial": "00:AA",
           "tls.notafter": "1969-12-31T00:00:00", "tls.ja3.hash": "a" * 32, "tls.ja4": "t13"}  # fmt: skip
    quic = {**FLOW, "event_type": "quic", "quic.sni": "y.example.org", "quic.ja4": "q13"}
    first, second = rows(view_of(suricata.tls), [tls, quic, {**FLOW, "event_type": "dns"}])
    assert first["tls_certificate_fingerprints"] == "SHA-1=" + "ab" * 20
    when = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    assert first["tls_certificate_created_time"] == int(when.timestamp()) * 1000
    assert first["tls_certificate_expiration_time"] == -86_400_000
    assert (second["tls_sni"], second["ja4_fingerprint_list"]) == ("y.example.org", "JA4=q13")
    assert second["metadata_log_name"] == "quic"
    ssh = {**FLOW, "event_type": "ssh", "ssh.client.proto_version": "2.0",
           "ssh.client.software_version": "libssh-0.9.6", "ssh.client.hassh.hash": "d" * 32}  # fmt: skip
    (session,) = rows(view_of(suricata.ssh), [ssh])
    assert (session["unmapped_client"], session["unmapped_server"]) == ("SSH-2.0-libssh-0.9.6", None)
    assert (session["client_hassh_fingerprint"], session["protocol_ver"]) == ("d" * 32, "2.0")


@pytest.mark.parametrize("day", ["1970-01-01", "2000-02-29", "1999-12-31", "2100-03-01", "1900-02-28", "2038-01-19"])
def test_dates_of_certificates_are_counted_as_the_calendar_counts_them(day: str) -> None:
    (row,) = rows(view_of(suricata.tls), [{**FLOW, "event_type": "tls", "tls.notbefore": f"{day}T12:34:56"}])
    when = datetime.fromisoformat(f"{day}T12:34:56+00:00")
    assert row["tls_certificate_created_time"] == int(when.timestamp()) * 1000


def test_zeek_ssh_sessions_keep_what_both_sides_call_themselves() -> None:
    (row,) = rows(
        view_of(zeek.ssh_sessions),
        [{**PAIR, "client": "SSH-2.0-Go", "server": "SSH-2.0-x", "version": "2", "hassh": "e"}],
    )
    assert (row["unmapped_client"], row["unmapped_server"], row["client_hassh_fingerprint"]) == (
        "SSH-2.0-Go",
        "SSH-2.0-x",
        "e",
    )


@pytest.mark.parametrize("kind", [TLS_ACTIVITY, SSH_ACTIVITY], ids=lambda kind: kind.name)
def test_names_are_those_of_the_published_schema(kind: EventClass) -> None:
    published = pytest.importorskip("ocsf_json_schema", reason="the published OCSF schema is not installed")
    schema = published.get_ocsf_schema(OCSF_VERSION)
    (found,) = [one for one in schema["classes"].values() if one.get("uid") == kind.class_uid]
    for column in kind.columns:
        if not column.startswith("unmapped_"):
            assert _named(column, found["attributes"], schema["objects"]), column


def _named(rest: str, attributes: dict, objects: dict) -> bool:
    """Whether a name is a path of attributes written with underscores."""
    for name, attribute in attributes.items():
        if rest == name:
            return True
        if rest.startswith(name + "_"):
            inside = objects.get(attribute.get("object_type", ""), {}).get("attributes", {})
            if _named(rest[len(name) + 1 :], inside, objects):
                return True
    return False


def test_web_access() -> None:
    lines = [
        {"client_ip": "203.0.113.9", "method": "GET", "target": "/a?b", "path": "/a", "status": "401", "bytes": "5",
         "user": "alice", "host": "h.example"},
        {"client_ip": "client.example", "request": "\\x16\\x03", "status": "400"},
    ]  # fmt: skip
    first, second = rows(view_of(web_access.requests), lines)
    assert (first["src_endpoint_ip"], first["actor_user_name"], first["status"]) == ("203.0.113.9", "alice", "Failure")
    assert (second["src_endpoint_ip"], second["src_endpoint_hostname"]) == (None, "client.example")
    assert (second["http_request_url_text"], second["http_request_http_method"]) == ("\\x16\\x03", None)
    assert second["activity_name"] == "Unknown"
