"""Pickles put together from opcodes: every payload is a canary that nothing here ever loads."""

from __future__ import annotations

import struct
from typing import Any

COMMAND = "echo canary"
CODE = "canary = 1"


def unicode(text: str) -> bytes:
    """SHORT_BINUNICODE or BINUNICODE."""
    data = text.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def value(item: Any) -> bytes:
    """Opcodes that push plain data; raw opcodes are given as :class:`Raw`."""
    if isinstance(item, Raw):
        return item.opcodes
    if item is None:
        return b"N"
    if isinstance(item, bool):
        return b"\x88" if item else b"\x89"
    if isinstance(item, int):
        return b"J" + struct.pack("<i", item)
    if isinstance(item, str):
        return unicode(item)
    if isinstance(item, bytes):
        return b"B" + struct.pack("<I", len(item)) + item
    if isinstance(item, list):
        return b"](" + b"".join(map(value, item)) + b"e"
    if isinstance(item, dict):
        return b"}(" + b"".join(value(key) + value(held) for key, held in item.items()) + b"u"
    if isinstance(item, tuple):
        return b"(" + b"".join(map(value, item)) + b"t"
    raise TypeError(f"no opcodes for {type(item).__name__}")


class Raw:
    """Opcodes used as a value."""

    def __init__(self, opcodes: bytes) -> None:
        self.opcodes = opcodes


def named(module: str, name: str) -> Raw:
    """``module.name`` by STACK_GLOBAL."""
    return Raw(unicode(module) + unicode(name) + b"\x93")


def old_named(module: str, name: str) -> Raw:
    """``module.name`` by GLOBAL."""
    return Raw(f"c{module}\n{name}\n".encode())


def call(function: Raw, *arguments: Any) -> Raw:
    """The call of a function by REDUCE."""
    return Raw(function.opcodes + value(arguments) + b"R")


def pickled(body: Raw | bytes, protocol: int = 4) -> bytes:
    """A whole stream."""
    opcodes = body.opcodes if isinstance(body, Raw) else body
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + opcodes + b"."


SYSTEM = call(named("os", "system"), COMMAND)
EVAL = call(named("builtins", "eval"), CODE)
