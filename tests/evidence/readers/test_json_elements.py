"""Elements of JSON documents are found exactly, in bounded memory, and damage costs no neighbours."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.readers.json_elements import BrokenElement, Framing, JsonElement, read_elements

KEYS = ("Records", "items")


def elements(content: bytes, *, element_bytes: int = 100_000, depth: int = 64, chunk_bytes: int = 65536):
    framing = Framing()
    found = list(
        read_elements(
            io.BytesIO(content),
            element_bytes=element_bytes,
            depth=depth,
            envelope_keys=KEYS,
            framing=framing,
            chunk_bytes=chunk_bytes,
        )
    )
    assert framing.records == len(found)
    return found, framing


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a":1},{"b":[2,{}]}]', [b'{"a":1}', b'{"b":[2,{}]}']),
        (b'{"Records":[{"a":1},{"a":2}]}', [b'{"a":1}', b'{"a":2}']),
        (b'{"kind":"EventList","metadata":{},"items":[{"a":1}],"more":[1]}', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}{"b":2},{"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b'{"Records":[{"a":1}]}{"Records":[{"a":2}]}', [b'{"a":1}', b'{"a":2}']),
        (b'[{"a":"]}\\"{["}]', [b'{"a":"]}\\"{["}']),
        (b"[]", []),
        (b'{"items":[]}', []),
        (b'{"x":{"items":[{"a":1}]}}', [b'{"x":{"items":[{"a":1}]}}']),
        (b'{"x":"\\"Records\\":[","y":1}', [b'{"x":"\\"Records\\":[","y":1}']),
        (b'[1,"x",null]', [b"1", b'"x"', b"null"]),
    ],
)
def test_what_an_element_is(content: bytes, expected: list[bytes]) -> None:
    found, _ = elements(content)
    assert [item.data for item in found if isinstance(item, JsonElement)] == expected
    assert len(found) == len(expected)


def test_a_byte_order_mark_is_not_content() -> None:
    found, _ = elements(b'\xef\xbb\xbf[{"a":1}]')
    assert [item.offset for item in found] == [4]


def test_a_file_cut_inside_an_element_keeps_those_before_and_says_what_is_missing() -> None:
    found, _ = elements(b'{"Records":[{"a":1},{"b":')
    assert isinstance(found[0], JsonElement)
    assert isinstance(found[1], BrokenElement)
    assert "ends inside" in found[1].reason


def test_a_file_cut_between_elements_is_noted() -> None:
    _, framing = elements(b'{"Records":[{"a":1},')
    assert framing.notes == ["The file ends inside an array: whatever followed is missing."]


def test_a_broken_string_costs_only_its_own_element() -> None:
    content = b'[\n  {"a": "one"},\n  {"a": "tw\n  },\n  {"a": "three"}\n]'
    found, _ = elements(content)
    assert [type(item) for item in found] == [JsonElement, BrokenElement, JsonElement]


def test_an_element_over_the_limit_is_passed_over_in_bounded_memory() -> None:
    content = b'[{"a":1},{"a":"' + b"x" * 20_000_000 + b'"},{"a":3}]'
    stream = io.BytesIO(content)
    tracemalloc.start()
    found = list(read_elements(stream, element_bytes=1_000_000, depth=64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(item) for item in found] == [JsonElement, BrokenElement, JsonElement]
    assert "longer than" in found[1].reason  # type: ignore[union-attr]
    assert peak < 12_000_000


def test_deep_nesting_is_refused_not_followed() -> None:
    found, _ = elements(b"[" + b"[" * 50_000 + b"]" * 50_000 + b',{"a":1}]')
    assert isinstance(found[0], BrokenElement)
    assert "nested deeper" in found[0].reason
    assert isinstance(found[1], JsonElement)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=4), values, max_size=4), max_size=6),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
    st.sampled_from([1, 3, 17, 65536]),
)
@settings(max_examples=150, deadline=None)
def test_every_element_of_any_array_is_found(
    records: list[dict], indent: int | None, enveloped: bool, chunk_bytes: int
) -> None:
    content = json.dumps({"Records": records} if enveloped else records, indent=indent).encode()
    found, _ = elements(content, chunk_bytes=chunk_bytes)
    parsed = [json.loads(item.data) for item in found if isinstance(item, JsonElement)]
    assert parsed == records
    assert len(found) == len(records)


@given(
    st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"a", b"\n", b" ", b'"Records":[', b"\x00"]),
        max_size=40,
    ).map(b"".join)
    | st.binary(max_size=60)
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_places_in_order_whatever_the_chunks(content: bytes) -> None:
    found, framing = elements(content, element_bytes=20, depth=4)
    assert (found, framing) == elements(content, element_bytes=20, depth=4, chunk_bytes=1)
    end = 0
    for number, item in enumerate(found, start=1):
        assert item.record == number
        assert item.offset >= end
        end = item.offset + item.length
        assert end <= len(content)
        if isinstance(item, JsonElement):
            assert item.data == content[item.offset : end]
