"""One JSON record, read so that no two parsers could disagree about it, and flattened to text.

Rejected: keys given twice in one object, lone surrogates, anything that is not RFC 8259 (NaN, raw
control characters), nesting or fields over the limits.  Flagged: bytes that are not UTF-8 (written
as ``\\xNN``) and numbers that parsers rewrite (kept as recorded).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from casemate.limits import Limits

_CANONICAL_INTEGER = re.compile(r"(?:0|-?[1-9]\d{0,18})\Z", re.ASCII)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ESCAPES = {0xDC00 + byte: f"\\\\x{byte:02x}" for byte in range(0x80, 0x100)}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NumberText(str):
    """A number whose text another parser might rewrite; it is kept as recorded."""

    __slots__ = ()


@dataclass(frozen=True)
class JsonObject:
    """A record that is a JSON object, with the flags of what was replaced in it."""

    fields: dict[str, Any]
    flags: tuple[str, ...] = ()


class _DoubledError(ValueError):
    pass


def read_object(data: bytes, limits: Limits) -> JsonObject | str:
    """`data` as one JSON object, or the reason why it is none."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _read_odd(data, limits, str(error))
    if not isinstance(value, dict):
        return "not a JSON object"
    flags: tuple[str, ...] = ()
    if data.count(b"{") + data.count(b"[") > limits.json_depth and not _shallow(value, limits.json_depth):
        return f"nested deeper than {limits.json_depth} levels"
    if orjson.dumps(value) != data:
        read = _read_slowly(data.decode())
        if isinstance(read, str):
            return read
        value, flags = read
    return JsonObject(value, flags)


def _read_odd(data: bytes, limits: Limits, reason: str) -> JsonObject | str:
    text = data.decode("utf-8", "surrogateescape")
    if _NOT_UTF8.search(text):
        text = text.translate(_ESCAPES)
        again = read_object(text.encode("utf-8", "backslashreplace"), limits)
        if isinstance(again, JsonObject):
            return JsonObject(again.fields, (*again.flags, "encoding_replaced"))
        return again
    if "surrogate" in reason.lower() or re.search(r"\\u[dD][89a-fA-F]", text):
        try:
            if _has_surrogate(json.loads(text)):
                return "a lone surrogate"
        except (ValueError, RecursionError):
            pass
    return f"not JSON: {reason.split(':')[0]}"


def _has_surrogate(value: Any) -> bool:
    return _LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


def _read_slowly(text: str) -> tuple[dict[str, Any], tuple[str, ...]] | str:
    rewritten = False

    def integer(number: str) -> int | NumberText:
        nonlocal rewritten
        if _CANONICAL_INTEGER.match(number):
            return int(number)
        rewritten = True
        return NumberText(number)

    def decimal(number: str) -> float | NumberText:
        nonlocal rewritten
        value = float(number)
        if repr(value) == number:
            return value
        rewritten = True
        return NumberText(number)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) != len(items):
            seen: set[str] = set()
            doubled = next(name for name, _ in items if name in seen or seen.add(name))
            raise _DoubledError(doubled)
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=integer, parse_float=decimal)
    except _DoubledError as error:
        return f"the key {json.dumps(str(error)[:100])} stands twice in one object"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {type(error).__name__}"
    return value, ("number_rewritten",) if rewritten else ()


def _shallow(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return True
    return False


def as_text(value: Any) -> str | None:
    """A JSON value as text: strings and numbers as they are, objects and arrays as JSON, null as None."""
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return repr(value) if isinstance(value, float) else str(value)


def flatten(fields: dict[str, Any], *, prefix: str = "", whole: tuple[str, ...] = ()) -> dict[str, str]:
    """Dotted key -> text.  Arrays and objects at a path in `whole` stay JSON text; nulls are left out."""
    flat: dict[str, str] = {}
    stack = [(prefix, fields)]
    while stack:
        path, item = stack.pop()
        for key, value in item.items():
            name = f"{path}{key}"
            if isinstance(value, dict) and value and name not in whole:
                stack.append((f"{name}.", value))
                continue
            text = as_text(value)
            if text is not None:
                if name in flat:  # {"a": {"b": 1}, "a.b": 2}: two paths, one name
                    text = f"{flat[name]}\n{text}"
                flat[name] = text
    return flat


def through(fields: Any, path: str) -> str | None:
    """The value at a dotted path that may lead through arrays of objects.

    One value is its text; several are a JSON array of texts; none is None.
    """
    level = [fields]
    for key in path.split("."):
        following: list[Any] = []
        for item in level:
            for part in item if isinstance(item, list) else (item,):
                if isinstance(part, dict) and key in part:
                    following.append(part[key])
        level = following
    leaves = [leaf for value in level for leaf in (value if isinstance(value, list) else (value,))]
    texts = [text for value in leaves if (text := as_text(value)) is not None]
    if not texts:
        return None
    return texts[0] if len(texts) == 1 else orjson.dumps(texts).decode()
