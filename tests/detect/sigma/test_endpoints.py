"""Source, target, vector and outcome of findings: what each kind of record says."""

from __future__ import annotations

import pytest

from casemate.detect.sigma.endpoints import Endpoints, endpoints_of

SECURITY = {"Channel": "Security", "Computer": "PC1.corp.example"}
DEFENDER = {"Channel": "Microsoft-Windows-Windows Defender/Operational", "Computer": "PC1"}
SYSMON = {"Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "PC1"}
CLOUD = {"recipientAccountId": "1", "eventSource": "iam.amazonaws.com", "userIdentity.arn": "arn:x"}
ZEEK = {"id.orig_h": "203.0.113.9", "id.resp_h": "10.0.0.1", "id.resp_p": "22"}


def found(table: str, **record: str | None) -> Endpoints:
    """The endpoints of a record."""
    known = endpoints_of(table)
    assert set(record) <= set(known.columns), set(record) - set(known.columns)
    return known.find(*(record.get(name) for name in known.columns))


@pytest.mark.parametrize(
    ("table", "record", "outcome"),
    [
        ("windows_event", {**SECURITY, "EventID": "4624"}, "succeeded"),
        ("windows_event", {**SECURITY, "EventID": "4625"}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4768", "Status": "0x0"}, "succeeded"),
        ("windows_event", {**SECURITY, "EventID": "4768", "Status": "0x12"}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4776", "Status": "0xC000006A"}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4656", "Keywords": "0x8010000000000000"}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4656", "Keywords": '["Audit Failure"]'}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4656", "Keywords": "0x8020000000000000"}, "unknown"),
        ("windows_event", {**SECURITY, "EventID": "4724", "Keywords": "Audit Failure"}, "failed"),
        ("windows_event", {**SECURITY, "EventID": "4688"}, "unknown"),
        ("windows_event", {**SECURITY, "EventID": "5157"}, "blocked"),
        ("windows_event", {"Channel": "System", "EventID": "7045"}, "succeeded"),
        ("windows_event", {"Channel": "Application", "EventID": "4625"}, "unknown"),
        ("windows_event", {**DEFENDER, "EventID": "1116"}, "unknown"),
        ("windows_event", {**DEFENDER, "EventID": "1117", "ErrorCode": "0x00000000"}, "blocked"),
        ("windows_event", {**DEFENDER, "EventID": "1117", "ErrorCode": "0x80508022"}, "unknown"),
        ("windows_event", {**DEFENDER, "EventID": "1121"}, "blocked"),
        ("windows_event", {**DEFENDER, "EventID": "1122"}, "unknown"),
        ("windows_event", {**DEFENDER, "EventID": "1125"}, "unknown"),
        ("windows_event", {**SYSMON, "EventID": "27"}, "blocked"),
        ("windows_event", {**SYSMON, "EventID": "1"}, "unknown"),
        ("linux_audit", {"type": "SYSCALL", "success": "no"}, "failed"),
        ("linux_audit", {"type": "SYSCALL", "success": "yes"}, "unknown"),
        ("linux_audit", {"type": "USER_LOGIN", "res": "success"}, "succeeded"),
        ("linux_audit", {"type": "USER_LOGIN", "res": "failed"}, "failed"),
        ("linux_audit", {"type": "AVC", "message": "avc:  denied  { read }"}, "blocked"),
        ("syslog", {"program": "sshd", "ssh_event": "failed_password"}, "failed"),
        ("syslog", {"program": "sshd", "ssh_event": "accepted_publickey"}, "succeeded"),
        ("syslog", {"program": "sshd", "ssh_event": "disconnected"}, "unknown"),
        ("syslog", {"program": "sudo", "event": "sudo_command"}, "succeeded"),
        ("journald", {"SYSLOG_IDENTIFIER": "su", "event": "su_failed"}, "failed"),
        ("zeek_conn", {**ZEEK, "conn_state": "S0"}, "failed"),
        ("zeek_conn", {**ZEEK, "conn_state": "REJ"}, "failed"),
        ("zeek_conn", {**ZEEK, "conn_state": "SF"}, "unknown"),
        ("zeek_http", {"id.orig_h": "203.0.113.9", "status_code": "404"}, "failed"),
        ("zeek_http", {"id.orig_h": "203.0.113.9", "status_code": "200"}, "unknown"),
        ("zeek_ssh", {"id.orig_h": "203.0.113.9", "auth_success": "T"}, "succeeded"),
        ("zeek_ssh", {"id.orig_h": "203.0.113.9", "auth_success": "false"}, "failed"),
        ("zeek_ssh", {"id.orig_h": "203.0.113.9"}, "unknown"),
        ("web_access", {"client_ip": "203.0.113.9", "status": "503"}, "failed"),
        ("web_access", {"client_ip": "203.0.113.9", "status": "302"}, "unknown"),
        ("web_error", {"client_ip": "203.0.113.9", "message": "client denied by server configuration"}, "blocked"),
        ("suricata_event", {"event_type": "alert", "alert.action": "blocked"}, "blocked"),
        ("suricata_event", {"event_type": "alert", "alert.action": "allowed"}, "unknown"),
        ("suricata_event", {"event_type": "drop"}, "blocked"),
        ("suricata_event", {"event_type": "http", "http.status": "404"}, "failed"),
        ("cloudtrail", CLOUD, "succeeded"),
        ("cloudtrail", {**CLOUD, "errorCode": "AccessDeniedException"}, "blocked"),
        ("cloudtrail", {**CLOUD, "errorCode": "Client.UnauthorizedOperation"}, "blocked"),
        ("cloudtrail", {**CLOUD, "errorCode": "NoSuchEntityException"}, "failed"),
        ("cloudtrail", {**CLOUD, "errorCode": "Client.DryRunOperation"}, "unknown"),
        ("cloudtrail", {**CLOUD, "responseElements.ConsoleLogin": "Failure"}, "failed"),
        ("s3_access", {"http_status": "403"}, "blocked"),
        ("s3_access", {"http_status": "206"}, "succeeded"),
        ("s3_access", {"http_status": "-"}, "unknown"),
        ("kubernetes_audit", {"responseStatus.code": "201"}, "succeeded"),
        ("kubernetes_audit", {"responseStatus.code": "403"}, "blocked"),
        ("kubernetes_audit", {"responseStatus.code": "409"}, "failed"),
        ("kubernetes_audit", {"annotations.authorization.k8s.io/decision": "forbid"}, "blocked"),
        ("kubernetes_audit", {}, "unknown"),
        ("lines", {}, "unknown"),
    ],
)
def test_a_finding_says_how_it_ended_as_far_as_the_record_does(
    table: str, record: dict[str, str], outcome: str
) -> None:
    assert found(table, **record).outcome == outcome


def test_a_logon_comes_from_its_address_else_from_its_workstation_else_from_its_account() -> None:
    logon = {**SECURITY, "EventID": "4624", "LogonType": "3", "TargetUserName": "ann", "TargetDomainName": "CORP"}
    assert found("windows_event", **logon, IpAddress="::ffff:10.0.0.5").source == ("address", "10.0.0.5")
    assert found("windows_event", **logon, IpAddress="-", WorkstationName="\\\\PC7").source == ("host", "PC7")
    assert found("windows_event", **logon, IpAddress="127.0.0.1").source == ("user", "CORP\\ann")
    assert found("windows_event", **logon).target == ("host", "PC1.corp.example", "windows_logon")
    assert found("windows_event", **{**logon, "LogonType": "10"}).target == ("host", "PC1.corp.example", "rdp")


def test_a_logon_with_other_credentials_goes_to_the_server_it_names() -> None:
    logon = {**SECURITY, "EventID": "4648", "SubjectUserName": "ann", "SubjectDomainName": "CORP"}
    away = found("windows_event", **logon, TargetServerName="dc1.corp.example")
    assert away.source == ("host", "PC1.corp.example")
    assert away.target == ("host", "dc1.corp.example", "windows_logon")
    for own in ("localhost", "PC1", "pc1.corp.example"):
        assert found("windows_event", **logon, TargetServerName=own).source == ("user", "CORP\\ann")


@pytest.mark.parametrize(
    ("domain", "name", "source"),
    [
        ("CORP", "ann", ("user", "CORP\\ann")),
        ("NT AUTHORITY", "SYSTEM", ("host", "PC1.corp.example")),
        ("NT-AUTORITÄT", "SYSTEM", ("host", "PC1.corp.example")),
        ("CORP", "PC1$", ("host", "PC1.corp.example")),
        ("CORP", "PC2$", ("user", "CORP\\PC2$")),
        ("-", "-", ("host", "PC1.corp.example")),
    ],
)
def test_an_account_of_the_machine_itself_is_the_machine(domain: str, name: str, source: tuple[str, str]) -> None:
    record = {**SECURITY, "EventID": "4688", "SubjectDomainName": domain, "SubjectUserName": name}
    assert found("windows_event", **record).source == source


def test_a_connection_within_one_machine_is_its_own() -> None:
    record = {**SYSMON, "EventID": "3", "SourceIp": "127.0.0.1", "DestinationIp": "::1", "DestinationPort": "3389"}
    ends = found("windows_event", **record)
    assert (ends.source, ends.target) == (("host", "PC1"), ("host", "PC1", "rdp"))


def test_what_is_written_like_an_address_and_is_none_gives_way_to_the_account() -> None:
    assert found("cloudtrail", **CLOUD, sourceIPAddress="035.249.253.232").source == ("user", "arn:x")
    assert found("cloudtrail", **CLOUD, sourceIPAddress="203.0.113.9").source == ("address", "203.0.113.9")
    assert found("cloudtrail", **CLOUD, sourceIPAddress="config.amazonaws.com").source == (
        "host",
        "config.amazonaws.com",
    )
    assert found("s3_access", remote_ip="1.2.3.400").source == ("host", "1.2.3.400")


def test_a_rule_of_suricata_that_names_its_target_turns_the_packet_around() -> None:
    alert = {"event_type": "alert", "src_ip": "10.0.0.1", "dest_ip": "203.0.113.9", "dest_port": "50000"}
    turned = found("suricata_event", **alert, **{"alert.source.ip": "203.0.113.9", "alert.target.ip": "10.0.0.1"})
    assert turned.source == ("address", "203.0.113.9")
    assert turned.target == ("address", "10.0.0.1", None)
    assert found("suricata_event", **alert).source == ("address", "10.0.0.1")


def test_targets_name_the_thing_and_its_service() -> None:
    bucket = found("cloudtrail", **CLOUD, **{"requestParameters.bucketName": "weights"})
    assert bucket.target == ("resource", "weights", "iam")
    assert found("cloudtrail", **CLOUD).target == ("resource", "account 1", "iam")
    pod = {"objectRef.namespace": "lab", "objectRef.resource": "pods", "objectRef.name": "train"}
    assert found("kubernetes_audit", **pod).target == ("resource", "lab/pods/train", "kubernetes")
    assert found("web_access", client_ip="203.0.113.9", host="www.example").target == ("host", "www.example", "http")
    assert found("zeek_conn", **ZEEK, service="-").target == ("address", "10.0.0.1", "ssh")
    assert found("zeek_smb_files", **ZEEK).target == ("address", "10.0.0.1", "ssh")
    assert found("linux_audit", type="USER_LOGIN", node="web1", exe="/usr/sbin/sshd").target == ("host", "web1", "ssh")


@pytest.mark.parametrize(
    ("table", "record", "vector"),
    [
        ("windows_event", {**SECURITY, "EventID": "4624"}, "credential"),
        ("windows_event", {**SECURITY, "EventID": "5145"}, "network"),
        ("windows_event", {**SYSMON, "EventID": "1"}, "host"),
        ("linux_audit", {"type": "EXECVE"}, "host"),
        ("linux_audit", {"type": "USER_AUTH"}, "credential"),
        ("syslog", {"program": "kernel"}, "host"),
        ("syslog", {"program": "cron", "event": "cron_command"}, "host"),
        ("cloudtrail", {**CLOUD, "eventName": "ConsoleLogin"}, "credential"),
        ("cloudtrail", {**CLOUD, "eventName": "CreateUser"}, "cloud_api"),
        ("kubernetes_audit", {}, "cluster_api"),
        ("suricata_event", {"event_type": "http"}, "web"),
        ("zeek_dns", ZEEK, "network"),
    ],
)
def test_the_vector_follows_from_the_kind_of_record(table: str, record: dict[str, str], vector: str) -> None:
    assert found(table, **record).vector == vector
