"""Columns of one batch while it grows: each distinct text once, rows as numbers.

Rows have *slots* (the position of their line in the batch, rejected lines included), so that groups
of rows can be filled in any order and the batch still comes out in the order of the evidence.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from casemate.evidence.readers.base import Rows
from casemate.evidence.readers.timestamps import EARLIEST, LATEST, Reading, read_epoch, read_iso
from casemate.schema.native import UTC_MICROSECONDS, NativeTable

Slots = npt.NDArray[np.int64]
ReadTime = Callable[[str], Reading]

TIME_RAW = "time_raw"
REST = "rest"
_PLAIN_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z?$"
_EPOCH_UNITS = {10: 1_000_000, 13: 1_000, 16: 1}  # digits before the point -> microseconds per unit


class Codes(dict[str | None, int]):
    """Text -> number in order of first appearance; None -> -1.  Texts that hold NUL are remembered."""

    nul = "\x00"

    def __init__(self) -> None:
        super().__init__()
        self[None] = -1
        self.with_nul: list[int] = []

    def __missing__(self, text: str) -> int:
        code = len(self) - 1
        self[text] = code
        if self.nul in text:
            self.with_nul.append(code)
        return code

    def texts(self) -> list[str]:
        """The distinct texts, in the order of their numbers."""
        return list(self)[1:]  # type: ignore[arg-type]

    def cleaned(self, text: str) -> str:
        """A text with NUL written as ``\\x00``."""
        return text.replace("\x00", "\\x00")


class RestCodes(Codes):
    """The same for JSON text, in which NUL is an escape."""

    nul = "\\u0000"

    def cleaned(self, text: str) -> str:
        """The JSON text of the object without NUL; the same text if it only looked so."""
        return orjson.dumps(_without_nul(orjson.loads(text))).decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\\x00")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    return value


def read_json_time(text: str) -> Reading:
    """A time as JSON logs write it: ISO 8601, or seconds, milliseconds or microseconds since 1970.

    PowerShell's ``/Date(1600000000000)/`` is milliseconds.
    """
    if text.startswith("/Date("):
        return read_epoch(text[6:].partition(")")[0], 1_000)
    unit = _EPOCH_UNITS.get(len(text.partition(".")[0]))
    return read_epoch(text, unit) if unit and text[:10].isdecimal() else read_iso(text)


class TableColumns:
    """The rows of one native table in the batch that is being built."""

    def __init__(self, table: NativeTable, read_time: ReadTime) -> None:
        self.table = table
        self.read_time = read_time
        self._codes: dict[str, Codes] = {}
        self._filled: dict[str, list[tuple[Slots, npt.NDArray[np.int32]]]] = {}
        self._slots: list[Slots] = []
        self._flags: dict[int, tuple[str, ...]] = {}
        self._cleaned: dict[str, list[str]] = {}

    def keep(self, slots: Slots) -> None:
        """These slots hold rows of this table."""
        self._slots.append(slots)

    def flag(self, slot: int, flags: tuple[str, ...]) -> None:
        """Add flags to one row."""
        self._flags[slot] = (*self._flags.get(slot, ()), *flags)

    def fill(self, name: str, slots: Slots, texts: Iterable[str | None]) -> None:
        """Set a column (also ``time_raw`` and ``rest``) in these slots."""
        codes = self._codes.get(name)
        if codes is None:
            codes = self._codes[name] = RestCodes() if name == REST else Codes()
            self._filled[name] = []
        self._filled[name].append((slots, np.fromiter(map(codes.__getitem__, texts), np.int32, len(slots))))

    def take(self, record: Slots, offset: Slots, length: Slots) -> Rows | None:
        """The batch so far; `record`, `offset` and `length` are those of all slots."""
        if not self._slots:
            return None
        kept = np.sort(np.concatenate(self._slots))
        self._write_nul(len(record))
        arrays: dict[str, pa.Array] = {
            "record": pa.array(record[kept]),
            "offset": pa.array(offset[kept]),
            "length": pa.array(length[kept]),
        }
        arrays["time"], time_flags = self._times(len(record), kept)
        arrays["flags"] = self._flag_texts(kept, time_flags)
        for name in (TIME_RAW, *self.table.columns, REST):
            if name in self._codes:
                indices = self._indices(name, len(record))[kept]
                texts = self._cleaned.get(name) or self._codes[name].texts()
                arrays[name] = pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), text_array(texts))
        self.__init__(self.table, self.read_time)
        return Rows(self.table.name, pa.RecordBatch.from_pydict(arrays))

    def _write_nul(self, slots: int) -> None:
        """Replace NUL in the distinct texts and flag the rows that had it."""
        for name, codes in self._codes.items():
            if not codes.with_nul:
                continue
            texts = codes.texts()
            indices = self._indices(name, slots)
            place = {text: code for code, text in enumerate(texts)}
            for code in codes.with_nul:
                text = codes.cleaned(texts[code])
                if text == texts[code]:
                    continue
                rows = np.flatnonzero(indices == code)
                for slot in rows.tolist():
                    self.flag(slot, ("nul_bytes",))
                texts[code] = text
                if place.setdefault(text, code) != code:  # some other record has this very text
                    indices[rows] = place[text]
            self._cleaned[name] = texts
            self._filled[name] = [(np.arange(slots), indices)]

    def _indices(self, name: str, slots: int) -> npt.NDArray[np.int32]:
        indices = np.full(slots, -1, np.int32)
        for places, codes in self._filled[name]:
            indices[places] = codes
        return indices

    def _times(self, slots: int, kept: Slots) -> tuple[pa.Array, list[tuple[Slots, str]]]:
        if TIME_RAW not in self._codes:
            return pa.nulls(len(kept), UTC_MICROSECONDS), []
        texts = self._cleaned.get(TIME_RAW) or self._codes[TIME_RAW].texts()
        micros, flagged = read_times(texts, self.read_time)
        indices = self._indices(TIME_RAW, slots)[kept]
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


def text_array(texts: list[str]) -> pa.Array:
    """Texts as an Arrow array; where all are ASCII they are copied as one, not one by one."""
    joined = "".join(texts)
    if not joined.isascii() or len(joined) >= 2**31:
        return pa.array(texts, pa.string())
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=ends[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(joined.encode()))


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
