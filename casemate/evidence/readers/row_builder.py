"""From one record at a time to Arrow batches of a native table.

Values are text; a NUL character, which some tools end a text at, is written as ``\\x00`` and flagged.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pyarrow as pa

from casemate.evidence.readers.base import Rows
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

BATCH_RECORDS = 20_000
BATCH_BYTES = 32 * 1024 * 1024


class RowBuilder:
    """Collects records of `table` until a batch is worth handing on."""

    def __init__(self, table: NativeTable) -> None:
        self.table = table
        self._declared = frozenset(table.columns)
        self._clear()

    def _clear(self) -> None:
        self._record: list[int] = []
        self._offset: list[int] = []
        self._length: list[int] = []
        self._time: list[int | None] = []
        self._time_raw: list[str | None] = []
        self._flags: list[str | None] = []
        self._rest: list[str | None] = []
        self._columns: dict[str, list[str | None]] = {}
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether a batch should be taken now, to stay in bounded memory."""
        return len(self._record) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES

    def __len__(self) -> int:
        return len(self._record)

    def add(
        self,
        record: int,
        offset: int,
        length: int,
        *,
        time: int | None,
        time_raw: str | None,
        flags: tuple[str, ...],
        values: Mapping[str, str | None],
    ) -> None:
        """One record.  Names in `values` that the table does not declare go into ``rest``."""
        index = len(self._record)
        rest: dict[str, str] = {}
        declared, columns = self._declared, self._columns
        nul = False
        for name, value in values.items():
            if value is None:
                continue
            if "\x00" in value:
                nul, value = True, value.replace("\x00", "\\x00")
            if name in declared:
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [None] * index
                elif len(column) < index:
                    column.extend([None] * (index - len(column)))
                column.append(value)
            else:
                if "\x00" in name:
                    nul, name = True, name.replace("\x00", "\\x00")
                rest[name] = value
        if time_raw is not None and "\x00" in time_raw:
            nul, time_raw = True, time_raw.replace("\x00", "\\x00")
        if nul and "nul_bytes" not in flags:
            flags = (*flags, "nul_bytes")
        self._record.append(record)
        self._offset.append(offset)
        self._length.append(length)
        self._time.append(time)
        self._time_raw.append(time_raw)
        self._flags.append(";".join(sorted(set(flags))) or None)
        self._rest.append(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode() if rest else None)
        self._bytes += length

    def set(self, back: int, name: str, value: str) -> None:
        """Set a declared column of the record added `back` records ago (0: the last one)."""
        size = len(self._record)
        column = self._columns.setdefault(name, [None] * size)
        column.extend([None] * (size - len(column)))
        column[size - 1 - back] = value

    def take(self) -> Rows:
        """The batch of what was added since the last one."""
        size = len(self._record)
        arrays: dict[str, pa.Array] = {
            "record": pa.array(self._record, pa.int64()),
            "offset": pa.array(self._offset, pa.int64()),
            "length": pa.array(self._length, pa.int64()),
            "time": pa.array(self._time, UTC_MICROSECONDS),
            "time_raw": pa.array(self._time_raw, pa.string()),
            "flags": pa.array(self._flags, pa.string()),
        }
        for name in self.table.columns:
            column = self._columns.get(name)
            if column is not None:
                column.extend([None] * (size - len(column)))
                arrays[name] = pa.array(column, pa.string())
        arrays["rest"] = pa.array(self._rest, pa.string())
        self._clear()
        return Rows(self.table.name, pa.RecordBatch.from_pydict(arrays))
