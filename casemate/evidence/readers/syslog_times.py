"""Times of syslog lines: the missing year counted along the lines of a file, the missing zone.

A year that is missing is the latest that puts the file's last line before the file's own date, counted
back over the turns of the year between the lines.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, Source
from casemate.evidence.readers.placed_rows import NO_TIME
from casemate.evidence.readers.syslog_lines import MONTH, Line, parse_line

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
MONTHS_OF_BYTES = {name.encode(): number for name, number in MONTHS.items()}
DATE_BYTES = 7  # "Dec 10 "
SHORTEST = 16  # bytes of a line that has a date, a time of day, and anything else
PRIORITY_ENDS = (2, 3, 4)  # where ">" stands in "<38>"
DAY = 86_400_000_000
YEARS_BACK = 40  # eight are enough for one 29th of February, forty for several that fit each other
YEARLESS = ("year_inferred", "zone_assumed_utc")
LONGEST_HEADER = 4096  # a date stands before this byte: PRI, two hosts of 255 characters, a sequence number
BSD_CLOCK, BSD_SECONDS = 7, 15  # where hours begin and seconds end in "Dec 10 06:55:46"
ISO_CLOCK, ISO_SECONDS = 11, 19  # and in "2024-05-01T10:00:00"
FEW = 16
"""Fewer times than this are read one by one: it is quicker."""
_BSD_PARTS = re.compile(
    rf"({MONTH}) ([ \d]?\d)(?: (\d{{4}}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{{1,9}}))?(?: (\d{{4}}))?\Z", re.ASCII
)
_PLAIN_DAY = re.compile(rb"(?:<\d{1,3}>)?(" + MONTH.encode() + rb") ([ \d]\d) \d\d:\d\d:\d\d [!-~]{1,255} ")
"""The usual beginning of a line, by which its date is known without the rest (unless it is one of Cisco's)."""
_ISO_DAY = re.compile(rb"(?:<\d{1,3}>)?(?:1 )?[0-9]{4}-[0-9]{2}")
"""A line that begins like this carries its year (as one of RFC 5424 does), unless it is one of Cisco's."""
_MONTH_WORD = re.compile(MONTH.encode())
_ZONE = re.compile(r" ([A-Z]{1,5})\Z")


class Years:
    """Counts the turns of the year along the lines of a file.

    ``latest`` is the last moment (microseconds) that is not in the future of the file.
    A step back of more than 60 days is a new year; a step ahead of more than 300 is a late line of the
    old one.
    """

    def __init__(self, year: int, latest: int | None = None) -> None:
        self.year = year
        self.latest = latest
        self._day: int | None = None

    def of(self, month: int, day: int) -> int:
        """The year of a line with this date."""
        ordinal = month * 31 + day
        if self._day is not None:
            if ordinal - self._day < -62:
                self.year += 1
            elif ordinal - self._day > 310:
                self.year -= 1
        self._day = ordinal
        return self.year


def last_year(month: int, day: int, dated: datetime, leap_days: Iterable[int] = ()) -> int:
    """The latest year in which this day exists and is not after `dated` (a day of grace for zones).

    Args:
        month, day: of the last line.
        dated: the file's date.
        leap_days: so many years before the last line a 29th of February was seen.
    """
    latest = _microseconds(dated) + DAY
    fitting = []
    for year in range(dated.year + 1, dated.year - YEARS_BACK, -1):
        moment = timestamps.civil(year, month, day, 0, 0, 0)
        if moment is not None and moment <= latest:
            if all(calendar.isleap(year - back) for back in leap_days):
                return year
            fitting.append(year)
    return fitting[0] if fitting else dated.year


def first_year(source: Source, context: ReadContext) -> Years:
    """Years that end in the latest possible one at the file's last line."""
    counter, last = Years(0), None
    leap_days: set[int] = set()
    with source.open() as stream:
        for block in read_lines(stream, line_bytes=context.limits.line_bytes, start_offset=context.start_offset):
            if not isinstance(block, LineBlock):
                continue
            for line in _lines_that_may_count(block):
                found = _counted_day(line, context.limits.fields_per_record)
                if found is not None:
                    last = found
                    year = counter.of(*last)
                    if last == (2, 29):
                        leap_days.add(year)
    latest = _microseconds(context.dated) + DAY
    if last is None:
        return Years(context.dated.year, latest)
    backs = {counter.year - year for year in leap_days}
    return Years(last_year(*last, context.dated, backs) - counter.year, latest)


def _lines_that_may_count(block: LineBlock) -> Iterator[bytes]:
    """The lines of a block without those that are of the day of the line before, or of none that counts.

    Only the first of several lines that begin alike is looked at, if it is a plain one: the others are of its day.
    """
    if block.whole is None or block.starts is None:
        yield from block.lines
        return
    whole, some = block.whole, block.lengths >= SHORTEST
    starts, ends = block.starts[some], (block.starts + block.lengths)[some]
    places = list(zip(starts.tolist(), ends.tolist(), strict=True))
    for begin, end in _beginning_alike(whole, starts):
        for start, stop in places[begin:end]:
            line = whole[start:stop]
            if b"%" in line:
                yield line
                continue
            if _ISO_DAY.match(line):
                break
            yield line
            if _PLAIN_DAY.match(line):
                break


def _beginning_alike(whole: bytes, starts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Stretches of lines whose first bytes behind a PRI are the same, and which hold no ``%``."""
    if not len(starts):
        return
    letters = np.frombuffer(whole, np.uint8)
    differs = np.zeros(len(starts), np.bool_)
    dates = _behind_priorities(letters, starts)
    for place in range(DATE_BYTES):
        letter = letters[dates + place]
        differs[1:] |= letter[1:] != letter[:-1]
    position = whole.find(b"%", int(starts[0]))
    while position >= 0:
        index = int(np.searchsorted(starts, position, "right")) - 1
        differs[index : index + 2] = True
        position = whole.find(b"%", int(starts[index + 1])) if index + 1 < len(starts) else -1
    begins = np.append(0, np.flatnonzero(differs[1:]) + 1).tolist()
    yield from zip(begins, [*begins[1:], len(starts)], strict=True)


def _behind_priorities(letters: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where lines begin that may have ``<PRI>`` before them."""
    has_one = letters[starts] == ord("<")
    if not has_one.any():
        return starts
    dates = starts.copy()
    for end in PRIORITY_ENDS:
        dates[has_one & (dates == starts) & (letters[starts + end] == ord(">"))] += end + 1
    return dates


def _counted_day(line: bytes, most_fields: int) -> tuple[int, int] | None:
    """Month and day by which a line counts for the years: exactly what :func:`read_time` counts."""
    plain = _PLAIN_DAY.match(line)
    if plain and b"%" not in line:
        return MONTHS_OF_BYTES[plain[1]], int(plain[2])
    if not _MONTH_WORD.search(line, 0, LONGEST_HEADER):
        return None
    parsed = parse_line(line.decode("utf-8", "backslashreplace"), most_fields)
    if isinstance(parsed, Line):
        parts = _bsd_parts(parsed.received or parsed.time or "")
        if parts and not (parts[3] or parts[8]):
            return MONTHS[parts[1]], int(parts[2])
    return None


def _bsd_parts(text: str) -> re.Match[str] | None:
    zone = _ZONE.search(text)
    return _BSD_PARTS.match(text[: zone.start()] if zone else text)


def _microseconds(moment: datetime) -> int:
    return (moment - timestamps.EPOCH) // timedelta(microseconds=1)


def read_time(text: str, years: Years, received: str | None = None) -> timestamps.Reading:
    """A time of any of the forms above.

    Where a relay put the time before it at which it received the line, the lines' years are counted by
    that one, and a missing year of `text` is the one that brings it nearest, but not behind the file's date.
    """
    relayed = read_time(received, years)[0] if received is not None else None
    match, zone = _bsd_parts(text), _ZONE.search(text)
    if match is None:
        return timestamps.read_iso(text)
    month, day = MONTHS[match[1]], int(match[2])
    stated = match[3] or match[8]
    micro = int(match[7][:6].ljust(6, "0")) if match[7] else 0
    clock = int(match[4]), int(match[5]), int(match[6]), micro
    if stated:
        year = int(stated)
    elif relayed is None:
        year = years.year if received is not None else years.of(month, day)
    else:
        year = _nearest_year(relayed, (month, day, *clock), years.latest)
    moment = timestamps.civil(year, month, day, *clock)
    flags: tuple[str, ...] = () if stated else ("year_inferred",)
    if zone is None or zone[1] not in ("UTC", "GMT", "Z"):
        flags = (*flags, "zone_assumed_utc")
    if moment is None:
        return None, ("time_unreadable",)
    value, more = timestamps.believed(moment)
    return value, (*flags, *more)


def _nearest_year(relayed: int, rest: tuple[int, ...], latest: int | None) -> int:
    middle = (timestamps.EPOCH + timedelta(microseconds=relayed)).year
    moments = {year: timestamps.civil(year, *rest) for year in range(middle - 4, middle + 2)}
    possible = {
        year: moment
        for year, moment in moments.items()
        if moment is not None and (latest is None or moment <= max(latest, relayed + DAY))
    }
    return min(possible, key=lambda year: abs(possible[year] - relayed)) if possible else middle


class Clock:
    """Reads the times of the lines of a file in their order; quick where a line is of the day of the one before."""

    def __init__(self, years: Years) -> None:
        self._years = years
        self._text: str | None = None
        self._reading: timestamps.Reading = (None, ())
        self._day, self._midnight = "", 0

    def read(self, line: Line) -> timestamps.Reading:
        """:func:`read_time` of a line."""
        if line.time is None:
            return None, ("time_unreadable",)
        if line.received is not None:
            self._text, self._day = None, ""
            return read_time(line.time, self._years, line.received)
        return self._read(line.time)

    def _read(self, text: str) -> timestamps.Reading:
        if text == self._text:
            return self._reading
        hour, minute, second = text[7:9], text[10:12], text[13:]
        if text[:7] == self._day and len(text) == BSD_SECONDS and hour < "24" and minute < "60" and second < "60":
            seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
            self._reading = self._midnight + seconds * 1_000_000, self._reading[1]
        else:
            self._reading = read_time(text, self._years)
            moment, flags = self._reading
            self._day = ""
            if moment is not None and len(text) == BSD_SECONDS and flags == YEARLESS:
                self._day, self._midnight = text[:7], moment - moment % DAY
        self._text = text
        return self._reading

    def read_plain(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[tuple[str, ...]]]:
        """The same for lines of the plainest form (:func:`.syslog_lines.plain_parts`) that follow each other.

        Returns:
            Microseconds (:data:`.placed_rows.NO_TIME` where there is none) and flags of each.
        """
        micros = np.full(len(texts), NO_TIME, np.int64)
        flags: list[tuple[str, ...]] = [()] * len(texts)
        for begin, end, clocks in _days(texts) if len(texts) >= FEW else ((0, len(texts), None),):
            first, said = self._read(texts[begin])
            if clocks is not None and first is not None:
                moments = first - clocks[0] + clocks
                if moments.min() >= timestamps.EARLIEST and moments.max() < timestamps.LATEST:
                    micros[begin:end] = moments
                    flags[begin:end] = [said] * (end - begin)
                    continue
            for index in range(begin, end):
                moment, flags[index] = self._read(texts[index])
                if moment is not None:
                    micros[index] = moment
        return micros, flags


def _days(texts: Sequence[str]) -> Iterator[tuple[int, int, npt.NDArray[np.int64] | None]]:
    """Stretches of plain times that are of one day and of one zone: from, to, microseconds of the day.

    The last is None where some clock has no such time of day, 23:59:60 included.
    """
    letters = np.array(texts, "S").view(np.uint8).reshape(len(texts), -1)
    if letters.shape[1] < ISO_SECONDS:
        letters = np.pad(letters, ((0, 0), (0, ISO_SECONDS - letters.shape[1])))
    is_iso = letters[:, 0] <= ord("9")
    clock = np.where(is_iso[:, None], letters[:, ISO_CLOCK:ISO_SECONDS], letters[:, BSD_CLOCK:BSD_SECONDS])
    digits = clock.astype(np.int64) - ord("0")
    hours, minutes, seconds = (10 * digits[:, at] + digits[:, at + 1] for at in (0, 3, 6))
    micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    impossible = (hours > 23) | (minutes > 59) | (seconds > 59)
    same = letters.copy()  # with what may differ within a day blotted out
    same[is_iso, ISO_CLOCK:ISO_SECONDS] = 0
    same[~is_iso, BSD_CLOCK:BSD_SECONDS] = 0
    following = letters[:, ISO_SECONDS:]
    if following.shape[1]:
        has_fraction = is_iso & ((following[:, 0] == ord(".")) | (following[:, 0] == ord(",")))
        digit = (following[:, 1:] >= ord("0")) & (following[:, 1:] <= ord("9"))
        fraction = np.logical_and.accumulate(digit, axis=1) & has_fraction[:, None]
        for place in range(min(6, fraction.shape[1])):  # what follows the sixth digit is cut, never rounded
            micros += np.where(
                fraction[:, place], (following[:, 1 + place].astype(np.int64) - 48) * 10 ** (5 - place), 0
            )
        same[:, ISO_SECONDS + 1 :][fraction] = 0
    ends = np.append(np.flatnonzero((same[1:] != same[:-1]).any(axis=1)) + 1, len(texts)).tolist()
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        yield begin, end, None if impossible[begin:end].any() else micros[begin:end]
