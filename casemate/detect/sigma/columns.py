"""The columns of one batch as the matcher sees them: codes into distinct values.

A column is found by name ignoring case, among the batch's text columns first and otherwise among the
keys of ``rest``, which is parsed only where it may hold a key that a rule asks for.  A name that
begins with ``=`` is a derived value (:mod:`.derived`).
"""

from __future__ import annotations

from collections.abc import Iterable

import hyperscan
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.schema.native import FIXED_NAMES

Codes = npt.NDArray[np.int32]
REST = "rest"


class Column:
    """Distinct values and, for each row, the place of its value among them.

    Args:
        codes: place per row; :attr:`count` where the row has no value.
        dictionary: the distinct values, an Arrow text array without nulls.
    """

    __slots__ = ("_values", "codes", "count", "dictionary")

    def __init__(self, codes: Codes, dictionary: pa.Array) -> None:
        self.codes = codes
        self.dictionary = dictionary
        self.count = len(dictionary)
        self._values: list[str] | None = None

    @property
    def values(self) -> list[str]:
        """The distinct values."""
        values = self._values
        if values is None:
            values = self._values = list(self.dictionary.to_pylist())
        return values

    def text(self, row: int) -> str | None:
        """The value of one row."""
        code = int(self.codes[row])
        return self.value(code) if code < self.count else None

    def value(self, code: int) -> str:
        """One distinct value."""
        return self._values[code] if self._values is not None else self.dictionary[code].as_py()

    def used(self, rows: list[npt.NDArray[np.int64]]) -> list[int]:
        """Places of the values that stand in some rows, ascending."""
        used = np.zeros(self.count + 1, np.bool_)
        for some in rows:
            used[self.codes[some]] = True
        used[self.count] = False
        return np.flatnonzero(used).tolist()


class RestKeys:
    """Which rows' ``rest`` may hold a key that some rule asks for."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = sorted(keys)
        self._database: hyperscan.Database | None = None
        self._any = not all(key.isascii() for key in self.keys)  # letters beyond ASCII: look at every row

    def may_hold(self, rest: str) -> bool:
        """False only if none of the keys stands in `rest`."""
        if self._any or not self.keys:
            return bool(self.keys)
        if self._database is None:
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
            self._database.compile(
                expressions=[b"".join(b"\\x%02x" % byte for byte in orjson.dumps(key)) + rb"\s*:" for key in self.keys],
                ids=list(range(len(self.keys))),
                flags=[flags] * len(self.keys),
            )
        found: list[int] = []
        self._database.scan(
            rest.encode("utf-8", "replace"), match_event_handler=lambda number, *_: found.append(number)
        )
        return bool(found)


class Columns:
    """The columns of one batch."""

    def __init__(self, batch: pa.RecordBatch, rest_keys: RestKeys) -> None:
        self.rows = batch.num_rows
        self._batch = batch
        self._rest_keys = rest_keys
        self._places = {
            name.lower(): place
            for place, name in enumerate(batch.schema.names)
            if name not in FIXED_NAMES and name != REST and is_text(batch.schema.field(place).type)
        }
        self._known: dict[str, Column | None] = {}
        self._from_rest: dict[str, Column] | None = None

    def names(self) -> list[str]:
        """Names (lower case) of the batch's own text columns."""
        return list(self._places)

    def get(self, name: str) -> Column | None:
        """A column by its name in lower case; None if no row of the batch has it."""
        if name not in self._known:
            if name.startswith(DERIVED_PREFIX):
                self._known[name] = self._derive(name[len(DERIVED_PREFIX) :])
            elif name in self._places:
                self._known[name] = read_column(self._batch.column(self._places[name]))
            else:
                self._known[name] = self._rest_columns().get(name)
        return self._known[name]

    def array(self, name: str) -> pa.Array:
        """The Arrow array of one of :meth:`names`."""
        return self._batch.column(self._places[name])

    def rest(self) -> Column | None:
        """``rest`` itself, as JSON texts."""
        place = self._batch.schema.get_field_index(REST)
        return read_column(self._batch.column(place)) if place >= 0 else None

    def _rest_columns(self) -> dict[str, Column]:
        if self._from_rest is None:
            self._from_rest = {}
            rest = self.rest() if self._rest_keys.keys else None
            if rest is not None:
                self._from_rest = _columns_of_rest(rest, frozenset(self._rest_keys.keys), self._rest_keys)
        return self._from_rest

    def _derive(self, name: str) -> Column | None:
        derived = DERIVED[name]
        parts = [self.get(column.lower()) for column in derived.columns]
        if all(part is None for part in parts):
            return None
        empty = Column(np.zeros(self.rows, np.int32), pa.array([], pa.string()))
        filled = [empty if part is None else part for part in parts]
        combined = combine([(part.codes, part.count + 1) for part in filled])
        _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
        values: dict[str, int] = {}
        code_of = np.empty(len(first), np.int32)
        for place, row in enumerate(first.tolist()):
            value = derived.value(*(part.text(row) for part in filled))
            code_of[place] = -1 if value is None else values.setdefault(value, len(values))
        code_of[code_of < 0] = len(values)
        return Column(code_of[inverse.reshape(-1)], pa.array(list(values), pa.string()))


def combine(parts: list[tuple[Codes, int]]) -> npt.NDArray[np.int64]:
    """One number per row for the combination of several codes; equal exactly where all are."""
    combined = np.zeros(len(parts[0][0]) if parts else 0, np.int64)
    size = 1
    for codes, count in parts:
        if size * count >= 2**62:
            distinct, combined = np.unique(combined, return_inverse=True)
            combined, size = combined.reshape(-1).astype(np.int64), len(distinct)
        combined = combined * count + codes
        size *= count
    return combined


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is text, plain or dictionary-encoded."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def read_column(array: pa.Array) -> Column | None:
    """An Arrow text column; None if it is null in every row."""
    if array.null_count == len(array):
        return None
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    dictionary, indices = array.dictionary, array.indices
    if indices.null_count:
        indices = indices.fill_null(len(dictionary))
    codes = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    if len(dictionary) > len(array):  # a slice shares the dictionary of the whole: keep what occurs
        used, codes = np.unique(codes, return_inverse=True)
        codes = codes.reshape(-1).astype(np.int32)
        dictionary = dictionary.take(pa.array(used[used < len(dictionary)]))
    if dictionary.null_count:  # a dictionary may hold null itself
        there = dictionary.is_valid().to_numpy(zero_copy_only=False)
        moved = np.where(there, np.cumsum(there) - 1, np.count_nonzero(there)).astype(np.int32)
        codes = np.append(moved, np.int32(np.count_nonzero(there)))[codes]
        dictionary = dictionary.drop_null()
    return Column(codes, dictionary)


def _columns_of_rest(rest: Column, wanted: frozenset[str], keys: RestKeys) -> dict[str, Column]:
    """The wanted keys of ``rest`` as columns (of two keys equal but for case, the first)."""
    values: dict[str, dict[str, int]] = {}
    codes: dict[str, Codes] = {}
    for place, text in enumerate(rest.values):
        if not keys.may_hold(text):
            continue
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(fields, dict):
            continue
        for key, value in fields.items():
            name = key.lower()
            if name not in wanted or value is None:
                continue
            if name not in codes:
                codes[name] = np.full(rest.count + 1, -1, np.int32)
                values[name] = {}
            if codes[name][place] < 0:
                value = value if isinstance(value, str) else orjson.dumps(value).decode()
                codes[name][place] = values[name].setdefault(value, len(values[name]))
    found: dict[str, Column] = {}
    for name, code_of in codes.items():
        code_of[code_of < 0] = len(values[name])
        found[name] = Column(code_of[rest.codes], pa.array(list(values[name]), pa.string()))
    return found
