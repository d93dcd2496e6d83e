"""The abstract machine sees what the C unpickler does: same imports, same calls, same changes, in the same order.

The real unpickler runs here on streams made by the tests alone, with a ``find_class`` that imports nothing and gives
inert stand-ins which only write down what is done to them.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.detect.artifacts.pickle.machine import Trace, interpret
from casemate.detect.artifacts.pickle.meanings import as_arguments
from casemate.detect.artifacts.pickle.opcodes import Call, Change, Global, Mapping, Persistent

Seen = tuple[Any, ...]
MODULES = ("alpha", "beta.gamma")
NAMES = ("one", "two", "Three.four")


class _Recorder:
    """What the real unpickler did, as far as a stand-in can see it."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def stand_in(self, module: str, name: str) -> type:
        seen = self.seen

        class Made:
            """What a call gave: takes everything that the unpickler may do to an object."""

            def __call__(self, *arguments: Any, **keywords: Any) -> Made:
                seen.append(("call", len(arguments) + len(keywords)))
                return Made()

            def __setstate__(self, state: Any) -> None:
                seen.append(("build",))

            def __setitem__(self, key: Any, value: Any) -> None:
                seen.append(("setitem",))

            def extend(self, items: list[Any]) -> None:
                seen.append(("append", len(items)))

            def add(self, item: Any) -> None:
                seen.append(("add",))

        class Maker(type):
            """A class whose call and ``__new__`` are written down; it runs nothing else."""

            def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
                seen.append(("call", len(arguments) + len(keywords)))
                return Made()

        class StandIn(metaclass=Maker):
            def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
                seen.append(("call", len(arguments) + len(keywords)))
                return Made()

        seen.append(("import", module, name))
        return StandIn


class _Inert:
    """What both unpicklers get: names that import nothing, references that open nothing."""

    recorder: _Recorder

    def find_class(self, module: str, name: str) -> Any:
        return self.recorder.stand_in(module, name)

    def persistent_load(self, _pid: Any) -> Any:
        self.recorder.seen.append(("persistent",))
        return ("pid",)


class InertC(_Inert, pickle.Unpickler):
    """CPython's ``_pickle.c``, which ``pickle.load`` and ``torch.load`` use."""


class InertPython(_Inert, pickle._Unpickler):  # type: ignore[name-defined,misc]
    """CPython's ``pickle.py``, on which joblib and dill build."""


def really(data: bytes, unpickler: Any = InertC) -> tuple[list[Seen], bool]:
    """What an unpickler does with a harmless stream, and whether it got to STOP."""
    inert = unpickler(io.BytesIO(data))
    inert.recorder = _Recorder()
    try:
        inert.load()
    except Exception:
        return inert.recorder.seen, False
    return inert.recorder.seen, True


def abstractly(trace: Trace) -> list[Seen]:
    """The same as the machine sees it."""
    found: list[Seen] = []
    for event in trace.events:
        if isinstance(event, Global):
            found.append(("import", event.module, event.name))
        elif isinstance(event, Call):
            extra = len(event.keywords.items) // 2 if isinstance(event.keywords, Mapping) else 0
            found.append(("call", len(as_arguments(event.arguments)) + extra))
        elif isinstance(event, Persistent):
            found.append(("persistent",))
        elif isinstance(event, Change):
            if event.how == "append":
                found.append(("append", len(event.value)))
            elif event.how == "setitem":
                found += [("setitem",)] * (len(event.value) // 2)
            elif event.how == "add":
                found += [("add",)] * len(event.value)
            else:
                found.append(("build",))
    return found


def read(data: bytes) -> Trace:
    return interpret(data, 0, len(data))


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


names = st.tuples(st.sampled_from(MODULES), st.sampled_from(NAMES))
numbers = st.integers(0, 5)
opcodes = st.one_of(
    st.sampled_from(
        [b"N", b"\x88", b"\x89", b"K\x01", b"M\x01\x02", b"J\xff\xff\xff\xff", b"G" + bytes(8), b"]", b"}", b")",
         b"\x8f", b"(", b"l", b"d", b"t", b"\x91", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"\x90", b"0",
         b"1", b"2", b"R", b"b", b"\x81", b"\x92", b"o", b"Q", b"\x94", b"\x93", b"I01\n", b"I7\n", b"I010\n", b"L5L\n",
         b"F1.5\n", b"Pid\n", b"\x8a\x01\x05", b"\x8b\x01\x00\x00\x00\x05", b"\x80\x02", b"\x80\x04", b"\x80\x07",
         b"C\x01x", b"B\x01\x00\x00\x00x", b"U\x01x", b"T\x01\x00\x00\x00x", b"S'x'\n", b"Vx\n", b"\x96" + bytes(8),
         b"X\x01\x00\x00\x00x", b"\x8d\x01\x00\x00\x00\x00\x00\x00\x00x", b".", b"\x00"]
    ),
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n".encode()),
    names.map(lambda pair: f"i{pair[0]}\n{pair[1]}\n".encode()),
    names.map(lambda pair: _text(pair[0]) + _text(pair[1]) + b"\x93"),
    numbers.map(lambda number: b"h" + bytes([number])),
    numbers.map(lambda number: b"q" + bytes([number])),
    numbers.map(lambda number: b"j" + number.to_bytes(4, "little")),
    numbers.map(lambda number: b"r" + number.to_bytes(4, "little")),
    numbers.map(lambda number: f"g{number}\n".encode()),
    numbers.map(lambda number: f"p{number}\n".encode()),
)  # fmt: skip
helpful = st.one_of(
    opcodes,
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n(K\x01tR".encode()),
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n)\x81".encode("latin-1")),
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n)R(K\x01K\x02e".encode()),
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n)R(K\x01K\x02u".encode()),
    names.map(lambda pair: f"c{pair[0]}\n{pair[1]}\n)R}}b".encode()),
)


@settings(max_examples=1200, deadline=None)
@given(st.lists(helpful, max_size=14))
def test_nothing_that_an_unpickler_does_is_missed(pieces: list[bytes]) -> None:
    data = b"".join(pieces) + b"."
    trace = read(data)
    seen = abstractly(trace)
    for unpickler in (InertC, InertPython):
        done, whole = really(data, unpickler)
        assert seen[: len(done)] == done
        if whole and unpickler is InertC:
            assert trace.broken is None
            assert seen == done


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_trace(data: bytes) -> None:
    trace = read(data)
    assert 0 <= trace.end <= len(data)
    assert trace.broken is not None or data[trace.end - 1 : trace.end] == b"."


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(0, 5),
)
def test_data_is_read_to_its_end_and_does_nothing(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    trace = read(data)
    assert trace.broken is None
    assert trace.end == len(data)
    # protocols before 3 write bytes as a call of _codecs.encode or bytes
    assert all(event.name in ("encode", "bytes", "bytearray") for event in trace.events if isinstance(event, Global))


@pytest.mark.parametrize(
    ("data", "module", "name"),
    [
        (b"S'\\x6fs'\nS'\\163ystem'\n\x93.", "os", "system"),
        (b"V\\u006fs\nVsystem\n\x93.", "os", "system"),
        (b"Vos\np 1_0 \n0Vsystem\np0009\n0g10\ng9\n\x93.", "os", "system"),
        (b"U\x02osT\x06\x00\x00\x00system\x93.", "os", "system"),
        (b"cos\xc3\xa9\nsyst\xc3\xa8me\n.", "osé", "système"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93.", "os", "system"),
        (b"I1\x00 anything\n0cos\nsystem\n.", "os", "system"),
    ],
)
def test_odd_but_legal_forms_give_the_name(data: bytes, module: str, name: str) -> None:
    trace = read(data)
    assert [(event.module, event.name) for event in trace.events if isinstance(event, Global)] == [(module, name)]
    assert trace.broken is None
    assert really(data)[0] == [("import", module, name)]


@pytest.mark.parametrize(
    ("line", "number"),
    [(b"I00\n", False), (b"I01\n", True), (b"I 1\n", True), (b"I1\n", 1), (b"I010\n", 8), (b"I0x1F\n", 31),
     (b"I-5\n", -5), (b"L12L\n", 12), (b"L12\n", 12), (b"\x8a\x01\xff", -1), (b"M\x01\x02", 513)],
)  # fmt: skip
def test_numbers_are_those_of_the_unpickler(line: bytes, number: int) -> None:
    data = line + b"."
    assert read(data).result == number
    assert type(read(data).result) is type(pickle.loads(data))
    assert pickle.loads(data) == number


def test_what_was_seen_before_a_break_stays() -> None:
    trace = read(b"cos\nsystem\n(S'x'\ntR\xff")
    assert trace.broken == "no opcode 0xff"
    assert [type(event) for event in trace.events] == [Global, Call]


def test_a_long_stream_stops_at_the_limit_of_opcodes() -> None:
    data = b"N0" * 1000 + b"N."
    trace = interpret(data, 0, len(data), most_opcodes=100)
    assert trace.spent
    assert trace.opcodes == 100


def test_a_window_of_a_buffer_is_not_left() -> None:
    data = b"cos\nsystem\n." + b"cposix\nsystem\n."
    assert interpret(data, 0, 5).broken == "pickle data was truncated"
    assert interpret(data, 12, len(data)).end == len(data)


def test_bytes_of_later_protocols_are_located() -> None:
    data = b"\x80\x04C\x10" + b"x" * 16 + b"."
    assert read(data).blobs == [(4, 16)]
