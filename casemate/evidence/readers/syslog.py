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
Messages of sshd, sudo, su, cron, ... are read further (:mod:`.syslog_programs`).  Events of Sysmon for Linux
inside a message go to ``linux_sysmon`` (:mod:`.sysmon_linux`).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from casemate.evidence.lines import UTF16, LineBlock, read_lines
from casemate.evidence.readers import openssh, syslog_programs, sysmon_linux, timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.text_lines import LineCounts, text_blocks
from casemate.limits import Limits
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

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
MONTHS_OF_BYTES = {name.encode(): number for name, number in MONTHS.items()}
DAY = 86_400_000_000
YEARS_BACK = 40  # eight are enough for one 29th of February, forty for several that fit each other
BYTES_BEFORE = 64 * 1024  # looked back for what "last message repeated" repeats
REMEMBERED = 512  # characters of a message whose meaning is kept in case it comes again
YEARLESS = ("year_inferred", "zone_assumed_utc")
LONGEST_HEADER = 4096  # a date stands before this byte: PRI, two hosts of 255 characters, a sequence number
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_BSD_TIME = rf"{_MONTH} [ \d]?\d(?: \d{{4}})? \d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?: \d{{4}}(?= ))?"
_ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL_WORDS = r"(?!\[|\(|(?:INFO|WARN|WARNING|ERROR|DEBUG|TRACE|FATAL|CRITICAL|NOTICE)\b)"
_PRI = r"(?:<(?P<pri>\d{1,3})>)?"

_BSD = re.compile(rf"{_PRI}(?P<time>{_BSD_TIME}) (?P<host>\S{{1,255}}) (?P<body>.*)\Z", re.DOTALL | re.ASCII)
_BSD_NO_HOST = re.compile(
    rf"<(?P<pri>\d{{1,3}})>(?P<time>{_BSD_TIME}) (?P<body>[^\s:\[]+(?:\[\d+\])?: .*)\Z", re.DOTALL | re.ASCII
)
_ISO = re.compile(
    rf"{_PRI}(?P<time>{_ISO_TIME}) {_LEVEL_WORDS}(?P<host>\S{{1,255}}) (?P<body>.*)\Z", re.DOTALL | re.ASCII
)
_RFC5424 = re.compile(
    rf"{_PRI}1 (?P<time>-|{_ISO_TIME}) (?P<host>\S{{1,255}}) (?P<program>\S{{1,255}}) (?P<pid>\S{{1,128}}) "
    r"(?P<msgid>\S{1,128}) (?P<body>-|\[.*|-? .*)\Z",
    re.DOTALL | re.ASCII,
)
_CISCO = re.compile(
    rf"{_PRI}(?:(?P<received>{_BSD_TIME}|{_ISO_TIME}) )?(?:(?P<host>[\w.:-]{{1,255}}?):? )?"
    r"(?:(?P<sequence>\d{1,12}): )?"
    rf"(?:(?P<host2>[\w.-]{{1,255}}): )?(?:[*.]?(?P<time>{_BSD_TIME})(?: (?P<zone>[A-Z]{{1,5}}))?: )?"
    r"%(?P<facility>[A-Z][A-Z0-9_]*(?:-[A-Z][A-Z0-9_]*)?)-(?P<severity>[0-7])-(?P<mnemonic>[A-Z0-9_]+): ?"
    r"(?P<body>.*)\Z",
    re.DOTALL | re.ASCII,
)
_PLAIN = re.compile(
    rf"({_MONTH} [ 0-9][0-9] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}) ([!-Z\\^-~]{{0,254}}[!-9;-Z\\^-~]) "
    r"([^\s:\[(]{1,128})(?:\[([^\]\s]{1,32})\])?: (.*)\Z",
    re.DOTALL,
)
"""What most lines look like: what the patterns around would say of it too, in one step."""
_TAG = re.compile(
    r"(?P<program>[^\s:\[(]{1,128})(?:\((?P<module>[^)\s]{0,64})\))?(?: \d[\w.]{0,16})?(?:\[(?P<pid>[^\]\s]{1,32})\])?:"
    r"(?:\s(?P<message>.*)|\Z)",
    re.DOTALL,
)
_SD_BEGIN = re.compile(r'\[([^\s=\]"]{1,64})', re.DOTALL)
_SD_PARAM = re.compile(r' ([^\s=\]"]{1,64})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_SD_ESCAPED = re.compile(r"\\([\"\\\]])")
_BSD_PARTS = re.compile(
    rf"({_MONTH}) ([ \d]?\d)(?: (\d{{4}}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{{1,9}}))?(?: (\d{{4}}))?\Z", re.ASCII
)
_PLAIN_DAY = re.compile(rb"(" + _MONTH.encode() + rb") ([ \d]\d) \d\d:\d\d:\d\d [!-~]{1,255} ")
"""The usual beginning of a line, by which its date is known without the rest (unless it is one of Cisco's)."""
_LAST_REPEATED = re.compile(r"last message repeated (\d{1,9}) times?\s*\Z")

_MONTH_WORD = re.compile(_MONTH.encode())
_ZONE = re.compile(r" ([A-Z]{1,5})\Z")

RECOGNISED_SHARE = 0.6
SAMPLED_LINES = 200
NOTE_YEAR = (
    "Times carry no year: the years were inferred from the file's date ({dated}) and the order of the lines; "
    "the last line was taken to be of {year}."
)
NOTE_ZONE = "Times carry no zone: UTC was assumed."


@dataclass(slots=True)
class _Line:
    """What one line says, still as text."""

    time: str | None
    values: dict[str, str | None]
    received: str | None = None
    """The relay's time, where `time` is the device's own."""


def recognise(head: bytes) -> int:
    """50-90 if most of the sampled lines have one of the forms above."""
    lines = [line for line in head.split(b"\n")[: SAMPLED_LINES + 1] if line.strip()]
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    if not lines:
        return 0
    good = sum(1 for line in lines if _looks_right(line[:2048]))
    share = good / len(lines)
    return int(50 + 40 * share) if share >= RECOGNISED_SHARE else 0


def _looks_right(line: bytes) -> bool:
    text = line.decode("utf-8", "replace").rstrip("\r")
    if _RFC5424.match(text) or _CISCO.match(text):
        return True
    match = _ISO.match(text)
    if match:
        return _TAG.match(match["body"]) is not None
    return _BSD.match(text) is not None or _BSD_NO_HOST.match(text) is not None


def parse_line(text: str, most_fields: int = Limits.fields_per_record) -> _Line | str | None:
    """The parts of one line; None if it has none of the known forms, the reason if it has too many fields."""
    if "%" in text and (match := _CISCO.match(text)):
        return _cisco(match)
    if match := _PLAIN.match(text):
        time, host, program, pid, message = match.groups()
        return _Line(time, {"host": host, "program": program, "module": None, "pid": pid, "message": message})
    match = _BSD.match(text) or _ISO.match(text)
    if match:
        if match["host"].endswith(":") or "[" in match["host"]:  # "Dec 10 06:55:46 program[1]: message"
            bare = _TAG.match(f"{match['host']} {match['body']}")
            if bare:
                return _Line(match["time"], {**_priority(match["pri"]), **_tag(f"{match['host']} {match['body']}")})
        return _Line(match["time"], {"host": match["host"], **_priority(match["pri"]), **_tag(match["body"])})
    match = _RFC5424.match(text)
    if match:
        return _rfc5424(match, most_fields)
    match = _BSD_NO_HOST.match(text)
    if match:
        return _Line(match["time"], {**_priority(match["pri"]), **_tag(match["body"])})
    return None


def _priority(text: str | None) -> dict[str, str | None]:
    if text is None:
        return {}
    number = int(text)
    if number > 191:
        return {"priority": text}
    return {"priority": text, "facility": FACILITIES[number // 8], "severity": SEVERITIES[number % 8]}


def _tag(body: str) -> dict[str, str | None]:
    match = _TAG.match(body)
    if match is None:
        return {"message": body}
    return {
        "program": match["program"],
        "module": match["module"],
        "pid": match["pid"],
        "message": match["message"] or "",
    }


def _rfc5424(match: re.Match[str], most_fields: int) -> _Line | str:
    body = match["body"]
    values: dict[str, str | None] = {
        name: None if match[name] == "-" else match[name] for name in ("host", "program", "pid", "msgid")
    }
    values.update(_priority(match["pri"]))
    if body.startswith("["):
        position = 0
        times: dict[str, int] = {}
        while element := _SD_BEGIN.match(body, position):
            at, said = element.end(), {}
            while param := _SD_PARAM.match(body, at):
                name = f"sd.{element[1]}.{param[1]}"
                if name in said or name in values:  # RFC 5424 6.3.3 lets a name stand again: "ip" of several addresses
                    times[name] = times.get(name, 1) + 1
                    name = f"{name}.{times[name]}"
                said[name] = _SD_ESCAPED.sub(r"\1", param[2])
                if len(values) + len(said) > most_fields:
                    return f"more than {most_fields} fields"
                at = param.end()
            if not body.startswith("]", at):
                break  # no element: it stays in the message
            values.update(said)
            position = at + 1
        body = body[position:]
    elif body.startswith("-"):
        body = body[1:]
    values["message"] = body.removeprefix(" ").removeprefix("\ufeff")
    return _Line(None if match["time"] == "-" else match["time"], values)


def _cisco(match: re.Match[str]) -> _Line:
    values: dict[str, str | None] = {
        **_priority(match["pri"]),
        "host": match["host2"] or match["host"],
        "program": f"%{match['facility']}-{match['severity']}-{match['mnemonic']}",
        "facility": match["facility"],
        "severity": match["severity"],
        "msgid": match["mnemonic"],
        "message": match["body"],
        "product": "cisco",
    }
    if match["host2"] and match["host"]:
        values["relay"] = match["host"]
    if match["sequence"]:
        values["sequence"] = match["sequence"]
    zone = f" {match['zone']}" if match["zone"] and match["time"] else ""
    if match["time"]:
        return _Line(f"{match['time']}{zone}", values, match["received"])
    return _Line(match["received"], values)


# ---- the missing year


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
            for line in block.lines:
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


def _counted_day(line: bytes, most_fields: int) -> tuple[int, int] | None:
    """Month and day by which a line counts for the years: exactly what :func:`read_time` counts."""
    plain = _PLAIN_DAY.match(line)
    if plain and b"%" not in line:
        return MONTHS_OF_BYTES[plain[1]], int(plain[2])
    if not _MONTH_WORD.search(line, 0, LONGEST_HEADER):
        return None
    parsed = parse_line(line.decode("utf-8", "backslashreplace"), most_fields)
    if isinstance(parsed, _Line):
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

    def read(self, line: _Line) -> timestamps.Reading:
        """:func:`read_time` of a line."""
        text = line.time
        if text is None:
            return None, ("time_unreadable",)
        if line.received is not None:
            self._text, self._day = None, ""
            return read_time(text, self._years, line.received)
        if text == self._text:
            return self._reading
        hour, minute, second = text[7:9], text[10:12], text[13:]
        if text[:7] == self._day and len(text) == 15 and hour < "24" and minute < "60" and second < "60":
            seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
            self._reading = self._midnight + seconds * 1_000_000, self._reading[1]
        else:
            self._reading = read_time(text, self._years)
            moment, flags = self._reading
            self._day = ""
            if moment is not None and len(text) == 15 and flags == YEARLESS:
                self._day, self._midnight = text[:7], moment - moment % DAY
        self._text = text
        return self._reading


# ---- the reader


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    years = first_year(source, context)
    clock, most_fields = Clock(years), context.limits.fields_per_record
    rows = {table.name: RowBuilder(table) for table in (SYSLOG, sysmon_linux.LINUX_SYSMON)}
    counts = LineCounts()
    inferred = assumed = False
    before: Mapping[str, str | None] = _said_before(source, context)
    for texts in text_blocks(source, context, counts):
        if isinstance(texts, Reject):
            yield texts
            continue
        for index, text, flags in texts.lines:
            parsed = parse_line(text, most_fields)
            if isinstance(parsed, str):
                yield Reject(*texts.place(index), parsed)
                continue
            table = SYSLOG.name
            if parsed is None:
                time, time_raw, values = None, None, {"message": text}
                flags = (*flags, "time_unreadable")
            else:
                time_raw, values = parsed.time, parsed.values
                time, said = clock.read(parsed)
                inferred = inferred or "year_inferred" in said
                assumed = assumed or "zone_assumed_utc" in said
                message = values["message"] or ""
                event = sysmon_linux.parse(message) if "<Event>" in message or "<Event " in message else None
                if isinstance(event, sysmon_linux.SysmonEvent):
                    table = sysmon_linux.LINUX_SYSMON.name
                    values = {"host": values.get("host"), **event.values}
                    time, time_raw, flags = event.time, event.time_raw, (*flags, *event.flags)
                else:
                    flags = (*flags, *said) if flags else said
                    more = _read_further(values, before)
                    if more:
                        values.update(more)
                    before = values
            builder = rows[table]
            builder.add(*texts.place(index), time=time, time_raw=time_raw, flags=flags, values=values)
            if builder.full:
                yield builder.take()
    for builder in rows.values():
        if len(builder):
            yield builder.take()
    notes = []
    if inferred:
        notes.append(NOTE_YEAR.format(dated=f"{context.dated:%Y-%m-%d}", year=years.year))
    if assumed:
        notes.append(NOTE_ZONE)
    yield Tally(counts.records, counts.structure, tuple(notes))


def _said_before(source: Source, context: ReadContext) -> Mapping[str, str | None]:
    """What the last record before the place where reading begins says, for "last message repeated"."""
    before: Mapping[str, str | None] = {}
    if not context.start_offset:
        return before
    most_fields = context.limits.fields_per_record
    with source.open() as stream:
        encoding = UTF16.get(stream.read(2), "utf-8")
        begin = max(0, context.start_offset - BYTES_BEFORE)
        stream.seek(begin)
        data = stream.read(context.start_offset - begin)
    lines = data.decode(encoding, "backslashreplace").split("\n")
    for text in lines[1 if begin else 0 :]:
        parsed = parse_line(text.removesuffix("\r"), most_fields)
        if isinstance(parsed, _Line) and "<Event" not in (parsed.values["message"] or ""):
            before = {**parsed.values, **_read_further(parsed.values, before)}
    return before


def _read_further(values: Mapping[str, str | None], before: Mapping[str, str | None]) -> Mapping[str, str | None]:
    message = values["message"] or ""
    program = values.get("program")
    if message.startswith("last message repeated ") and (repeated := _LAST_REPEATED.match(message)):
        if before.get("host") != values.get("host"):
            return {"repeated": repeated[1]}
        names = ("program", "module", "pid", *openssh.COLUMNS, *syslog_programs.COLUMNS)
        return {**{name: before.get(name) for name in names}, "repeated": repeated[1]}
    if not program:
        return {}
    return _said(program, message) if len(message) <= REMEMBERED else syslog_programs.parse(program, message)


@lru_cache(maxsize=8_192)
def _said(program: str, message: str) -> dict[str, str]:
    """What programs say again and again (never changed by who asks)."""
    return syslog_programs.parse(program, message)


SYSLOG_READER = ReaderSpec("syslog", 1, (SYSLOG, sysmon_linux.LINUX_SYSMON), recognise, read, continues=True)
