"""Columns of one batch while it grows: each distinct text once, rows as numbers.

Rows have *slots* (the position of their line in the batch, rejected lines included), so that groups
of rows can be filled in any order and the batch still comes out in the order of the evidence.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from casemate.evidence.readers.base import Rows
from casemate.evidence.readers.distinct_texts import REST, DictionaryTexts, Slots, Taken, Texts
from casemate.evidence.readers.timestamps import EARLIEST, LATEST, Reading, read_epoch, read_iso
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

ReadTime = Callable[[str], Reading]

TIME_RAW = "time_raw"
_PLAIN_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z?$"
_EPOCH_UNITS = {10: 1_000_000, 13: 1_000, 16: 1}  # digits before the point -> microseconds per unit


def read_json_time(text: str) -> Reading:
    """A time as JSON logs write it: ISO 8601, or seconds, milliseconds or microseconds since 1970.

    PowerShell's ``/Date(1600000000000)/`` is milliseconds.
    """
    if text.startswith("/Date("):
        return read_epoch(text[6:].partition(")")[0], 1_000)
    unit = _EPOCH_UNITS.get(len(text.partition(".")[0]))
    return read_epoch(text, unit) if unit and text[:10].isdecimal() else read_iso(text)


class TableColumns:
    """The rows of one native table in the batch that is being built; `texts` holds what they say."""

    def __init__(self, table: NativeTable, read_time: ReadTime, texts: Texts | None = None) -> None:
        self.table = table
        self.read_time = read_time
        self.texts = texts or DictionaryTexts()
        self._slots: list[Slots] = []
        self._flags: dict[int, tuple[str, ...]] = {}

    def keep(self, slots: Slots) -> None:
        """These slots hold rows of this table."""
        self._slots.append(slots)

    def flag(self, slot: int, flags: tuple[str, ...]) -> None:
        """Add flags to one row."""
        self._flags[slot] = (*self._flags.get(slot, ()), *flags)

    def fill(self, name: str, slots: Slots, texts: Iterable[str | None]) -> None:
        """Set a column (also ``time_raw`` and ``rest``) in these slots."""
        self.texts.fill(name, slots, texts)

    def take(self, record: Slots, offset: Slots, length: Slots) -> Rows | None:
        """The batch so far; `record`, `offset` and `length` are those of all slots."""
        if not self._slots:
            return None
        kept = np.sort(np.concatenate(self._slots))
        taken = {name: self.texts.take(name, len(record)) for name in self.texts.names()}
        for column in taken.values():
            for slot in column.nul.tolist():
                self.flag(slot, ("nul_bytes",))
        rows = slice(None) if len(kept) == len(record) else kept  # where every slot holds a row, nothing is chosen
        arrays: dict[str, pa.Array] = {
            "record": pa.array(record[rows]),
            "offset": pa.array(offset[rows]),
            "length": pa.array(length[rows]),
        }
        arrays["time"], time_flags = self._times(taken.get(TIME_RAW), kept)
        arrays["flags"] = self._flag_texts(kept, time_flags)
        for name in (TIME_RAW, *self.table.columns, REST):
            if name in taken:
                indices, texts = taken[name].indices[rows], taken[name].texts
                if taken[name].apart:
                    arrays[name] = _in_rows(indices, texts)
                else:
                    arrays[name] = pa.DictionaryArray.from_arrays(_numbers(indices), texts)
        self._slots, self._flags = [], {}
        return Rows(self.table.name, pa.RecordBatch.from_pydict(arrays))

    def _times(self, raw: Taken | None, kept: Slots) -> tuple[pa.Array, list[tuple[Slots, str]]]:
        if raw is None:
            return pa.nulls(len(kept), UTC_MICROSECONDS), []
        micros, flagged = read_times(raw.texts.to_pylist(), self.read_time)
        indices = raw.indices[kept]
        # the last element stands for "no time text", which index -1 finds
        values = np.append(micros, np.iinfo(np.int64).min)[indices]
        missing = values == np.iinfo(np.int64).min
        flags = []
        for flag, codes in flagged.items():
            has_flag = np.append(codes, False)[indices]
            if has_flag.any():
                flags.append((np.flatnonzero(has_flag), flag))
        return pa.array(values, pa.int64(), mask=missing).cast(UTC_MICROSECONDS), flags

    def _flag_texts(self, kept: Slots, time_flags: Sequence[tuple[Slots, str]]) -> pa.Array:
        if not time_flags and not self._flags:
            return pa.nulls(len(kept), pa.string())
        words: dict[int, set[str]] = {}
        for slot, flags in self._flags.items():
            words.setdefault(int(np.searchsorted(kept, slot)), set()).update(flags)
        rows = np.full(len(kept), None, object)
        for places, flag in time_flags:
            previous = rows[places]
            if all(word is None for word in previous):
                rows[places] = flag
            else:
                rows[places] = [flag if word is None else f"{word};{flag}" for word in previous]
        for row, more in words.items():
            present = rows[row].split(";") if rows[row] else []
            rows[row] = ";".join(sorted({*present, *more}))
        return pa.array(rows.tolist(), pa.string())


def _in_rows(indices: npt.NDArray[np.int32], texts: pa.StringArray) -> pa.Array:
    """The text of each row.  Nothing is copied where the texts lie in the order of the rows, as they mostly do."""
    valid = indices >= 0
    if not np.array_equal(indices[valid], np.arange(len(texts), dtype=np.int32)):
        return texts.take(_numbers(indices))
    _, ends, content = texts.buffers()
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(valid)])
    begins = np.frombuffer(ends, np.int32, len(texts) + 1)[before]
    nulls = len(indices) - len(texts)
    bits = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
    return pa.Array.from_buffers(pa.string(), len(indices), [bits, pa.py_buffer(begins), content], nulls)


def _numbers(indices: npt.NDArray[np.int32]) -> pa.Array:
    """Numbers of texts, null where negative.  Wraps what is there: the columns of a batch are many and mostly short."""
    valid = indices >= 0
    nulls = len(indices) - int(np.count_nonzero(valid))
    bits = pa.py_buffer(np.packbits(valid, bitorder="little")) if nulls else None
    return pa.Array.from_buffers(pa.int32(), len(indices), [bits, pa.py_buffer(np.ascontiguousarray(indices))], nulls)


def read_times(texts: list[str], read_time: ReadTime) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.bool_]]]:
    """Microseconds (the smallest int64 where there is no time) and, per flag, which texts have it."""
    micros = np.full(len(texts), np.iinfo(np.int64).min, np.int64)
    flags: dict[str, npt.NDArray[np.bool_]] = {}
    left: Iterable[int] = range(len(texts))
    if read_time is read_json_time:
        quick = _read_plain(texts)
        if quick is not None:
            micros, flags, left = quick
    for index in left:
        value, words = read_time(texts[index])
        if value is not None:
            micros[index] = value
        for word in words:
            flags.setdefault(word, np.zeros(len(texts), np.bool_))[index] = True
    return micros, flags


def _read_plain(
    texts: list[str],
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.bool_]], Iterable[int]] | None:
    """All times that are plainly ISO 8601 at once; None if one of them is no date of the calendar."""
    array = pa.array(texts, pa.string())
    plain = pc.match_substring_regex(array, _PLAIN_ISO)
    try:
        # 26 characters end with the sixth digit of the fraction: what follows is cut, never rounded
        cut = pc.utf8_slice_codeunits(pc.utf8_rtrim(array.filter(plain), characters="Z"), 0, 26)
        values = cut.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    is_plain = plain.to_numpy(zero_copy_only=False)
    micros = np.full(len(texts), np.iinfo(np.int64).min, np.int64)
    believed = (values >= EARLIEST) & (values < LATEST)
    micros[is_plain] = np.where(believed, values, np.iinfo(np.int64).min)
    flags = {}
    no_zone = is_plain & ~pc.ends_with(array, "Z").to_numpy(zero_copy_only=False)
    if no_zone.any():
        flags["zone_assumed_utc"] = no_zone
    if not believed.all():
        flags["time_out_of_range"] = np.zeros(len(texts), np.bool_)
        flags["time_out_of_range"][is_plain] = ~believed
    return micros, flags, np.flatnonzero(~is_plain).tolist()
