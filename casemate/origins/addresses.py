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

ROWS_AT_ONCE = 32_768
"""Rows of text parsed together: what fits into the processor's cache."""
LONGEST = 64
"""Characters; longer text is no address."""


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
    pieces6: list[tuple[np.ndarray, np.ndarray]] = []
    for begin in range(0, len(array), ROWS_AT_ONCE):
        part = array.slice(begin, ROWS_AT_ONCE)
        end = begin + len(part)
        v4[begin:end], is4, others = _text_v4(part)
        version[begin:end] = np.where(is4, 4, 0)
        if len(others):
            rows, numbers, mapped, values4 = _text_v6(part, others)
            version[begin + rows] = 6
            version[begin + mapped], v4[begin + mapped] = 4, values4
            pieces6.append((begin + rows, numbers))
    if not pieces6:
        none = np.zeros(0, np.uint64)
        return Addresses(version, v4, np.zeros(0, np.int64), none, none)
    numbers = np.concatenate([numbers for _, numbers in pieces6])
    return Addresses(version, v4, np.concatenate([rows for rows, _ in pieces6]), numbers[:, 0], numbers[:, 1])


def _text_v4(array: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IPv4 values, which rows are IPv4, and the rows that may be something else."""
    rows = len(array)
    _, offsets_buffer, data_buffer = array.buffers()
    wide = pa.types.is_large_string(array.type)
    offsets = np.frombuffer(offsets_buffer, np.int64 if wide else np.int32)[array.offset : array.offset + rows + 1]
    base = int(offsets[0])
    data = np.frombuffer(data_buffer or b"", np.uint8)[base : int(offsets[-1])]
    begin, end = (offsets[:-1] - base).astype(np.int64), (offsets[1:] - base).astype(np.int64)
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
    if chosen is None:
        is4 = good if array.null_count == 0 else good & ~np.asarray(array.is_null())
        return values, is4, np.flatnonzero(~good)
    all_values, is4 = np.zeros(rows, np.uint32), np.zeros(rows, bool)
    all_values[chosen], is4[chosen] = values, good
    if array.null_count:
        is4 &= ~array.is_null().to_numpy(zero_copy_only=False)
    return all_values, is4, np.flatnonzero(~is4)


def _text_v6(array: pa.Array, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of these rows: those that are IPv6, their numbers, those that are IPv4 written as IPv6, and their numbers."""
    texts = pc.take(array, pa.array(rows)).to_pylist()
    kept: list[int] = []
    packed: list[bytes] = []
    read, family = socket.inet_pton, socket.AF_INET6
    for row, text in zip(rows.tolist(), texts, strict=True):
        if text is None or ":" not in text or len(text) > LONGEST:
            continue
        try:
            packed.append(read(family, text.partition("%")[0] if "%" in text else text))
        except (OSError, ValueError):
            continue
        kept.append(row)
    numbers = np.frombuffer(b"".join(packed), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return _without_mapped(np.array(kept, np.int64), numbers)


def _without_mapped(rows: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    mapped = (numbers[:, 0] == 0) & (numbers[:, 1] >> np.uint64(32) == 0xFFFF)
    values = (numbers[mapped, 1] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return rows[~mapped], numbers[~mapped], rows[mapped], values


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
    real, numbers, mapped, values4 = _without_mapped(rows6, numbers)
    version[real], version[mapped], v4[mapped] = 6, 4, values4
    return Addresses(version, v4, real, numbers[:, 0], numbers[:, 1])


def _numbers(raw: np.ndarray, begin: np.ndarray, width: int, kind: str) -> np.ndarray:
    if not len(begin):
        return np.zeros(0, kind)
    if len(begin) * width == begin[-1] + width - begin[0] and (np.diff(begin) == width).all():
        return raw[begin[0] : begin[-1] + width].view(kind)  # one after another: no copy
    return raw[begin[:, None] + np.arange(width)].view(kind)
