"""A batch of a native table whose rows are numbered beforehand, filled column by column.

For readers that take many lines apart at once; :class:`.row_builder.RowBuilder` takes one record after the other.
Values are text; a NUL character, which some tools end a text at, is written as ``\\x00`` and flagged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.evidence.readers.base import Rows
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for "no possible time" among microseconds."""

Flags = tuple[str, ...]
Numbers = npt.NDArray[np.int64]


class _Columns(dict[str, list[str | None]]):
    """Makes a column of nothing where there is none yet."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __missing__(self, name: str) -> list[str | None]:
        column: list[str | None] = [None] * self._size
        self[name] = column
        return column


class PlacedRows:
    """`size` rows of `table`, all of them empty at first.

    Attributes:
        times: microseconds by row, :data:`NO_TIME` where there is none.
        flags: by row.
        columns: ``time_raw`` and the declared columns by name, each a value by row; made when first asked for.
    """

    def __init__(self, table: NativeTable, size: int) -> None:
        self.table = table
        self.times: Numbers = np.full(size, NO_TIME, np.int64)
        self.flags: list[Flags] = [()] * size
        self.columns = _Columns(size)
        self._declared = frozenset(("time_raw", *table.columns))
        self._rest: dict[int, dict[str, str]] = {}
        self._left_out: set[int] = set()

    def put(self, row: int, values: Mapping[str, str | None]) -> None:
        """Set what one row says.  Names that the table does not declare go into ``rest``."""
        for name, value in values.items():
            if name in self._declared:
                self.columns[name][row] = value
            elif value is not None:
                self._rest.setdefault(row, {})[name] = value

    def said(self, row: int) -> dict[str, str | None]:
        """The declared columns of one row that is filled already."""
        return {name: values[row] for name, values in self.columns.items()}

    def leave_out(self, row: int) -> None:
        """This row is no row of the batch."""
        self._left_out.add(row)

    def take(self, record: Numbers, offset: Numbers, length: Numbers, *, nul: bool) -> Rows | None:
        """The batch, None if all rows were left out.

        Args:
            record, offset, length: by row.
            nul: whether a text may hold NUL.
        """
        kept: Numbers | None = None
        if self._left_out:
            kept = np.array([row for row in range(len(self.flags)) if row not in self._left_out], np.int64)
            if not len(kept):
                return None
        if nul:
            self._write_nul()
        written = {flags: ";".join(sorted(set(flags))) or None for flags in set(self.flags)}
        columns = {"flags": [written[flags] for flags in self.flags], **self.columns, "rest": self._rest_texts()}
        if kept is not None:
            columns = {name: [values[row] for row in kept.tolist()] for name, values in columns.items()}
        places = [values if kept is None else values[kept] for values in (record, offset, length, self.times)]
        arrays: dict[str, pa.Array] = dict(zip(("record", "offset", "length"), map(pa.array, places[:3]), strict=True))
        arrays["time"] = pa.array(places[3], pa.int64(), mask=places[3] == NO_TIME).cast(UTC_MICROSECONDS)
        for name in ("time_raw", "flags", *self.table.columns, "rest"):
            array = pa.array(columns[name], pa.string()) if name in columns else None
            if array is not None and array.null_count < len(array):
                arrays[name] = array
        return Rows(self.table.name, pa.RecordBatch.from_pydict(arrays))

    def _rest_texts(self) -> Sequence[str | None]:
        texts: list[str | None] = [None] * len(self.flags)
        for row, values in self._rest.items():
            texts[row] = orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
        return texts

    def _write_nul(self) -> None:
        for values in self.columns.values():
            for row, text in enumerate(values):
                if text is not None and "\x00" in text:
                    values[row] = self._visible(row, text)
        for row, rest in self._rest.items():
            self._rest[row] = {self._visible(row, name): self._visible(row, text) for name, text in rest.items()}

    def _visible(self, row: int, text: str) -> str:
        if "\x00" not in text:
            return text
        if "nul_bytes" not in self.flags[row]:
            self.flags[row] = (*self.flags[row], "nul_bytes")
        return text.replace("\x00", "\\x00")
