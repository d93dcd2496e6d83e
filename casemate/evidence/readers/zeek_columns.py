"""One column of a Zeek TSV log: text as Zeek's ASCII writer put it -> the value it stands for.

Zeek's rules (``base/frameworks/logging/writers/ascii.zeek``): unset fields are ``-``, empty ones
``(empty)``; anything not printable, the separator and a value that would be mistaken for these
marks is written ``\\xNN``; the backslash as ``\\\\``; elements of sets and vectors are joined with
the set separator.  Booleans are ``T`` and ``F``.

Values come out as Zeek's JSON writer would give them, so that both forms speak one vocabulary:
``true`` and ``false``, the elements of sets and vectors one under the other (separated by line
feeds, like arrays in the JSON readers), empty ones as empty text.  Work is done on the distinct
values of a block.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (functions of pyarrow.compute are made at run time)
import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from casemate.evidence.readers.address_columns import invalid_addresses, is_address
from casemate.evidence.readers.timestamps import EARLIEST, LATEST, Reading, read_epoch, read_iso
from casemate.schema.native import UTC_MICROSECONDS

FLAG_BITS = (
    "address_invalid",
    "encoding_replaced",
    "nul_bytes",
    "time_out_of_range",
    "time_unreadable",
    "zone_assumed_utc",
    "number_rewritten",
)
"""Flags a Zeek record may carry; a record's flags are held as bits in this order."""
BIT = {name: 1 << index for index, name in enumerate(FLAG_BITS)}

CONTAINERS = ("set[", "vector[", "table[")
MILLISECONDS_FROM = 630_000_000_000
"""Epoch numbers from here on are milliseconds (Zeek's ``LogAscii::json_timestamps=JSON::TS_MILLIS``);
as seconds they would lie after the year 20000."""

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})")
_CONTROLS = {code: f"\\x{code:02x}" for code in range(32) if chr(code) not in "\t\n\r"}
"""Control characters stay ``\\xNN``, as Zeek's JSON writer leaves them."""
_SECONDS = r"^[0-9]{9,10}\.[0-9]{6}$"

Bits: TypeAlias = npt.NDArray[np.int32]
_NOTHING: Bits = np.zeros(0, np.int32)
Text: TypeAlias = pa.StringArray | pa.DictionaryArray


@dataclass(frozen=True)
class Marks:
    """How a log writes sets and emptiness, from its header."""

    set_separator: str = ","
    empty: str = "(empty)"


def unescape(text: str) -> tuple[str, int]:
    """The value of one element and the bits of flags: bytes that are no text stay ``\\xNN``."""
    if "\\" not in text:
        return text, 0
    raw = _ESCAPE.sub(
        lambda match: b"\\" if match.group(1) == b"\\" else bytes((int(match.group(1)[1:], 16),)), text.encode()
    )
    bits = 0
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        value, bits = raw.decode("utf-8", "backslashreplace"), BIT["encoding_replaced"]
    if "\x00" in value:
        bits |= BIT["nul_bytes"]
    return value.translate(_CONTROLS), bits


def element_values(text: str, marks: Marks, unset: str) -> tuple[str, int]:
    """The elements of a set or vector, one under the other; an unset element is empty."""
    if text == marks.empty:
        return "", 0
    parts, bits = [], 0
    for element in text.split(marks.set_separator) if marks.set_separator else [text]:
        value, more = unescape(element) if element != unset else ("", 0)
        bits |= more
        parts.append(value)
    return "\n".join(parts), bits


def value_of(text: str, kind: str, marks: Marks, unset: str) -> tuple[str, int]:
    """The value of one field that is not unset."""
    if kind.startswith(CONTAINERS):
        return element_values(text, marks, unset)
    if kind == "bool":
        return {"T": "true", "F": "false"}.get(text, text), 0
    if text == marks.empty:
        return "", 0
    value, bits = unescape(text)
    if kind == "addr" and value and not is_address(value):
        bits |= BIT["address_invalid"]
    return value, bits


def _texts(column: Text) -> pa.StringArray:
    return column.dictionary if isinstance(column, pa.DictionaryArray) else column


def distinct(column: Text) -> pa.DictionaryArray:
    """`column` with its values as a dictionary."""
    return column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()


def values(column: Text, kind: str, marks: Marks, unset: str, *, marked: bool, bits: Bits) -> Text:
    """The values of a column; `bits` gets the flags of its rows.

    Args:
        column: text as recorded, null where unset.
        kind: Zeek's type, empty where the header does not say.
        marked: whether the block holds escapes or marks of emptiness at all.
    """
    always = kind == "bool" or kind.startswith(CONTAINERS)
    if not always and not marked and kind != "addr":
        return column
    if not always and kind != "addr" and not _escaped(_texts(column), marks):
        return column
    coded = distinct(column)
    if always or _escaped(coded.dictionary, marks):
        pairs = [value_of(text, kind, marks, unset) for text in coded.dictionary.to_pylist()]
        flagged = np.array([flag for _, flag in pairs], np.int32)
        texts = [text for text, _ in pairs]
        column = pa.DictionaryArray.from_arrays(coded.indices, pa.array(texts, pa.string()))
        if len(set(texts)) < len(texts):
            column = column.cast(pa.string()).dictionary_encode()
    else:
        flagged = _invalid_addresses(coded.dictionary) if kind == "addr" else _NOTHING
    if flagged.any():
        codes = coded.indices.fill_null(len(flagged)).to_numpy(zero_copy_only=False)
        bits |= np.append(flagged, np.int32(0))[codes]
    return column


def _escaped(texts: pa.StringArray, marks: Marks) -> bool:
    return bool(pc.any(pc.match_substring(texts, "\\")).as_py() or pc.any(pc.equal(texts, marks.empty)).as_py())


def _invalid_addresses(texts: pa.StringArray) -> Bits:
    return np.where(invalid_addresses(texts), np.int32(BIT["address_invalid"]), np.int32(0))


def read_time(text: str) -> Reading:
    """A Zeek time: seconds (or milliseconds) since 1970, or ISO 8601."""
    if "T" in text or text.count("-") > 1:
        return read_iso(text)
    whole = text.partition(".")[0]
    if whole[:1] == "-" and whole[1:].isdecimal():
        return None, ("time_out_of_range",)
    if len(whole) >= 12 and whole.isdecimal() and whole.isascii() and int(whole[:20]) >= MILLISECONDS_FROM:
        return read_epoch(text, 1_000)
    return read_epoch(text, 1_000_000)


def times(column: Text, bits: Bits) -> pa.Array:
    """``time`` of every row from ``ts``; null and flagged where it is not possible."""
    plain = isinstance(column, pa.StringArray) and not column.null_count
    if plain and pc.all(pc.match_substring_regex(column, _SECONDS)).as_py():
        micro = pc.replace_substring(column, ".", "").cast(pa.int64())
        numbers = micro.to_numpy()
        if not len(numbers) or (numbers.min() >= EARLIEST and numbers.max() < LATEST):
            return micro.cast(UTC_MICROSECONDS)
    coded = distinct(column)
    readings = [read_time(text) for text in coded.dictionary.to_pylist()]
    flagged = np.array([sum(BIT[flag] for flag in flags) for _, flags in readings] + [0], np.int32)
    codes = coded.indices.fill_null(len(readings)).to_numpy(zero_copy_only=False)
    bits |= flagged[codes]
    return pa.array([moment for moment, _ in readings], pa.int64()).cast(UTC_MICROSECONDS).take(coded.indices)


def flags(bits: Bits) -> pa.Array:
    """The ``flags`` column of rows with these bits."""
    if not bits.any():
        return pa.nulls(len(bits), pa.string())
    found, codes = np.unique(bits, return_inverse=True)
    texts = [";".join(sorted(name for name in FLAG_BITS if mask & BIT[name])) or None for mask in found.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(codes))


def rest(columns: list[tuple[str, Text]], rows: int) -> pa.Array:
    """Fields without a column of their own as one JSON object per row, null where there is none."""
    parts = []
    for name, column in sorted(columns, key=lambda pair: pair[0]):
        if column.null_count == len(column):
            continue
        coded, key = distinct(column), orjson.dumps(name).decode()
        members = [f"{key}:{orjson.dumps(text).decode()}" for text in coded.dictionary.to_pylist()]
        parts.append(pa.array(members, pa.string()).take(coded.indices))
    if not parts:
        return pa.nulls(rows, pa.string())
    if len(parts) == 1:
        joined = parts[0]
    else:
        joined = pc.binary_join_element_wise(*parts, ",", null_handling="skip")
        joined = pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    return pc.binary_join_element_wise("{", joined, "}", "")
