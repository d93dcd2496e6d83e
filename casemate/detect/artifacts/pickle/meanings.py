"""What an abstract value stands for, as far as it can be told, and how to print it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from casemate.detect.artifacts.pickle.opcodes import Blob, Call, Extension, Global, Mapping, Members, Persistent

SHOWN = 120
"""Characters of an argument that a reason shows."""
LOOKED_AT = 400
"""Values looked at inside one call's arguments."""
DEEP = 6


@dataclass(frozen=True)
class Meaning:
    """What a value is to the loader.

    `kind` is one of

    - ``name``: what ``module.name`` is (a class, function or value);
    - ``module``: the module `module`;
    - ``attribute``: the attribute `name` of `base`;
    - ``partial``: `base` with `arguments` put before its own;
    - ``getter``: reads the attributes `arguments` of what it is called with;
    - ``caller``: calls the method `name` with `arguments` of what it is called with;
    - ``made``: an object that calling `base` gave;
    - ``data``: plain data (`value`, where it is needed later);
    - ``unknown``: anything.
    """

    kind: str
    module: str = ""
    name: str = ""
    base: Meaning | None = None
    arguments: tuple[Any, ...] = ()
    value: Any = None

    def __str__(self) -> str:
        return self.described()

    def described(self, depth: int = 0) -> str:
        """The meaning in words; deep ones are cut."""
        if depth > DEEP:
            return "..."
        base = self.base.described(depth + 1) if self.base is not None else ""
        if self.kind == "name":
            return f"{self.module}.{self.name}"
        if self.kind == "module":
            return f"module {self.module}"
        if self.kind == "attribute":
            return f"{base}.{self.name}"
        if self.kind == "partial":
            return f"partial({base})"
        if self.kind == "caller":
            return f"methodcaller({self.name!r})"
        if self.kind == "getter":
            return f"attrgetter({', '.join(map(repr, self.arguments))})"
        if self.kind == "made":
            return f"{base}(...)"
        return self.kind


DATA = Meaning("data")
UNKNOWN = Meaning("unknown")


def as_arguments(value: Any) -> tuple[Any, ...]:
    """The positional arguments that a REDUCE passes (``pickle.py`` takes any iterable, the C unpickler a tuple)."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Mapping):
        return tuple(value.keys())
    if isinstance(value, Members):
        return tuple(value.items)
    if is_plain_sequence(value):
        return as_arguments(value.arguments[0])
    return ()


def is_plain_sequence(value: Any) -> bool:
    """Whether the value is ``tuple(...)`` or ``list(...)`` of one value that the stream holds."""
    if not isinstance(value, Call) or value.changes or not isinstance(value.function, Global):
        return False
    function, arguments = value.function, value.arguments
    named = function.module in ("builtins", "__builtin__") and function.name in ("tuple", "list")
    return named and isinstance(arguments, tuple) and len(arguments) == 1 and isinstance(arguments[0], (tuple, list))


def is_computed(value: Any) -> bool:
    """Whether arguments are the result of a call that is not understood here."""
    return isinstance(value, (Call, Persistent, Extension)) and not is_plain_sequence(value)


def texts(values: Any) -> Iterator[str]:
    """The strings in the values, bytes as text, to a depth and number that bound the work."""
    left = LOOKED_AT
    waiting: list[tuple[Any, int]] = [(values, 0)]
    while waiting and left > 0:
        value, depth = waiting.pop()
        left -= 1
        if isinstance(value, str):
            yield value
        elif isinstance(value, (bytes, bytearray)):
            yield bytes(value[:100_000]).decode("latin-1")
        elif depth < DEEP:
            inside: Any = ()
            if isinstance(value, (tuple, list)):
                inside = value
            elif isinstance(value, (Mapping, Members)):
                inside = value.items
            elif isinstance(value, Call):
                inside = (value.arguments,)
            waiting.extend((item, depth + 1) for item in reversed(inside[:LOOKED_AT]))


def shown(value: Any, depth: int = 0) -> str:
    """A value as a reason prints it, cut to a length."""
    text = _shown(value, depth)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _shown(value: Any, depth: int) -> str:
    if isinstance(value, (str, bytes, bytearray)):
        return repr(value[:SHOWN] if isinstance(value, str) else bytes(value[:SHOWN]))
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, Global):
        return f"{value.module}.{value.name}"
    if isinstance(value, Blob):
        return f"<{value.size} bytes>"
    if isinstance(value, Persistent):
        return "<persistent>"
    if isinstance(value, Extension):
        return f"<extension {value.code}>"
    if depth > 3:
        return "..."
    if isinstance(value, Call):
        return f"{_shown(value.function, depth + 1)}({_several(as_arguments(value.arguments), depth)})"
    if isinstance(value, tuple):
        return f"({_several(value, depth)})"
    if isinstance(value, list):
        return f"[{_several(value, depth)}]"
    if isinstance(value, Mapping):
        return f"{{{_several(value.items, depth)}}}"
    if isinstance(value, Members):
        return f"{{{_several(value.items, depth)}}}"
    return f"<{type(value).__name__.lower()}>"


def _several(values: Any, depth: int) -> str:
    text = ", ".join(_shown(value, depth + 1) for value in values[:6])
    return text + ", ..." if len(values) > 6 else text
