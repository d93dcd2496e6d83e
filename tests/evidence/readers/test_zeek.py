"""Zeek logs, TSV and JSON: what a person may rely on, on small logs written here and on real ones."""

from __future__ import annotations

import gzip
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
from casemate.evidence.readers import zeek, zeek_json
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Tally
from casemate.evidence.readers.zeek import ZEEK_TSV
from casemate.evidence.readers.zeek_fields import TABLES, canonical_names, infer_path
from casemate.evidence.readers.zeek_json import ZEEK_JSON
from casemate.limits import Limits

HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{}\n#fields\t{}\n#types\t{}\n"
)
SSH = HEADER.format(
    "ssh",
    "ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tauth_success\tauth_attempts\tclient\tnew_field",
    "time\tstring\taddr\tport\taddr\tport\tbool\tcount\tstring\tset[string]",
)
FIRST = "1713740391.343651\tCabc\t203.0.113.9\t2163\t10.0.0.5\t22\tF\t3\tSSH-2.0-Go\ta,b\\x2cc,-\n"
SECOND = "1713740392.000000\tCdef\t203.0.113.9\t2164\t10.0.0.5\t22\t-\t0\t(empty)\t(empty)\n"


@dataclass(frozen=True)
class Bytes:
    """Evidence held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


def run(
    data: bytes | str, spec: ReaderSpec = ZEEK_TSV, path: str = "x.log", limits: Limits | None = None, start: int = 0
) -> tuple[list[dict], list[Reject], Tally]:
    """Records (with their table under ``table``), rejects and tally; checks what every reader owes."""
    data = data.encode() if isinstance(data, str) else data
    context = ReadContext(
        path=path,
        dated=datetime(2026, 1, 1, tzinfo=UTC),
        limits=limits or Limits(),
        start_offset=start,
        start_record=data[:start].count(b"\n") + 1,
    )
    rows, rejects, tallies = [], [], []
    columns = {table.name: {field.name for field in table.schema} for table in spec.tables}
    for item in spec.read(Bytes(data), context):
        if isinstance(item, Rows):
            item.batch.validate(full=True)
            assert set(item.batch.schema.names) <= columns[item.table]
            rows += [{"table": item.table, **row} for row in item.batch.to_pylist()]
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            tallies.append(item)
    (tally,) = tallies
    assert tally.records == len(rows) + len(rejects)
    numbers = [row["record"] for row in rows] + [reject.record for reject in rejects]
    assert len(set(numbers)) == len(numbers)
    return rows, rejects, tally


def test_fields_of_a_log_become_columns_and_unknown_ones_go_to_rest() -> None:
    rows, rejects, tally = run(SSH + FIRST + SECOND)
    assert not rejects
    assert tally == Tally(records=2, structure=7)
    first, second = rows
    assert first["table"] == "zeek_ssh"
    assert first["id.orig_h"] == "203.0.113.9"
    assert first["auth_success"] == "false"
    assert first["time"] == datetime(2024, 4, 21, 22, 59, 51, 343651, tzinfo=UTC)
    assert first["time_raw"] == first["ts"] == "1713740391.343651"
    assert json.loads(first["rest"]) == {"new_field": "a\nb,c\n"}
    assert second["auth_success"] is None
    assert second["client"] == ""
    assert json.loads(second["rest"]) == {"new_field": ""}


def test_every_record_can_be_cut_out_of_the_file_by_its_place() -> None:
    data = (SSH + FIRST + "\n" + SECOND + "broken\n" + FIRST).encode()
    rows, rejects, _ = run(data)
    lines = data.split(b"\n")
    for row in rows:
        assert data[row["offset"] :][: row["length"]] == lines[row["record"] - 1]
    (reject,) = rejects
    assert data[reject.offset :][: reject.length] == b"broken"
    assert reject.reason == "1 fields where the header names 10"


def test_a_second_header_changes_how_the_following_lines_are_read() -> None:
    other = HEADER.format("known_hosts", "host\tts", "addr\ttime") + "10.0.0.9\t1713740400.5\n"
    again = "#fields\tts\thost\tnote\n#types\ttime\taddr\tstring\n1713740401.0\t10.0.0.8\thello\n#close\tnow\n"
    rows, rejects, tally = run(SSH + FIRST + other + again)
    assert [row["table"] for row in rows] == ["zeek_ssh", "zeek_known_hosts", "zeek_known_hosts"]
    assert [row.get("host") for row in rows] == [None, "10.0.0.9", "10.0.0.8"]
    assert rows[2]["rest"] == '{"note":"hello"}'
    assert not rejects
    assert tally.structure == 7 + 7 + 3


def test_lines_before_any_header_are_rejected_never_guessed() -> None:
    rows, rejects, _ = run(FIRST + SSH + FIRST)
    assert [row["record"] for row in rows] == [9]
    assert [(reject.record, reject.reason) for reject in rejects] == [(1, "no #fields line stands before this line")]


@pytest.mark.parametrize(("written", "separator"), [("\\x09", "\t"), ("\\x2c", ","), ("|", "|"), ("\\x7c\\x7c", "||")])
def test_any_separator(written: str, separator: str) -> None:
    head = [
        "#set_separator\t;",
        "#empty_field\tEMPTY",
        "#unset_field\tNONE",
        "#path\tknown_hosts",
        "#fields\tts\thost",
        "#types\ttime\taddr",
    ]
    body = ["1713740391.000001\t::1", "1713740391.000002\tNONE", "1713740391.000003\tEMPTY"]
    text = f"#separator {written}\n" + "\n".join(head + body).replace("\t", separator) + "\n"
    rows, rejects, _ = run(text)
    assert not rejects
    assert [row["host"] for row in rows] == ["::1", None, ""]
    assert [row["time"].microsecond for row in rows] == [1, 2, 3]


def test_escapes_are_undone_and_bytes_that_are_no_text_stay_visible() -> None:
    head = HEADER.format("http", "ts\turi\tuser_agent", "time\tstring\tstring")
    rows, _, _ = run(
        (head + "1713740391.0\t/a\\x09b\\\\c\t\\xc3\\xa9 \\xff\\x00\\x1b[2J\n").encode()
        + b"1713740391.0\t/raw\xff\x00\r/\t\\x2d\n"
    )
    assert rows[0]["uri"] == "/a\tb\\c"
    assert rows[0]["user_agent"] == "é \\xff\\x00\\x1b[2J"
    assert rows[0]["flags"] == "encoding_replaced;nul_bytes"
    assert rows[1]["uri"] == "/raw\\xff\\x00\r/"
    assert rows[1]["user_agent"] == "-"
    assert rows[1]["flags"] == "encoding_replaced;nul_bytes"


@pytest.mark.parametrize(
    ("text", "year", "flags"),
    [
        ("1713740391.343651", 2024, None),
        ("1713740391343", 2024, None),
        ("915148800.000000", 1999, None),
        ("-11644473600.000000", None, "time_out_of_range"),
        ("16725225600.000000", None, "time_out_of_range"),
        ("1e400", None, "time_unreadable"),
        ("nan", None, "time_unreadable"),
        ("2024-04-21T22:59:51.343651Z", 2024, None),
        ("1601-01-01T00:00:00Z", None, "time_out_of_range"),
        ("2500-01-01T00:00:00Z", None, "time_out_of_range"),
        ("9" * 400, None, "time_unreadable"),
    ],
)
@pytest.mark.parametrize("form", ["tsv", "json"])
def test_impossible_times_are_flagged_and_their_text_is_kept(
    form: str, text: str, year: int | None, flags: str | None
) -> None:
    if form == "tsv":
        rows, _, _ = run(HEADER.format("known_hosts", "ts\thost", "time\taddr") + f"{text}\t10.0.0.1\n")
    else:
        record = {"_path": "known_hosts", "ts": text, "host": "10.0.0.1"}
        rows, _, _ = run(json.dumps(record, separators=(",", ":")), ZEEK_JSON)
    (row,) = rows
    assert row["time_raw"] == text
    assert (row["time"].year if row["time"] else None) == year
    assert row["flags"] == flags


@pytest.mark.parametrize("form", ["tsv", "json"])
def test_an_address_that_is_none_is_flagged(form: str) -> None:
    addresses = ["10.0.0.1", "035.249.253.232", "2001:db8::1", "10.0.0.999"]
    if form == "tsv":
        body = "".join(f"1713740391.0\t{address}\n" for address in addresses)
        rows, _, _ = run(HEADER.format("known_hosts", "ts\thost", "time\taddr") + body)
    else:
        lines = [json.dumps({"_path": "known_hosts", "ts": 1713740391.5, "host": item}) for item in addresses]
        rows, _, _ = run("\n".join(lines), ZEEK_JSON)
    assert [row["host"] for row in rows] == addresses
    assert [row["flags"] for row in rows] == [None, "address_invalid", None, "address_invalid"]


def test_a_cut_last_line_is_rejected_or_noted() -> None:
    _, rejects, _ = run(SSH + FIRST + SECOND[:40])
    assert [reject.record for reject in rejects] == [9]
    rows, rejects, tally = run(SSH + FIRST + SECOND[:-5])
    assert len(rows) == 2
    assert not rejects
    assert "no line end" in tally.notes[0]


def test_a_log_without_types_or_path_is_read_and_said_so() -> None:
    rows, _, tally = run("#fields\tts\tuid\tid.orig_h\tconn_state\thistory\n1713740391.0\tC1\t10.0.0.300\tS0\tS\n")
    assert rows[0]["table"] == "zeek_conn"
    assert rows[0]["flags"] == "address_invalid"
    assert any("read as conn" in note for note in tally.notes)


def test_a_log_of_no_table_of_its_own_keeps_its_name_and_fields() -> None:
    rows, _, _ = run(
        HEADER.format("bacnet", "ts\tuid\tpdu_service", "time\tstring\tstring") + "1713740391.0\tC1\twho\n"
    )
    assert (rows[0]["table"], rows[0]["_path"], rows[0]["rest"]) == ("zeek_other", "bacnet", '{"pdu_service":"who"}')


def test_a_header_with_a_doubled_field_is_refused() -> None:
    rows, rejects, _ = run("#separator \\x09\n#path\tconn\n#fields\tts\tuid\tuid\n1\t2\t3\n")
    assert not rows
    assert rejects[0].reason == "the header names a field twice or not at all"


def test_a_line_over_the_limit_is_rejected_with_its_place() -> None:
    long_line = "1713740391.0\t" + "a" * 5_000
    head = HEADER.format("known_hosts", "ts\thost", "time\taddr")
    rows, rejects, tally = run(head + long_line + "\n1713740391.0\t::1\n", limits=Limits(line_bytes=1_000))
    assert [row["record"] for row in rows] == [9]
    assert (rejects[0].record, rejects[0].offset, rejects[0].length) == (8, len(head), len(long_line))
    assert tally.records == 2


def test_a_grown_log_is_read_on_with_the_header_in_force() -> None:
    old, new = SSH + FIRST + "#fields\tts\thost\n#path\tknown_hosts\n", "1713740391.0\t10.0.0.1\n"
    rows, rejects, tally = run(old + new, start=len(old))
    assert not rejects
    assert [(row["record"], row["table"], row["host"], row["offset"]) for row in rows] == [
        (11, "zeek_known_hosts", "10.0.0.1", len(old))
    ]
    assert tally.records == 1
    assert tally.structure == 0


@given(cut=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_reading_in_two_parts_gives_the_rows_of_reading_at_once(cut: int) -> None:
    data = SSH + FIRST + SECOND + "\n" + HEADER.format("known_hosts", "ts\thost", "time\taddr") + "1.5\t::1\nx\n"
    ends = [index + 1 for index, char in enumerate(data) if char == "\n"]
    start = max((end for end in ends if end <= cut), default=0)
    whole, whole_rejects, _ = run(data)
    rows, rejects, tally = run(data, start=start)
    assert rows == [row for row in whole if row["offset"] >= start]
    assert rejects == [reject for reject in whole_rejects if reject.offset >= start]
    assert tally.records + tally.structure == data[start:].count("\n")


def test_json_of_several_logs_in_one_file() -> None:
    records = [
        {"_path": "conn", "ts": 1588205199.82437, "uid": "C1", "id.orig_h": "10.0.1.6", "orig_bytes": 39},
        {"@stream": "conn", "@system": "sensor", "ts": 1588205199, "id_orig_h": "10.0.1.6", "orig_bytes": 39},
        {"_path": "ssh", "ts": "2018-03-24T17:15:21.258458Z", "auth_success": False, "id": {"orig_h": "10.0.1.7"}},
        {"_path": "bacnet", "ts": 1588205199.5, "note": {"a": [1, 2]}},
        {"_path": "dns", "ts": 1588205199.5, "answers": ["a", "b"], "AA": True, "rejected": None},
    ]
    rows, rejects, _ = run("".join(json.dumps(record) + "\n" for record in records), ZEEK_JSON)
    assert not rejects
    by_record = {row["record"]: row for row in rows}
    assert [by_record[number]["table"] for number in range(1, 6)] == [
        "zeek_conn", "zeek_conn", "zeek_ssh", "zeek_other", "zeek_dns",
    ]  # fmt: skip
    assert by_record[1]["time"] == datetime(2020, 4, 30, 0, 6, 39, 824370, tzinfo=UTC)
    assert (by_record[2]["id.orig_h"], by_record[2]["_system_name"]) == ("10.0.1.6", "sensor")
    assert (by_record[3]["id.orig_h"], by_record[3]["auth_success"]) == ("10.0.1.7", "false")
    assert by_record[3]["time"] == datetime(2018, 3, 24, 17, 15, 21, 258458, tzinfo=UTC)
    assert (by_record[4]["_path"], by_record[4]["rest"]) == ("bacnet", '{"note.a":[1,2]}')
    assert (by_record[5]["answers"], by_record[5]["AA"]) == ("a\nb", "true")


def test_json_without_a_logs_name_is_placed_by_its_fields_and_said_so() -> None:
    record = {"ts": 1.5e9, "uid": "C1", "id.orig_h": "::1", "conn_state": "S0", "history": "S", "missed_bytes": 0}
    rows, _, tally = run(json.dumps(record), ZEEK_JSON)
    assert rows[0]["table"] == "zeek_conn"
    assert tally.notes == ("records without a log's name were read as conn by their fields",)


@pytest.mark.parametrize(
    "line",
    ['{"_path":"conn","ts":1,"ts":2}', '{"_path":"conn","uid":"\\ud800"}', '{"_path":"conn"', "[1]", "nan", "{}x"],
)
def test_json_that_parsers_read_differently_is_rejected(line: str) -> None:
    good = '{"_path":"conn","ts":1588205199.5}'
    rows, rejects, _ = run(f"{good}\n{line}\n{good}\n", ZEEK_JSON)
    assert [row["record"] for row in rows] == [1, 3]
    assert [reject.record for reject in rejects] == [2]


@pytest.mark.parametrize(("spec", "sample"), [(ZEEK_TSV, SSH + FIRST + SECOND), (ZEEK_JSON, '{"_path":"x","ts":1}\n')])
def test_any_bytes_are_read_without_loss(spec: ReaderSpec, sample: str) -> None:
    pieces = st.sampled_from(
        [sample.encode(), b"#fields\tts\ta\n", b"#separator \\x2c\n", b"#types\ttime\taddr\n", b"\t", b"\n", b"\r\n",
         b"#", b"\xff", b"\x00", b"\xef\xbb\xbf", b"1e400", b'{"_path":', b'"', b"(empty)", b"\\x", b"-",
         b"1.5\t035.1.1.1\n"]
    )  # fmt: skip

    @given(st.lists(st.one_of(pieces, st.binary(max_size=20)), max_size=12).map(b"".join))
    @settings(max_examples=150, deadline=None)
    def check(data: bytes) -> None:
        assert 0 <= spec.recognise(data) <= 100
        rows, rejects, tally = run(data, spec, limits=Limits(line_bytes=300))
        for offset, length in [(r["offset"], r["length"]) for r in rows] + [(r.offset, r.length) for r in rejects]:
            assert b"\n" not in data[offset : offset + length] or utf16_of(data[:4]) is not None
        if utf16_of(data[:4]) is None:
            body = data.removeprefix(b"\xef\xbb\xbf")
            assert tally.records + tally.structure == body.count(b"\n") + (body != b"" and not body.endswith(b"\n"))

    check()


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12), st.booleans()
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_what_zeeks_writer_escapes_is_read_back(values: list[tuple[str, bool]]) -> None:
    def written(text: str) -> str:
        if text == "":
            return "(empty)"
        escaped = "".join(
            "\\\\" if char == "\\" else char if char.isprintable() else "".join(f"\\x{b:02x}" for b in char.encode())
            for char in text
        )
        return f"\\x{ord(escaped[0]):02x}{escaped[1:]}" if escaped in ("-", "(empty)") else escaped

    head = HEADER.format("http", "ts\turi\treferrer", "time\tstring\tstring")
    lines = [f"1713740391.0\t{written(text)}\t{'-' if unset else 'x'}\n" for text, unset in values]
    rows, rejects, _ = run(head + "".join(lines))
    assert not rejects
    controls = {code: f"\\x{code:02x}" for code in range(32) if chr(code) not in "\t\n\r"}
    assert [row["uri"] for row in rows] == [text.translate(controls) for text, _ in values]
    assert [row["referrer"] for row in rows] == [None if unset else "x" for _, unset in values]


def test_names_with_underscores_for_dots() -> None:
    names = canonical_names(TABLES["conn"], ("id_orig_h", "@system", "orig_bytes", "x_y"))
    assert names == ("id.orig_h", "_system_name", "orig_bytes", "x_y")
    assert canonical_names(TABLES["conn"], ("id_orig_h", "id.orig_h")) == ("id_orig_h", "id.orig_h")


@pytest.mark.parametrize(
    "path", ["conn", "dns", "http", "ssl", "ssh", "files", "x509", "ntlm", "kerberos", "smb_files"]
)
def test_a_log_is_known_by_its_own_fields(path: str) -> None:
    assert infer_path(TABLES[path].columns) == path


def test_logs_of_one_name_but_foreign_fields_are_not_recognised() -> None:
    assert zeek_json.recognise(b'{"EventID":1,"Message":"x"}\n') == 0
    assert zeek_json.recognise(b'{"timestamp":"2024-01-01T00:00:00Z","event_type":"dns","src_ip":"10.0.0.1"}\n') == 0
    assert zeek.recognise(b"# a comment\nhello\n") == 0


def test_real_logs_in_both_forms_say_the_same(shared_data: Path) -> None:
    for log, records in {"rdp": 4_122, "ntlm": 422, "software": 376, "smtp": 1_188, "ssh": 22}.items():
        folder = shared_data / "zeek" / "wrccdc"
        tsv, _, _ = run(gzip.decompress((folder / "zeek-default" / f"{log}.log.gz").read_bytes()))
        js, _, _ = run(gzip.decompress((folder / "zeek-json" / f"{log}.json.gz").read_bytes()), ZEEK_JSON)
        own = set(TABLES[log].columns) - {"ts", "_write_ts"}
        assert len(tsv) == len(js) == records
        for one, other in zip(tsv, js, strict=True):
            assert {name: one.get(name) for name in own} == {name: other.get(name) for name in own}


def test_real_logs_of_a_server_facing_the_internet(shared_data: Path) -> None:
    days = sorted((shared_data / "zeek" / "rolling-hourly").glob("*/conn.*.gz"))
    records = 0
    for path in days[::12]:
        data = gzip.decompress(path.read_bytes())
        rows, rejects, tally = run(data)
        assert not rejects
        assert tally.records + tally.structure == data.count(b"\n")
        assert all(row["time"] and row["id.resp_h"] for row in rows)
        records += len(rows)
    assert records > 5_000


def test_a_log_that_names_itself_twice_is_rejected_also_on_the_quick_way() -> None:
    good = '{"_path":"conn","ts":1588205199.5,"uid":"C1"}'
    twice = '{"_path":"conn","ts":1588205199.5,"_path":"ssh"}'
    hidden = '{"_path":"conn","ts":1588205199.5,"\\u005fpath":"ssh"}'
    for odd in (twice, hidden):
        rows, rejects, _ = run(f"{good}\n{odd}\n{good}\n", ZEEK_JSON)
        assert [(row["table"], row["record"], row.get("rest")) for row in rows] == [
            ("zeek_conn", 1, None), ("zeek_conn", 3, None),
        ]  # fmt: skip
        assert [reject.record for reject in rejects] == [2]
    rows, _, _ = run(f"{good}\n{good}\n", ZEEK_JSON)
    assert [(row["offset"], row["length"]) for row in rows] == [(0, len(good)), (len(good) + 1, len(good))]


@pytest.mark.timeout(60)
def test_headers_that_change_at_every_line_are_read_in_time_and_within_a_limit() -> None:
    pair = "#path\tdns\n1713740391.0\tC1\n\n#path\tssh\n1713740392.0\tC2\n# a comment\n"
    rows, rejects, tally = run("#fields\tts\tuid\n" + pair * 5_000)
    assert not rejects
    assert (len(rows), tally.structure) == (10_000, 20_001)
    assert {(row["table"], row["uid"]) for row in rows} == {("zeek_dns", "C1"), ("zeek_ssh", "C2")}
    every = "".join(f"#path\tx{number}\n1713740391.0\tC1\n" for number in range(zeek.MOST_HEADERS + 5))
    rows, rejects, _ = run("#fields\tts\tuid\n" + every)
    assert len(rows) == zeek.MOST_HEADERS
    assert {reject.reason for reject in rejects} == {"the file has more than 1,000 different headers"}
