"""Entries of the journal, with sshd's words read as in syslog."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import SMALL, filled, read

from casemate.evidence.readers.journald import JOURNALD_DOCUMENTS, JOURNALD_LINES

ENTRY = {
    "__REALTIME_TIMESTAMP": "1704067200123456",
    "_HOSTNAME": "h",
    "SYSLOG_IDENTIFIER": "sshd",
    "_PID": "7",
    "MESSAGE": "Failed password for invalid user x from 192.0.2.1 port 22 ssh2",
}


def test_an_entry_of_sshd() -> None:
    row = filled(read(JOURNALD_LINES, json.dumps(ENTRY).encode()).rows[0])
    assert row["time"] == datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert (row["ssh_event"], row["user"], row["source_ip"], row["_HOSTNAME"]) == (
        *("failed_password", "x", "192.0.2.1", "h"),
    )


def test_events_of_sysmon_have_their_own_table() -> None:
    event = (
        '<Event><System><Provider Name="Linux-Sysmon" Guid="{x}"/><EventID>1</EventID>'
        '<TimeCreated SystemTime="2024-05-01T10:00:00.5Z"/><Computer>node</Computer></System><EventData>'
        '<Data Name="Image">/usr/bin/id</Data></EventData></Event>'
    )
    entries = [ENTRY, {**ENTRY, "SYSLOG_IDENTIFIER": "sysmon", "MESSAGE": event}, {**ENTRY, "MESSAGE": "<Event>"}]
    reading = read(JOURNALD_LINES, "\n".join(map(json.dumps, entries)).encode())
    [row] = [filled(row) for row in reading.rows if "Image" in row]
    assert (row["Image"], row["host"], row["Computer"], row["record"]) == ("/usr/bin/id", "h", "node", 2)
    assert row["time"] == datetime(2024, 5, 1, 10, 0, 0, 500000, tzinfo=UTC)
    assert sorted(row["record"] for row in reading.rows) == [1, 2, 3]
    assert reading.tally.records == 3


def test_messages_that_are_bytes_and_values_given_twice() -> None:
    entry = {**ENTRY, "MESSAGE": list(b"a\xff"), "TAG": ["x", "y"], "BIG": None}
    row = filled(read(JOURNALD_LINES, json.dumps(entry).encode()).rows[0])
    assert row["MESSAGE"] == "a\\xff"
    assert row["flags"] == "encoding_replaced"
    assert json.loads(row["rest"]) == {"TAG": "x\ny"}


def test_an_entry_cannot_bring_our_own_columns() -> None:
    row = filled(read(JOURNALD_LINES, json.dumps({**ENTRY, "source_ip": "9.9.9.9"}).encode()).rows[0])
    assert row["source_ip"] == "192.0.2.1"
    assert json.loads(row["rest"]) == {"raw.source_ip": "9.9.9.9"}


def test_pretty_printed_entries_are_exact_slices() -> None:
    content = f"{json.dumps(ENTRY, indent=1)}\n{json.dumps(ENTRY, indent=1)}\n".encode()
    assert JOURNALD_DOCUMENTS.recognise(content) > JOURNALD_LINES.recognise(content)
    reading = read(JOURNALD_DOCUMENTS, content)
    assert [json.loads(content[row["offset"] :][: row["length"]]) for row in reading.rows] == [ENTRY, ENTRY]


def test_odd_lines_are_rejected_with_words() -> None:
    content = b'{"__REALTIME_TIMESTAMP":"1","__REALTIME_TIMESTAMP":"2"}\n{"a":1}\nnot json\n'
    reasons = [reject.reason for reject in read(JOURNALD_LINES, content).rejects]
    assert "twice" in reasons[0]
    assert "not a journal entry" in reasons[1]
    assert "not JSON" in reasons[2]


@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from([*ENTRY, "x"]), st.none() | st.text() | st.lists(st.integers(-1, 256)) | st.floats()
    ).map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    for spec in (JOURNALD_LINES, JOURNALD_DOCUMENTS):
        assert 0 <= spec.recognise(content) <= 100
        read(spec, content, limits=SMALL)
