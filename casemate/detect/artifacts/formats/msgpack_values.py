"""MessagePack: checkpoints of Flax and other data.

Definition: github.com/msgpack/msgpack/blob/master/spec.md; ``flax/serialization.py`` (extension types 1 to 3 hold an
array, a complex number and a scalar of numpy, each packed once more).  Loaders: ``flax.serialization``, and
``msgpack_numpy``, which unpickles arrays of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.streams import harm_in
from casemate.detect.artifacts.sources.text import is_text

MOST_VALUES = 50_000_000
MOST_DEPTH = 200
KEY_BYTES = 512
FLAX_TYPES = frozenset({-1, 1, 2, 3})
LOOKED_LIKE = (b"\x80", b"(", b"c", b"]", b"}", b"\x93NUMPY", b"PK", b"\x1f\x8b", b"x\x9c", b"BZh", b"\x7fELF")
_FIXED = dict(
    zip(
        (0xC0, 0xC2, 0xC3, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3),
        (0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8),
        strict=True,
    )
)
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}

BROKEN = Rule("msgpack.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads what comes before the damage")
EXTENSION = Rule("msgpack.extension", "unscannable", UNSAFE_ARTIFACT, "hands the bytes to what the program registered")
OBJECTS = Rule("msgpack.object_array", "malicious", EMBED_MALWARE, "unpickles the array (msgpack_numpy)")
HIDDEN = Rule("msgpack.hidden", "suspicious", EMBED_MALWARE, "keeps it as data; a second load, one call away, runs it")


class BrokenError(ValueError):
    """Bytes that are no MessagePack."""


@dataclass(frozen=True)
class _Value:
    """One value: where its bytes begin and end, how many values follow in it, and its extension type."""

    kind: str
    begin: int
    end: int
    inner: int = 0
    extension: int | None = None


def _read(content: Content, at: int) -> _Value:
    head = content.read(at, 10)
    if not head:
        raise BrokenError("it breaks off")
    first = head[0]

    def number(width: int) -> int:
        if len(head) < 1 + width:
            raise BrokenError("it breaks off")
        return int.from_bytes(head[1 : 1 + width], "big")

    if first < 0x80 or first >= 0xE0:
        return _Value("number", at, at + 1)
    if first < 0xA0:
        inner = (first & 15) * (2 if first < 0x90 else 1)
        return _Value("map" if first < 0x90 else "list", at, at + 1, inner)
    if first < 0xC0:
        return _sized(content, "text", at + 1, first & 31)
    if first in _FIXED:
        return _sized(content, "number", at + 1, _FIXED[first])
    if first in _SIZED:
        width = _SIZED[first]
        return _sized(content, "bytes" if first < 0xC7 else "text", at + 1 + width, number(width))
    if first in _EXTENSIONS:
        width = _EXTENSIONS[first]
        size = number(width)
        kind = content.read(at + 1 + width, 1)
        return _extension(content, kind, at + 2 + width, size)
    if 0xD4 <= first <= 0xD8:
        return _extension(content, head[1:2], at + 2, 1 << (first - 0xD4))
    if first in (0xDC, 0xDD, 0xDE, 0xDF):
        width = 2 if first in (0xDC, 0xDE) else 4
        many = first >= 0xDE
        return _Value("map" if many else "list", at, at + 1 + width, number(width) * (2 if many else 1))
    raise BrokenError(f"the byte 0x{first:02x} at {at} begins nothing")


def _sized(content: Content, kind: str, begin: int, size: int) -> _Value:
    if begin + size > content.size:
        raise BrokenError(f"{size} bytes at {begin} reach beyond the file")
    return _Value(kind, begin, begin + size)


def _extension(content: Content, kind: bytes, begin: int, size: int) -> _Value:
    if not kind:
        raise BrokenError("it breaks off")
    value = _sized(content, "extension", begin, size)
    return _Value(value.kind, value.begin, value.end, 0, int.from_bytes(kind, "big", signed=True))


def recognise(content: Content) -> bool:
    """Whether it is a map whose first keys are texts, as checkpoints are."""
    first = content.head(1)
    if not (b"\x81" <= first <= b"\x8f" or first in (b"\xde", b"\xdf")) or is_text(content):
        return False
    try:
        outer = _read(content, 0)
        key = _read(content, outer.end)
    except BrokenError:
        return False
    name = content.read(key.begin, min(KEY_BYTES, key.end - key.begin))
    return (
        outer.inner > 0
        and key.kind in ("text", "bytes")
        and 0 < len(name) < KEY_BYTES
        and name.isascii()
        and name.decode("latin-1").isprintable()
        and content.size > key.end
    )


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk every value; look into bytes that a loader would load once more."""
    try:
        end = _walk(content, inspection)
    except BrokenError as error:
        inspection.report(BROKEN, str(error))
        inspection.own_all()
        hunt(content, [(0, content.size)], inspection)
        return
    inspection.own(0, end)


def _walk(content: Content, inspection: Inspection) -> int:
    position, count = 0, 0
    waiting = [1]
    names: list[bytes] = []
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        count += 1
        if count > MOST_VALUES:
            raise BrokenError(f"more than {MOST_VALUES} values")
        value = _read(content, position)
        position = value.end
        if value.inner:
            if len(waiting) >= MOST_DEPTH:
                raise BrokenError(f"it is nested more than {MOST_DEPTH} deep")
            if value.inner > content.size - position:
                raise BrokenError(f"{value.inner} values at {position} reach beyond the file")
            waiting.append(value.inner)
        elif value.kind == "extension":
            _look_at_extension(content, value, inspection)
        elif value.kind in ("bytes", "text"):
            size = value.end - value.begin
            if size < 16:
                names = [*names[-8:], content.read(value.begin, size)]
            elif content.read(value.begin, 6).startswith(LOOKED_LIKE):
                _look_into(content, value, names, inspection)
    return position


def _look_at_extension(content: Content, value: _Value, inspection: Inspection) -> None:
    if value.extension not in FLAX_TYPES:
        inspection.report(EXTENSION, f"values of the extension type {value.extension}", value.begin)
        return
    if value.extension in (1, 3):
        part = content.part("(array)", value.begin, value.end - value.begin)
        try:
            outer = _read(part, 0)
            if outer.kind != "list" or outer.inner != 3:
                raise BrokenError("an array that is none")
        except BrokenError as error:
            inspection.report(BROKEN, f"{error} at {value.begin}", value.begin)


def _look_into(content: Content, value: _Value, names: list[bytes], inspection: Inspection) -> None:
    part = content.part(f"bytes at {value.begin}", value.begin, value.end - value.begin)
    objects = b"nd" in names and b"O" in names
    for reason in harm_in(part, inspection)[:1]:
        rule = OBJECTS if objects else HIDDEN
        inspection.report(rule, f"bytes at {value.begin}: {reason.text}", value.begin, effect=reason.loader_effect)


FORMAT = Format("msgpack", recognise, inspect, (".msgpack",))
