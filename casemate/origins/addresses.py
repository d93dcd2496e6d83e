"""Addresses as text or bytes to numbers, many at once.

Text is read as strictly as ``inet_pton`` does: an IPv4 address has four decimal numbers without leading
zeros (readers disagree whether ``010`` is eight).  An IPv6 zone (``%eth0``) is cut off; ``::ffff:a.b.c.d``
is the IPv4 address.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_AT_ONCE = 16_384
"""Rows of text parsed together: what fits into the processor's cache."""
LONGEST = 64
"""Characters; longer text is no address."""
_COLON, _OTHER = 0x40, 0x80
_DIGITS = bytes(
    int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else _COLON if byte == ord(":") else _OTHER
    for byte in range(256)
)
"""Characters to digits, colons and others."""
_NO_DIGIT = np.uint32(0xF0F0F0F0)
_KEPT = np.array([0, 0xFF000000, 0xFFFF0000, 0xFFFFFF00, 0xFFFFFFFF], np.uint32)
"""Of four bytes read backwards from the end of a group those of a group so long."""
_LOWER_KEPT = np.array([0, 0x0F, 0xFF, 0xFF, 0xFF], np.uint8)
_UPPER_KEPT = np.array([0, 0, 0, 0x0F, 0xFF], np.uint8)
"""Of the last four hexadecimal digits of a text, two in a byte, those of a group so long."""


@dataclass(frozen=True)
class Addresses:
    """Addresses as numbers.

    Args:
        version: 4, 6, or 0 for what is no address.
        v4: of every row; meaningful where version is 4.
        rows6: rows whose version is 6, with the halves `high` and `low` of each.
    """

    version: np.ndarray
    v4: np.ndarray
    rows6: np.ndarray
    high: np.ndarray
    low: np.ndarray


def parse(array: pa.Array) -> Addresses:
    """Addresses of a text or binary array (not dictionary-encoded).

    Raises:
        TypeError: an array of another type.
    """
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _from_bytes(array)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise TypeError(f"addresses are text or bytes, not {kind}")
    version, v4 = np.zeros(len(array), np.uint8), np.zeros(len(array), np.uint32)
    pieces6: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for begin in range(0, len(array), ROWS_AT_ONCE):
        part = array.slice(begin, ROWS_AT_ONCE)
        end = begin + len(part)
        text = _Text.of(part)
        others = np.arange(len(part))
        if b"." in text.raw:
            v4[begin:end], is4, others = _text_v4(text)
            version[begin:end] = np.where(is4, 4, 0)
        if len(others):
            rows, high, low, mapped, values4 = _text_v6(text, others)
            version[begin + rows] = 6
            version[begin + mapped], v4[begin + mapped] = 4, values4
            pieces6.append((begin + rows, high, low))
    if not pieces6:
        none = np.zeros(0, np.uint64)
        return Addresses(version, v4, np.zeros(0, np.int64), none, none)
    return Addresses(version, v4, *(np.concatenate(column) for column in zip(*pieces6, strict=True)))


@dataclass(frozen=True)
class _Text:
    """Some rows of text: their bytes, and where each row begins and ends in them."""

    array: pa.Array
    raw: bytes
    begin: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, array: pa.Array) -> _Text:
        rows = len(array)
        _, offsets_buffer, data_buffer = array.buffers()
        wide = pa.types.is_large_string(array.type)
        offsets = np.frombuffer(offsets_buffer, np.int64 if wide else np.int32)[array.offset : array.offset + rows + 1]
        base, stop = int(offsets[0]), int(offsets[-1])
        places = offsets.astype(np.int64) - base
        raw = memoryview(data_buffer)[base:stop].tobytes() if data_buffer is not None else b""
        return cls(array, raw, places[:-1], places[1:])

    def valid(self) -> np.ndarray | None:
        """Which rows are not null; None where all are."""
        return self.array.is_valid().to_numpy(zero_copy_only=False) if self.array.null_count else None


def _text_v4(text: _Text) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IPv4 values, which rows are IPv4, and the rows that may be something else."""
    begin, end, rows = text.begin, text.end, len(text.begin)
    data = np.frombuffer(text.raw, np.uint8)
    dots = np.flatnonzero(data == ord("."))
    chosen = None  # all rows
    places = dots.reshape(-1, 3) if len(dots) == 3 * rows else np.zeros((0, 3), np.int64)
    if not len(places) or not ((places[:, 0] >= begin) & (places[:, 2] < end)).all():
        first = np.searchsorted(dots, begin)
        chosen = np.flatnonzero(np.searchsorted(dots, end) - first == 3)
        places = dots[first[chosen][:, None] + np.arange(3)] if len(chosen) else np.zeros((0, 3), np.int64)
        begin, end = begin[chosen], end[chosen]
    digits = data - np.uint8(ord("0"))  # other characters become more than nine
    values = np.zeros(len(begin), np.uint32)
    good = np.ones(len(begin), bool)
    starts = (begin, places[:, 0] + 1, places[:, 1] + 1, places[:, 2] + 1)
    ends = (places[:, 0], places[:, 1], places[:, 2], end)
    for start, stop in zip(starts, ends, strict=True):
        length = stop - start
        ones = digits[np.maximum(stop - 1, 0)] if len(digits) else np.zeros(0, np.uint8)
        tens, hundreds = digits[stop - 2], digits[stop - 3]  # negative places read elsewhere, and are not used
        number = ones.astype(np.uint32)
        two, three = length > 1, length > 2
        number += np.where(two, tens, 0) * np.uint32(10)
        number += np.where(three, hundreds, 0) * np.uint32(100)
        good &= (length > 0) & (length < 4) & (ones < 10) & (number < 256)
        good &= ~two | ((tens < 10) & (three | (tens > 0)))
        good &= ~three | ((hundreds < 10) & (hundreds > 0))
        values = (values << np.uint32(8)) | number
    valid = text.valid()
    if chosen is None:
        is4 = good if valid is None else good & valid
        return values, is4, np.flatnonzero(~good)
    all_values, is4 = np.zeros(rows, np.uint32), np.zeros(rows, bool)
    all_values[chosen], is4[chosen] = values, good
    if valid is not None:
        is4 &= valid
    return all_values, is4, np.flatnonzero(~is4)


def _text_v6(text: _Text, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of these rows: those that are IPv6, the halves of their numbers, those that are IPv4 written as IPv6, and their
    numbers."""
    if len(rows) < len(text.begin):
        text = _Text.of(pc.take(text.array, pa.array(rows)))
    good, high, low = _groups_of(text)
    if not good.all():  # a zone, an IPv4 address at the end, or no address: one after another
        left = np.flatnonzero(~good)
        read, packed = _one_by_one(pc.take(text.array, pa.array(left)))
        high[left[read]], low[left[read]] = packed[:, 0], packed[:, 1]
        good[left[read]] = True
        rows, high, low = rows[good], high[good], low[good]
    return _without_mapped(rows.astype(np.int64), high, low)


def _one_by_one(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Which of these texts are IPv6 addresses, and their numbers."""
    kept: list[int] = []
    packed: list[bytes] = []
    read, family = socket.inet_pton, socket.AF_INET6
    for row, text in enumerate(array.to_pylist()):
        if text is None or ":" not in text or len(text) > LONGEST:
            continue
        try:
            packed.append(read(family, text.partition("%")[0] if "%" in text else text))
        except (OSError, ValueError):
            continue
        kept.append(row)
    return np.array(kept, np.int64), np.frombuffer(b"".join(packed), dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _groups_of(text: _Text) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows are eight groups of hexadecimal digits, or fewer with one ``::``, and the halves of all numbers.

    The digits of a group are read at once, as the four bytes before its end, of which as many count as it is long.
    """
    marks = np.frombuffer(bytes(4) + text.raw.translate(_DIGITS), np.uint8)
    colons = np.flatnonzero(marks[4:] == _COLON)
    rows = len(text.begin)
    found = _eight(marks, text, colons) if len(colons) == 7 * rows else None
    if found is None:
        good, groups = _any_number(marks, text, colons)
        high, low = _half(groups[:4]), _half(groups[4:])
    else:
        good, (high, low) = np.ones(rows, bool), found
    valid = text.valid()
    if valid is not None:
        good &= valid
    return good, high, low


def _half(groups: np.ndarray) -> np.ndarray:
    """Four groups, first to last, as one number."""
    half = groups[0].astype(np.uint64)
    for group in groups[1:]:
        half <<= np.uint64(16)
        half |= group
    return half


def _eight(marks: np.ndarray, text: _Text, colons: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The halves of rows that all have eight groups, one to four digits each; None where some row is otherwise.

    Bytes are cheaper to work on than wider numbers, so digits are put together in pairs at every place of the text,
    and only two pairs a group are picked out.
    """
    rows = len(text.begin)
    stops = np.empty((8, rows), np.int64)
    stops[:7] = colons.reshape(-1, 7).T
    stops[7] = text.end
    lengths = np.empty((8, rows), np.int64)
    lengths[0] = stops[0] - text.begin
    np.subtract(stops[1:], stops[:-1], out=lengths[1:])
    lengths[1:] -= 1
    if rows and (lengths.min() < 1 or lengths.max() > 4 or marks.max() >= _OTHER):
        return None
    digits = marks & np.uint8(0x0F)  # of a colon nothing
    pairs = digits[:-1] << np.uint8(4)
    pairs |= digits[1:]
    lower, upper = pairs[2:].take(stops), pairs.take(stops)
    upper *= lengths > 2  # else it is of the group before
    # before the first group of a row stands the row before, and no colon
    lower[0] &= _LOWER_KEPT[lengths[0]]
    upper[0] &= _UPPER_KEPT[lengths[0]]
    groups = lower.astype("<u2")
    groups <<= 8
    groups |= upper  # in memory the upper pair comes first now, as the bytes of an address do
    numbers = np.ascontiguousarray(groups.T).view(">u8").astype(np.uint64)
    return numbers[:, 0], numbers[:, 1]


def _any_number(marks: np.ndarray, text: _Text, colons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with any number of colons; what stands after ``::`` is counted from the end."""
    begin, end, rows = text.begin, text.end, len(text.begin)
    first = np.searchsorted(colons, begin)
    count = np.searchsorted(colons, end) - first + 1  # groups, empty ones too
    row_of = np.repeat(np.arange(rows), count)
    begun = np.cumsum(count) - count
    place = np.arange(len(row_of)) - begun[row_of]
    last = place == count[row_of] - 1
    # the colon before a group and the one behind it; the ends of the row where there is none
    known = np.append(colons, 0)
    before = first[row_of] + place
    stop = np.where(last, end[row_of], known[np.minimum(before, len(colons))])
    start = np.where(place == 0, begin[row_of], known[np.maximum(before - 1, 0)] + 1)
    length = stop - start
    values, fits = _group(_words(marks), stop, length)
    empty = length == 0
    empties = np.bincount(row_of, empty, rows).astype(np.int64)
    filled = count - empties
    # an empty group is the gap; at an end of the row its outer half is empty as well
    outer = empty & ((place == 0) | last)
    inner = np.bincount(row_of, empty & ~outer, rows).astype(np.int64)
    outside = np.bincount(row_of, outer, rows).astype(np.int64)
    gap = (inner == 1) & (filled <= 7)
    gap &= (outside == 0) | ((outside == 1) & (filled > 0)) | ((outside == 2) & (filled == 0) & (count == 3))
    wrong = np.bincount(row_of, ~fits & ~empty, rows) > 0
    good = ~wrong & (gap | ((empties == 0) & (count == 8)))
    # at an end the two empty groups must stand together
    edge = np.flatnonzero(gap & (outside == 1))
    if len(edge):
        inside = np.minimum(begun[edge] + 1, len(empty) - 1), np.maximum(begun[edge] + count[edge] - 2, 0)
        leads = empty[begun[edge]] & empty[inside[0]]
        trails = empty[begun[edge] + count[edge] - 1] & empty[inside[1]]
        good[edge] &= leads | trails
    after = np.cumsum(empty) - np.where(empty, 1, 0)
    after = after - after[begun][row_of] > 0  # some group of the row before this one is empty
    slot = np.where(after, 8 - count[row_of] + place, place)
    usable = good[row_of] & ~empty
    groups = np.zeros((8, rows), np.uint32)
    groups[slot[usable], row_of[usable]] = values[usable]
    return good, groups


def _words(marks: np.ndarray) -> np.ndarray:
    """The four bytes before each place of the text, as one number."""
    return np.ndarray((len(marks) - 3,), "<u4", marks, strides=(1,))


def _group(words: np.ndarray, stop: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the groups that end at `stop`, and which of them have one to four digits and nothing else."""
    fits = (length > 0) & (length < 5)
    word = words[stop] & _KEPT[np.clip(length, 0, 4)]
    fits &= word & _NO_DIGIT == 0
    return _joined(word), fits


def _joined(word: np.ndarray) -> np.ndarray:
    """Four digits in four bytes, the last one the highest, as one number."""
    word = (word << np.uint32(4)) | (word >> np.uint32(8))  # pairs of digits stand in the bytes 0 and 2 now
    low = (word >> np.uint32(16)) & np.uint32(0xFF)
    word &= np.uint32(0xFF)
    word <<= np.uint32(8)
    word |= low
    return word


def _without_mapped(
    rows: np.ndarray, high: np.ndarray, low: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """IPv6 rows with their halves, and the rows that are IPv4 written so, with their numbers."""
    if high.all():
        return rows, high, low, rows[:0], np.zeros(0, np.uint32)
    mapped = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
    values = (low[mapped] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return rows[~mapped], high[~mapped], low[~mapped], rows[mapped], values


def _from_bytes(array: pa.Array) -> Addresses:
    rows = len(array)
    if pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)[array.offset * width : (array.offset + rows) * width]
        lengths, begin = np.full(rows, width), np.arange(rows) * width
    else:
        wide = pa.types.is_large_binary(array.type)
        offsets = np.frombuffer(array.buffers()[1], np.int64 if wide else np.int32)
        offsets = offsets[array.offset : array.offset + rows + 1].astype(np.int64)
        raw, lengths, begin = np.frombuffer(array.buffers()[2] or b"", np.uint8), np.diff(offsets), offsets[:-1]
    there = np.ones(rows, bool) if not array.null_count else ~array.is_null().to_numpy(zero_copy_only=False)
    rows4, rows6 = np.flatnonzero((lengths == 4) & there), np.flatnonzero((lengths == 16) & there)
    version, v4 = np.zeros(rows, np.uint8), np.zeros(rows, np.uint32)
    version[rows4] = 4
    v4[rows4] = _numbers(raw, begin[rows4], 4, ">u4").astype(np.uint32).reshape(-1)
    numbers = _numbers(raw, begin[rows6], 16, ">u8").astype(np.uint64).reshape(-1, 2)
    real, high, low, mapped, values4 = _without_mapped(
        rows6, np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1])
    )
    version[real], version[mapped], v4[mapped] = 6, 4, values4
    return Addresses(version, v4, real, high, low)


def _numbers(raw: np.ndarray, begin: np.ndarray, width: int, kind: str) -> np.ndarray:
    if not len(begin):
        return np.zeros(0, kind)
    if len(begin) * width == begin[-1] + width - begin[0] and (np.diff(begin) == width).all():
        return raw[begin[0] : begin[-1] + width].view(kind)  # one after another: no copy
    return raw[begin[:, None] + np.arange(width)].view(kind)
