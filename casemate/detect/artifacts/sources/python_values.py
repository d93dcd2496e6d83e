"""What a Python expression is known to be: a constant, the name of something imported, or nothing; and its marks.

Constants are folded as far as text is put together from them (joins, slices, decoders), because that is how names and
code are hidden.  Sizes are bounded; nothing of the source is run.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import lzma
import re
import urllib.parse
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

MOST = 1 << 22
"""Longest folded text, in characters or bytes."""


class _Nothing:
    def __repr__(self) -> str:
        return "unknown"


NOTHING: Any = _Nothing()


@dataclass(frozen=True)
class Value:
    """What is known of a value.

    Args:
        constant: str, bytes, a number, bool, None or a tuple of values; :data:`NOTHING` when unknown.
        name: dotted name when it is something imported or built in; ``()`` marks the result of a call.
        given: what it was called with, for the result of a call.
        table: constant keys and their values, of a dictionary.
        marks: ``decoded``, ``fetched``, ``file``, ``secret``, ``environment``, ``joined`` (put together from parts).
    """

    constant: Any = NOTHING
    name: str | None = None
    given: tuple[Value, ...] = ()
    table: tuple[tuple[Any, Value], ...] = ()
    marks: frozenset[str] = field(default_factory=frozenset)

    @property
    def known(self) -> bool:
        """Whether it is a constant."""
        return self.constant is not NOTHING

    def text(self) -> str | None:
        """The constant as text, if it is text or bytes."""
        if isinstance(self.constant, str):
            return self.constant
        if isinstance(self.constant, bytes):
            return self.constant.decode("utf-8", "replace")
        return None

    def marked(self, *marks: str) -> Value:
        """The same with more marks."""
        return replace(self, marks=self.marks | set(marks))


UNKNOWN = Value()


CODE_IN_TEXT = re.compile(
    r"\b(?:import\s+\w+|__import__|exec\s*\(|eval\s*\(|os\.system|subprocess|socket\.|urlopen|requests\.(?:get|post))"
)


def together(whole: Any, *parts: Any) -> frozenset[str]:
    """Marks of text that is put together; ``hidden`` where it shows code that none of its parts shows."""
    text = whole.decode("latin-1") if isinstance(whole, bytes) else whole
    match = CODE_IN_TEXT.search(text) if isinstance(text, str) else None
    if match is None:
        return frozenset({"joined"})
    shown = (part.decode("latin-1") if isinstance(part, bytes) else str(part) for part in parts)
    return frozenset({"joined"}) if any(match.group() in part for part in shown) else frozenset({"joined", "hidden"})


def of(constant: Any, *marks: str) -> Value:
    """A constant."""
    return Value(constant=constant, marks=frozenset(marks))


def plain(value: Value) -> Any:
    """The Python object of a constant, lists as lists; :data:`NOTHING` when any part is unknown."""
    if isinstance(value.constant, tuple):
        parts = [plain(part) for part in value.constant]
        return NOTHING if any(part is NOTHING for part in parts) else parts
    return value.constant


def union(*values: Value) -> frozenset[str]:
    """All marks."""
    found: frozenset[str] = frozenset()
    for value in values:
        found |= value.marks
        if isinstance(value.constant, tuple):
            for part in value.constant[:64]:
                found |= part.marks
        for part in value.given[:8]:
            found |= part.marks
    return found


def _unpacked(function: Callable[[], Any]) -> Callable[[bytes], bytes]:
    return lambda data: function().decompress(data, MOST)


def _bytes(value: Any) -> bytes:
    return value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)


DECODING: dict[str, Callable[[bytes], Any]] = {
    "base64.b64decode": lambda data: base64.b64decode(data + b"=" * (-len(data) % 4)),
    "base64.standard_b64decode": base64.b64decode,
    "base64.urlsafe_b64decode": lambda data: base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4)),
    "base64.decodebytes": base64.decodebytes,
    "base64.decodestring": base64.decodebytes,
    "base64.b32decode": base64.b32decode,
    "base64.b16decode": lambda data: base64.b16decode(data, casefold=True),
    "base64.b85decode": base64.b85decode,
    "base64.a85decode": base64.a85decode,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_hex": binascii.unhexlify,
    "binascii.a2b_base64": binascii.a2b_base64,
    "builtins.bytes.fromhex": lambda data: bytes.fromhex(data.decode()),
    "builtins.bytearray.fromhex": lambda data: bytes.fromhex(data.decode()),
    "zlib.decompress": _unpacked(zlib.decompressobj),
    "gzip.decompress": _unpacked(lambda: zlib.decompressobj(31)),
    "bz2.decompress": _unpacked(bz2.BZ2Decompressor),
    "lzma.decompress": _unpacked(lzma.LZMADecompressor),
    "urllib.parse.unquote": lambda data: urllib.parse.unquote(data.decode("utf-8", "replace")),
}


def decoded(name: str, arguments: tuple[Value, ...]) -> Value:
    """What a decoder gives; marked, and a constant where it could be folded."""
    marks = union(*arguments) | {"decoded"}
    constant = arguments[0].constant if arguments else NOTHING
    function = DECODING.get(name)
    if name == "codecs.decode" and len(arguments) > 1 and isinstance(arguments[1].constant, str):
        how = arguments[1].constant
        function = lambda data: _decode_codec(data, how)  # noqa: E731
    if function is None or not isinstance(constant, str | bytes) or len(constant) > MOST:
        return Value(marks=marks)
    try:
        return Value(constant=function(_bytes(constant)), marks=marks)
    except Exception:  # the decoders raise a dozen kinds of errors on what is not theirs
        return Value(marks=marks)


def _decode_codec(data: bytes, how: str) -> Any:
    name = how.replace("-", "_").lower()
    if name in ("rot13", "rot_13"):
        return codecs.decode(data.decode("utf-8"), "rot13")
    if name in ("hex", "hex_codec"):
        return binascii.unhexlify(data)
    if name in ("base64", "base64_codec"):
        return base64.decodebytes(data)
    if name in ("zlib", "zip", "zlib_codec"):
        return zlib.decompressobj().decompress(data, MOST)
    return data.decode(name if name in ("utf_8", "ascii", "latin_1", "utf_16", "unicode_escape") else "utf-8")


def method_of_text(owner: Value, method: str, arguments: tuple[Value, ...]) -> Value:
    """What a method of a constant text gives."""
    constant = owner.constant
    marks = union(owner, *arguments)
    given = [plain(argument) for argument in arguments]
    if any(argument is NOTHING for argument in given):
        if method == "join":
            return Value(marks=marks | {"joined"})
        return Value(marks=marks)
    try:
        if method == "join":
            parts = given[0]
            if isinstance(parts, list | tuple) and sum(map(len, parts)) < MOST:
                whole = constant.join(parts)
                return Value(constant=whole, marks=marks | together(whole, *parts))
        elif method == "decode" and isinstance(constant, bytes):
            return Value(constant=_decode_codec(constant, *(given[:1] or ["utf-8"])), marks=marks)
        elif method == "encode" and isinstance(constant, str):
            return Value(constant=constant.encode("utf-8", "replace"), marks=marks)
        elif method == "replace" and len(constant) < MOST // 16:
            whole = constant.replace(*given[:2])
            return Value(constant=whole, marks=marks | together(whole, constant, *given[:2]))
        elif method in ("strip", "lstrip", "rstrip", "lower", "upper", "swapcase", "title"):
            return Value(constant=getattr(constant, method)(*given[:1]), marks=marks)
        elif method in ("split", "rsplit"):
            parts = getattr(constant, method)(*given[:2])
            return Value(constant=tuple(of(part, *marks) for part in parts[:4096]), marks=marks)
        elif method == "format" and "__" not in str(constant) and "{" in str(constant) and len(str(constant)) < 65536:
            text = str(constant)
            for index, part in enumerate(given):
                text = text.replace("{}", str(part), 1).replace("{" + str(index) + "}", str(part))
            return Value(constant=text, marks=marks | together(text, constant, *given))
        elif method == "hex" and isinstance(constant, bytes):
            return Value(constant=constant.hex(), marks=marks)
        elif method == "translate":
            return Value(marks=marks | {"decoded"})
    except Exception:  # as the method would raise
        return Value(marks=marks)
    return Value(marks=marks)
