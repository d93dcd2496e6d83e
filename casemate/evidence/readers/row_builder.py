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
        self._flags: list[tuple[str, ...]] = []
        self._values: list[Mapping[str, str | None]] = []
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
        """One record.  Names in `values` that the table does not declare go into ``rest``.

        `values` is kept as it is until the batch is taken.
        """
        self._record.append(record)
        self._offset.append(offset)
        self._length.append(length)
        self._time.append(time)
        self._time_raw.append(time_raw)
        self._flags.append(flags)
        self._values.append(values)
        self._bytes += length

    def set(self, back: int, name: str, value: str) -> None:
        """Set a declared column of the record added `back` records ago (0: the last one)."""
        index = len(self._values) - 1 - back
        self._values[index] = {**self._values[index], name: value}

    def take(self) -> Rows:
        """The batch of what was added since the last one."""
        names = set[str]().union(*self._values)
        said = self._columns(names)
        rest = self._rest() if names - self._declared else [None] * len(self._record)
        written = {flags: ";".join(sorted(set(flags))) or None for flags in set(self._flags)}
        arrays: dict[str, pa.Array] = {
            "record": pa.array(self._record, pa.int64()),
            "offset": pa.array(self._offset, pa.int64()),
            "length": pa.array(self._length, pa.int64()),
            "time": pa.array(self._time, UTC_MICROSECONDS),
            "time_raw": pa.array(self._time_raw, pa.string()),
            "flags": pa.array([written[flags] for flags in self._flags], pa.string()),
        }
        for name, column in said.items():
            array = pa.array(column, pa.string())
            if array.null_count < len(array):
                arrays[name] = array
        arrays["rest"] = pa.array(rest, pa.string())
        self._clear()
        return Rows(self.table.name, pa.RecordBatch.from_pydict(arrays))

    def _columns(self, names: set[str]) -> dict[str, list[str | None]]:
        """The declared columns that some record fills; NUL is made visible in all there is."""
        asked = [values.get for values in self._values]
        said: dict[str, list[str | None]] = {
            name: [get(name) for get in asked] for name in self.table.columns if name in names
        }
        if any("\x00" in "".join(filter(None, column)) for column in (self._time_raw, *said.values())):
            for index, text in enumerate(self._time_raw):
                if text is not None:
                    self._time_raw[index] = self._visible(index, text)
            for column in said.values():
                for index, text in enumerate(column):
                    if text is not None:
                        column[index] = self._visible(index, text)
        return said

    def _rest(self) -> list[str | None]:
        declared = self._declared
        written: list[str | None] = []
        for index, values in enumerate(self._values):
            if values.keys() <= declared:
                written.append(None)
                continue
            rest = {
                self._visible(index, name): self._visible(index, value)
                for name, value in values.items()
                if value is not None and name not in declared
            }
            written.append(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode() if rest else None)
        return written

    def _visible(self, index: int, text: str) -> str:
        if "\x00" not in text:
            return text
        if "nul_bytes" not in self._flags[index]:
            self._flags[index] = (*self._flags[index], "nul_bytes")
        return text.replace("\x00", "\\x00")
