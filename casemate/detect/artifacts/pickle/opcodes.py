"""The opcodes of pickle protocols 0 to 5 (PEP 307, 3154, 574; CPython's ``Modules/_pickle.c``) and abstract values."""

from __future__ import annotations

from typing import Any

MARK, STOP, POP, POP_MARK, DUP = 0x28, 0x2E, 0x30, 0x31, 0x32
FLOAT, INT, LONG, BININT, BININT1, BININT2 = 0x46, 0x49, 0x4C, 0x4A, 0x4B, 0x4D
LONG1, LONG4, BINFLOAT, NONE, NEWTRUE, NEWFALSE = 0x8A, 0x8B, 0x47, 0x4E, 0x88, 0x89
STRING, BINSTRING, SHORT_BINSTRING = 0x53, 0x54, 0x55
UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 = 0x56, 0x58, 0x8C, 0x8D
BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8 = 0x42, 0x43, 0x8E, 0x96
NEXT_BUFFER, READONLY_BUFFER = 0x97, 0x98
EMPTY_LIST, APPEND, APPENDS, LIST = 0x5D, 0x61, 0x65, 0x6C
EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3 = 0x29, 0x74, 0x85, 0x86, 0x87
EMPTY_DICT, DICT, SETITEM, SETITEMS = 0x7D, 0x64, 0x73, 0x75
EMPTY_SET, ADDITEMS, FROZENSET = 0x8F, 0x90, 0x91
GET, BINGET, LONG_BINGET, PUT, BINPUT, LONG_BINPUT, MEMOIZE = 0x67, 0x68, 0x6A, 0x70, 0x71, 0x72, 0x94
GLOBAL, STACK_GLOBAL, EXT1, EXT2, EXT4 = 0x63, 0x93, 0x82, 0x83, 0x84
REDUCE, BUILD, INST, OBJ, NEWOBJ, NEWOBJ_EX = 0x52, 0x62, 0x69, 0x6F, 0x81, 0x92
PERSID, BINPERSID, PROTO, FRAME = 0x50, 0x51, 0x80, 0x95
HIGHEST_PROTOCOL = 5


class Global:
    """What an import opcode gives: ``module.name`` as written, before any renaming from Python 2."""

    __slots__ = ("module", "name", "offset", "protocol")

    def __init__(self, module: str, name: str, protocol: int, offset: int) -> None:
        self.module = module
        self.name = name
        self.protocol = protocol
        self.offset = offset


class Extension:
    """What ``EXT1``, ``EXT2`` or ``EXT4`` gives: whatever the running program registered under `code`."""

    __slots__ = ("code", "offset")

    def __init__(self, code: int, offset: int) -> None:
        self.code = code
        self.offset = offset


class Persistent:
    """What the loader's ``persistent_load`` gives for `pid`."""

    __slots__ = ("offset", "pid")

    def __init__(self, pid: Any, offset: int) -> None:
        self.pid = pid
        self.offset = offset


class Outside:
    """A buffer that travels outside the stream (protocol 5)."""

    __slots__ = ("offset",)

    def __init__(self, offset: int) -> None:
        self.offset = offset


class Call:
    """What calling `function` gives.

    `how` is the opcode's way: ``reduce`` calls it; ``newobj`` calls ``function.__new__(function, ...)`` and needs a
    class; ``instantiate`` (INST, OBJ) does that without arguments and calls it otherwise.
    """

    __slots__ = ("arguments", "changes", "function", "how", "keywords", "offset")

    def __init__(self, how: str, function: Any, arguments: Any, keywords: Any, offset: int) -> None:
        self.how = how
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.offset = offset
        self.changes: list[Change] = []


class Change:
    """A method that the unpickler calls on an object: `how` is ``build``, ``append``, ``setitem`` or ``add``.

    `value` is the state of BUILD, or the list of what is added (keys and values in turn for ``setitem``).
    """

    __slots__ = ("how", "offset", "target", "value")

    def __init__(self, how: str, target: Any, value: Any, offset: int) -> None:
        self.how = how
        self.target = target
        self.value = value
        self.offset = offset


class Mapping:
    """A dict under construction: keys and values in turn (keys may be abstract, so it is no dict here)."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def get(self, key: Any, default: Any = None) -> Any:
        """The value that a real dict would hold under a plain `key`: the last one given."""
        items = self.items
        for index in range(len(items) - 2, -1, -2):
            if type(items[index]) is type(key) and items[index] == key:
                return items[index + 1]
        return default

    def keys(self) -> list[Any]:
        """All keys as given."""
        return self.items[::2]


class Members:
    """A set or frozenset."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]) -> None:
        self.items = items


class Blob:
    """Bytes of the stream too long to be copied: `size` of them at `offset`; `text` if a string."""

    __slots__ = ("offset", "size", "text")

    def __init__(self, offset: int, size: int, text: bool) -> None:
        self.offset = offset
        self.size = size
        self.text = text


Event = Global | Extension | Persistent | Call | Change
