"""Text evidence as numbered lines: exact offsets, bounded memory, nothing skipped.

A line ends with LF or CR LF (UTF-16 files, see :func:`utf16_of`, likewise).  Only these
end a line: U+2028, form feeds and lone CR do not, or two tools would number lines differently.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 8 * 1024 * 1024
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
SAMPLED_BYTES = 64 * 1024
LONG_LINE = 400
"""Bytes; lines that are longer on average are short work for a search from one end to the next."""
_LINE_FEED, _CARRIAGE_RETURN = 10, 13


def utf16_of(head: bytes) -> tuple[str, int] | None:
    """Encoding of UTF-16 content and where its text begins; None for any other.

    Told by the first four bytes alone, so that all who read agree: by the byte-order mark, or without one
    by two printable ASCII characters.
    """
    encoding = UTF16.get(head[:2])
    if encoding is not None:
        return None if head[:4] == codecs.BOM_UTF32_LE else (encoding, 2)
    for high, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, letters = head[high:4:2], head[1 - high : 4 : 2]
        if zeros == b"\x00\x00" and len(letters) == 2 and all(32 <= letter < 127 for letter in letters):
            return encoding, 0
    return None


def as_utf8(head: bytes) -> bytes:
    """The beginning of UTF-16 content as UTF-8, without its mark; any other as it is."""
    found = utf16_of(head)
    if found is None:
        return head
    encoding, begin = found
    return head[begin : begin + (len(head) - begin) // 2 * 2].decode(encoding, "replace").encode()


class LineBlock:
    """Consecutive lines.

    Args:
        first_record: 1-based line number of ``lines[0]``.
        lines: content without the line end; UTF-16 is turned into UTF-8, anything else is as
            recorded.  The UTF-8 byte-order mark of a file is taken off its first line.  None if
            `whole` is given: they are cut out of it when somebody asks.
        offsets, lengths: place of each line in the evidence, in bytes, without the line end.
        whole: bytes that hold all lines as recorded.
        starts: where each line starts in `whole`.
    """

    def __init__(
        self,
        first_record: int,
        lines: list[bytes] | None,
        offsets: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        *,
        whole: bytes | None = None,
        starts: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if lines is None and (whole is None or starts is None):
            raise ValueError("the lines, or the bytes that hold them")
        self.first_record = first_record
        self.offsets, self.lengths = offsets, lengths
        self.whole, self.starts = whole, starts
        self._lines = lines

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def lines(self) -> list[bytes]:
        """The content of each line."""
        if self._lines is None:
            assert self.whole is not None
            assert self.starts is not None
            starts = self.starts.tolist()
            whole, ends = self.whole, (self.starts + self.lengths).tolist()
            self._lines = [whole[start:end] for start, end in zip(starts, ends, strict=True)]
        return self._lines

    def first(self, count: int) -> LineBlock:
        """The first lines, at most `count`."""
        lines = None if self._lines is None else self._lines[:count]
        starts = None if self.starts is None else self.starts[:count]
        return LineBlock(
            self.first_record, lines, self.offsets[:count], self.lengths[:count], whole=self.whole, starts=starts
        )

    def line(self, index: int) -> bytes:
        """The content of one line."""
        if self._lines is not None:
            return self._lines[index]
        assert self.whole is not None
        assert self.starts is not None
        start = int(self.starts[index])
        return self.whole[start : start + int(self.lengths[index])]


@dataclass(frozen=True)
class OverlongLine:
    """A line longer than the limit: its place is known, its content was not read into memory."""

    record: int
    offset: int
    length: int


def read_lines(
    stream: BinaryIO, *, line_bytes: int, start_offset: int = 0, start_record: int = 1, block_bytes: int = BLOCK_BYTES
) -> Iterator[LineBlock | OverlongLine]:
    """Split `stream` into numbered lines.

    Args:
        stream: seekable content of the evidence.
        line_bytes: longest line taken into memory.
        start_offset, start_record: begin at this byte, which is the start of this line.
        block_bytes: bytes read at once; blocks hold whole lines.

    Yields:
        :class:`LineBlock` and :class:`OverlongLine` with contiguous line numbers.  Content after
        the last line end is a line; nothing after it is not.
    """
    stream.seek(0)
    mark = stream.read(4)
    wide = utf16_of(mark)
    if wide is not None:
        encoding, begin = wide
        yield from _split(stream, 2, encoding, max(start_offset, begin), start_record, line_bytes, block_bytes)
    else:
        begin = 3 if mark[:3] == b"\xef\xbb\xbf" else 0
        yield from _split(stream, 1, None, max(start_offset, begin), start_record, line_bytes, block_bytes)


def _split(
    stream: BinaryIO, unit: int, encoding: str | None, offset: int, record: int, line_bytes: int, block_bytes: int
) -> Iterator[LineBlock | OverlongLine]:
    stream.seek(offset)
    carry = b""
    skipping = 0  # bytes of an over-long line already passed over
    while True:
        block = stream.read(block_bytes)
        if not block:
            break
        if unit == 1 and not skipping and b"\n" in block:
            # the usual case: lines are only cut out where a reader asks for them
            data = carry + block if carry else block
            ends = _all_ends(data, len(carry))
            for item in _plain_block(data, ends, record, offset, line_bytes):
                yield item
                record = item.first_record + len(item) if isinstance(item, LineBlock) else item.record + 1
            last = int(ends[-1]) + 1
            carry, offset = data[last:], offset + last
            continue
        data = carry + block if carry else block
        ends = _ends(data, unit, encoding)
        if ends is None:
            if skipping or len(data) > line_bytes:
                skipping, carry = _pass_over(data, skipping, unit)
            else:
                carry = data
            continue
        last = ends + unit
        whole, carry = data[:ends], data[last:]
        if skipping:
            cut = _first_end(whole, unit, encoding)
            if cut is None:
                length = skipping + len(whole)
                yield OverlongLine(record, offset, length - _trailing_cr(whole, encoding))
                offset += length + unit
                record += 1
                skipping = 0
                continue
            length = skipping + cut
            yield OverlongLine(record, offset, length - _trailing_cr(whole[:cut], encoding))
            offset += length + unit
            record += 1
            skipping = 0
            whole = whole[cut + unit :]
        for item in _block(_pieces(whole, unit, encoding), record, offset, unit, encoding, line_bytes):
            yield item
            record = item.first_record + len(item) if isinstance(item, LineBlock) else item.record + 1
        offset += len(whole) + unit
    if skipping:
        yield OverlongLine(record, offset, skipping + len(carry) - _trailing_cr(carry, encoding))
    elif carry:
        yield from _block([carry], record, offset, unit, encoding, line_bytes)


def _all_ends(data: bytes, begin: int) -> npt.NDArray[np.int64]:
    """Positions of all line feeds from `begin` on."""
    find = data.find
    if data.count(b"\n", begin, begin + SAMPLED_BYTES) > SAMPLED_BYTES // LONG_LINE:
        # many short lines: looking at every byte at once is quicker than looking for one end after the other
        return np.flatnonzero(np.frombuffer(data, np.uint8)[begin:] == _LINE_FEED) + begin
    ends: list[int] = []
    position = find(b"\n", begin)
    while position >= 0:
        ends.append(position)
        position = find(b"\n", position + 1)
    return np.array(ends, np.int64)


def _plain_block(
    data: bytes, ends: npt.NDArray[np.int64], record: int, offset: int, line_bytes: int
) -> Iterator[LineBlock | OverlongLine]:
    """The lines that end at `ends`; a carriage return before the end belongs to it."""
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    raw = ends - starts
    before = np.frombuffer(data, np.uint8)[np.maximum(ends - 1, 0)] == _CARRIAGE_RETURN
    lengths = raw - (before & (raw > 0))
    begin = 0
    for long_one in [*np.flatnonzero(raw > line_bytes).tolist(), len(ends)]:
        if long_one > begin:
            some = slice(begin, long_one)
            places = starts[some]
            yield LineBlock(record + begin, None, places + offset, lengths[some], whole=data, starts=places)
        if long_one < len(ends):
            yield OverlongLine(record + long_one, int(starts[long_one]) + offset, int(lengths[long_one]))
        begin = long_one + 1


def _pass_over(data: bytes, skipped: int, unit: int) -> tuple[int, bytes]:
    """Forget the content of an over-long line but keep a possible half of a line end."""
    keep = 2 * unit + len(data) % unit
    return skipped + len(data) - keep, data[-keep:]


def _ends(data: bytes, unit: int, encoding: str | None) -> int | None:
    """Position of the last line end in `data`, aligned to `unit`."""
    if unit == 1:
        position = data.rfind(b"\n")
        return position if position >= 0 else None
    newline = "\n".encode(encoding or "ascii")
    position = data.rfind(newline)
    while position >= 0 and position % 2:
        position = data.rfind(newline, 0, position + 1)
    return position if position >= 0 else None


def _first_end(data: bytes, unit: int, encoding: str | None) -> int | None:
    if unit == 1:
        position = data.find(b"\n")
        return position if position >= 0 else None
    newline = "\n".encode(encoding or "ascii")
    position = data.find(newline)
    while position >= 0 and position % 2:
        position = data.find(newline, position + 1)
    return position if position >= 0 else None


def _pieces(data: bytes, unit: int, encoding: str | None) -> list[bytes]:
    if unit == 1:
        return data.split(b"\n")
    newline = "\n".encode(encoding or "ascii")
    pieces, begin, position = [], 0, data.find(newline)
    while position >= 0:
        if position % unit == 0:
            pieces.append(data[begin:position])
            begin = position + unit
        position = data.find(newline, position + 1)
    return [*pieces, data[begin:]]


def _trailing_cr(line: bytes, encoding: str | None) -> int:
    end = b"\r" if encoding is None else "\r".encode(encoding)
    return len(end) if line.endswith(end) else 0


def _block(
    pieces: list[bytes],
    record: int,
    offset: int,
    unit: int,
    encoding: str | None,
    line_bytes: int,
) -> Iterator[LineBlock | OverlongLine]:
    raw = np.fromiter(map(len, pieces), np.int64, len(pieces))
    offsets = np.empty(len(pieces), np.int64)
    offsets[0] = offset
    np.cumsum(raw[:-1] + unit, out=offsets[1:])
    offsets[1:] += offset
    begin = 0
    for long_one in np.flatnonzero(raw > line_bytes).tolist():
        if long_one > begin:
            yield _line_block(pieces, raw, offsets, begin, long_one, record, encoding)
        cr = _trailing_cr(pieces[long_one], encoding)
        yield OverlongLine(record + long_one, int(offsets[long_one]), int(raw[long_one]) - cr)
        begin = long_one + 1
    if begin < len(pieces):
        yield _line_block(pieces, raw, offsets, begin, len(pieces), record, encoding)


def _line_block(
    pieces: list[bytes],
    raw: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    begin: int,
    end: int,
    record: int,
    encoding: str | None,
) -> LineBlock:
    whole = begin == 0 and end == len(pieces)
    lines, lengths = pieces if whole else pieces[begin:end], raw[begin:end].copy()
    if encoding is not None:
        cr = "\r".encode(encoding)
        for index, line in enumerate(lines):
            if line.endswith(cr):
                line = line[: -len(cr)]
                lengths[index] -= len(cr)
            lines[index] = line.decode(encoding, "backslashreplace").encode("utf-8", "backslashreplace")
    else:
        for index, line in enumerate(lines):
            if line.endswith(b"\r"):
                lines[index] = line[:-1]
                lengths[index] -= 1
    return LineBlock(record + begin, lines, offsets[begin:end].copy(), lengths)
