"""The compiled kernel for JSON lines gives the rows that Python gives, for any line."""

from __future__ import annotations

import gc
import io
import weakref
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import Reject
from casemate.evidence.readers.json_rows import JsonRows
from casemate.evidence.readers.native import available
from casemate.evidence.readers.windows_fields import WINDOWS_EVENT
from casemate.evidence.readers.windows_json import arrange as arrange_windows
from casemate.limits import Limits
from casemate.schema.native import NativeTable

TABLE = NativeTable("sample", ("name", "count"))
OTHER = NativeTable("other", ("name",))

pytestmark = pytest.mark.skipif(not available(), reason="the kernel is not compiled here (no C compiler)")

_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ['"', "\\", "\x00", "\x1f", "\x7f", "\n\r\t\b\f", "/", "\u2028", "é", "😀", "a" * 40, "x" * 15 + "\\"]
    ),
)
_KEY = st.sampled_from(["name", "count", "when", "then", "x", "y", "ü", 'q"', "n\x01", ""])
_PLAIN = st.one_of(
    _TEXT, st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
_VALUE = st.one_of(_PLAIN, _PLAIN, st.lists(_PLAIN, max_size=3), st.dictionaries(_KEY, _PLAIN, max_size=2))
_RECORD = st.dictionaries(_KEY, _VALUE, max_size=6)
_ODD = st.sampled_from(
    [
        b"", b" ", b"\t\r", b"{}", b"[]", b"1", b"{", b'{"x":1', b'{"x":1}}', b'{"x":1,}', b'{"x":01}', b'{"x":-0}',
        b'{"x":1,"x":2}', b'{"x" :1}', b'{"x":"\\/"}', b'{"x":"\\u00e9"}', b'{"x":"\\u001B"}', b'{"x":"\\u0009"}',
        b'{"x":"\\ud800"}', b'{"x":"\xed\xa0\x80"}', b'{"x":"\xff"}', b'{"x":"\xf4\x90\x80\x80"}', b'{"x":"\xc0\xaf"}',
        b'{"x":"a\x01"}', b'{"x":"a}', b'{"x":"a\\', b'{"x":"\\u00', b'{"x":nul}', b'{"x":nullx}', b'{"x":[1,]}',
        b'{"x":["a"', b'{"x":[[]]}', b'{"x":18446744073709551615}', b'{"x":18446744073709551616}',
        b'{"x":-9223372036854775808}', b'{"x":-9223372036854775809}', b'{"x":1.50}', b'{"x":1e3}',
        b'\xef\xbb\xbf{"x":1}',
    ]
)  # fmt: skip
_LINES = st.lists(st.one_of(_RECORD.map(orjson.dumps), _ODD), min_size=1, max_size=12)


def arrange(keys: Keys) -> Arrangement:
    if "y" in keys and len(keys) > 1:
        return Arrangement(TABLE.name, rewrite=lambda record: {"name": "rewritten", "count": str(len(record))})
    table = OTHER if keys[:1] == ("x",) else TABLE
    times = tuple(keys.index(key) for key in ("when", "then") if key in keys)
    return Arrangement(table.name, tuple(key if key in table.columns else None for key in keys), times)


def rows_of(content: bytes, *, native: bool, tables: Any = (TABLE, OTHER), how: Any = arrange) -> tuple[Any, ...]:
    """All rows by table, the rejects, and the blank lines."""
    rows = JsonRows(tables, how, Limits(), native=native)
    found: dict[str, list[dict[str, Any]]] = {}
    rejects: list[Reject] = []
    for block in read_lines(io.BytesIO(content), line_bytes=10_000, block_bytes=200):
        assert isinstance(block, LineBlock)
        for item in rows.add(block):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                found.setdefault(item.table, []).extend(item.batch.to_pylist())
    for item in rows.take():
        found.setdefault(item.table, []).extend(item.batch.to_pylist())
    ordered = {
        table: [{name: value for name, value in row.items() if value is not None} for row in some]
        for table, some in found.items()
    }
    return ordered, rejects, rows.blank


@given(_LINES)
@example([b'{"when":null,"then":"2024-01-01T00:00:00Z","x":1}', b'{"when":"2024-01-02T00:00:00Z","then":"no"}'])
@example([b'{"name":"a"}', b'{"name":"a\\u0000"}', b'{"x":"\\u0000"}', b'{"name":["a",null,true,1,"\\n"],"then":[]}'])
def test_the_kernel_gives_the_rows_of_python(lines: list[bytes]) -> None:
    content = b"\n".join([b'{"name":"plain"}'] * 10 + lines)  # the first block decides whether the kernel is used
    assert rows_of(content, native=True) == rows_of(content, native=False)


@given(
    st.lists(
        st.tuples(st.sampled_from(["Hostname", "Computer", "EventTime", "@timestamp", "Image"]), _PLAIN), max_size=6
    )
)
def test_windows_fields_go_to_the_same_columns(fields: list[tuple[str, Any]]) -> None:
    record = {"EventID": 1, "Channel": "Security", **dict(fields)}
    content = orjson.dumps(record) + b"\n" + orjson.dumps(record | {"Image": "C:\\a"}) + b"\n"
    arguments = {"tables": (WINDOWS_EVENT,), "how": arrange_windows}
    assert rows_of(content, native=True, **arguments) == rows_of(content, native=False, **arguments)


def test_more_lists_of_keys_than_the_kernel_remembers() -> None:
    content = b"".join(b'{"name":"%d","k%d":%d}\n' % (number % 7, number, number) for number in range(20_000))
    assert rows_of(content, native=True) == rows_of(content, native=False)


def test_the_kernel_is_used_for_plain_lines_only() -> None:
    for content, plain in ((b'{"name":"a"}\n' * 3, True), (b'{"name":{"b":1}}\n' * 3, False)):
        rows = JsonRows((TABLE,), arrange, Limits())
        (block,) = read_lines(io.BytesIO(content), line_bytes=100)
        assert isinstance(block, LineBlock)
        assert list(rows.add(block)) == []
        assert (rows._plain is not None) == plain


def test_the_buffers_of_a_file_are_given_back_when_it_is_read_not_when_garbage_is_collected() -> None:
    (block,) = read_lines(io.BytesIO(b'{"name":"a","count":1}\n' * 100), line_bytes=1_000)
    assert isinstance(block, LineBlock)
    gc.disable()
    try:
        rows = JsonRows((TABLE, OTHER), arrange)
        list(rows.add(block))
        assert rows._plain is not None
        gone = weakref.ref(rows._plain._kernel)
        del rows
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("missing", [0, 7])
def test_long_texts_that_are_nearly_all_others_are_not_compared_and_come_out_the_same(missing: int) -> None:
    def line(number: int) -> bytes:
        said = None if missing and number % missing == 0 else f"{number} said {number * 13} in a long line of text " * 2
        if number in (4000, 4001):
            said = "a text that is there twice, after the kernel stopped comparing, and that is long enough " + "x" * 20
        name = "null" if said is None else f'"{said}"'
        return b'{"then":"2024-01-01T00:00:00Z","name":%s,"x":%d}' % (name.encode(), number % 4)

    content = b"\n".join([*map(line, range(3000)), b'{"name": "not plain"}', *map(line, range(3000, 6000))])
    assert rows_of(content, native=True) == rows_of(content, native=False)
