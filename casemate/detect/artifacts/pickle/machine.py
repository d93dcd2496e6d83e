"""A pickle stream interpreted as CPython's C unpickler does it, with every object abstract.

Source: ``Modules/_pickle.c`` of CPython 3.11 to 3.14.  Where versions or loaders differ, the machine goes on where
any of them would: what it saw is what some loader would do, and it stops only where all of them stop.  Nothing is
imported; a name is a :class:`~casemate.detect.artifacts.pickle.opcodes.Global`.

The stack is kept as ``pickle.py`` keeps it: one list per MARK, so that an opcode which would pop through a mark finds
its list empty, as the fence of the C unpickler has it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from struct import Struct
from typing import Any, Final

from casemate.detect.artifacts.content import Buffer
from casemate.detect.artifacts.inspection import TooMuchError
from casemate.detect.artifacts.pickle.opcodes import (
    HIGHEST_PROTOCOL,
    Blob,
    Call,
    Change,
    Event,
    Extension,
    Global,
    Mapping,
    Members,
    Outside,
    Persistent,
)

COPIED_BYTES: Final = 1 << 20
"""Longer byte strings stay where they are."""
LINE_BYTES = 1 << 20
"""Longest text argument that is understood (as numbers, names)."""
SMALL_LONG: Final = 32
DIGITS = 4000
A_FLOAT = 0.5
"""Stands for every float: no verdict depends on one."""
A_LONG = 1 << 64
"""Stands for every integer too long to matter."""
PLAIN = (str, bytes, bytearray, int, float, bool, type(None), tuple, Blob)
"""Values that have no ``append``, ``add``, ``__setitem__`` or ``__setstate__`` an attacker could have put there."""

_signed_4 = Struct("<i").unpack_from
_unsigned_2 = Struct("<H").unpack_from
_unsigned_4 = Struct("<I").unpack_from
_unsigned_8 = Struct("<Q").unpack_from

AfterBuild = Callable[[Any, int], int]
"""Called after BUILD with the object and the position; gives the position to go on from (joblib's raw arrays)."""


class Trace:
    """What a stream would do, in order.

    Attributes:
        events: imports, calls, changes and persistent references.
        result: the object on top at STOP.
        end: position after STOP, or of the opcode that cannot be carried out.
        broken: why no loader gets further than `end`; None when STOP was reached.
        opcodes: how many were carried out.
        blobs: (offset, size) of every byte string of 16 bytes or more.
        spent: whether the opcode limit stopped it.
        protocol: the last one declared.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.result: Any = None
        self.end = 0
        self.broken: str | None = None
        self.opcodes = 0
        self.blobs: list[tuple[int, int]] = []
        self.spent = False
        self.protocol = 0


class _BrokenError(Exception):
    """No unpickler carries this opcode out."""


def interpret(  # pyright: ignore[reportGeneralTypeIssues] - one loop, for speed
    data: Buffer, begin: int, end: int, most_opcodes: int = 1 << 62, after_build: AfterBuild | None = None
) -> Trace:
    """Interpret one stream in ``data[begin:end]``.  Positions in the trace are those of `data`.

    Never raises for any bytes, except ``MemoryError``, and ``TooMuchError`` out of `after_build`.
    """
    trace = Trace()
    events = trace.events
    see = events.append
    blobs = trace.blobs
    memo: dict[int, Any] = {}
    marks: list[list[Any]] = []
    stack: list[Any] = []
    protocol = 0
    position = begin
    start = begin
    turns = repeat(None, most_opcodes)
    unsigned_4, signed_4 = _unsigned_4, _signed_4  # local names and values are found faster
    a_float: Any = A_FLOAT
    try:
        for _ in turns:
            start = position
            if position >= end:
                raise _BrokenError("the stream ends before STOP")
            opcode = data[position]
            position += 1
            if opcode == 0x94:  # MEMOIZE
                memo[len(memo)] = stack[-1]
            elif opcode == 0x8C:  # SHORT_BINUNICODE
                first_byte = position + 1
                position = first_byte + data[position]
                if position > end:
                    raise _BrokenError("a string is cut off")
                stack.append(data[first_byte:position].decode("utf-8", "surrogatepass"))
            elif opcode == 0x4B:  # BININT1
                stack.append(data[position])
                position += 1
            elif opcode == 0x68:  # BINGET
                stack.append(memo[data[position]])
                position += 1
            elif opcode == 0x71:  # BINPUT
                memo[data[position]] = stack[-1]
                position += 1
            elif opcode == 0x47:  # BINFLOAT
                position += 8
                stack.append(a_float)
            elif opcode == 0x58:  # BINUNICODE
                first_byte = position + 4
                position = first_byte + unsigned_4(data, position)[0]
                if position > end:
                    raise _BrokenError("a string is cut off")
                stack.append(
                    data[first_byte:position].decode("utf-8", "surrogatepass")
                    if position - first_byte <= COPIED_BYTES
                    else Blob(first_byte, position - first_byte, True)
                )
            elif opcode == 0x28:  # MARK
                marks.append(stack)
                stack = []
            elif opcode == 0x86:  # TUPLE2
                second = stack.pop()
                stack[-1] = (stack[-1], second)
            elif opcode == 0x72:  # LONG_BINPUT
                memo[unsigned_4(data, position)[0]] = stack[-1]
                position += 4
            elif opcode == 0x6A:  # LONG_BINGET
                stack.append(memo[unsigned_4(data, position)[0]])
                position += 4
            elif opcode == 0x4D:  # BININT2
                stack.append(data[position] | data[position + 1] << 8)
                position += 2
            elif opcode == 0x4A:  # BININT
                stack.append(signed_4(data, position)[0])
                position += 4
            elif opcode == 0x75 or opcode == 0x65 or opcode == 0x90:  # SETITEMS APPENDS ADDITEMS
                if not marks:
                    raise _BrokenError("could not find MARK")
                items = stack
                stack = marks.pop()
                target = stack[-1]
                if type(target) is list and opcode == 0x65:
                    target += items
                elif type(target) is Mapping and opcode == 0x75 and not len(items) % 2:
                    target.items += items
                else:
                    _add(opcode, target, items, start, see)
            elif opcode == 0x74:  # TUPLE
                if not marks:
                    raise _BrokenError("could not find MARK")
                items = stack
                stack = marks.pop()
                stack.append(tuple(items))
            elif opcode == 0x52:  # REDUCE
                arguments = stack.pop()
                call = Call("reduce", stack[-1], arguments, None, start)
                if arguments is None or isinstance(arguments, (int, float)):
                    raise _BrokenError("REDUCE with arguments that are none")
                see(call)
                stack[-1] = call
            elif opcode == 0x51:  # BINPERSID
                reference = Persistent(stack.pop(), start)
                see(reference)
                stack.append(reference)
            elif opcode == 0x85:  # TUPLE1
                stack[-1] = (stack[-1],)
            elif opcode == 0x87:  # TUPLE3
                third = stack.pop()
                second = stack.pop()
                stack[-1] = (stack[-1], second, third)
            elif opcode == 0x5D:  # EMPTY_LIST
                stack.append([])
            elif opcode == 0x7D:  # EMPTY_DICT
                stack.append(Mapping([]))
            elif opcode == 0x29:  # EMPTY_TUPLE
                stack.append(())
            elif opcode == 0x4E:  # NONE
                stack.append(None)
            elif opcode == 0x88:  # NEWTRUE
                stack.append(True)
            elif opcode == 0x89:  # NEWFALSE
                stack.append(False)
            elif opcode == 0x93:  # STACK_GLOBAL
                name = stack.pop()
                module = stack.pop()
                if type(name) is not str or type(module) is not str:
                    if _no_text(name) or _no_text(module):
                        raise _BrokenError("STACK_GLOBAL requires str")
                    name, module = _said(name), _said(module)
                found = Global(module, name, protocol, start)
                see(found)
                stack.append(found)
            elif opcode == 0x63:  # GLOBAL
                first, position = _line(data, position, end)
                then, position = _line(data, position, end)
                found = Global(first.decode("utf-8"), then.decode("utf-8"), protocol, start)
                see(found)
                stack.append(found)
            elif opcode == 0x62:  # BUILD
                state = stack.pop()
                target = stack[-1]
                change = Change("build", target, state, start)
                if isinstance(target, Call):
                    target.changes.append(change)
                see(change)
                if after_build is not None:
                    position = after_build(target, position)
            elif opcode == 0x81:  # NEWOBJ
                arguments = stack.pop()
                call = Call("newobj", stack[-1], arguments, None, start)
                if arguments is None or isinstance(arguments, (int, float)):
                    raise _BrokenError("NEWOBJ expected an arg tuple")
                see(call)
                stack[-1] = call
            elif opcode == 0x73:  # SETITEM
                value = stack.pop()
                key = stack.pop()
                _add(0x75, stack[-1], [key, value], start, see)
            elif opcode == 0x61:  # APPEND
                value = stack.pop()
                _add(0x65, stack[-1], [value], start, see)
            elif opcode == 0x43:  # SHORT_BINBYTES
                first_byte = position + 1
                position = first_byte + data[position]
                if position > end:
                    raise _BrokenError("bytes are cut off")
                stack.append(bytes(data[first_byte:position]))
                if position - first_byte >= 16:
                    blobs.append((first_byte, position - first_byte))
            elif opcode == 0x95:  # FRAME
                if position + 8 > end:
                    raise _BrokenError("a frame's length is cut off")
                length = _unsigned_8(data, position)[0]
                position += 8
                if position + length > end:
                    raise _BrokenError("a frame is longer than the stream")
            elif opcode == 0x2E:  # STOP
                trace.result = stack.pop()
                trace.end = position
                break
            elif opcode == 0x80:  # PROTO
                protocol = data[position]
                position += 1
                if protocol > HIGHEST_PROTOCOL or position > end:
                    raise _BrokenError(f"unsupported pickle protocol {protocol}")
                trace.protocol = protocol
            elif opcode == 0x42 or opcode == 0x8E or opcode == 0x8D or opcode == 0x96:
                # BINBYTES, BINBYTES8, BINUNICODE8, BYTEARRAY8
                width = 4 if opcode == 0x42 else 8
                if position + width > end:
                    raise _BrokenError("a length is cut off")
                length = (unsigned_4 if width == 4 else _unsigned_8)(data, position)[0]
                first_byte = position + width
                position = first_byte + length
                if position > end:
                    raise _BrokenError("bytes are cut off")
                if length > COPIED_BYTES:
                    stack.append(Blob(first_byte, length, opcode == 0x8D))
                elif opcode == 0x8D:
                    stack.append(data[first_byte:position].decode("utf-8", "surrogatepass"))
                elif opcode == 0x96:
                    stack.append(bytearray(data[first_byte:position]))
                else:
                    stack.append(bytes(data[first_byte:position]))
                if opcode != 0x8D and length >= 16:
                    blobs.append((first_byte, length))
            elif opcode == 0x8A or opcode == 0x8B:  # LONG1 LONG4
                if opcode == 0x8A:
                    length = data[position]
                    position += 1
                else:
                    length = signed_4(data, position)[0]
                    position += 4
                    if length < 0:
                        raise _BrokenError("LONG pickle has negative byte count")
                first_byte = position
                position += length
                if position > end:
                    raise _BrokenError("a number is cut off")
                stack.append(
                    int.from_bytes(data[first_byte:position], "little", signed=True) if length <= SMALL_LONG else A_LONG
                )
            elif opcode == 0x30:  # POP
                if stack:
                    stack.pop()
                elif marks:
                    stack = marks.pop()
                else:
                    raise _BrokenError("nothing to pop")
            elif opcode == 0x31:  # POP_MARK
                stack = marks.pop()
            elif opcode == 0x32:  # DUP
                stack.append(stack[-1])
            elif opcode == 0x55 or opcode == 0x54:  # SHORT_BINSTRING BINSTRING
                if opcode == 0x55:
                    length = data[position]
                    position += 1
                else:
                    length = signed_4(data, position)[0]
                    position += 4
                    if length < 0:
                        raise _BrokenError("BINSTRING pickle has negative byte count")
                first_byte = position
                position += length
                if position > end:
                    raise _BrokenError("a string is cut off")
                if length > COPIED_BYTES:
                    stack.append(Blob(first_byte, length, False))
                else:
                    stack.append(_python_2_text(bytes(data[first_byte:position])))
                if length >= 16:
                    blobs.append((first_byte, length))
            elif opcode == 0x8F:  # EMPTY_SET
                stack.append(Members([]))
            elif opcode == 0x6C or opcode == 0x64 or opcode == 0x91:  # LIST DICT FROZENSET
                items = stack
                stack = marks.pop()
                if opcode == 0x64 and len(items) % 2:
                    raise _BrokenError("odd number of items for DICT")
                stack.append(items if opcode == 0x6C else Mapping(items) if opcode == 0x64 else Members(items))
            elif opcode == 0x92:  # NEWOBJ_EX
                keywords = stack.pop()
                arguments = stack.pop()
                call = Call("newobj", stack[-1], arguments, keywords, start)
                see(call)
                stack[-1] = call
            elif opcode == 0x6F:  # OBJ
                items = stack
                stack = marks.pop()
                call = Call("instantiate", items[0], tuple(items[1:]), None, start)
                see(call)
                stack.append(call)
            elif opcode == 0x69:  # INST
                first, position = _line(data, position, end)
                then, position = _line(data, position, end)
                found = Global(first.decode("utf-8"), then.decode("utf-8"), protocol, start)
                see(found)  # pickle.py imports before it looks for the mark, the C unpickler after
                items = stack
                stack = marks.pop()
                call = Call("instantiate", found, tuple(items), None, start)
                see(call)
                stack.append(call)
            elif opcode == 0x67 or opcode == 0x70:  # GET PUT
                line, position = _line(data, position, end)
                index = _decimal(line)
                if opcode == 0x67:
                    stack.append(memo[index])
                else:
                    if index < 0:
                        raise _BrokenError("negative PUT argument")
                    memo[index] = stack[-1]
            elif opcode == 0x49 or opcode == 0x4C:  # INT LONG
                line, position = _line(data, position, end)
                stack.append(_number(line, opcode == 0x49))
            elif opcode == 0x46:  # FLOAT
                line, position = _line(data, position, end)
                stack.append(_float(line))
            elif opcode == 0x53:  # STRING
                line, position = _line(data, position, end)
                stack.append(_quoted(line))
            elif opcode == 0x56:  # UNICODE
                line, position = _line(data, position, end)
                stack.append(line.decode("raw-unicode-escape", "surrogatepass"))
            elif opcode == 0x50:  # PERSID
                line, position = _line(data, position, end)
                reference = Persistent(line.decode("ascii"), start)
                see(reference)
                stack.append(reference)
            elif opcode == 0x82 or opcode == 0x83 or opcode == 0x84:  # EXT1 EXT2 EXT4
                width = 1 << (opcode - 0x82)
                code = int.from_bytes(data[position : position + width], "little", signed=width == 4)
                position += width
                if code <= 0 or position > end:
                    raise _BrokenError("EXT specifies code <= 0")
                extension = Extension(code, start)
                see(extension)
                stack.append(extension)
            elif opcode == 0x97:  # NEXT_BUFFER
                stack.append(Outside(start))
            elif opcode == 0x98:  # READONLY_BUFFER
                stack[-1] = stack[-1]
            else:
                raise _BrokenError(f"no opcode 0x{opcode:02x}")
        else:
            trace.spent = True
            trace.end = position
            trace.broken = "the limit of opcodes is reached"
    except _BrokenError as broken:
        trace.broken, trace.end = str(broken), start
    except KeyError as absent:
        trace.broken, trace.end = f"memo value {absent} was never stored", start
    except UnicodeDecodeError as garbled:
        trace.broken, trace.end = f"a string is not {garbled.encoding}", start
    except (MemoryError, TooMuchError):
        raise
    except Exception as other:  # IndexError: pop from an empty stack, or bytes after the end; struct.error: the same
        cut = position >= end
        trace.broken = "the stream ends inside an opcode" if cut else f"stack underflow ({type(other).__name__})"
        trace.end = start
    trace.end = min(trace.end, end)
    trace.opcodes = most_opcodes - length_hint(turns)
    return trace


def _add(opcode: int, target: Any, items: list[Any], offset: int, see: Callable[[Event], None]) -> None:
    """APPENDS, SETITEMS or ADDITEMS of `items` to `target`; nothing is done, not even looked up, without items."""
    if not items:
        return
    if opcode == 0x75 and len(items) % 2:
        raise _BrokenError("odd number of items for SETITEMS")
    kind = type(target)
    if opcode == 0x65:
        if kind is list:
            target.extend(items)
            return
        if kind is bytearray and all(type(item) is int and 0 <= item < 256 for item in items):
            target.extend(items)
            return
    elif opcode == 0x75:
        if kind is Mapping:
            target.items.extend(items)
            return
        if (kind is list or kind is bytearray) and _set_places(target, items):
            return
    elif kind is Members:
        target.items.extend(items)
        return
    if isinstance(target, PLAIN) and kind is not bytearray:
        raise _BrokenError(f"an object of type {kind.__name__} takes no items")
    how = "append" if opcode == 0x65 else "setitem" if opcode == 0x75 else "add"
    change = Change(how, target, items, offset)
    if isinstance(target, Call):
        target.changes.append(change)
    see(change)


def _set_places(target: list[Any] | bytearray, items: list[Any]) -> bool:
    """Set items of a list or bytearray by plain indices; False when one of them is no plain index in range."""
    for index in range(0, len(items), 2):
        place, value = items[index], items[index + 1]
        if type(place) is not int or not -len(target) <= place < len(target):
            return False
        if isinstance(target, bytearray) and not (type(value) is int and 0 <= value < 256):
            return False
        target[place] = value
    return True


def _no_text(value: Any) -> bool:
    """Whether the value is certainly no string."""
    if isinstance(value, Call):
        made = value.function
        return value.how == "newobj" and isinstance(made, Global) and made.name not in ("str", "unicode")
    return isinstance(value, (bytes, bytearray, int, float, tuple, list, Mapping, Members)) or value is None


def _said(value: Any) -> str:
    """A name that another object of the stream stands for: no loader takes it, a lying one might."""
    return value if isinstance(value, str) else f"<{type(value).__name__.lower()}>"


def _line(data: Buffer, position: int, end: int) -> tuple[bytes, int]:
    """The text argument up to the newline, and where the next opcode is."""
    newline = data.find(b"\n", position, end)
    if newline < 0:
        raise _BrokenError("pickle data was truncated")
    if newline - position > LINE_BYTES:
        return bytes(data[position : position + LINE_BYTES]), newline + 1
    return bytes(data[position:newline]), newline + 1


def _decimal(line: bytes) -> int:
    """As ``PyLong_FromString(s, NULL, 10)``: white space, a sign, underscores; a NUL ends it."""
    try:
        return int(line.split(b"\0", 1)[0].decode("latin-1"), 10)
    except ValueError:
        raise _BrokenError("an index that is no number") from None


def _number(line: bytes, short: bool) -> Any:
    """As ``load_int`` and ``load_long`` read it: any base by its prefix; INT 00 and 01 are the booleans."""
    if not line:
        raise _BrokenError("pickle data was truncated")
    text = line.split(b"\0", 1)[0].decode("latin-1").strip()
    if not short and text.endswith("L"):
        text = text[:-1]
    try:
        digits = text.lstrip("+-")
        if short and len(digits) > 1 and digits[0] == "0" and digits.isdigit():  # strtol takes these as octal
            value = int(text, 8)
        else:
            value = int(text, 0)
    except ValueError:
        if len(line) < DIGITS:
            raise _BrokenError("could not convert string to int") from None
        return A_LONG  # newer versions refuse so many digits, older ones do not
    if short and len(line) == 2 and value in (0, 1):
        return value == 1
    return value if abs(value) < A_LONG else A_LONG


def _float(line: bytes) -> float:
    """As ``load_float``, which no verdict depends on: a number, or an error in every unpickler."""
    try:
        float(line.split(b"\0", 1)[0])
    except ValueError:
        raise _BrokenError("could not convert string to float") from None
    return A_FLOAT


def _quoted(line: bytes) -> str:
    """As ``load_string``: one pair of quotes off, escapes as in a bytes literal."""
    if len(line) < 2 or line[0] != line[-1] or line[0] not in b"'\"":
        raise _BrokenError("the STRING opcode argument must be quoted")
    try:
        return _python_2_text(codecs.escape_decode(line[1:-1])[0])  # type: ignore[attr-defined]
    except ValueError:
        raise _BrokenError("the STRING opcode argument has a broken escape") from None


def _python_2_text(text: bytes) -> str:
    """Python 2's str: which encoding it has is the loader's choice (ASCII, latin-1, UTF-8 or bytes)."""
    try:
        return text.decode("ascii")
    except UnicodeDecodeError:
        return text.decode("latin-1")
