"""GGUF: ggml's model files, and its forerunners' magic.

Definition: ``ggml/docs/gguf.md`` and ``ggml/src/gguf.cpp`` (versions 1 to 3).  Loaders: llama.cpp and its bindings,
which allocate by what the header counts (CVE-2024-21802 and others) and render ``tokenizer.chat_template`` with Jinja
(CVE-2024-34359, without a sandbox).
"""

from __future__ import annotations

from math import prod
from struct import Struct, unpack_from
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.acts import always, report_acts
from casemate.detect.artifacts.sources.templates import is_template, judge_template
from casemate.detect.artifacts.sources.text import is_text, look_for_encoded

MAGIC = b"GGUF"
MOST_STRING = 64 << 20
MOST_KEY = 65535
MOST_DIMENSIONS = 4
MOST_NAME = 63
"""Bytes of a tensor's name; ``GGML_MAX_NAME`` has room for one more, which ends it."""
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
BOOLEAN, STRING, ARRAY = 7, 8, 9
MOST_NESTED = 4
# (elements of a block, bytes of a block) by ggml type
TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip

VERSION = Rule("gguf.version", "unscannable", CORRUPT_MODEL, "refuses the version, or reads it otherwise")
COUNT = Rule("gguf.count", "suspicious", CORRUPT_MODEL, "takes memory by the count, which overflows")
STRING_LENGTH = Rule(
    "gguf.string_length", "suspicious", CORRUPT_MODEL, "takes memory by the length, or reads beyond the file"
)
TYPE = Rule("gguf.type", "suspicious", CORRUPT_MODEL, "raises an error, or takes it for another type")
CUT = Rule("gguf.cut", "suspicious", CORRUPT_MODEL, "reads beyond the file")
DUPLICATE = Rule("gguf.duplicate", "suspicious", CORRUPT_MODEL, "takes the first or the last of the two")
OUTSIDE = Rule("gguf.out_of_range", "suspicious", CORRUPT_MODEL, "reads beyond the file")
OVERLAP = Rule("gguf.overlap", "suspicious", CORRUPT_MODEL, "reads the same bytes as two tensors")
ALIGNMENT = Rule("gguf.alignment", "suspicious", CORRUPT_MODEL, "reads tensors from another place")
SHAPE = Rule("gguf.shape", "suspicious", CORRUPT_MODEL, "computes a size that overflows")
NAME = Rule("gguf.name", "suspicious", CORRUPT_MODEL, "refuses the name, or writes it beyond the room that it has")
HOLE = Rule("gguf.hole", "suspicious", CORRUPT_MODEL, "passes over bytes that belong to no tensor")
_TENSOR_TAIL = Struct("<IQ")


class _Lie(Exception):  # noqa: N818
    def __init__(self, rule: Rule, text: str, offset: int) -> None:
        super().__init__(text)
        self.rule, self.text, self.offset = rule, text, offset


def recognise(content: Content) -> bool:
    """Whether it begins with the magic of either byte order."""
    if content.head(4) not in (MAGIC, b"FUGG"):
        return False
    return content.name.lower().endswith(".gguf") or not is_text(content)


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk the header, the values and the tensors' table; check every count against the bytes that there are."""
    reader = _Reader(content)
    try:
        _walk(reader, content, inspection)
    except _Lie as lie:
        inspection.report(lie.rule, lie.text[:200], lie.offset)
        inspection.own_all()
        hunt(content, [(min(reader.position, content.size), content.size)], inspection)


def _walk(reader: _Reader, content: Content, inspection: Inspection) -> None:
    version = reader.number(4)
    if not 1 <= version <= 3:
        big = int.from_bytes(content.read(4, 4), "big")
        inspection.report(VERSION, f"version {version}" + (" (big endian)" if 1 <= big <= 3 else ""), 4)
        return
    reader.wide = 4 if version == 1 else 8
    tensors, values = reader.number(reader.wide), reader.number(reader.wide)
    # a value takes 13 bytes at least, a tensor 24
    if tensors * (8 + reader.wide * 2) > content.size:
        raise _Lie(COUNT, f"{tensors} tensors in a file of {content.size} bytes", 8)
    if values * (4 + reader.wide) > content.size:
        raise _Lie(COUNT, f"{values} values in a file of {content.size} bytes", 8 + reader.wide)
    alignment, keys = 32, set()
    for _ in range(values):
        at = reader.position
        key = reader.string(MOST_KEY).decode("utf-8", "replace")
        if key in keys:
            inspection.report(DUPLICATE, f"the key {key[:120]!r} stands twice", at)
        keys.add(key)
        if not key or "\0" in key:
            inspection.report(NAME, f"a key that is empty or holds NUL: {key[:80]!r}", at)
        value = _value(reader, key, inspection)
        if key == "general.alignment":
            if not isinstance(value, int) or value <= 0 or value & (value - 1) or value > 1 << 20:
                raise _Lie(ALIGNMENT, f"an alignment of {value!r}", at)
            alignment = value
    _tensors(reader, content, inspection, tensors, alignment)


def _value(reader: _Reader, key: str, inspection: Inspection) -> Any:
    at = reader.position
    kind = reader.number(4)
    if kind in SIZES:
        data = reader.take(SIZES[kind])
        if kind == BOOLEAN and data not in (b"\0", b"\1"):
            inspection.report(TYPE, f"{key[:80]!r} is neither true nor false but {data[0]}", at)
        return _scalar(kind, data)
    if kind == STRING:
        text = reader.string(MOST_STRING).decode("utf-8", "replace")
        _judge_text(text, key, inspection)
        return text
    if kind != ARRAY:
        raise _Lie(TYPE, f"{key[:80]!r} is of type {kind}", at)
    _list(reader, key, inspection, 0)
    return None


def _list(reader: _Reader, key: str, inspection: Inspection, depth: int) -> None:
    at = reader.position
    inner, count = reader.number(4), reader.number(reader.wide)
    if inner == ARRAY and depth < MOST_NESTED:  # the definition allows it, few loaders do
        if count * (4 + reader.wide) > reader.left:
            raise _Lie(COUNT, f"{key[:80]!r} counts {count} lists", at)
        for _ in range(count):
            _list(reader, key, inspection, depth + 1)
    elif inner in SIZES:
        if count * SIZES[inner] > reader.left:
            raise _Lie(COUNT, f"{key[:80]!r} counts {count} elements of {SIZES[inner]} bytes", at)
        reader.position += count * SIZES[inner]
    elif inner == STRING:
        if count * reader.wide > reader.left:
            raise _Lie(COUNT, f"{key[:80]!r} counts {count} texts", at)
        for _ in range(count):
            text = reader.string(MOST_STRING)
            if key.startswith("tokenizer.chat_template") or b"{%" in text[:65536]:
                _judge_text(text.decode("utf-8", "replace"), key, inspection)
    else:
        raise _Lie(TYPE, f"{key[:80]!r} is a list of type {inner}", at)


def _scalar(kind: int, data: bytes) -> int | float:
    letters = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    return unpack_from("<" + letters[kind], data)[0]


def _judge_text(text: str, key: str, inspection: Inspection) -> None:
    if "template" in key or (is_template(text) and "token" in key):
        report_acts(judge_template(text), always("suspicious", "template_import"), "template", inspection, f"{key}, ")
    look_for_encoded(text, inspection)


def _tensors(reader: _Reader, content: Content, inspection: Inspection, count: int, alignment: int) -> None:
    found: list[tuple[int, int, str]] = []
    names: set[str] = set()
    for _ in range(count):
        at = reader.position
        named = reader.string(MOST_KEY)
        name = named.decode("utf-8", "replace")
        if not 0 < len(named) <= MOST_NAME or b"\0" in named:
            inspection.report(NAME, f"a tensor's name of {len(named)} bytes: {name[:80]!r}", at)
        if name in names:
            inspection.report(DUPLICATE, f"the tensor {name[:120]!r} stands twice", at)
        names.add(name)
        dimensions = reader.number(4)
        if dimensions > MOST_DIMENSIONS:
            raise _Lie(SHAPE, f"{name[:80]!r} has {dimensions} dimensions", at)
        shape = [reader.number(reader.wide) for _ in range(dimensions)]
        kind, offset = _TENSOR_TAIL.unpack(reader.take(12))
        elements = prod(shape)
        # a side of zero is what checks against overflow divide by
        if elements >= 1 << 63 or any(not 0 < side < 1 << 62 for side in shape):
            inspection.report(SHAPE, f"{name[:80]!r} has the shape {shape}"[:200], at)
            continue
        if kind not in TYPES:
            inspection.report(TYPE, f"{name[:80]!r} is of type {kind}", at)
            size = 0
        else:
            block, size_of_block = TYPES[kind]
            if shape and shape[0] % block:
                inspection.report(SHAPE, f"{name[:80]!r}: rows of {shape[0]} are no multiple of {block}", at)
            size = elements // block * size_of_block
        if offset % alignment:
            inspection.report(ALIGNMENT, f"{name[:80]!r} lies at {offset}", at)
        found.append((offset, offset + size, name))
    start = -(-reader.position // alignment) * alignment
    inspection.own(0, min(start, content.size))
    room = max(0, content.size - start)
    reached, holes = 0, []
    for begin, end, name in sorted(found):
        if end > room:
            inspection.report(OUTSIDE, f"{name[:80]!r} ends at {end}, there are {room} bytes of tensors", start)
        if begin < reached and end > begin:
            inspection.report(OVERLAP, f"{name[:80]!r} at {begin} begins inside another", start + begin)
        if begin > -(-reached // alignment) * alignment:
            holes.append((reached, begin))
        reached = max(reached, end)
    if found and room > -(-reached // alignment) * alignment:
        holes.append((reached, room))
    if not found:
        return
    for begin, end in holes[:5]:
        inspection.report(HOLE, f"{end - begin} bytes at {begin} belong to no tensor", start + begin)
    hunt(content, [(start + begin, start + min(end, room)) for begin, end in holes], inspection)
    if inspection.options.full:
        hunt(content, [(start, content.size)], inspection)
    else:
        inspection.skip(min(reached, room))
    inspection.own(start, content.size)


class _Reader:
    def __init__(self, content: Content) -> None:
        self._content = content
        self.position = 4
        self.wide = 8

    @property
    def left(self) -> int:
        return self._content.size - self.position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _Lie(CUT, f"{count} bytes are due at {self.position}, {max(0, self.left)} are there", self.position)
        data = self._content.read(self.position, count)
        self.position += count
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self, most: int) -> bytes:
        at = self.position
        length = self.number(self.wide)
        if length > most or length > self.left:
            raise _Lie(STRING_LENGTH, f"a text of {length} bytes", at)
        return self.take(length)


FORMAT = Format("gguf", recognise, inspect, (".gguf",))
