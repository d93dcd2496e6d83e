"""Windows events as OCSF: who logged on from where, what ran, who talked to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import ibis
import pyarrow as pa
import pytest

from casemate.evidence.readers.windows_fields import WINDOWS_EVENT
from casemate.schema.ocsf import (
    AUTHENTICATION,
    DNS_ACTIVITY,
    FILE_ACTIVITY,
    NETWORK_ACTIVITY,
    PROCESS_ACTIVITY,
    EventClass,
)
from casemate.views.base import View
from casemate.views.windows import VIEWS
from casemate.views.windows_logon import LOCAL_SESSIONS, REMOTE_CONNECTIONS

WHEN = datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
SECURITY = {
    "Channel": "Security",
    "Provider_Name": "Microsoft-Windows-Security-Auditing",
    "Computer": "dc1.lab.example",
}
SYSMON = {
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "Provider_Name": "Microsoft-Windows-Sysmon",
    "Computer": "ws1",
}
TERMINAL = "Microsoft-Windows-TerminalServices-"


def native(*records: dict[str, Any]) -> pa.Table:
    rows = [
        {"evidence": "e", "record": number, "offset": 0, "length": 1, "time": WHEN, **record}
        for number, record in enumerate(records, 1)
    ]
    return pa.Table.from_pylist(rows, WINDOWS_EVENT.schema)


@cache
def connect() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


def view(kind: EventClass, *records: dict[str, Any]) -> list[dict[str, Any]]:
    connection = connect()
    table = connection.create_table("windows_event", native(*records), overwrite=True)
    build = next(v.build for v in VIEWS if v.event_class == kind)
    expression = build(table)
    assert set(expression.columns) <= set(kind.schema)
    rows = connection.to_pyarrow(expression.order_by("record")).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def logon(event: str, **fields: str) -> dict[str, Any]:
    return view(AUTHENTICATION, {**SECURITY, "EventID": event, **fields})[0]


def test_a_failed_network_logon() -> None:
    row = logon(
        "4625",
        TargetUserName="root",
        TargetDomainName="LAB",
        IpAddress="::ffff:203.0.113.9",
        IpPort="50123",
        LogonType="3",
        Status="0xC000006D",
        SubStatus="0xC000006A",
        AuthenticationPackageName="NTLM",
        WorkstationName="KALI",
    )
    assert row == {
        "evidence": "e", "record": 1, "time": WHEN, "activity_name": "Logon", "status": "Failure",
        "status_detail": "wrong password", "metadata_product_name": "windows", "metadata_log_name": "Security",
        "device_hostname": "dc1.lab.example", "src_endpoint_ip": "203.0.113.9", "src_endpoint_port": 50123,
        "src_endpoint_hostname": "KALI", "dst_endpoint_hostname": "dc1.lab.example", "user_name": "root",
        "user_domain": "LAB", "auth_protocol": "NTLM", "logon_type": "Network", "service_name": "windows_logon",
        "unmapped_attempts": 1,
    }  # fmt: skip


LOGON_EVENTS: tuple[tuple[str, dict[str, str], tuple[str, str, str]], ...] = (
    ("4624", {"LogonType": "10", "IpAddress": "-"}, ("Logon", "Success", "rdp")),
    ("4624", {"LogonType": "2"}, ("Logon", "Success", "windows_logon")),
    ("4634", {"LogonType": "3"}, ("Logoff", "Success", "windows_logon")),
    ("4648", {"TargetServerName": "fs1"}, ("Logon", "Unknown", "windows_logon")),
    ("4768", {"Status": "0x0"}, ("Authentication Ticket", "Success", "kerberos")),
    ("4768", {"Status": "0x6"}, ("Authentication Ticket", "Failure", "kerberos")),
    ("4769", {"Status": "0x0"}, ("Service Ticket Request", "Success", "kerberos")),
    ("4771", {"Status": "0x18"}, ("Preauth", "Failure", "kerberos")),
    ("4776", {"Status": "0xc0000064", "Workstation": "W"}, ("Logon", "Failure", "ntlm")),
    ("4776", {"Status": "0x0"}, ("Logon", "Success", "ntlm")),
    ("4778", {"ClientAddress": "10.0.0.9", "AccountName": "bob"}, ("Logon", "Success", "rdp")),
)


def test_logon_events() -> None:
    rows = view(AUTHENTICATION, *({**SECURITY, "EventID": event, **fields} for event, fields, _ in LOGON_EVENTS))
    for row, (event, _, expected) in zip(rows, LOGON_EVENTS, strict=True):
        assert (row["activity_name"], row["status"], row["service_name"]) == expected, event
    assert rows[3]["dst_endpoint_hostname"] == "fs1"
    assert (rows[-1]["src_endpoint_ip"], rows[-1]["user_name"]) == ("10.0.0.9", "bob")


def test_remote_desktop_sessions() -> None:
    rows = view(
        AUTHENTICATION,
        {"Provider_Name": TERMINAL + "RemoteConnectionManager", "EventID": "1149", "param1": "bob", "param2": "LAB",
         "param3": "203.0.113.9", "Computer": "ws1"},
        {"Provider_Name": TERMINAL + "LocalSessionManager", "EventID": "21", "User": "LAB\\bob", "SessionID": "2",
         "Address": "203.0.113.9", "Computer": "ws1"},
        {"Provider_Name": TERMINAL + "LocalSessionManager", "EventID": "21", "User": "LAB\\bob", "Address": "LOCAL"},
    )  # fmt: skip
    assert [(r.get("src_endpoint_ip"), r["user_name"], r["user_domain"], r["service_name"]) for r in rows] == [
        ("203.0.113.9", "bob", "LAB", "rdp"),
        ("203.0.113.9", "bob", "LAB", "rdp"),
        (None, "bob", "LAB", "windows_logon"),
    ]


def test_an_event_number_of_another_log_is_no_logon() -> None:
    assert view(AUTHENTICATION, {"Channel": "Application", "Provider_Name": "SomeApp", "EventID": "4625"}) == []


def test_processes_of_both_logs() -> None:
    rows = view(
        PROCESS_ACTIVITY,
        {**SECURITY, "EventID": "4688", "NewProcessId": "0x1F4", "NewProcessName": "C:\\Windows\\cmd.exe",
         "CommandLine": "cmd /c dir", "ProcessId": "0x4", "ParentProcessName": "C:\\a\\explorer.exe",
         "SubjectUserName": "bob", "SubjectDomainName": "LAB", "TargetUserName": "-"},
        {**SYSMON, "EventID": "1", "ProcessId": "500", "ProcessGuid": "{1}", "Image": "C:\\Windows\\cmd.exe",
         "CommandLine": "cmd /c dir", "ParentProcessId": "4", "ParentImage": "C:\\a\\explorer.exe",
         "ParentCommandLine": "explorer", "User": "LAB\\bob"},
        {**SYSMON, "EventID": "5", "ProcessId": "500", "Image": "C:\\Windows\\cmd.exe"},
        {**SECURITY, "EventID": "4688", "NewProcessId": "0xffffffff", "NewProcessName": "x", "ProcessId": "junk"},
    )  # fmt: skip
    for row in rows[:2]:
        assert (row["process_pid"], row["process_parent_process_pid"]) == (500, 4)
        assert (row["process_name"], row["process_cmd_line"]) == ("cmd.exe", "cmd /c dir")
        assert (row["actor_user_name"], row["actor_user_domain"]) == ("bob", "LAB")
    assert [row["activity_name"] for row in rows] == ["Launch", "Launch", "Terminate", "Launch"]
    assert "process_pid" not in rows[3]
    assert rows[1]["process_parent_process_cmd_line"] == "explorer"


def test_connections_permitted_and_blocked() -> None:
    filtering = {"SourceAddress": "10.0.0.1", "SourcePort": "1", "DestAddress": "10.0.0.2", "DestPort": "445",
                 "Protocol": "6", "Application": "\\device\\x\\svchost.exe"}  # fmt: skip
    rows = view(
        NETWORK_ACTIVITY,
        {**SYSMON, "EventID": "3", "SourceIp": "10.0.0.1", "SourcePort": "1", "DestinationIp": "FE80::1",
         "DestinationPort": "445", "Protocol": "TCP", "Image": "C:\\x\\svchost.exe", "SourceHostname": "-"},
        {**SECURITY, "EventID": "5156", **filtering},
        {**SECURITY, "EventID": "5157", **filtering},
    )  # fmt: skip
    assert [row.get("disposition") for row in rows] == [None, "Allowed", "Blocked"]
    assert [row["dst_endpoint_ip"] for row in rows] == ["fe80::1", "10.0.0.2", "10.0.0.2"]
    assert {(row["connection_info_protocol_name"], row["actor_process_name"]) for row in rows} == {
        ("tcp", "svchost.exe")
    }
    assert "src_endpoint_hostname" not in rows[0]


def test_a_look_up_has_its_answers_as_json() -> None:
    (row,) = view(
        DNS_ACTIVITY,
        {**SYSMON, "EventID": "22", "QueryName": "x.example", "QueryStatus": "9003",
         "QueryResults": 'type:  5 a"b;::ffff:10.0.0.1;'},
    )  # fmt: skip
    assert (row["query_hostname"], row["rcode"], row["status"]) == ("x.example", "NXDOMAIN", "Failure")
    assert row["answers"] == '["type:  5 a\\"b","::ffff:10.0.0.1"]'


def test_files_written_and_reached_over_shares() -> None:
    rows = view(
        FILE_ACTIVITY,
        {**SYSMON, "EventID": "11", "TargetFilename": "C:\\a\\b.exe", "Image": "C:\\c.exe", "User": "LAB\\bob"},
        {**SECURITY, "EventID": "5145", "ShareName": "\\\\*\\C$", "RelativeTargetName": "a\\b.txt", "AccessMask": "0x1",
         "IpAddress": "10.0.0.5", "SubjectUserName": "bob", "Keywords": "0x8010000000000000"},
        {**SECURITY, "EventID": "4663", "ObjectType": "File", "ObjectName": "C:\\a\\b.txt", "AccessMask": "0x10000"},
        {**SECURITY, "EventID": "4663", "ObjectType": "Key", "ObjectName": "\\REGISTRY\\X"},
    )  # fmt: skip
    assert [(r["activity_name"], r["status"], r["file_path"], r["file_name"]) for r in rows] == [
        ("Create", "Success", "C:\\a\\b.exe", "b.exe"),
        ("Read", "Failure", "\\\\*\\C$\\a\\b.txt", "b.txt"),
        ("Delete", "Success", "C:\\a\\b.txt", "b.txt"),
    ]
    assert rows[1]["src_endpoint_ip"] == "10.0.0.5"


@pytest.mark.parametrize("kind", [v.event_class.name for v in VIEWS])
def test_every_view_can_be_written_for_spark(kind: str) -> None:
    table = ibis.table(ibis.Schema.from_pyarrow(WINDOWS_EVENT.schema), name="windows_event")
    build = next(v.build for v in VIEWS if v.event_class.name == kind)
    assert "SELECT" in ibis.to_sql(build(table), dialect="pyspark")


@pytest.mark.parametrize("kind", [v.event_class for v in VIEWS], ids=lambda kind: kind.name)
def test_odd_values_never_stop_a_view(kind: EventClass) -> None:
    odd = {name: "\u2028' \\ %" for name in WINDOWS_EVENT.columns if name not in {"EventID", *SECURITY}}
    events = ("1", "3", "5", "22", "11", "4624", "4688", "5156", "4663", "4776")
    view(kind, *({**source, "EventID": event, **odd} for source in (SECURITY, SYSMON) for event in events))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.event_class.name)
def test_leaving_out_what_no_record_is_changes_no_row(view: View) -> None:
    numbers = sorted({event for one in VIEWS for part in one.parts for event in part.events} | {"6005", "9999"})
    sources = [SECURITY, SYSMON, {"Provider_Name": REMOTE_CONNECTIONS}, {"Provider_Name": LOCAL_SESSIONS}]
    records = [{**source, "EventID": event, "ObjectType": "File"} for source in sources for event in numbers]
    connection = connect()
    table = connection.create_table("windows_event", native(*records), overwrite=True)
    whole = connection.to_pyarrow(view.build(table)).to_pylist()
    assert whole
    for event in numbers:
        of_event = {number for number, record in enumerate(records, 1) if record["EventID"] == event}
        rows = view.rows(table, {event})
        some = [] if rows is None else connection.to_pyarrow(rows).to_pylist()
        assert view.takes({event}) == (rows is not None)
        made = [row["record"] for row in some if row["record"] in of_event]
        assert sorted(made) == sorted(row["record"] for row in whole if row["record"] in of_event)


def test_one_windows_record_is_one_event_of_one_class() -> None:
    """What counts records of all classes together relies on it (:data:`casemate.views.SEVERAL_CLASSES`)."""
    numbers = sorted({event for one in VIEWS for part in one.parts for event in part.events})
    both = {"Channel": SECURITY["Channel"], "Provider_Name": SYSMON["Provider_Name"]}
    sources = [SECURITY, SYSMON, both, {"Provider_Name": REMOTE_CONNECTIONS}, {"Provider_Name": LOCAL_SESSIONS}]
    records = [{**source, "EventID": event, "ObjectType": "File"} for source in sources for event in numbers]
    connection = connect()
    table = connection.create_table("windows_event", native(*records), overwrite=True)
    made = [row["record"] for one in VIEWS for row in connection.to_pyarrow(one.build(table)).to_pylist()]
    assert len(made) == len(set(made))
