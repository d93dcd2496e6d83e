"""Syslog files: RFC 3164, RFC 5424, rsyslog's ISO form, and Cisco IOS -> table ``syslog``.

What a line may look like (an optional ``<PRI>`` stands before each):

* ``Dec 10 06:55:46 host program[pid]: message`` (RFC 3164, no year and no zone),
* ``2024-05-01T10:00:00.123+02:00 host program[pid]: message`` (rsyslog since Debian 12),
* ``1 2024-05-01T10:00:00Z host app procid msgid [id param="value"] message`` (RFC 5424; structured data
  goes to ``sd.<id>.<param>``),
* ``... : *Feb 17 13:40:03.673: %PARSER-5-CFGLOG_LOGGEDCMD: text`` (Cisco IOS).

A line of none of these forms is kept whole in ``message`` with the flag ``time_unreadable``.  A year that
is missing is the latest that puts the file's last line before the file's own date, counted back over
the turns of the year between the lines, and flagged; a zone that is missing is taken to be UTC, and flagged.
Messages of sshd, sudo, su, cron, ... are read further (:mod:`.syslog_programs`); a source that is written like
an address and is none is flagged.  Events of Sysmon for Linux inside a message go to ``linux_sysmon``
(:mod:`.sysmon_linux`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import add

import numpy as np

from casemate.evidence.lines import utf16_of
from casemate.evidence.readers import openssh, syslog_programs, sysmon_linux
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.collection import collection_paused
from casemate.evidence.readers.json_records import invalid_address
from casemate.evidence.readers.placed_rows import PlacedRows
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.syslog_lines import Line, may_be_cisco, parse_line, plain_parts, priority, recognise
from casemate.evidence.readers.syslog_times import Clock, first_year
from casemate.evidence.readers.text_lines import LineCounts, Stretch, TextBlock, text_blocks
from casemate.schema.native import NativeTable

SYSLOG = NativeTable(
    "syslog",
    (
        "host",
        "program",
        "module",  # pam_unix in "sshd(pam_unix)[1]:"
        "pid",
        "facility",  # name of the PRI's facility; Cisco's own facility for Cisco lines
        "severity",
        "priority",
        "msgid",
        "message",
        "product",  # 'cisco' for Cisco lines
        *openssh.COLUMNS,
        *syslog_programs.COLUMNS,
    ),
    "Lines of syslog files, with the messages of sshd and other common programs read further.",
)

Said = Mapping[str, str | None]
"""What a record says, by column."""
LINES_AT_ONCE = 20_000
BLANKS = " \t\r\x0b\x0c"  # what bytes.isspace calls blank, without the line feed
REPEATED = "last message repeated "
_PLAIN_COLUMNS = ("priority", "time_raw", "host", "program", "module", "pid", "message")
_MAY_LACK = frozenset({"priority", "module", "pid"})
BYTES_BEFORE = 64 * 1024  # looked back for what "last message repeated" repeats
REMEMBERED = 512  # characters of a message whose meaning is kept in case it comes again
_EVENT = re.compile("<Event[> ]")
_LAST_REPEATED = re.compile(r"last message repeated (\d{1,9}) times?\s*\Z")
NOTE_YEAR = (
    "Times carry no year: the years were inferred from the file's date ({dated}) and the order of the lines; "
    "the last line was taken to be of {year}."
)
NOTE_ZONE = "Times carry no zone: UTC was assumed."


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    years = first_year(source, context)
    counts = LineCounts()
    lines = _Lines(Clock(years), context.limits.fields_per_record, counts, _said_before(source, context))
    for texts in text_blocks(source, context, counts):
        if isinstance(texts, Reject):
            yield texts
            continue
        for stretch in texts.stretches(LINES_AT_ONCE):
            with collection_paused():
                found = list(lines.read(texts, stretch))
            yield from found
    yield from lines.events()
    notes = []
    if "year_inferred" in lines.assumed:
        notes.append(NOTE_YEAR.format(dated=f"{context.dated:%Y-%m-%d}", year=years.year))
    if "zone_assumed_utc" in lines.assumed:
        notes.append(NOTE_ZONE)
    yield Tally(counts.records, counts.structure, tuple(notes))


class _Lines:
    """Reads stretches of lines one after the other; remembers what the next one depends on.

    Attributes:
        assumed: flags of all times so far.
    """

    def __init__(self, clock: Clock, most_fields: int, counts: LineCounts, before: Said) -> None:
        self.assumed: set[str] = set()
        self._clock, self._most_fields, self._counts = clock, most_fields, counts
        self._before = before  # what the last record says, unless that is the plain line in the next
        self._plain_before: int | None = None
        self._events = RowBuilder(sysmon_linux.LINUX_SYSMON)

    def read(self, block: TextBlock, stretch: Stretch) -> Iterator[Rows | Reject]:
        """The lines that are written in the plainest way all at once, the others one by one."""
        parts = plain_parts(stretch.text)
        odd = _odd_lines(parts, stretch.text)
        rows = PlacedRows(SYSLOG, len(parts))
        _fill_plain(rows, parts, odd)
        for row, flags in stretch.flags.items():
            rows.flags[row] = flags
        begin = 0
        for row, text in odd.items():
            self._plain(rows, parts, begin, row)
            begin = row + 1
            if text.strip(BLANKS):
                problem = self._odd(rows, row, text, block, stretch.begin + row)
                if problem is not None:
                    yield Reject(*block.place(stretch.begin + row), problem)
                if self._events.full:
                    yield self._events.take()
            else:
                self._counts.structure += 1
                rows.leave_out(row)
        self._plain(rows, parts, begin, len(parts))
        if self._plain_before is not None:
            self._before, self._plain_before = rows.said(self._plain_before), None
        _flag_addresses(rows)
        some, lines = slice(stretch.begin, stretch.begin + len(parts)), block.block
        numbers = np.arange(some.start, some.stop) + lines.first_record
        found = rows.take(numbers, lines.offsets[some], lines.lengths[some], nul="\x00" in stretch.text)
        if found is not None:
            yield found

    def events(self) -> Iterator[Rows]:
        """Events of Sysmon that waited for more of their kind."""
        if len(self._events):
            yield self._events.take()

    def _plain(self, rows: PlacedRows, parts: Sequence[Sequence[str]], begin: int, end: int) -> None:
        """Rows `begin` to `end`, whose lines are plain ones: their times, and what their messages say."""
        if begin == end:
            return
        self._counts.records += end - begin
        self._plain_before = end - 1
        some = parts[begin:end]
        rows.times[begin:end], flags = self._clock.read_plain([line[1] for line in some])
        self.assumed.update(*set(flags))
        rows.flags[begin:end] = map(add, rows.flags[begin:end], flags)
        columns = rows.columns
        of_sshd: list[int] = []
        of_others: list[int] = []
        for row, line in enumerate(some, begin):
            if line[3] in syslog_programs.SSHD:
                of_sshd.append(row)
            elif syslog_programs.has_patterns(line[3]) or any(words in line[6] for words in syslog_programs.OF_ANY):
                of_others.append(row)
        if of_sshd:
            of_others += openssh.fill_usual(columns, of_sshd, [parts[row][6] for row in of_sshd])
        for row in of_others:
            line = parts[row]
            said = _meaning(line[3], line[6])
            for name in said:
                columns[name][row] = said[name]

    def _odd(self, rows: PlacedRows, row: int, text: str, block: TextBlock, index: int) -> str | None:
        """One line of any form; the reason if it is rejected."""
        self._counts.records += 1
        parsed = parse_line(text, self._most_fields)
        if isinstance(parsed, str):
            rows.leave_out(row)
            return parsed
        if parsed is None:
            rows.put(row, {"message": text})
            rows.flags[row] = (*rows.flags[row], "time_unreadable")
            return None
        time, flags = self._clock.read(parsed)
        self.assumed.update(flags)
        values, message = parsed.values, parsed.values["message"] or ""
        event = sysmon_linux.parse(message) if "<Event" in message and _EVENT.search(message) else None
        if isinstance(event, sysmon_linux.SysmonEvent):
            flags = (*rows.flags[row], *event.flags)
            said = {"host": values.get("host"), **event.values}
            self._events.add(*block.place(index), time=event.time, time_raw=event.time_raw, flags=flags, values=said)
            rows.leave_out(row)
            return None
        before = (
            self._before if self._plain_before is None or REPEATED not in message else rows.said(self._plain_before)
        )
        values.update(_read_further(values, before))
        self._before, self._plain_before = values, None
        rows.put(row, values)
        rows.columns["time_raw"][row] = parsed.time
        rows.flags[row] = (*rows.flags[row], *flags) if rows.flags[row] else flags
        if time is not None:
            rows.times[row] = time
        return None


def _odd_lines(parts: Sequence[Sequence[str]], text: str) -> dict[int, str]:
    """The lines that are to be read one by one, by row: they are not plain, or mean more than they look like."""
    odd = {row: line[-1] for row, line in enumerate(parts) if not line[1]}
    if "<Event" in text or REPEATED in text or may_be_cisco(text):
        for row, line in enumerate(text.split("\n")):
            if "<Event" in line or REPEATED in line or may_be_cisco(line):
                odd[row] = line
        return dict(sorted(odd.items()))
    return odd


def _fill_plain(rows: PlacedRows, parts: Sequence[Sequence[str]], odd: Iterable[int]) -> None:
    for name, texts in zip(_PLAIN_COLUMNS, zip(*parts, strict=True), strict=False):
        if name in _MAY_LACK:
            if any(texts):
                rows.columns[name] = [text or None for text in texts]
        else:
            rows.columns[name] = list(texts)
        if name in rows.columns:
            column = rows.columns[name]
            for row in odd:
                column[row] = None
    if "priority" in rows.columns:
        numbers = rows.columns["priority"]
        said = {number: priority(number) for number in set(numbers)}
        for name in ("facility", "severity"):
            rows.columns[name] = [said[number].get(name) for number in numbers]


def _flag_addresses(rows: PlacedRows) -> None:
    """Flag sources that are written like addresses and are none."""
    sources = rows.columns.get("source_ip", [])
    wrong = {source for source in set(sources) if source and invalid_address(source)}
    if wrong:
        for row, source in enumerate(sources):
            if source in wrong:
                rows.flags[row] = (*rows.flags[row], "address_invalid")


def _said_before(source: Source, context: ReadContext) -> Said:
    """What the last record before the place where reading begins says, for "last message repeated"."""
    before: Said = {}
    if not context.start_offset:
        return before
    most_fields = context.limits.fields_per_record
    with source.open() as stream:
        encoding, _ = utf16_of(stream.read(4)) or ("utf-8", 0)
        begin = max(0, context.start_offset - BYTES_BEFORE)
        stream.seek(begin)
        data = stream.read(context.start_offset - begin)
    lines = data.decode(encoding, "backslashreplace").split("\n")
    for text in lines[1 if begin else 0 :]:
        parsed = parse_line(text.removesuffix("\r"), most_fields)
        if isinstance(parsed, Line) and "<Event" not in (parsed.values["message"] or ""):
            before = {**parsed.values, **_read_further(parsed.values, before)}
    return before


def _read_further(values: Said, before: Said) -> Said:
    message = values["message"] or ""
    if message.startswith(REPEATED) and (repeated := _LAST_REPEATED.match(message)):
        if before.get("host") != values.get("host"):
            return {"repeated": repeated[1]}
        names = ("program", "module", "pid", *openssh.COLUMNS, *syslog_programs.COLUMNS)
        return {**{name: before.get(name) for name in names}, "repeated": repeated[1]}
    return _meaning(values.get("program") or "", message)


def _meaning(program: str, message: str) -> Mapping[str, str]:
    """What a message of `program` says; nothing if there is none."""
    if not program:
        return {}
    if len(message) > REMEMBERED or " port " in message:  # each of sshd's has a port of its own
        return syslog_programs.parse(program, message)
    return _said(program, message)


@lru_cache(maxsize=8_192)
def _said(program: str, message: str) -> dict[str, str]:
    """What programs say again and again (never changed by who asks)."""
    return syslog_programs.parse(program, message)


SYSLOG_READER = ReaderSpec("syslog", 2, (SYSLOG, sysmon_linux.LINUX_SYSMON), recognise, read, continues=True)
