"""JSON values as the text of columns, and objects inside objects as dotted names.

Strings and numbers are written as recorded; a list of plain values is one value a line, any other list
or object is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

Fields = dict[str, Any]
ONLY_NULL = {type(None)}


def flatten(record: Mapping[str, Any], prefix: str = "") -> Fields:
    """Objects inside objects as dotted names; arrays and empty objects stay values.

    Two paths with one name (``{"a": {"b": 1}, "a.b": 2}``) become an array of both values.
    """
    flat: Fields = {}
    _flatten_into(flat, record, prefix)
    return flat


def _flatten_into(flat: Fields, record: Mapping[str, Any], prefix: str) -> None:
    for key, value in record.items():
        name = prefix + key
        if type(value) is dict and value:
            _flatten_into(flat, value, name + ".")
        elif name in flat:
            flat[name] = [flat[name], value]
        else:
            flat[name] = value


def quick_float(value: float) -> str:
    return orjson.dumps(value).decode()  # the recorded text: the line was written again and was the same


exact_float = repr  # json_values keeps as floats only numbers that Python writes as recorded


def _text(value: Any, number: Callable[[float], str]) -> str | None:
    if value is None or type(value) is str:
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        if not any(isinstance(item, (list, dict)) for item in value):
            return "\n".join("" if item is None else _text(item, number) or "" for item in value)
        return orjson.dumps(value).decode()
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return str(value)


def texts(values: tuple[Any, ...], kinds: set[type], number: Callable[[float], str]) -> Iterable[str | None]:
    if kinds <= _TEXT_OR_NULL:
        return values
    if kinds == {int}:
        return map(str, values)
    return [_text(value, number) for value in values]


_TEXT_OR_NULL = {str, type(None)}


def rest_texts(names: list[str], columns: list[tuple[Any, ...]], number: Callable[[float], str]) -> list[str | None]:
    """The ``rest`` of each row: a JSON object; numbers and booleans as text, arrays as they are."""
    dumps = orjson.dumps
    ready: list[Iterable[Any]] = []
    nulls = False
    for column in columns:
        kinds = set(map(type, column))
        nulls = nulls or type(None) in kinds
        if not kinds <= _KEPT_IN_REST:
            column = tuple(value if type(value) in _KEPT_IN_REST else _text(value, number) for value in column)
        ready.append(column)
    rows = zip(*ready, strict=True)
    if not nulls:
        return [dumps(dict(zip(names, row, strict=True))).decode() for row in rows]
    some = ({name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows)
    return [dumps(fields).decode() if fields else None for fields in some]


_KEPT_IN_REST = {str, list, dict, type(None)}
