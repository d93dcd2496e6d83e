"""Records of Linux hosts, clouds and clusters as OCSF events: one try is one row, status and source are right."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from casemate.evidence.readers.auditd import AUDITD_READER
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Rows
from casemate.evidence.readers.cloudtrail import CLOUDTRAIL_DOCUMENTS
from casemate.evidence.readers.journald import JOURNALD_LINES
from casemate.evidence.readers.kubernetes_audit import KUBERNETES_DOCUMENTS
from casemate.evidence.readers.s3_access import S3_ACCESS_READER
from casemate.evidence.readers.syslog import SYSLOG_READER
from casemate.evidence.readers.sysmon_linux import SYSMON_LINUX_READER
from casemate.schema.native import NativeTable
from casemate.views import cloudtrail, kubernetes, linux
from casemate.views.base import View, conform

VIEWS: tuple[View, ...] = (*linux.VIEWS, *cloudtrail.VIEWS, *kubernetes.VIEWS)


class Bytes:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def open(self) -> Any:
        return io.BytesIO(self.content)


def events(spec: ReaderSpec, content: bytes, event_class: str, *more: bytes) -> list[dict[str, Any]]:
    """What the views of `event_class` make of `content` and `more` files, in the order of the records."""
    native: NativeTable = spec.tables[0]
    context = ReadContext("x", datetime(2024, 6, 30, tzinfo=UTC))
    batches = [
        (str(number), item.batch)
        for number, one in enumerate((content, *more))
        for item in spec.read(Bytes(one), context)
        if isinstance(item, Rows)
    ]
    tables = []
    for evidence, batch in batches:
        given = {name: batch.column(name) for name in batch.schema.names}
        given["evidence"] = pa.array([evidence] * batch.num_rows)
        columns = [
            given[field.name].cast(field.type) if field.name in given else pa.nulls(batch.num_rows, field.type)
            for field in native.schema
        ]
        tables.append(pa.Table.from_arrays(columns, schema=native.schema))
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET timezone = 'UTC'")
    table = connection.create_table(native.name, pa.concat_tables(tables))
    found: list[dict[str, Any]] = []
    for view in VIEWS:
        if view.native == native.name and view.event_class.name == event_class:
            expression = conform(view.build(table), view.event_class)
            assert expression.schema() == view.event_class.schema
            found += connection.to_pyarrow(expression).to_pylist()
    return sorted(found, key=lambda row: row["record"])


def syslog(*messages: str) -> bytes:
    return "".join(f"May  1 10:00:{number:02} web {text}\n" for number, text in enumerate(messages)).encode()


def test_every_try_at_ssh_counts_once() -> None:
    content = syslog(
        "sshd[1]: Invalid user eve from 192.0.2.1 port 5",
        "sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1",
        "sshd[1]: Failed none for invalid user eve from 192.0.2.1 port 5 ssh2",
        "sshd[1]: Failed password for invalid user eve from 192.0.2.1 port 5 ssh2",
        "sshd[1]: message repeated 4 times: [ Failed password for invalid user eve from 192.0.2.1 port 5 ssh2]",
        "sshd[2]: Invalid user bob from 192.0.2.1 port 6",
        "sshd[3]: Accepted publickey for al from 192.0.2.2 port 7 ssh2: RSA SHA256:x",
        "sshd[3]: pam_unix(sshd:session): session opened for user al by (uid=0)",
    )
    rows = events(SYSLOG_READER, content, "authentication")
    assert [(row["record"], row["status"], row["user_name"], row["unmapped_attempts"]) for row in rows] == [
        (4, "Failure", "eve", 1),
        (5, "Failure", "eve", 4),
        (6, "Failure", "bob", 1),
        (7, "Success", "al", 1),
    ]
    assert {row["service_name"] for row in rows} == {"ssh"}
    assert (rows[0]["src_endpoint_ip"], rows[0]["src_endpoint_port"]) == ("192.0.2.1", 5)
    assert (rows[0]["status_detail"], rows[3]["auth_protocol"]) == ("invalid user", "publickey")
    assert rows[0]["device_hostname"] == "web"


def test_another_session_that_has_the_same_process_number_hides_no_try() -> None:
    def lines(month: str, text: str) -> bytes:
        return "".join(f"{month}  1 00:{pid:02}:00 srv sshd[{pid}]: {text.format(pid)}\n" for pid in range(12)).encode()

    invalid = lines("Jan", "Invalid user a{} from 198.51.100.7 port 4000")
    later = lines("Mar", "Failed password for invalid user a{} from 198.51.100.7 port 4000 ssh2")
    other_user = lines("Jan", "Failed password for root from 198.51.100.7 port 4000 ssh2")
    other_source = lines("Jan", "Failed password for invalid user a{} from 203.0.113.9 port 4000 ssh2")
    for more in (later, other_user, other_source):
        assert len(events(SYSLOG_READER, invalid + more, "authentication")) == 24
    same = lines("Jan", "Failed password for invalid user a{} from 198.51.100.7 port 4000 ssh2")
    assert len(events(SYSLOG_READER, invalid + same, "authentication")) == 12
    assert len(events(SYSLOG_READER, invalid, "authentication", same)) == 12


def test_the_old_form_of_sshd_counts_pams_words() -> None:
    content = syslog(
        "sshd(pam_unix)[1]: check pass; user unknown",
        "sshd(pam_unix)[1]: authentication failure; logname= tty=NODEVssh ruser= rhost=192.0.2.1  user=root",
    )
    (row,) = events(SYSLOG_READER, content, "authentication")
    assert (row["status"], row["user_name"], row["src_endpoint_ip"]) == ("Failure", "root", "192.0.2.1")


def test_su_and_sudo_are_logons_of_their_service() -> None:
    content = syslog(
        "su[1]: FAILED SU (to root) al on pts/1",
        "sudo:  al : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
    )
    rows = events(SYSLOG_READER, content, "authentication")
    assert [(row["service_name"], row["status"], row["user_name"]) for row in rows] == [
        ("su", "Failure", "root"),
        ("sudo", "Failure", "root"),
    ]


def test_the_journal_says_the_same_as_syslog() -> None:
    entry = {
        "__REALTIME_TIMESTAMP": "1704067200000000",
        "SYSLOG_IDENTIFIER": "sshd-session",
        "_PID": "1",
        "_HOSTNAME": "web",
        "MESSAGE": "Failed password for root from 2001:db8::1 port 22 ssh2",
    }
    (row,) = events(JOURNALD_LINES, json.dumps(entry).encode(), "authentication")
    assert (row["status"], row["user_name"], row["src_endpoint_ip"]) == ("Failure", "root", "2001:db8::1")


def audit(kind: str, pid: int, op: str, result: str) -> str:
    return (
        f'type={kind} msg=audit(1700000000.{pid:03}:{pid}): pid={pid} uid=0 auid=0 ses=1 msg=\'op={op} acct="al" '
        f'exe="/usr/sbin/sshd" hostname=192.0.2.1 addr=192.0.2.1 terminal=ssh res={result}\'\n'
    )


def test_audit_logins_count_once() -> None:
    content = (
        audit("USER_AUTH", 1, "PAM:authentication", "failed")
        + audit("USER_LOGIN", 1, "login", "failed")
        + audit("USER_AUTH", 2, "PAM:authentication", "success")
        + audit("USER_LOGIN", 2, "login", "success")
        + audit("USER_LOGIN", 3, "login", "failed")
    )
    rows = events(AUDITD_READER, content.encode(), "authentication")
    assert [(row["record"], row["status"]) for row in rows] == [(1, "Failure"), (4, "Success"), (5, "Failure")]
    assert {(row["service_name"], row["src_endpoint_ip"], row["user_name"]) for row in rows} == {
        ("ssh", "192.0.2.1", "al")
    }


def test_another_audited_session_of_the_same_process_number_hides_no_try() -> None:
    login = audit("USER_LOGIN", 1, "login", "failed")
    auth = audit("USER_AUTH", 1, "PAM:authentication", "failed")
    for other in (auth.replace("1700000000", "1709000000"), auth.replace("192.0.2.1", "203.0.113.9")):
        assert len(events(AUDITD_READER, (login + other).encode(), "authentication")) == 2
    unnamed = login.replace('acct="al"', "acct=28756E6B6E6F776E207573657229")
    for refused in (login, unnamed):
        assert len(events(AUDITD_READER, (auth + refused).encode(), "authentication")) == 1
        assert len(events(AUDITD_READER, auth.encode(), "authentication", refused.encode())) == 1


def test_a_program_that_was_run() -> None:
    content = (
        b'type=SYSCALL msg=audit(1700000000.1:7): arch=c000003e success=yes ppid=3 pid=4 uid=33 exe="/bin/dash"\n'
        b'type=EXECVE msg=audit(1700000000.1:7): argc=2 a0="sh" a1=2D6320696420\n'
    )
    (row,) = events(AUDITD_READER, content, "process_activity")
    assert (row["process_name"], row["process_file_path"], row["process_cmd_line"]) == (
        "dash",
        "/bin/dash",
        "sh -c id ",
    )
    assert (row["process_pid"], row["process_parent_process_pid"], row["actor_user_name"]) == (4, 3, "33")


@pytest.mark.parametrize(
    ("number", "event_class", "expected"),
    [
        ("1", "process_activity", {"process_name": "curl", "process_pid": 12, "actor_user_name": "root"}),
        ("3", "network_activity", {"dst_endpoint_ip": "192.0.2.1", "dst_endpoint_port": 443}),
        ("11", "file_activity", {"file_name": "x.sh", "activity_name": "Create"}),
    ],
)
def test_sysmon_events(number: str, event_class: str, expected: dict[str, Any]) -> None:
    data = {"Image": "/usr/bin/curl", "ProcessId": "12", "User": "root", "DestinationIp": "192.0.2.1"}
    data |= {"DestinationPort": "443", "TargetFilename": "/tmp/x.sh", "Protocol": "tcp"}
    fields = "".join(f'<Data Name="{name}">{text}</Data>' for name, text in data.items())
    content = (
        f'<Event><System><Provider Name="Linux-Sysmon"/><EventID>{number}</EventID><Computer>h</Computer>'
        f'<TimeCreated SystemTime="2024-01-01T00:00:00Z"/></System><EventData>{fields}</EventData></Event>\n'
    )
    (row,) = events(SYSMON_LINUX_READER, content.encode(), event_class)
    assert {name: row[name] for name in expected} == expected
    assert row["device_hostname"] == "h"


def cloud(**fields: Any) -> bytes:
    event = {
        "eventVersion": "1.08",
        "eventTime": "2024-03-04T05:06:07Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "sourceIPAddress": "192.0.2.9",
        "userIdentity": {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"userName": "role"}}},
    }
    return json.dumps([event | fields]).encode()


def test_calls_of_the_cloud() -> None:
    content = cloud(errorCode="AccessDenied", requestParameters={"bucketName": "weights", "key": "a"})
    (row,) = events(CLOUDTRAIL_DOCUMENTS, content, "api_activity")
    assert (row["status"], row["api_response_code"], row["actor_user_name"]) == ("Failure", "AccessDenied", "role")
    assert (row["resource_name"], row["resource_type"], row["src_endpoint_ip"]) == ("weights", "bucket", "192.0.2.9")
    (row,) = events(CLOUDTRAIL_DOCUMENTS, cloud(sourceIPAddress="ec2.amazonaws.com"), "api_activity")
    assert (row["status"], row["src_endpoint_ip"]) == ("Success", None)


@pytest.mark.parametrize(
    ("fields", "service", "status"),
    [
        (
            {"eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin"}
            | {"responseElements": {"ConsoleLogin": "Failure"}},
            "aws_console",
            "Failure",
        ),
        ({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole"}, "aws_sts", "Success"),
    ],
)
def test_logons_to_the_cloud(fields: dict[str, Any], service: str, status: str) -> None:
    (row,) = events(CLOUDTRAIL_DOCUMENTS, cloud(**fields), "authentication")
    assert (row["service_name"], row["status"], row["src_endpoint_ip"]) == (service, status, "192.0.2.9")


def test_requests_to_a_bucket() -> None:
    content = (
        b"0a weights [06/Feb/2024:02:00:38 +0200] 192.0.2.3 - 3E57 REST.GET.OBJECT a/b "
        b'"GET /a/b HTTP/1.1" 403 AccessDenied 113 - 7 - "-" "cli" -\n'
    )
    (row,) = events(S3_ACCESS_READER, content, "api_activity")
    assert (row["status"], row["resource_name"], row["resource_type"]) == ("Failure", "weights/a/b", "object")
    assert (row["actor_user_name"], row["actor_user_type"], row["activity_name"]) == (None, "Anonymous", "Read")


def test_a_request_to_the_cluster_counts_once() -> None:
    event = {
        "auditID": "1",
        "verb": "create",
        "user": {"username": "system:serviceaccount:a:b"},
        "sourceIPs": ["192.0.2.4"],
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "prod", "name": "p"},
        "requestReceivedTimestamp": "2024-03-04T05:06:07.1Z",
    }
    stages = [
        event | {"stage": "RequestReceived"},
        event | {"stage": "ResponseComplete", "responseStatus": {"code": 403}},
    ]
    (row,) = events(KUBERNETES_DOCUMENTS, json.dumps(stages).encode(), "api_activity")
    assert (row["record"], row["status"], row["api_operation"]) == (2, "Failure", "create")
    first, last = (json.dumps([stage]).encode() for stage in stages)
    (apart,) = events(KUBERNETES_DOCUMENTS, first, "api_activity", last)
    assert (apart["evidence"], apart["status"]) == ("1", "Failure")
    other = json.dumps([stages[1] | {"verb": "get"}]).encode()
    assert len(events(KUBERNETES_DOCUMENTS, first, "api_activity", other)) == 2
    assert (row["resource_type"], row["resource_namespace"], row["resource_name"]) == ("pods/exec", "prod", "p")
    assert (row["actor_user_type"], row["src_endpoint_ip"]) == ("ServiceAccount", "192.0.2.4")


def test_the_real_sshd_log_gives_its_tries(shared_data: Path) -> None:
    rows = events(SYSLOG_READER, (shared_data / "linux" / "OpenSSH_2k.log").read_bytes(), "authentication")
    tries = {"Success": 0, "Failure": 0}
    for row in rows:
        tries[row["status"]] += row["unmapped_attempts"]
    assert tries == {"Success": 1, "Failure": 531}
    assert all(row["src_endpoint_ip"] for row in rows)
