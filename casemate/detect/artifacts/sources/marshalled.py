"""Compiled Python read as data: the code objects of a ``.pyc``, with the names and constants they use.

Definition: ``Python/marshal.c`` of CPython 3.7 to 3.14 (types, references, the layout of code objects), and PEP 552 for
the header.  Nothing is compiled or executed, and :mod:`marshal` is not called: it does not withstand hostile bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HEADER_BYTES = 16
MOST_DEPTH = 120
VERSIONS: tuple[tuple[range, tuple[int, int]], ...] = (
    # Lib/importlib/_bootstrap_external.py lists the numbers of each version
    (range(3390, 3400), (3, 7)),
    (range(3400, 3420), (3, 8)),
    (range(3420, 3430), (3, 9)),
    (range(3430, 3450), (3, 10)),
    (range(3450, 3500), (3, 11)),
    (range(3500, 3550), (3, 12)),
    (range(3550, 3600), (3, 13)),
    (range(3600, 3650), (3, 14)),
)
OPCODES: dict[tuple[int, int], tuple[int, int, int]] = {
    **{(3, minor): (108, 101, 144) for minor in range(7, 13)},
    (3, 13): (75, 92, 71),
}
"""By version the numbers of ``IMPORT_NAME``, ``LOAD_NAME`` and ``EXTENDED_ARG``."""
OPTIMIZED = 1
"""Flag of functions; code without it runs when the module is imported (the module itself, bodies of classes)."""


class NotMarshalled(Exception):  # noqa: N818 - says what is the matter
    """The bytes are no compiled Python of a version known here; the text says why."""


@dataclass(frozen=True)
class CodeObject:
    """One code object.

    Args:
        name: of the module, class or function.
        at_import: whether it runs when the module is imported.
        names: names of globals, attributes and modules it uses.
        imports, loads: modules it imports, and names it loads outside of functions; None where the version's opcodes
            are not known.
        constants: constants, tuples taken apart; not the code objects among them.
        inner: code objects defined in it.
    """

    name: str
    at_import: bool
    names: tuple[str, ...]
    imports: tuple[str, ...] | None
    loads: tuple[str, ...] | None
    constants: tuple[Any, ...]
    inner: tuple[CodeObject, ...]

    def all(self) -> Iterator[CodeObject]:
        """It and all below it."""
        waiting: list[CodeObject] = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting.extend(one.inner)


def version_of(head: bytes) -> tuple[int, int] | None:
    """The version of Python that a ``.pyc`` with this beginning was made by."""
    if len(head) < HEADER_BYTES or head[2:4] != b"\r\n":
        return None
    number = int.from_bytes(head[:2], "little")
    return next((version for numbers, version in VERSIONS if number in numbers), None)


def read_compiled(data: bytes) -> tuple[CodeObject, int]:
    """The module's code, and how many bytes belong to it.

    Raises:
        NotMarshalled: a version that is not known, damage, or too deep.
    """
    version = version_of(data)
    if version is None:
        raise NotMarshalled("it was made by a version of Python that is not known here")
    reader = _Reader(data, HEADER_BYTES, version)
    try:
        value = reader.value(0)
    except (IndexError, OverflowError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise NotMarshalled(f"it breaks off or is damaged: {error}"[:120]) from None
    if not isinstance(value, CodeObject):
        raise NotMarshalled("it holds no code")
    return value, reader.at


class _Null:
    """The end of a dictionary."""


class _Reader:
    def __init__(self, data: bytes, at: int, version: tuple[int, int]) -> None:
        self._data, self.at, self._version = data, at, version
        self._known: list[Any] = []

    def _take(self, count: int) -> bytes:
        if count < 0 or count > len(self._data) - self.at:
            raise NotMarshalled("it breaks off")
        self.at += count
        return self._data[self.at - count : self.at]

    def _number(self) -> int:
        return int.from_bytes(self._take(4), "little", signed=True)

    def value(self, depth: int) -> Any:
        """The next object."""
        if depth > MOST_DEPTH:
            raise NotMarshalled("it is nested too deeply")
        kind = self._take(1)[0]
        place = None
        if kind & 0x80 and kind & 0x7F != ord("r"):
            place = len(self._known)
            self._known.append(None)  # numbered where it begins
        made = self._made(chr(kind & 0x7F), depth)
        if place is not None:
            self._known[place] = made
        return made

    def _made(self, kind: str, depth: int) -> Any:
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        if kind == "i":
            return self._number()
        if kind == "I":
            return int.from_bytes(self._take(8), "little", signed=True)
        if kind == "l":
            self._take(2 * abs(self._number()))
            return 0  # large numbers say nothing here
        if kind in "fx":
            for _ in range(1 if kind == "f" else 2):
                self._take(self._take(1)[0])
            return 0.0
        if kind in "gy":
            self._take(8 if kind == "g" else 16)
            return 0.0
        if kind in "zZ":
            return self._take(self._take(1)[0]).decode("latin-1")
        if kind in "aA":
            return self._take(self._number()).decode("latin-1")
        if kind in "tu":
            return self._take(self._number()).decode("utf-8", "surrogatepass")
        if kind == "s":
            return self._take(self._number())
        if kind in "()[<>":
            count = self._take(1)[0] if kind == ")" else self._number()
            if count < 0 or count > len(self._data) - self.at:
                raise NotMarshalled("it breaks off")
            return tuple(self.value(depth + 1) for _ in range(count))
        if kind == "{":
            return self._dictionary(depth)
        if kind == ":":
            return tuple(self.value(depth + 1) for _ in range(3))
        if kind == "r":
            return self._known[self._number()]
        if kind == "c":
            return self._code(depth)
        raise NotMarshalled(f"an object of the unknown type {kind!r}")

    def _dictionary(self, depth: int) -> tuple[Any, ...]:
        found = []
        while (key := self.value(depth + 1)) is not _Null:
            found += [key, self.value(depth + 1)]
        return tuple(found)

    def _code(self, depth: int) -> CodeObject:
        late = self._version >= (3, 11)
        numbers = [self._number() for _ in range(5 if late or self._version < (3, 8) else 6)]
        flags = numbers[-1]
        code, constants, names = (self.value(depth + 1) for _ in range(3))
        own = [self.value(depth + 1) for _ in range(4 if late else 5)][-1]  # names of variables, the file, its own name
        if late:
            self.value(depth + 1)  # its qualified name
        self._number()
        self.value(depth + 1)
        if late:
            self.value(depth + 1)
        if not isinstance(code, bytes) or not isinstance(constants, tuple) or not isinstance(names, tuple):
            raise NotMarshalled("a code object is damaged")
        parts = list(_taken_apart(constants))
        return CodeObject(
            own if isinstance(own, str) else "",
            not flags & OPTIMIZED,
            tuple(name for name in names if isinstance(name, str)),
            self._named(code, names, 0),
            self._named(code, names, 1),
            tuple(part for part in parts if not isinstance(part, CodeObject)),
            tuple(part for part in parts if isinstance(part, CodeObject)),
        )

    def _named(self, code: bytes, names: tuple[Any, ...], which: int) -> tuple[str, ...] | None:
        """The names that one of :data:`OPCODES` is used with."""
        numbers = OPCODES.get(self._version)
        if numbers is None:
            return None
        found, extended = [], 0
        for at in range(0, len(code) - 1, 2):
            operation, argument = code[at], code[at + 1] | extended
            extended = (argument << 8) & 0xFFFFFF00 if operation == numbers[2] else 0
            if operation == numbers[which] and argument < len(names):
                found.append(str(names[argument]))
        return tuple(dict.fromkeys(found))


_SIMPLE: dict[str, Any] = {"0": _Null, "N": None, "F": False, "T": True, "S": StopIteration, ".": ...}


def _taken_apart(values: tuple[Any, ...]) -> Iterator[Any]:
    waiting = list(reversed(values))
    taken = 0
    while waiting and taken < 1_000_000:  # a tuple may be named again and again
        one = waiting.pop()
        taken += 1
        if isinstance(one, tuple):
            waiting.extend(reversed(one))
        else:
            yield one
