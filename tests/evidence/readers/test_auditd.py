"""Audit records become rows that can be judged alone; what the kernel encoded is readable."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import DATED, SMALL, Bytes, filled, read

from casemate.evidence.readers.auditd import AUDITD_READER, socket_address
from casemate.evidence.readers.base import ReadContext, Rows

EVENT = b"""\
node=web type=SYSCALL msg=audit(1700000000.243:87): arch=c000003e syscall=59 success=yes exit=0 a0=7ff a1=0 items=2 \
ppid=26 pid=35 auid=1000 uid=0 gid=0 tty=pts0 ses=1 comm="cp" exe="/usr/bin/cp" key="copies"\x1dARCH=x86_64 \
SYSCALL=execve AUID="al" UID="root"
node=web type=EXECVE msg=audit(1700000000.243:87): argc=3 a0="cp" a1=2F746D702F612062 a2="/x"
node=web type=PATH msg=audit(1700000000.243:87): item=0 name="/usr/bin/cp" nametype=NORMAL
node=web type=PROCTITLE msg=audit(1700000000.243:87): proctitle=6370002F746D702F612062002F78
"""


def test_rows_of_an_event_know_what_its_system_call_said() -> None:
    syscall, execve, path, title = map(filled, read(AUDITD_READER, EVENT).rows)
    assert syscall["time"] == datetime(2023, 11, 14, 22, 13, 20, 243000, tzinfo=UTC)
    assert (syscall["syscall_name"], syscall["uid_name"], syscall["a0"]) == ("execve", "root", "7ff")
    assert (execve["exe"], execve["pid"], execve["ppid"], execve["key"]) == ("/usr/bin/cp", "35", "26", "copies")
    assert execve["command_line"] == "cp /tmp/a b /x"
    assert execve["rest"] == '{"raw.a1":"2F746D702F612062"}'
    assert (path["name"], path["success"], path["auid"]) == ("/usr/bin/cp", "yes", "1000")
    assert title["proctitle"] == "cp /tmp/a b /x"
    assert "flags" not in syscall


def test_the_order_inside_an_event_does_not_matter() -> None:
    lines = EVENT.splitlines(keepends=True)
    turned = read(AUDITD_READER, b"".join(lines[1:] + lines[:1])).rows
    assert turned[0]["exe"] == "/usr/bin/cp"
    assert turned[0]["command_line"] == "cp /tmp/a b /x"


def test_other_events_are_not_mixed_in() -> None:
    other = b'type=EXECVE msg=audit(1700000000.243:88): argc=1 a0="id"\n'
    assert filled(read(AUDITD_READER, EVENT + other).rows[-1]).get("exe") is None


@pytest.mark.parametrize("lines_before", [1, 2, 3])
def test_a_log_read_from_the_middle_of_an_event_gives_the_rows_of_the_whole(lines_before: int) -> None:
    noise = b"".join(
        f"type=SYSCALL msg=audit(1699999999.000:{number}): pid={number} success=no\n".encode()
        for number in range(2_000)
    )
    lines = (noise + EVENT).splitlines(keepends=True)
    cut = len(lines) - 4 + lines_before
    start = len(b"".join(lines[:cut]))
    context = ReadContext("x", DATED, start_offset=start, start_record=cut + 1)
    items = AUDITD_READER.read(Bytes(noise + EVENT), context)
    rows = [row for item in items if isinstance(item, Rows) for row in item.batch.to_pylist()]
    whole = read(AUDITD_READER, noise + EVENT).rows[cut:]
    assert [filled(row) for row in rows] == [filled(row | {"_table": None}) for row in whole]


def test_a_line_of_one_repeated_name_is_rejected_in_no_time() -> None:
    line = b"type=SYSCALL msg=audit(1700000000.000:1): " + b"a=bbbb " * 400_000 + b"\n"
    begun = time.process_time()
    reading = read(AUDITD_READER, line + EVENT)
    assert time.process_time() - begun < 2
    assert [(reject.record, reject.reason) for reject in reading.rejects] == [(1, "more than 4096 fields")]
    assert len(reading.rows) == 4


def test_a_name_that_stands_often_keeps_all_its_values() -> None:
    line = b"type=PATH msg=audit(1700000000.000:1): " + b" ".join(b"x=%d" % number for number in range(30)) + b"\n"
    rest = json.loads(read(AUDITD_READER, line).rows[0]["rest"])
    assert (rest["x"], rest["x.2"], rest["x.30"]) == ("0", "1", "29")


def test_login_records_are_read_into_their_message() -> None:
    line = (
        b"type=USER_LOGIN msg=audit(1700000000.000:9): pid=1 uid=0 auid=4294967295 ses=4294967295 "
        b'msg=\'op=login acct=28756E6B6E6F776E207573657229 exe="/usr/sbin/sshd" hostname=? addr=192.0.2.1 '
        b"terminal=ssh res=failed'\n"
    )
    row = filled(read(AUDITD_READER, line).rows[0])
    assert (row["op"], row["acct"], row["addr"], row["res"]) == ("login", "(unknown user)", "192.0.2.1", "failed")


def test_arguments_in_pieces_are_put_together() -> None:
    line = b'type=EXECVE msg=audit(1700000000.0:9): argc=2 a0="sh" a1_len=6 a1[0]="abc" a1[1]="def"\n'
    assert read(AUDITD_READER, line).rows[0]["command_line"] == "sh abcdef"


def test_quoted_text_is_never_taken_for_hexadecimal() -> None:
    line = b'type=EXECVE msg=audit(1700000000.0:9): argc=2 a0="chmod" a1="4755"\n'
    assert read(AUDITD_READER, line).rows[0]["a1"] == "4755"


def test_socket_addresses_are_read() -> None:
    assert socket_address("020000500A0000010000000000000000")["saddr_ip"] == "10.0.0.1"
    v6 = socket_address("0A0001BB00000000" + "20010DB8" + "00" * 11 + "01" + "00000000")
    assert (v6["saddr_ip"], v6["saddr_port"]) == ("2001:db8::1", "443")
    assert socket_address("zz") == {}


def test_lines_that_are_no_records_are_rejected_and_separators_are_structure() -> None:
    reading = read(AUDITD_READER, b"----\ntime->Thu\n" + EVENT + b"what is this\n")
    assert reading.tally.structure == 2
    assert [(reject.record, reject.reason) for reject in reading.rejects] == [(7, "not an audit record")]


def test_an_impossible_time_is_not_believed() -> None:
    row = read(AUDITD_READER, b"type=X msg=audit(16725225600.000:9): a=b\n").rows[0]
    assert row["time"] is None
    assert row["flags"] == "time_out_of_range"
    assert row["time_raw"] == "16725225600.000"


@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from(
            [
                b"\n",
                b"type=EXECVE msg=audit(1.0:1): ",
                b"type=SYSCALL msg=audit(1.0:1): ",
                b"a0=41",
                b' a1="x',
                b"'",
                b"\x1d",
                b" a99999=4142",
                b" proctitle=410042",
                b" a0[1]=41",
                b"msg='op=x acct=\"y\"'",
                b" uid=1 uid=2",
                b"\x00",
            ]
        ),
        max_size=14,
    ).map(b"".join)
)
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    assert 0 <= AUDITD_READER.recognise(content) <= 100
    read(AUDITD_READER, content, limits=SMALL)
