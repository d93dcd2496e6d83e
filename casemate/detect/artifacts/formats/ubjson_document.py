"""Universal Binary JSON: the models that XGBoost writes by itself (``.ubj``).

Definition: ubjson.org, draft 12; ``src/common/json.cc`` of XGBoost 2, which writes lengths of eight bytes and arrays of
one type.  Values are judged like those of any JSON; arrays of numbers are stepped over.
"""

from __future__ import annotations

from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.json_document import judge_document
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import is_text, look_for_encoded

MOST_BYTES = 1 << 30
MOST_DEPTH = 200
MOST_VALUES = 20_000_000
WIDTHS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1}
PLAIN = {b"Z": None, b"N": None, b"T": True, b"F": False}

BROKEN = Rule("ubjson.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads what comes before the damage")


class BrokenError(ValueError):
    """Bytes that are no UBJSON."""


def recognise(content: Content) -> bool:
    """Whether it is an object whose first key is text."""
    head = content.head(64)
    if head[:1] != b"{" or is_text(content):
        return False
    reader = _Reader(content, 1)
    try:
        return reader.key(reader.marker()).isprintable()
    except (BrokenError, UnicodeDecodeError):
        return False


def inspect(content: Content, inspection: Inspection) -> None:
    """Read it to its end, then judge its values."""
    if content.size > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} bytes")
        return
    reader = _Reader(content, 0)
    try:
        value = reader.value(reader.marker(), 0)
    except (BrokenError, UnicodeDecodeError, RecursionError) as error:
        inspection.report(BROKEN, str(error)[:200], reader.at)
        return
    inspection.own(0, reader.at)
    judge_document(value, inspection)
    look_for_encoded("\n".join(reader.texts), inspection)


class _Reader:
    def __init__(self, content: Content, at: int) -> None:
        self._content = content
        self.at = at
        self.texts: list[str] = []
        self._values = 0

    def _take(self, count: int) -> bytes:
        if count < 0 or count > self._content.size - self.at:
            raise BrokenError(f"{count} bytes are due at {self.at}, {self._content.size - self.at} are there")
        self.at += count
        return self._content.read(self.at - count, count)

    def marker(self) -> bytes:
        """The next marker; no-operations are passed over."""
        found = self._take(1)
        while found == b"N":
            found = self._take(1)
        return found

    def key(self, marker: bytes) -> str:
        """A text without a marker of its own: its length, then its bytes."""
        return self._take(self._length(marker)).decode("utf-8")

    def _length(self, marker: bytes) -> int:
        if marker not in (b"i", b"U", b"I", b"l", b"L"):
            raise BrokenError(f"a length of the type {marker!r}")
        return int.from_bytes(self._take(WIDTHS[marker]), "big", signed=marker != b"U")

    def value(self, marker: bytes, depth: int) -> Any:
        """One value; arrays of numbers of one type are stepped over."""
        self._values += 1
        if depth > MOST_DEPTH or self._values > MOST_VALUES:
            raise BrokenError("it is nested too deeply, or holds too many values")
        if marker in PLAIN:
            return PLAIN[marker]
        if marker in WIDTHS:
            self._take(WIDTHS[marker])
            return 0  # numbers say nothing here
        if marker in (b"S", b"H"):
            text = self.key(self.marker())
            self.texts.append(text)
            return text
        if marker == b"[":
            return self._array(depth)
        if marker == b"{":
            return self._object(depth)
        raise BrokenError(f"the marker {marker!r} at {self.at - 1}")

    def _sized(self) -> tuple[bytes | None, int | None, bytes]:
        """The type and the count that a container states, and the marker that follows."""
        kind = count = None
        marker = self.marker()
        if marker == b"$":
            kind = self._take(1)
            marker = self.marker()
        if marker == b"#":
            count = self._length(self.marker())
            if count < 0:
                raise BrokenError(f"{count} values")
            marker = b""
        elif kind is not None:
            raise BrokenError("a type without a count")
        return kind, count, marker

    def _array(self, depth: int) -> list[Any]:
        kind, count, marker = self._sized()
        found: list[Any] = []
        if count is not None:
            if kind is not None and kind in WIDTHS:
                self._take(count * WIDTHS[kind])
            elif count > self._content.size - self.at:
                raise BrokenError(f"{count} values")
            else:
                found = [self.value(kind or self.marker(), depth + 1) for _ in range(count)]
            return found
        while marker != b"]":
            found.append(self.value(marker, depth + 1))
            marker = self.marker()
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count, marker = self._sized()
        found: dict[str, Any] = {}
        while marker != b"}" if count is None else len(found) < count:
            name = self.key(marker or self.marker())
            found[name] = self.value(kind or self.marker(), depth + 1)
            marker = b"" if count is not None else self.marker()
        return found


FORMAT = Format("ubjson", recognise, inspect, (".ubj",))
