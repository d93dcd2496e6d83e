"""Access and error logs of web servers: forms met in the wild, and what attackers send."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.lines import utf16_of
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Tally
from casemate.evidence.readers.web_access import WEB_ACCESS_TEXT
from casemate.evidence.readers.web_access_json import WEB_ACCESS_JSON
from casemate.evidence.readers.web_error import WEB_ERROR_TEXT
from casemate.limits import Limits

WHEN = "[21/Apr/2024:22:59:51 +0200]"
COMBINED = f'203.0.113.9 - alice {WHEN} "GET /a/b?x=1&y=2 HTTP/1.1" 200 512 "https://example.org/" "curl/8.0"'


@dataclass(frozen=True)
class Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


def run(
    data: bytes | str, spec: ReaderSpec = WEB_ACCESS_TEXT, limits: Limits | None = None
) -> tuple[list[dict], list[Reject], Tally]:
    data = data.encode() if isinstance(data, str) else data
    context = ReadContext(path="access.log", dated=datetime(2026, 1, 1, tzinfo=UTC), limits=limits or Limits())
    rows, rejects, tallies = [], [], []
    for item in spec.read(Bytes(data), context):
        if isinstance(item, Rows):
            item.batch.validate(full=True)
            assert set(item.batch.schema.names) <= set(spec.tables[0].schema.names)
            rows += item.batch.to_pylist()
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            tallies.append(item)
    (tally,) = tallies
    assert tally.records == len(rows) + len(rejects)
    return rows, rejects, tally


def one(line: str | bytes, spec: ReaderSpec = WEB_ACCESS_TEXT) -> dict:
    rows, rejects, _ = run(line, spec)
    assert not rejects
    return {name: value for name, value in rows[0].items() if value is not None}


def test_combined_line() -> None:
    row = one(COMBINED)
    assert row == {
        "record": 1,
        "offset": 0,
        "length": len(COMBINED),
        "time": datetime(2024, 4, 21, 20, 59, 51, tzinfo=UTC),
        "time_raw": "21/Apr/2024:22:59:51 +0200",
        "client_ip": "203.0.113.9",
        "user": "alice",
        "method": "GET",
        "target": "/a/b?x=1&y=2",
        "path": "/a/b",
        "query": "x=1&y=2",
        "protocol": "HTTP/1.1",
        "status": "200",
        "bytes": "512",
        "referer": "https://example.org/",
        "user_agent": "curl/8.0",
        "request": "GET /a/b?x=1&y=2 HTTP/1.1",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'::1 - - {WHEN} "GET / HTTP/1.0" 304 -', {"client_ip": "::1", "status": "304", "bytes": None}),
        (f'shop.example:8443 {COMBINED}', {"host": "shop.example", "server_port": "8443", "client_ip": "203.0.113.9"}),
        (f'192.0.2.1:80 {COMBINED}', {"host": "192.0.2.1", "server_port": "80", "client_ip": "203.0.113.9"}),
        (f'h.example - bob smith {WHEN} "GET / HTTP/1.1" 200 1', {"client_ip": "h.example", "user": "bob smith"}),
        (f'{COMBINED} 0.123 0.120', {"extra": "0.123 0.120", "user_agent": "curl/8.0"}),
        (f'{COMBINED} "198.51.100.7, 10.0.0.1" rt=0.5', {"forwarded_for": "198.51.100.7, 10.0.0.1"}),
        (f'198.51.100.7, 10.0.0.1 - - {WHEN} "GET / HTTP/1.1" 200 1', {"client_ip": "198.51.100.7",
                                                                        "forwarded_for": "198.51.100.7, 10.0.0.1"}),
        (COMBINED.replace(WHEN, "[2024-04-21T20:59:51+00:00]"), {"status": "200", "flags": None}),
        (COMBINED.replace(" +0200", ""), {"flags": "zone_assumed_utc"}),
        (COMBINED.replace("GET /a/b?x=1&y=2", "GET http://other.example/p?q"), {"host": "other.example", "path": "/p"}),
        (COMBINED.replace("GET /a/b?x=1&y=2", "CONNECT other.example:443"), {"host": "other.example:443"}),
        (COMBINED.replace("GET /a/b?x=1&y=2", "GET /a b c"), {"target": "/a b c", "protocol": "HTTP/1.1"}),
    ],
)  # fmt: skip
def test_forms_of_lines(line: str, expected: dict[str, str | None]) -> None:
    row = one(line)
    assert {name: row.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "request_line",
    [
        r"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "-",
        "",
        "SSH-2.0-Go",
        r"MGLNDD_192.0.2.1_80\n",
        r"\"\"\\\" 200 5",
        "\\x03\\x00\\x00/*\\xE0\\x00\\x00\\x00\\x00\\x00Cookie: mstshash=Administr",
        'x" y "z',
    ],
)
def test_requests_that_are_none_are_kept_without_a_method(request_line: str) -> None:
    row = one(f'203.0.113.9 - - {WHEN} "{request_line}" 400 166 "-" "-"')
    assert "method" not in row
    assert "target" not in row
    assert row["status"] == "400"
    assert row.get("request") == (None if request_line in ("", "-") else request_line)


def test_quotes_that_nobody_escaped() -> None:
    row = one(f'203.0.113.9 - - {WHEN} "GET /?q="a" HTTP/1.1" 200 5 "-" "x "y" z"')
    assert (row["target"], row["user_agent"]) == ('/?q="a"', 'x "y" z')


def test_bytes_that_are_no_text_and_bad_addresses_are_flagged() -> None:
    row = one(f'035.249.253.232 - - {WHEN} "GET /\xff\x00 HTTP/1.1" 200 5'.encode("latin-1"))
    assert row["target"] == "/\\xff\\x00"
    assert row["client_ip"] == "035.249.253.232"
    assert row["flags"] == "address_invalid;encoding_replaced;nul_bytes"


@pytest.mark.parametrize(
    ("when", "flags"),
    [
        ("01/Jan/1601:00:00:00 +0000", "time_out_of_range"),
        ("01/Jan/2500:00:00:00 +0000", "time_out_of_range"),
        ("31/Feb/2024:00:00:00 +0000", "time_unreadable"),
        ("01/Foo/2024:00:00:00 +0000", "time_unreadable"),
        ("01/Jan/2024:00:00:00 +9999", "time_unreadable"),
    ],
)
def test_impossible_times(when: str, flags: str) -> None:
    row = one(COMBINED.replace(WHEN, f"[{when}]"))
    assert (row.get("time"), row["time_raw"], row["flags"]) == (None, when, flags)


def test_other_lines_are_rejected_with_their_place() -> None:
    rows, rejects, tally = run(f"{COMBINED}\n\nhello world\n{COMBINED}\n", limits=Limits(line_bytes=500))
    assert [row["record"] for row in rows] == [1, 4]
    assert [(reject.record, reject.offset, reject.length) for reject in rejects] == [(3, len(COMBINED) + 2, 11)]
    assert tally.structure == 1
    _, rejects, _ = run(f"{'a' * 600}\n{COMBINED}\n", limits=Limits(line_bytes=500))
    assert rejects[0].reason == "line of 600 bytes is over the limit of 500"


NGINX = {
    "time_iso8601": "2024-04-21T20:59:51+00:00",
    "remote_addr": "203.0.113.9",
    "request": "POST /login?a=b HTTP/2.0",
    "status": "401",
    "body_bytes_sent": "5",
    "http_user_agent": "x",
    "host": "a.example",
    "request_time": "0.1",
}
CADDY = {
    "level": "info",
    "ts": 1713733191.5,
    "logger": "http.log.access",
    "status": 200,
    "size": 10,
    "request": {
        "remote_ip": "203.0.113.9",
        "client_ip": "203.0.113.9",
        "method": "GET",
        "host": "a.example",
        "uri": "/x?y",
        "proto": "HTTP/2.0",
        "headers": {"User-Agent": ["x"], "Referer": ["https://r.example/"]},
    },
}
TRAEFIK = {"ClientHost": "203.0.113.9", "ClientAddr": "203.0.113.9:5", "DownstreamStatus": 404,
           "DownstreamContentSize": 3, "RequestMethod": "GET", "RequestPath": "/x?y", "RequestHost": "a.example",
           "RequestProtocol": "HTTP/1.1", "time": "2024-04-21T20:59:51Z", "request_User-Agent": "x"}  # fmt: skip


APACHE = {"time": "[21/Apr/2024:22:59:51 +0200]", "remoteIP": "203.0.113.9", "host": "a.example", "request": "/x",
          "query": "?y", "method": "GET", "status": "200", "userAgent": "x", "referer": "-"}  # fmt: skip
ECS = {
    "@timestamp": "2024-04-21T20:59:51Z",
    "source": {"ip": "203.0.113.9"},
    "http": {"request": {"method": "GET"}, "response": {"status_code": 404}},
    "url": {"path": "/x", "query": "y", "domain": "a.example"},
    "user_agent": {"original": "x"},
}


@pytest.mark.parametrize(
    ("record", "method", "path", "query", "status"),
    [
        (NGINX, "POST", "/login", "a=b", "401"),
        (CADDY, "GET", "/x", "y", "200"),
        (TRAEFIK, "GET", "/x", "y", "404"),
        (APACHE, "GET", "/x", "y", "200"),
        (ECS, "GET", "/x", "y", "404"),
    ],
)
def test_json_access_logs(record: dict, method: str, path: str, query: str, status: str) -> None:
    line = json.dumps(record)
    assert WEB_ACCESS_JSON.recognise(line.encode() + b"\n") == 75
    row = one(line, WEB_ACCESS_JSON)
    assert (row["method"], row["path"], row["query"], row["status"]) == (method, path, query, status)
    assert (row["client_ip"], row["host"], row["user_agent"]) == ("203.0.113.9", "a.example", "x")
    assert row["time"].replace(microsecond=0) == datetime(2024, 4, 21, 20, 59, 51, tzinfo=UTC)
    assert "flags" not in row


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[Sun Dec 04 04:47:44 2005] [notice] LDAP: Built with OpenLDAP", {"level": "notice", "client_ip": None}),
        ("[Sun Dec 04 05:15:09 2005] [error] [client 222.166.160.184] Directory index forbidden by rule: /x/",
         {"level": "error", "client_ip": "222.166.160.184", "message": "Directory index forbidden by rule: /x/"}),
        ("[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187:53912] "
         "AH00126: Invalid URI in request GET /../../etc/passwd HTTP/1.1, referer: http://r.example/",
         {"module": "core", "pid": "35708", "tid": "4328636416", "client_ip": "72.15.99.187", "client_port": "53912",
          "code": "AH00126", "referer": "http://r.example/"}),
        ("[Fri Sep 09 10:42:29 2011] [error] [client 2001:db8::1] x", {"client_ip": "2001:db8::1"}),
        ("[Fri Sep 09 10:42:29 2011] [:error] [pid 7] [client 035.1.1.1:9] x",
         {"client_ip": "035.1.1.1", "flags": "address_invalid;zone_assumed_utc", "module": None, "pid": "7"}),
        ('2024/04/21 22:59:51 [error] 12#34: *5 open() "/x" failed (2: No such file or directory), client: 192.0.2.1, '
         'server: a.example, request: "GET /x HTTP/1.1", host: "a.example"',
         {"level": "error", "pid": "12", "client_ip": "192.0.2.1", "request": "GET /x HTTP/1.1", "host": "a.example"}),
        ("sh: 1: curl: not found", {"message": "sh: 1: curl: not found", "time": None, "flags": None}),
    ],
)  # fmt: skip
def test_error_logs(line: str, expected: dict[str, str | None]) -> None:
    row = one(line, WEB_ERROR_TEXT)
    assert {name: row.get(name) for name in expected} == expected
    assert "time" not in row or "zone_assumed_utc" in row["flags"]


def test_what_is_recognised() -> None:
    access, error = (COMBINED + "\n").encode() * 3, b"[Sun Dec 04 04:47:44 2005] [notice] x\n" * 3
    assert (WEB_ACCESS_TEXT.recognise(access), WEB_ACCESS_TEXT.recognise(error)) == (90, 0)
    assert (WEB_ERROR_TEXT.recognise(access), WEB_ERROR_TEXT.recognise(error)) == (0, 90)
    assert WEB_ACCESS_JSON.recognise(b'{"timestamp":"2024-01-01","event_type":"dns","src_ip":"10.0.0.1"}\n') == 0


def test_real_apache_error_log(shared_data: Path) -> None:
    data = (shared_data / "linux" / "Apache_2k.log").read_bytes()
    rows, rejects, tally = run(data, WEB_ERROR_TEXT)
    assert (len(rows), rejects) == (2_000, [])
    assert all(row["time"] and row["level"] for row in rows)
    assert tally.notes == ("times in this log carry no zone; UTC was assumed",)


PIECES = st.sampled_from(
    [COMBINED.encode(), (COMBINED + "\n").encode(), json.dumps(CADDY).encode(), b"[Sun Dec 04 04:47:44 2005] [error] ",
     b"[client ", WHEN.encode(), b'"', b'" 200 5', b"\\", b" ", b"\n", b"\r\n", b"\xff", b"\x00", b"[", b"1e400"]
)  # fmt: skip


@pytest.mark.parametrize("spec", [WEB_ACCESS_TEXT, WEB_ERROR_TEXT, WEB_ACCESS_JSON], ids=lambda spec: spec.format)
def test_any_bytes_are_read_without_loss(spec: ReaderSpec) -> None:
    @given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=12).map(b"".join))
    @settings(max_examples=120, deadline=None)
    def check(data: bytes) -> None:
        assert 0 <= spec.recognise(data) <= 100
        rows, rejects, tally = run(data, spec, Limits(line_bytes=400))
        if utf16_of(data[:4]) is None:
            body = data.removeprefix(b"\xef\xbb\xbf")
            assert tally.records + tally.structure == body.count(b"\n") + (body != b"" and not body.endswith(b"\n"))
            for offset, length in [(r["offset"], r["length"]) for r in rows] + [(r.offset, r.length) for r in rejects]:
                assert b"\n" not in data[offset : offset + length]

    check()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line",
    [
        '[01/Jan/2024:00:00:00] "' * 100_000,
        f'1.1.1.1 - - {WHEN} "' + '" 200 5 ' * 300_000,
        f'1.1.1.1 - - {WHEN} "GET / HTTP/1.1" 200 5 ' + '"a" "b' * 300_000,
        f'1.1.1.1 - - {WHEN} "GET' + " " * 2_000_000 + '" 200 5',
        "[Sun Dec 04 04:47:44 2005] [error] " + ', request: "' * 200_000,
        "2024/01/01 00:00:00 [error] 1#1: " + ', host: "' * 200_000,
    ],
    ids=["times", "statuses", "tails", "spaces", "requests", "hosts"],
)
def test_a_line_made_to_be_slow_is_read_in_time(line: str) -> None:
    for spec in (WEB_ACCESS_TEXT, WEB_ERROR_TEXT):
        run(line, spec)
