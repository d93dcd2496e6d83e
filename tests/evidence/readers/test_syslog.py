"""Syslog lines of all forms become rows; sshd's words become columns; years are inferred and said."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import DATED, SMALL, Bytes, filled, read

from casemate.evidence.identify import identify
from casemate.evidence.lines import utf16_of
from casemate.evidence.readers import READERS, openssh, syslog, syslog_lines
from casemate.evidence.readers.base import ReadContext, Rows, Tally
from casemate.evidence.readers.syslog import SYSLOG_READER
from casemate.evidence.readers.sysmon_linux import SYSMON_LINUX_READER, parse

V4 = "192.0.2.1"
SYSMON = (
    '<Event><System><Provider Name="Linux-Sysmon" Guid="{x}"/><EventID>1</EventID>'
    '<TimeCreated SystemTime="2024-05-01T10:00:00.5Z"/><Computer>node</Computer></System><EventData>'
    '<Data Name="Image">/bin/ls</Data><Data Name="CommandLine">ls &lt;a&gt;</Data></EventData></Event>'
)


def one(line: str, **context) -> dict:
    return filled(read(SYSLOG_READER, line.encode() + b"\n", **context).rows[0])


def test_rfc3164_with_priority() -> None:
    row = one("<86>May  3 06:55:46 web sshd[242]: Invalid user eve from 192.0.2.7 port 4022")
    assert row["host"] == "web"
    assert (row["facility"], row["severity"]) == ("authpriv", "info")
    assert (row["ssh_event"], row["user"], row["source_ip"], row["source_port"], row["invalid_user"]) == (
        *("invalid_user", "eve", "192.0.2.7", "4022", "true"),
    )
    assert row["time"] == datetime(2024, 5, 3, 6, 55, 46, tzinfo=UTC)
    assert row["flags"] == "year_inferred;zone_assumed_utc"


def test_iso_time_of_newer_rsyslog_carries_zone_and_year() -> None:
    row = one("2024-05-01T10:00:00.123456+02:00 db CRON[12]: (root) CMD (/usr/bin/backup --all)")
    assert row["time"] == datetime(2024, 5, 1, 8, 0, 0, 123456, tzinfo=UTC)
    assert "flags" not in row
    assert (row["event"], row["user"], row["command"]) == ("cron_command", "root", "/usr/bin/backup --all")


def test_a_source_that_is_no_address_is_flagged() -> None:
    row = one("2024-05-01T10:00:00Z web sshd[1]: Failed password for root from 035.249.253.232 port 5 ssh2")
    assert (row["source_ip"], row["flags"]) == ("035.249.253.232", "address_invalid")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_read_at_its_place(encoding: str) -> None:
    lines = [f"May  3 06:55:4{number} web sshd[242]: Invalid user ève from 192.0.2.7 port 4022" for number in range(4)]
    content = "\r\n".join(lines).encode(encoding)
    assert identify(content, READERS).format == "syslog"
    rows = read(SYSLOG_READER, content).rows
    assert [content[row["offset"] : row["offset"] + row["length"]].decode(encoding) for row in rows] == lines
    assert {row["user"] for row in rows} == {"ève"}


def test_rfc5424_structured_data_is_flattened() -> None:
    row = one('<34>1 2024-01-11T22:14:15.003Z h su 77 ID47 [ex@1 who="a\\"b" n="2"][o@2 x="y"] it failed')
    assert row["msgid"] == "ID47"
    assert row["message"] == "it failed"
    assert row["rest"] == '{"sd.ex@1.n":"2","sd.ex@1.who":"a\\"b","sd.o@2.x":"y"}'


def test_cisco_line_has_facility_severity_and_mnemonic() -> None:
    row = one("198.51.100.4 71: Feb 17 13:40:03.673: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: x]")
    assert row["product"] == "cisco"
    assert (row["program"], row["facility"], row["severity"]) == ("%SEC_LOGIN-4-LOGIN_FAILED", "SEC_LOGIN", "4")
    assert row["host"] == "198.51.100.4"
    assert row["time"].microsecond == 673000


def test_the_year_turns_with_the_lines_and_ends_at_the_files_date() -> None:
    content = b"".join(
        f"{day} 10:00:00 h p: x\n".encode() for day in ("Nov 30", "Dec 31", "Jan  1", "Dec 31", "Jan  2", "Jun 29")
    )
    reading = read(SYSLOG_READER, content)
    assert [row["time"].year for row in reading.rows] == [2023, 2023, 2024, 2023, 2024, 2024]
    assert any("inferred from the file's date (2024-06-30)" in note for note in reading.tally.notes)


def test_a_last_line_after_the_files_date_is_of_the_year_before() -> None:
    assert one("Dec 10 06:55:46 h p: x")["time"].year == 2023
    assert one("Feb 29 06:55:46 h p: x", dated=datetime(2023, 8, 1, tzinfo=UTC))["time"].year == 2020


def test_lines_that_do_not_parse_are_kept_whole() -> None:
    reading = read(SYSLOG_READER, b"May  1 10:00:00 h p: x\n\tat some.stack.Trace\n\nMay  1 10:00:01 h p: y\n")
    assert reading.tally.structure == 1
    assert reading.rows[1]["message"] == "\tat some.stack.Trace"
    assert reading.rows[1]["time"] is None
    assert reading.rows[1]["flags"] == "time_unreadable"


def test_repeated_messages_count_their_tries() -> None:
    line = "May  1 10:00:00 h sshd[1]: "
    last = "May  1 10:00:09 h last message repeated 3 times"
    tried = "Failed password for root from 192.0.2.1 port 5 ssh2"
    reading = read(
        SYSLOG_READER,
        f"{line}message repeated 5 times: [ {tried}]\n{line}{tried}\n{last}\n".encode(),
    )
    assert [row["repeated"] for row in reading.rows] == ["5", None, "3"]
    assert {row["ssh_event"] for row in reading.rows} == {"failed_password"}
    assert {row["source_ip"] for row in reading.rows} == {"192.0.2.1"}


@pytest.mark.parametrize(
    ("message", "event", "user", "address"),
    [
        (
            "Accepted publickey for al from 2001:db8::1 port 9 ssh2: RSA SHA256:abc",
            "accepted_publickey",
            "al",
            "2001:db8::1",
        ),
        ("Failed keyboard-interactive/pam for al from 192.0.2.1 port 9 ssh2", "failed_keyboard_interactive", "al", V4),
        (
            "Connection closed by authenticating user root 192.0.2.1 port 9 [preauth]",
            "connection_closed_preauth",
            "root",
            V4,
        ),
        ("Connection closed by 192.0.2.1 port 9", "connection_closed", None, V4),
        ("Disconnected from invalid user x y 192.0.2.1 port 9 [preauth]", "disconnected", "x y", V4),
        ("Received disconnect from 192.0.2.1: 11: Bye Bye [preauth]", "disconnected", None, V4),
        (
            "maximum authentication attempts exceeded for invalid user q from 192.0.2.1 port 3 ssh2 [preauth]",
            "max_attempts",
            "q",
            V4,
        ),
        ("Did not receive identification string from 192.0.2.1 port 3", "no_identification", None, V4),
        ("pam_unix(sshd:session): session opened for user al(uid=1000) by (uid=0)", "session_opened", "al", None),
    ],
)
def test_what_sshd_says(message: str, event: str, user: str | None, address: str | None) -> None:
    found = openssh.parse(message)
    assert (found["ssh_event"], found.get("user"), found.get("source_ip")) == (event, user, address)


def test_a_user_name_cannot_forge_the_source() -> None:
    found = openssh.parse("Failed password for invalid user x from 9.9.9.9 port 1 ssh2 from 192.0.2.1 port 7 ssh2")
    assert found["source_ip"] == "192.0.2.1"
    assert found["user"] == "x from 9.9.9.9 port 1 ssh2"


def test_sudo_commands_may_contain_the_separators() -> None:
    row = one("May  1 10:00:00 h sudo:  al : TTY=pts/0 ; PWD=/home/al ; USER=root ; COMMAND=/bin/sh -c 'a ; USER=x'")
    assert (row["user"], row["target_user"], row["command"]) == ("al", "root", "/bin/sh -c 'a ; USER=x'")


def test_recognition_is_careful() -> None:
    assert SYSLOG_READER.recognise(b"May  1 10:00:00 h p: x\n" * 3) >= 80
    assert SYSLOG_READER.recognise(b"2024-05-01T10:00:00Z INFO starting up\n" * 5) == 0
    assert SYSLOG_READER.recognise(b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 1\n') == 0
    assert SYSLOG_READER.recognise(b"[Sun Dec 04 04:47:44 2005] [error] x\n") == 0
    assert SYSLOG_READER.recognise(b'{"a": 1}\n') == 0


def test_odd_bytes_are_kept_and_flagged() -> None:
    row = read(SYSLOG_READER, b"May  1 10:00:00 h p: a\xff\x00b\n").rows[0]
    assert row["message"] == "a\\xff\\x00b"
    assert "encoding_replaced" in row["flags"]
    assert "nul_bytes" in row["flags"]


def test_sysmon_events_inside_syslog_have_their_own_table() -> None:
    content = f"May  1 10:00:00 h sysmon: {SYSMON}\nMay  1 10:00:00 h p: x\n".encode()
    first, second = read(SYSLOG_READER, content).rows
    assert (first["_table"], first["Image"], first["CommandLine"]) == ("linux_sysmon", "/bin/ls", "ls <a>")
    assert first["time"] == datetime(2024, 5, 1, 10, 0, 0, 500000, tzinfo=UTC)
    assert second["_table"] == "syslog"
    assert read(SYSMON_LINUX_READER, f"{SYSMON}\n".encode()).rows[0]["EventID"] == "1"


def test_entities_are_refused_in_events() -> None:
    assert parse(SYSMON.replace("ls &lt;a&gt;", "&x;")).__class__ is str
    bomb = f'<Event><!DOCTYPE a [<!ENTITY x "y">]>{SYSMON.removeprefix("<Event>")}'
    assert isinstance(parse(bomb), str)


def test_a_grown_log_knows_what_its_first_new_line_repeats() -> None:
    first = b"May  1 10:00:00 h sshd[1]: Failed password for root from 192.0.2.1 port 5 ssh2\n"
    last = b"May  1 10:00:09 h last message repeated 3 times\n"
    for old in (first, b"x" * 70_000 + b"\n" + first, first + last):
        whole = read(SYSLOG_READER, old + last).rows[-1]
        context = ReadContext("x", DATED, start_offset=len(old), start_record=old.count(b"\n") + 1)
        (rows, tally) = list(SYSLOG_READER.read(Bytes(old + last), context))
        assert isinstance(rows, Rows)
        assert isinstance(tally, Tally)
        (row,) = rows.batch.to_pylist()
        assert filled(row) == {name: value for name, value in filled(whole).items() if name != "_table"}
        assert (row["repeated"], row["ssh_event"], tally.records) == ("3", "failed_password", 1)


def test_the_real_sshd_log(shared_data: Path) -> None:
    reading = read(SYSLOG_READER, (shared_data / "linux" / "OpenSSH_2k.log").read_bytes())
    failed = [row for row in reading.rows if row["ssh_event"] == "failed_password"]
    assert reading.tally.records == 2000
    assert not reading.rejects
    assert sum(int(row.get("repeated") or 1) for row in failed) == 528
    assert sum(row["ssh_event"] == "accepted_password" for row in reading.rows) == 1
    assert all(row["time"] and row["source_ip"] for row in failed)


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from(
            [
                b"\n",
                b"May  1 10:00:00 h sshd[1]: ",
                b"<34>1 ",
                b"2024-13-01T00:00:00Z h p: ",
                b"%A-1-B: ",
                b"\x00",
                b"Failed password for ",
                b" from 1.1.1.1 port 1 ssh2",
                SYSMON.encode(),
                b"<Event>",
                b"</Event>",
                b'[a b="',
                b"sudo: x : ",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    assert 0 <= SYSLOG_READER.recognise(content) <= 100
    for spec in (SYSLOG_READER, SYSMON_LINUX_READER):
        reading = read(spec, content, limits=SMALL)
        for row in reading.rows:
            line = content[row["offset"] : row["offset"] + row["length"]]
            assert b"\n" not in line or utf16_of(content[:4]) is not None


def test_structured_data_of_too_many_fields_is_rejected_and_repeated_names_are_kept() -> None:
    head = b"<34>1 2024-05-01T10:00:00Z host app 1 id "
    content = head + b"[x" + b' a="b"' * 200_000 + b"] hello\n" + head + b'[x ip="1" ip="2" ip="3"] hello\n'
    reading = read(SYSLOG_READER, content)
    assert [(reject.record, reject.reason) for reject in reading.rejects] == [(1, "more than 4096 fields")]
    rest = json.loads(reading.rows[0]["rest"])
    assert (rest["sd.x.ip"], rest["sd.x.ip.2"], rest["sd.x.ip.3"]) == ("1", "2", "3")


def test_structured_data_takes_time_in_proportion_to_its_length() -> None:
    head = b"<34>1 2024-05-01T10:00:00Z host app 1 id "
    for body in (b"[x" * 3_000_000, b'[x a="' + b"\\" * 3_000_000, b"[x]" * 1_500_000, b'[x a="b' * 1_000_000):
        began = time.process_time()
        assert len(read(SYSLOG_READER, head + body).rows) == 1
        assert time.process_time() - began < 10


def years_of(*lines: str, dated: datetime) -> list[int | None]:
    rows = read(SYSLOG_READER, ("\n".join(lines) + "\n").encode(), dated=dated).rows
    return [row["time"].year if row["time"] else None for row in rows]


def test_a_leap_day_tells_the_year() -> None:
    dated = datetime(2027, 3, 10, tzinfo=UTC)
    lines = ("Feb 28 00:00:00 h a: x", "Feb 29 00:00:00 h a: x", "Mar  1 00:00:00 h a: x")
    assert years_of(*lines, dated=dated) == [2024, 2024, 2024]
    assert years_of(*lines, "Apr  1 00:00:00 h a: x", "Jan  3 00:00:00 h a: x", dated=dated) == [
        2024,
        2024,
        2024,
        2024,
        2025,
    ]
    assert years_of(lines[1], lines[0], dated=dated) == [2024, 2024]


@pytest.mark.parametrize("other", ["Jan  1 00:00:00", "Dec 31 1999 00:00:00 h a: x", "%A-1-B: Jan  1 00:00:00 h a: x"])
def test_lines_without_a_date_of_their_own_do_not_turn_the_year(other: str) -> None:
    lines = ("Nov  1 00:00:00 h a: x", other, "Nov  2 00:00:00 h a: x", "Dec  2 00:00:00 h a: x")
    years = years_of(*lines, dated=datetime(2024, 12, 10, tzinfo=UTC))
    assert (years[0], years[2], years[3]) == (2024, 2024, 2024)


def test_a_device_behind_a_relay_has_the_year_of_its_own_date() -> None:
    lines = (
        "Jan 30 00:00:00 rtr 12: *Dec  2 00:00:00.1: %SYS-5-X: b",
        "Jan 30 00:00:00 rtr 12: *Jan 29 00:00:00.1: %SYS-5-X: b",
        "2024-01-31T00:00:00Z rtr 12: *Dec 31 00:00:00.1: %SYS-5-X: b",
        "Feb  1 00:00:00 rtr 13: *Mar 12 00:00:00.1: %SYS-5-X: b",
    )
    assert years_of(*lines, dated=datetime(2024, 3, 10, tzinfo=UTC)) == [2023, 2024, 2023, 2023]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Jan 31", "Feb 28", "Mar  1", "Dec 31", "Feb 29"]),
            st.sampled_from(["00:00:00", "23:59:59", "23:59:60", "24:00:00", "12:00:00.5", "12:60:00"]),
        ),
        max_size=12,
    )
)
def test_times_do_not_depend_on_the_line_before(times: list[tuple[str, str]]) -> None:
    """The same line far from others of its day (with a line between) and beside them."""
    lines = [f"{day} {clock} h a: x" for day, clock in times]
    dated = datetime(2028, 12, 31, tzinfo=UTC)
    apart = [line for pair in zip(lines, ["no date"] * len(lines), strict=True) for line in pair]
    spaced = [row["time"] for row in read(SYSLOG_READER, "\n".join(apart).encode(), dated=dated).rows][::2]
    assert spaced == [row["time"] for row in read(SYSLOG_READER, "\n".join(lines).encode(), dated=dated).rows]


STAMPS = [
    *("May  1 10:00:00", "May  1 10:00:01", "May  1 23:59:60", "May  1 24:00:00", "Dec 31 23:59:59", "Feb 29 00:00:00"),
    *("2024-05-01T10:00:00.5+02:00", "2024-05-01 10:00:00,123456789", "2024-05-01T23:59:60Z", "2024-02-30T00:00:00Z"),
    *("1601-01-01T00:00:00Z", "1990-01-01T01:00:00+02:00", "1990-01-01T23:00:00+02:00", "2024-05-01T10:00:01.25-0530"),
    *("<34>May  1 10:00:00", "<191>2024-05-01T10:00:00Z", "<192>May  2 10:00:00", "<1921>May  2 10:00:00"),
]
HOSTS = ["web", "web.example", "h:", "[x]", "INFO", "INFORM", "h%1", "h\u00e9", "h " * 2, "a" * 256]
TAGS = [
    *("sshd[1]:", "sshd:", "sshd(pam_unix)[1]:", "sshd()[1]:", "CRON[2]:", "su 1.0[1]:", "pr\u00a0g:", "prog", "sudo:"),
    *("%ASA-6-302013:", "12: %SYS-5-CONFIG_I:", "kernel:"),
]
MESSAGES = [
    "Failed password for root from 192.0.2.1 port 5 ssh2",
    "Failed password for invalid user a b from 192.0.2.1 port 5",
    "Failed password for invalid user x from 192.0.2.9 port 1 ssh2 from 035.0.2.1 port 7 ssh2",
    "Accepted publickey for al from gate.example port 9 ssh2: RSA SHA256:abc",
    f"Failed password for {'u' * 5000} from 192.0.2.1 port 1 ssh2",
    "Failed password for u from 192.0.2.1 port \u0663 ssh2",
    *("Invalid user al from 192.0.2.1 port 5", "Invalid user a b from gate.example", "Invalid user  from 192.0.2.1"),
    *("Disconnected from 192.0.2.1 port 5", "Disconnected from invalid user al 192.0.2.1 port 5 [preauth]"),
    "Disconnected from authenticating user a 192.0.2.9 port 1 035.0.2.1 port 7",
    *("Connection closed by 035.0.2.1 port 5 [preauth]", "Connection reset by user al 192.0.2.1 port 5"),
    f"Connection reset by invalid user {'u' * 5000} 192.0.2.1 port 5 [preauth]",
    *("last message repeated 3 times", "message repeated 2 times: [ Failed none for al from 192.0.2.1 port 5 ssh2]"),
    *("(root) CMD (/bin/x)", "x : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh", "session opened for user al by (uid=0)"),
    *("", " ", "a\x00b", "\udcff", "\u2028\x85\x1c", "100 % done", "%SYS-5-CONFIG_I: done", SYSMON, "<Event>", "end\r"),
]
RFC5424 = [
    *("<38>1 2024-05-01T10:00:00.5Z", "1 2024-05-01T23:59:59+02:00", "<999>1 -", "<1921>1 2024-05-01T10:00:00Z"),
    *("1 2024-02-30 10:00:00", "<34>1 1601-01-01T00:00:00Z", "<34>2 2024-05-01T10:00:00Z"),
]
HEADERS = ["sshd 7 - -", "sshd-session - - -", "sshd 7 ID1 -", '- - - [a@1 b="c"]', "x%y - - -", "CRON 7 - ", "- 7 - -"]
WHOLE_LINES = ["", " \t", "\r", "\u2003", "\tat some.Trace", "May  1 10:00:00 h last message repeated 2 times"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(WHOLE_LINES)
        | st.builds(
            " ".join,
            st.tuples(*(st.sampled_from(some) for some in (STAMPS, ["web"] * 9 + HOSTS, TAGS, MESSAGES))),
        )
        | st.builds(
            " ".join,
            st.tuples(*(st.sampled_from(some) for some in (RFC5424, ["web", "-", "h\u00e9"], HEADERS, MESSAGES))),
        ),
        max_size=60,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 40),
)
def test_many_lines_at_once_mean_what_each_means_alone(lines: list[str], end: str, at_once: int) -> None:
    content = end.join(lines).encode("utf-8", "surrogateescape")
    with patch.object(syslog, "LINES_AT_ONCE", at_once):
        together = read(SYSLOG_READER, content, limits=SMALL)
    no_plain_line = lambda text: [("", "", "", "", "", "", "", line) for line in text.split("\n")]  # noqa: E731
    with patch.object(syslog, "plain_parts", no_plain_line), patch.object(syslog_lines, "_PLAIN", re.compile(r"(?!)")):
        alone = read(SYSLOG_READER, content, limits=SMALL)
    key = lambda row: row["record"]  # noqa: E731
    assert sorted(map(filled, together.rows), key=key) == sorted(map(filled, alone.rows), key=key)
    assert (together.rejects, together.tally) == (alone.rejects, alone.tally)


@given(
    st.lists(
        st.tuples(st.sampled_from(["<0>", "<38>", "<191>", "<86>"]), st.sampled_from(["Jan  2", "Jun 12", "Dec 30"])),
        min_size=1,
        max_size=40,
    )
)
def test_a_priority_before_a_line_does_not_change_its_year(lines: list[tuple[str, str]]) -> None:
    plain = [f"{day} 10:00:00 h a: y" for _, day in lines]
    times = [row["time"] for row in read(SYSLOG_READER, "\n".join(plain).encode()).rows]
    marked = [pri + line for (pri, _), line in zip(lines, plain, strict=True)]
    assert [row["time"] for row in read(SYSLOG_READER, "\n".join(marked).encode()).rows] == times


def test_lines_of_the_same_day_are_of_one_year_in_a_file_of_more_than_one_block() -> None:
    old = b"".join(b"Nov 30 10:00:%02d h a: %s\n" % (second, b"x" * 90_000) for second in range(60))
    years = [row["time"] for row in read(SYSLOG_READER, old + b"Jan  2 00:00:00 h a: y\n").rows]
    assert {time.year for time in years[:-1]} == {2023}
    assert years[-1] == datetime(2024, 1, 2, tzinfo=UTC)
    assert years[:-1] == sorted(years[:-1])
