"""Every tool's export of a Windows event becomes the same fields."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.readers import windows_json
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.windows_fields import WINDOWS_EVENT


class Content:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def read(data: bytes) -> tuple[list[dict[str, Any]], Tally]:
    context = ReadContext("events.json", datetime(2024, 1, 1, tzinfo=UTC))
    spec = max((windows_json.WINDOWS_JSON, windows_json.WINDOWS_JSON_DOCUMENTS), key=lambda spec: spec.recognise(data))
    assert spec.recognise(data) == 90
    rows: list[dict[str, Any]] = []
    for item in spec.read(Content(data), context):
        if isinstance(item, Rows):
            assert set(item.batch.schema.names) <= set(WINDOWS_EVENT.schema.names)
            rows.extend({k: v for k, v in row.items() if v is not None} for row in item.batch.to_pylist())
        elif isinstance(item, Tally):
            assert item.records == len(rows)
            return rows, item
        else:
            pytest.fail(f"rejected: {item}")
    raise AssertionError("no tally")


def one(record: dict[str, Any]) -> dict[str, Any]:
    return read(orjson.dumps(record))[0][0]


COMMON = {
    "Provider_Name": "Microsoft-Windows-Sysmon",
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "EventID": "1",
    "EventRecordID": "77",
    "Computer": "ws1.lab.example",
    "ExecutionProcessID": "2100",
    "ExecutionThreadID": "2200",
    "Image": "C:\\Windows\\System32\\cmd.exe",
    "CommandLine": 'cmd.exe /c "whoami"',
    "ProcessId": "4242",
    "UtcTime": "2024-03-04 05:06:07.123",
}
FIELDS = {name: COMMON[name] for name in ("Image", "CommandLine", "UtcTime")}
WHEN = "2024-03-04T05:06:07.1234567Z"

NXLOG = {
    "EventTime": "2024-03-04 06:06:07",
    "@timestamp": "2024-03-04T05:06:07.123Z",
    "Hostname": "ws1.lab.example",
    "host": "collector",
    "SourceName": "Microsoft-Windows-Sysmon",
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "EventID": 1,
    "RecordNumber": 77,
    "ExecutionProcessID": 2100,
    "ThreadID": 2200,
    "ProcessId": "4242",
    **FIELDS,
}
WINLOGBEAT = {
    "@timestamp": "2024-03-04T05:06:07.123Z",
    "event": {"code": "1", "created": "2024-03-04T05:06:09Z"},
    "host": {"name": "ws1.lab.example"},
    "winlog": {
        "provider_name": "Microsoft-Windows-Sysmon",
        "channel": "Microsoft-Windows-Sysmon/Operational",
        "event_id": "1",
        "record_id": 77,
        "computer_name": "ws1.lab.example",
        "process": {"pid": 2100, "thread": {"id": 2200}},
        "event_data": {"ProcessId": "4242", **FIELDS},
    },
    "process": {"pid": 4242},
}
WINLOGBEAT_6 = {
    "@timestamp": "2024-03-04T05:06:07.123Z",
    "source_name": "Microsoft-Windows-Sysmon",
    "log_name": "Microsoft-Windows-Sysmon/Operational",
    "event_id": 1,
    "record_number": "77",
    "computer_name": "ws1.lab.example",
    "process_id": 2100,
    "thread_id": 2200,
    "event_data": {"ProcessId": "4242", **FIELDS},
}
WINLOGBEAT_DOTTED = {
    "@timestamp": "2024-03-04T05:06:07.123Z",
    "event.code": "1",
    "host.name": "ws1.lab.example",
    "winlog.provider_name": "Microsoft-Windows-Sysmon",
    "winlog.channel": "Microsoft-Windows-Sysmon/Operational",
    "winlog.event_id": "1",
    "winlog.record_id": 77,
    "winlog.computer_name": "ws1.lab.example",
    "winlog.process.pid": 2100,
    "winlog.process.thread.id": 2200,
    "winlog.event_data.ProcessId": "4242",
    **{f"winlog.event_data.{name}": value for name, value in FIELDS.items()},
    "process.pid": 4242,
}
EVTX_DUMP = {
    "Event": {
        "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon", "Guid": "5770385F"}},
            "EventID": {"#attributes": {"Qualifiers": 0}, "#text": 1},
            "TimeCreated": {"#attributes": {"SystemTime": WHEN}},
            "EventRecordID": 77,
            "Correlation": None,
            "Execution": {"#attributes": {"ProcessID": 2100, "ThreadID": 2200}},
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Computer": "ws1.lab.example",
        },
        "EventData": {"ProcessId": 4242, **FIELDS},
    }
}
XMLTODICT = {
    "Event": {
        "@xmlns": "http://schemas.microsoft.com/win/2004/08/events/event",
        "System": {
            "Provider": {"@Name": "Microsoft-Windows-Sysmon", "@Guid": "{5770385F}"},
            "EventID": "1",
            "TimeCreated": {"@SystemTime": WHEN},
            "EventRecordID": "77",
            "Execution": {"@ProcessID": "2100", "@ThreadID": "2200"},
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Computer": "ws1.lab.example",
        },
        "EventData": {
            "Data": [{"@Name": name, "#text": value} for name, value in {"ProcessId": "4242", **FIELDS}.items()]
        },
    }
}
SEPARATE_ATTRIBUTES = {
    "Event": {
        "System": {
            "Provider_attributes": {"Name": "Microsoft-Windows-Sysmon"},
            "EventID": 1,
            "TimeCreated_attributes": {"SystemTime": WHEN},
            "EventRecordID": 77,
            "Execution_attributes": {"ProcessID": 2100, "ThreadID": 2200},
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Computer": "ws1.lab.example",
        },
        "EventData": {"ProcessId": 4242, **FIELDS},
    }
}
EVTXECMD = {
    "ChunkNumber": 0,
    "Computer": "ws1.lab.example",
    "Provider": "Microsoft-Windows-Sysmon",
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "EventId": 1,
    "EventRecordId": "77",
    "ProcessId": 2100,
    "ThreadId": 2200,
    "TimeCreated": "2024-03-04T05:06:07.1234567+00:00",
    "MapDescription": "Process creation",
    "Payload": json.dumps({"EventData": {"Data": XMLTODICT["Event"]["EventData"]["Data"]}}),
}
AZURE = {
    "TimeGenerated": "2024-03-04T05:06:07.123Z",
    "Provider": "Microsoft-Windows-Sysmon",
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "Computer": "ws1.lab.example",
    "EventID": 1,
    "EventRecordId": "77",
    "SystemProcessId": 2100,
    "SystemThreadId": 2200,
    "EventData": json.dumps({"ProcessId": "4242", **FIELDS}),
}
AZURE_XML = {
    **AZURE,
    "EventData": '<EventData xmlns="x">'
    + "".join(
        f'<Data Name="{name}">{value.replace("&", "&amp;").replace(chr(34), "&quot;")}</Data>'
        for name, value in {"ProcessId": "4242", **FIELDS}.items()
    )
    + "</EventData>",
}
FORMS = {
    "nxlog": NXLOG,
    "winlogbeat": WINLOGBEAT,
    "winlogbeat, dots in keys": WINLOGBEAT_DOTTED,
    "winlogbeat, out of Elasticsearch": {"_index": "winlogbeat-8", "_id": "a", "_score": 1.0, "_source": WINLOGBEAT},
    "winlogbeat 6": WINLOGBEAT_6,
    "evtx_dump": EVTX_DUMP,
    "xmltodict": XMLTODICT,
    "separate attributes": SEPARATE_ATTRIBUTES,
    "EvtxECmd": EVTXECMD,
    "Azure Monitor": AZURE,
    "Azure Monitor, XML": AZURE_XML,
}


@pytest.mark.parametrize("record", FORMS.values(), ids=FORMS)
def test_every_export_of_one_event_gives_the_same_fields(record: dict[str, Any]) -> None:
    row = one(record)
    assert {name: row.get(name) for name in COMMON} == COMMON
    assert row["time"].replace(microsecond=0) == datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert row["time"].microsecond in (123000, 123456)
    assert "flags" not in row


def test_records_may_stand_in_arrays_envelopes_and_pretty_documents() -> None:
    for data in (
        json.dumps([EVTX_DUMP, NXLOG]),
        json.dumps([EVTX_DUMP, NXLOG], indent=2),
        json.dumps({"Events": [EVTX_DUMP, NXLOG]}),
        json.dumps(EVTX_DUMP, indent=1) + "\n" + json.dumps(NXLOG, indent=1),
    ):
        rows, _ = read(data.encode())
        assert [row["record"] for row in rows] == [1, 2]
        assert {row["Image"] for row in rows} == {COMMON["Image"]}
        slices = [data[row["offset"] : row["offset"] + row["length"]] for row in rows]
        assert [json.loads(piece) for piece in slices] == [EVTX_DUMP, NXLOG]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_as_powershell_writes_it(encoding: str) -> None:
    event = json.loads(json.dumps(NXLOG))
    event["CommandLine"] = "caf\u00e9 \u4e2d \U0001f600 [{"
    for text in (json.dumps([event, NXLOG], indent=2, ensure_ascii=False), json.dumps(event, ensure_ascii=False)):
        data = ("\ufeff" + text).encode(encoding)
        rows, _ = read(data)
        assert rows[0]["CommandLine"] == event["CommandLine"]
        piece = data[rows[0]["offset"] : rows[0]["offset"] + rows[0]["length"]]
        assert json.loads(piece.decode(encoding)) == event


def test_get_winevent_converted_to_json() -> None:
    row = one(
        {
            "Id": 4624,
            "LogName": "Security",
            "ProviderName": "Microsoft-Windows-Security-Auditing",
            "RecordId": 5,
            "MachineName": "dc1",
            "ProcessId": 612,
            "ThreadId": 4,
            "TimeCreated": "/Date(1709528767123)/",
            "Message": "An account was logged on.",
        }
    )
    assert (row["EventID"], row["Channel"], row["EventRecordID"], row["Computer"]) == ("4624", "Security", "5", "dc1")
    assert row["time"] == datetime(2024, 3, 4, 5, 6, 7, 123000, UTC)
    assert row["Provider_Name"] == "Microsoft-Windows-Security-Auditing"
    assert (row["ExecutionProcessID"], row["ExecutionThreadID"]) == ("612", "4")
    assert not row.keys() & {"ProcessId", "ProviderName"}


def test_the_process_id_of_old_nxlog_is_not_the_events_own() -> None:
    event = {"EventID": 4688, "Channel": "Security", "SourceName": "p", "Hostname": "h", "SourceModuleType": "im"}
    row = one({**event, "ProcessID": 4, "ThreadID": 8})
    assert (row["ExecutionProcessID"], row.get("ProcessId")) == ("4", None)
    row = one({**event, "ProcessID": 4, "ThreadID": 8, "ProcessId": "0x20"})
    assert (row["ExecutionProcessID"], row["ProcessId"]) == ("4", "0x20")
    row = one({**event, "ExecutionProcessID": 4, "ThreadID": 8, "ProcessID": 32})  # of a filtering platform's event
    assert (row["ExecutionProcessID"], row["ProcessId"]) == ("4", "32")


def test_unnamed_values_of_event_data_stand_in_data_one_a_line() -> None:
    event = json.loads(json.dumps(EVTX_DUMP))
    event["Event"]["EventData"] = {"Data": {"#text": ["NewEngineState=Available", "HostApplication=powershell.exe"]}}
    assert one(event)["Data"] == "NewEngineState=Available\nHostApplication=powershell.exe"
    event["Event"]["EventData"] = {"Data": {"#text": "single"}, "Binary": "00FF"}
    assert (one(event)["Data"], one(event)["Binary"]) == ("single", "00FF")


def test_user_data_is_flattened_and_does_not_replace_the_channel() -> None:
    event = json.loads(json.dumps(EVTX_DUMP))
    del event["Event"]["EventData"]
    event["Event"]["UserData"] = {
        "LogFileCleared": {
            "#attributes": {"xmlns": "urn:x"},
            "SubjectUserName": "mallory",
            "Channel": "Security",
            "BackupPath": None,
            "Aux": {"#attributes": {"ProcessName": "a.exe"}},
        }
    }
    row = one(event)
    assert row["SubjectUserName"] == "mallory"
    assert row["Channel"] == "Microsoft-Windows-Sysmon/Operational"
    assert row["UserData_Channel"] == "Security"
    assert json.loads(row["rest"]) == {"Aux.ProcessName": "a.exe"}


def test_names_match_without_case_and_blanks_and_the_exact_one_wins() -> None:
    row = one(
        {
            "EventID": 1116,
            "Channel": "X",
            "SourceName": "p",
            "Threat Name": "EICAR",
            "commandline": "b",
            "CommandLine": "a",
            "New Value": "v",
        }
    )
    assert (row["ThreatName"], row["CommandLine"], row["NewValue"], row["Provider_Name"]) == ("EICAR", "a", "v", "p")
    assert json.loads(row["rest"]) == {"commandline": "b"}


def test_the_source_name_of_defender_is_not_the_provider() -> None:
    event = json.loads(json.dumps(EVTX_DUMP))
    event["Event"]["EventData"] = {"Source Name": "AMSI"}
    row = one(event)
    assert (row["SourceName"], row["Provider_Name"]) == ("AMSI", "Microsoft-Windows-Sysmon")


def test_local_time_written_as_utc_is_noted() -> None:
    record = {"EventID": 1, "Channel": "c", "SourceName": "s", "TimeCreated": "2024-03-04T00:06:07Z", **FIELDS}
    _, tally = read(orjson.dumps(record))
    assert "differs by more than ten minutes" in tally.notes[0]
    assert one({**record, "TimeCreated": "2024-03-04 05:06:07"})["flags"] == "zone_assumed_utc"


def test_other_json_is_not_taken_for_windows_events() -> None:
    for record in (
        {"eventVersion": "1.08", "eventID": "x", "eventSource": "s3.amazonaws.com", "eventName": "GetObject"},
        {"event_type": "alert", "src_ip": "1.2.3.4", "timestamp": "2024"},
        {"Event": {"System": {"Channel": "Linux-Sysmon/Operational", "EventID": 1}}},
        {"id": 1, "channel": "general", "text": "hello"},
    ):
        data = orjson.dumps(record)
        assert windows_json.recognise(data) == windows_json.recognise_documents(data) == 0


EVENT_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["#text", "#attributes", "@Name", "Data", "Name", "Channel", "System", "X", "xmlns"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
EVENT_RECORDS = st.dictionaries(
    st.sampled_from(
        ["Event", "System", "EventData", "UserData", "Payload", "ChunkNumber", "EventData_dynamic", "Image"]
    ),
    EVENT_VALUES | st.just({"System": {"EventID": {"#text": [1]}}}),
    max_size=4,
)


@given(st.lists(EVENT_RECORDS, min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_odd_shapes_are_kept_or_rejected(records: list[dict[str, Any]]) -> None:
    data = b"\n".join(json.dumps(record, ensure_ascii=True).encode() for record in records)
    context = ReadContext("x", datetime(2024, 1, 1, tzinfo=UTC))
    kept = rejected = 0
    for item in windows_json.read(Content(data), context):
        if isinstance(item, Rows):
            kept += item.batch.num_rows
        elif isinstance(item, Reject):
            rejected += 1
        else:
            assert item.records == kept + rejected == len(records)


def test_the_fields_of_real_records_are_all_there(shared_data: Path) -> None:
    archive = shared_data / "otrf/atomic/windows/credential_access/host/empire_shell_rubeus_asktgt_ptt.zip"
    with zipfile.ZipFile(archive) as opened:
        lines = opened.read(opened.namelist()[0]).split(b"\n")[:1500]
    rows, _ = read(b"\n".join(lines))
    assert len(rows) == len([line for line in lines if line])
    for line, row in zip(lines, rows, strict=False):
        texts = {v for v in row.values() if isinstance(v, str)}
        rest = json.loads(row.get("rest", "{}"))
        for name, value in json.loads(line).items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                assert text in texts or rest.get(name) in (text, value), name
