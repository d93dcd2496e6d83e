"""Rows of an Arrow batch as values that JSON can say.

Times are ISO 8601 in UTC with ``Z`` (microseconds only where there are any); a time without a zone
is UTC, as all times in a case are.  NaN and the infinities are the texts ``NaN``, ``Infinity``,
``-Infinity``; bytes are hexadecimal; whole numbers beyond 64 bits are text; lists, structs and maps
are lists and objects.
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

_LARGEST = 2**63
_UNITS = {"s": 1_000_000, "ms": 1_000}


def json_rows(batch: pa.RecordBatch, names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of `batch` as dictionaries with the given column names."""
    columns = [json_column(column) for column in batch.columns]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def json_column(column: pa.Array) -> list[Any]:
    """Values of one column as JSON can say them."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return json_column(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _times(column)
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.to_pylist()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(column)
    if pa.types.is_map(kind):
        return [
            None if row is None else {str(json_value(name)): json_value(value) for name, value in row}
            for row in column.to_pylist()
        ]
    if pa.types.is_struct(kind):
        fields = [json_column(field) for field in column.flatten()]
        names = [field.name for field in kind]
        rows = zip(*fields, strict=True) if fields else ([()] * len(column))
        valid = column.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if there else None for row, there in zip(rows, valid, strict=True)]
    return [json_value(value) for value in column.to_pylist()]


def _lists(column: Any) -> list[Any]:
    """Lists of converted values, cut at the column's own offsets."""
    lengths = column.value_lengths().to_pylist()
    values = json_column(column.flatten())
    rows: list[Any] = []
    begin = 0
    for length in lengths:
        rows.append(None if length is None else values[begin : begin + length])
        begin += length or 0
    return rows


def _times(column: pa.Array) -> list[str | None]:
    """ISO 8601 in UTC.  Done in numpy, which knows the years before 1 and after 9999 that SQL can make."""
    unit = column.type.unit
    numbers = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    factor = _UNITS.get(unit, 1)
    micros = numbers // 1000 if unit == "ns" else numbers * factor
    texts = np.datetime_as_string(micros.astype("datetime64[us]"), unit="us").tolist()
    limits = np.iinfo(np.int64)
    infinite = {limits.max: "infinity", -limits.max: "-infinity"}
    return [
        None if not there else infinite.get(number) or _time_text(text)
        for text, number, there in zip(texts, numbers.tolist(), column.is_valid().to_pylist(), strict=True)
    ]


def _time_text(text: str) -> str:
    return (text[:-7] if text.endswith(".000000") else text) + "Z"


def json_value(value: Any) -> Any:
    """One Python value as JSON can say it."""
    convert = _CONVERT.get(type(value))
    return value if convert is None else convert(value)


def _integer(value: int) -> int | str:
    return value if -_LARGEST <= value < 2 * _LARGEST else str(value)


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decimal(value: decimal.Decimal) -> Any:
    return _integer(int(value)) if value == value.to_integral_value() else float(value)


def _datetime(value: datetime.datetime) -> str:
    value = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    return value.isoformat().replace("+00:00", "Z")


def _sequence(value: Any) -> list[Any]:
    return [json_value(item) for item in value]


_CONVERT: dict[type, Callable[[Any], Any]] = {
    int: _integer,
    float: _float,
    decimal.Decimal: _decimal,
    bytes: bytes.hex,
    datetime.datetime: _datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: str,
    uuid.UUID: str,
    list: _sequence,
    tuple: _sequence,
    dict: lambda value: {str(name): json_value(item) for name, item in value.items()},
    pa.MonthDayNano: lambda value: f"{value.months} months {value.days} days {value.nanoseconds // 1000} microseconds",
}
