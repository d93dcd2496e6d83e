"""Lines of JSON become rows with exact places; what parsers disagree about is rejected or flagged."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.json_rows import read_json
from casemate.limits import Limits
from casemate.schema.native import NativeTable

TABLE = NativeTable("sample", ("name", "count"))


class Content:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def arrange(keys: Keys) -> Arrangement:
    targets = tuple(key if key in TABLE.columns else None for key in keys)
    return Arrangement(TABLE.name, targets, tuple(place for place, key in enumerate(keys) if key == "time"))


def read(data: bytes, limits: Limits = Limits(), **options: Any) -> tuple[list[dict[str, Any]], list[Reject], Tally]:  # noqa: B008
    context = ReadContext("sample.json", datetime(2024, 1, 1, tzinfo=UTC), limits)
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    tally = None
    for item in read_json(Content(data), context, (TABLE,), arrange, **options):
        if isinstance(item, Rows):
            rows.extend(item.batch.to_pylist())
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            assert tally is None
            tally = item
    assert tally is not None
    assert tally.records == len(rows) + len(rejects)
    return rows, rejects, tally


def rest(row: dict[str, Any]) -> dict[str, Any]:
    return json.loads(row["rest"]) if row.get("rest") else {}


def test_values_are_text_as_recorded_and_places_are_exact() -> None:
    first = b'{"name":"a","count":1,"x":true,"time":"2024-05-06T07:08:09.1234567Z"}'
    data = first + b'\r\n\n{"name":null,"count":1.50,"y":[1,"b"]}'
    rows, rejects, tally = read(data)
    assert not rejects
    assert tally.structure == 1
    assert [row["name"] for row in rows] == ["a", None]
    assert [row["count"] for row in rows] == ["1", "1.50"]
    assert rest(rows[0]) == {"x": "true"}
    assert rest(rows[1]) == {"y": [1, "b"]}
    assert rows[0]["time"] == datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
    assert rows[0]["time_raw"] == "2024-05-06T07:08:09.1234567Z"
    assert rows[1]["flags"] == "number_rewritten"
    places = [data[row["offset"] : row["offset"] + row["length"]] for row in rows]
    assert places == [data.split(b"\r\n")[0], data.split(b"\n")[-1]]
    assert [row["record"] for row in rows] == [1, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"name":"a","name":"b"}', "stands twice"),
        (b'{"x":{"a":1,"a":1}}', "stands twice"),
        (b'{"name":"\\ud800"}', "surrogate"),
        (b'{"name":NaN}', "not JSON"),
        (b'{"name":1e400}', "infinity"),
        (b'{"name":"a"', "not JSON"),
        (b'["name"]', "not a JSON object"),
        (b'"name"', "not a JSON object"),
        (b'{"x":' * 70 + b"1" + b"}" * 70, "nested deeper"),
        (b'{"x":' + b"[" * 70 + b"]" * 70 + b"}", "nested deeper"),
        (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, "n"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(10_000)) + b"}", "more than 4096 fields"),
        (b'{"a":{' + b",".join(b'"k%d":1' % n for n in range(10_000)) + b"}}", "more than 4096 fields"),
        (b'{"name":"' + b"x" * 200_000 + b'"}', "over the limit"),
        (b'{"name":"a\x00b"}', "not JSON"),
        (b"\x00\x01binary", "not JSON"),
    ],
)
def test_a_line_that_parsers_disagree_about_is_rejected_with_its_place(line: bytes, reason: str) -> None:
    good = b'{"name":"good"}'
    limits = Limits(line_bytes=len(line) - 1) if reason == "over the limit" else Limits()
    rows, rejects, _ = read(good + b"\n" + line + b"\n" + good, limits)
    assert [row["name"] for row in rows] == ["good", "good"]
    assert [row["record"] for row in rows] == [1, 3]
    assert [(r.record, r.offset, r.length) for r in rejects] == [(2, len(good) + 1, len(line))]
    assert reason in rejects[0].reason


@pytest.mark.parametrize(
    ("line", "name", "flags"),
    [
        (b'{"name":"\\/\\u00e9\\u0041"}', "/\u00e9A", None),
        (b' {"name" : "a" } ', "a", None),
        (b'{"name":"a\\u0000b"}', "a\\x00b", "nul_bytes"),
        (b'{"name":"a\\\\u0000b"}', "a\\u0000b", None),
        (b'{"name":"a\xffb"}', "a\\xffb", "encoding_replaced"),
        (b'{"name":-0}', "-0", "number_rewritten"),
        (b'{"name":0.10}', "0.10", "number_rewritten"),
        (b'{"name":123456789012345678901234567890}', "123456789012345678901234567890", "number_rewritten"),
        (b'{"name":18446744073709551615}', "18446744073709551615", None),
        (b'{"name":1e16}', "1e16", "number_rewritten"),
        (b'{"name": 1e+16}', "1e+16", None),
        (b'{"name":["a","b",3]}', "a\nb\n3", None),
        (b'{"name":[{"a":1}]}', '[{"a":1}]', None),
    ],
)
def test_a_value_is_kept_as_recorded_and_replacements_are_flagged(line: bytes, name: str, flags: str | None) -> None:
    rows, rejects, _ = read(b'{"name":"other"}\n' + line)
    assert not rejects
    assert (rows[1]["name"], rows[1]["flags"]) == (name, flags)
    assert rows[0]["flags"] is None


def test_nul_in_rest_is_written_and_flagged() -> None:
    rows, _, _ = read(b'{"x":"a\\u0000b","k\\u0000":"c"}\n{"x":"a\\\\u0000b"}')
    assert rest(rows[0]) == {"x": "a\\x00b", "k\\x00": "c"}
    assert rows[0]["flags"] == "nul_bytes"
    assert rest(rows[1]) == {"x": "a\\u0000b"}
    assert rows[1]["flags"] is None


def test_two_texts_that_differ_only_in_nul_stay_one_dictionary_entry() -> None:
    rows, _, _ = read(b'{"name":"a\\\\x00b"}\n{"name":"a\\u0000b"}')
    assert [row["name"] for row in rows] == ["a\\x00b", "a\\x00b"]
    assert [row["flags"] for row in rows] == [None, "nul_bytes"]


def test_objects_are_flattened_and_colliding_paths_keep_both_values() -> None:
    rows, _, _ = read(b'{"a":{"b":{"c":1}},"d":{}}\n{"a":{"b":1},"a.b":2}')
    assert rest(rows[0]) == {"a.b.c": "1", "d": {}}
    assert rest(rows[1]) == {"a.b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "time", "flags"),
    [
        ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "zone_assumed_utc"),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC), None),
        ("1601-01-01T00:00:00Z", None, "time_out_of_range"),
        ("2500-01-01T00:00:00Z", None, "time_out_of_range"),
        ("2024-02-30T00:00:00Z", None, "time_unreadable"),
        ("yesterday", None, "time_unreadable"),
        ("/Date(1704164645123)/", datetime(2024, 1, 2, 3, 4, 5, 123000, UTC), None),
        (1704164645, datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), None),
        ("2024-01-02T03:04:05.9999999Z", datetime(2024, 1, 2, 3, 4, 5, 999999, UTC), None),
    ],
)
def test_times(text: str | int, time: datetime | None, flags: str | None) -> None:
    other = b'{"time":"2024-01-01T00:00:00Z"}'
    rows, _, _ = read(other + b"\n" + orjson.dumps({"time": text}) + b"\n" + other)
    assert (rows[1]["time"], rows[1]["flags"]) == (time, flags)
    assert rows[1]["time_raw"] == str(text)
    assert rows[0]["flags"] is rows[2]["flags"] is None


def test_elements_of_documents_have_exact_slices() -> None:
    data = b'[\n  {"name": "a",\n   "x": 1},\n {"name":"b"}, 7 ]'
    rows, rejects, _ = read(data, documents=True)
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [json.loads(data[r["offset"] : r["offset"] + r["length"]])["name"] for r in rows] == ["a", "b"]
    assert [data[r.offset : r.offset + r.length] for r in rejects] == [b"7"]


def test_reading_goes_on_where_an_older_log_ended() -> None:
    data = b'{"name":"a"}\n{"name":"b"}\n'
    context = ReadContext("x", datetime(2024, 1, 1, tzinfo=UTC), start_offset=13, start_record=2)
    rows, tally = list(read_json(Content(data), context, (TABLE,), arrange))
    assert isinstance(rows, Rows)
    assert isinstance(tally, Tally)
    assert [(row["record"], row["name"]) for row in rows.batch.to_pylist()] == [(2, "b")]
    assert tally.records == 1


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(["name", "count", "x", "a.b", "a"]), VALUES, max_size=5)


@given(st.lists(RECORDS, max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_whatever_the_values(records: list[dict[str, Any]], spaced: bool) -> None:
    lines = [json.dumps(record, ensure_ascii=spaced).encode() for record in records]
    rows, rejects, _ = read(b"\n".join(lines))
    assert not rejects
    for record, row in zip(records, rows, strict=True):
        for name in ("name", "count"):
            value = record.get(name)
            if isinstance(value, str):
                assert row[name] == value.replace("\x00", "\\x00")
            elif isinstance(value, bool):
                assert row[name] == str(value).lower()
            elif isinstance(value, (int, float)):
                assert float(row[name]) == float(value)
            elif value is None:
                assert row.get(name) is None


@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([b'{"name":"a"}', b"{}", b'{"name":', b"[1]"])), max_size=8
    )
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_kept_or_rejected(lines: list[bytes]) -> None:
    for documents in (False, True):
        read(b"\n".join(lines), documents=documents)
