"""Whether one log of lines begins inside another and goes on as that does: decided by the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from casemate.evidence.readers.base import Source
from casemate.limits import MIB

FEWEST_LINES = 4
"""So many different lines must be in common; fewer may be alike by chance (a line that every restart writes)."""
SAMPLED_BYTES = 256 * 1024
HEAD_BYTES = 4096


@dataclass(frozen=True)
class LineOverlap:
    """The first `length` bytes of the later log are those of the earlier one from `shift` on.

    Args:
        shift: byte of the earlier log at which the later one begins.
        begin, end: whole lines of both, as bytes of the later log.
        length: bytes in common.
        lines: how many lines that are.
        to_the_end: whether the common bytes go to the end of one of the two.
        earlier_unfinished, later_unfinished: whether its last line, behind `end`, is a part of a line of the other.
        doubt: why they may not be taken for the same records; None if they are.
    """

    shift: int
    begin: int
    end: int
    length: int
    lines: int
    to_the_end: bool
    earlier_unfinished: bool = False
    later_unfinished: bool = False
    doubt: str | None = None

    @property
    def proved(self) -> bool:
        """Whether the lines are the same records."""
        return self.doubt is None


def line_overlap(earlier: Source, later: Source, shifts: Sequence[int]) -> LineOverlap | None:
    """How `later` begins inside `earlier` at one of `shifts`; None if it shares no whole line there.

    It must be one place only, the bytes must agree up to the end of one of the two, and the earlier
    log must not begin inside the later one as well (a log that says the same over and over).
    """
    found = [one for shift in shifts if 0 < shift < earlier.size and (one := _at(earlier, later, shift)) is not None]
    if not found:
        return None
    best = max(found, key=lambda one: (one.to_the_end, one.lines))
    doubt = None
    if not best.to_the_end:
        doubt = "then they differ"
    elif sum(one.to_the_end for one in found) > 1:
        doubt = "they fit at several places"
    elif _different_lines(later, best) < FEWEST_LINES:
        doubt = "that is too little to know that they are the same"
    elif _holds_head(later, earlier):
        doubt = "both repeat themselves"
    if doubt is None:
        return best
    if not best.to_the_end and _different_lines(later, best) < FEWEST_LINES:
        return None  # a few lines alike by chance
    return LineOverlap(best.shift, best.begin, best.end, best.length, best.lines, best.to_the_end, doubt=doubt)


def _at(earlier: Source, later: Source, shift: int) -> LineOverlap | None:
    most = min(earlier.size - shift, later.size)
    with earlier.open() as old, later.open() as new:
        old.seek(shift - 1)
        aligned = old.read(1) == b"\n"
        length, lines, begin, end = 0, 0, 0 if aligned else -1, 0
        while length < most:
            size = min(MIB, most - length)
            ours, theirs = _read(new, size), _read(old, size)
            if ours != theirs:
                ours = ours[: _first_difference(ours, theirs)]
            if begin < 0 and (first := ours.find(b"\n")) >= 0:
                begin = length + first + 1
                lines -= 1
            count = ours.count(b"\n")
            lines += count
            if count:
                end = length + ours.rfind(b"\n") + 1
            length += len(ours)
            if len(ours) < size:
                break
    if begin < 0:
        begin = end = 0
    to_the_end = length == most
    ends_earlier, ends_later = length == earlier.size - shift, length == later.size
    earlier_unfinished = later_unfinished = False
    if end < length and to_the_end:
        if ends_earlier and ends_later:
            end, lines = length, lines + 1
        elif ends_later:
            later_unfinished = True
        else:
            earlier_unfinished = True
    if not lines and not (to_the_end and end):
        return None
    return LineOverlap(shift, begin, end, length, lines, to_the_end, earlier_unfinished, later_unfinished)


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _first_difference(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _different_lines(later: Source, overlap: LineOverlap) -> int:
    with later.open() as stream:
        stream.seek(overlap.begin)
        data = _read(stream, min(SAMPLED_BYTES, overlap.end - overlap.begin))
    return len({line for line in data.split(b"\n") if line.strip()})


def _holds_head(content: Source, other: Source) -> bool:
    """Whether the first lines of `other` stand in `content`."""
    with other.open() as stream:
        head = _read(stream, HEAD_BYTES)
    if len(head) == HEAD_BYTES and b"\n" in head:
        head = head[: head.rfind(b"\n") + 1]
    with content.open() as stream:
        tail = b""
        while block := stream.read(MIB):
            data = tail + block
            if head in data:
                return True
            tail = data[-len(head) :]
    return False
