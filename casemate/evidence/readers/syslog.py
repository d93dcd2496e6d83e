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

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers import openssh, syslog_programs, sysmon_linux, timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.row_builder import RowBuilder
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
_TAG = re.compile(
    r"(?P<program>[^\s:\[(]{1,128})(?:\((?P<module>[^)\s]{0,64})\))?(?: \d[\w.]{0,16})?(?:\[(?P<pid>[^\]\s]{1,32})\])?:"
    r"(?:\s(?P<message>.*)|\Z)",
    re.DOTALL,
)
_SD_ELEMENT = re.compile(r'\[([^\s=\]"]{1,64})((?: [^\s=\]"]{1,64}="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL)
_SD_PARAM = re.compile(r' ([^\s=\]"]{1,64})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_BSD_PARTS = re.compile(
    rf"({_MONTH}) ([ \d]?\d)(?: (\d{{4}}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{{1,9}}))?(?: (\d{{4}}))?\Z", re.ASCII
)
_DAY = re.compile(
    rb"^(?:<\d{1,3}>)?(?:[\w.:-]{1,255}:? )?(?:\d{1,12}: )?[*.]?("
    + _MONTH.encode()
    + rb") ([ \d]?\d) (\d\d:\d\d:\d\d|\d{4})"
)
_LAST_REPEATED = re.compile(r"last message repeated (\d{1,9}) times?\s*\Z")

RECOGNISED_SHARE = 0.6
SAMPLED_LINES = 200
NOTE_YEAR = (
    "Times carry no year: the years were inferred from the file's date ({dated}) and the order of the lines; "
    "the last line was taken to be of {year}."
)
NOTE_ZONE = "Times carry no zone: UTC was assumed."


@dataclass
class _Line:
    """What one line says, still as text."""

    time: str | None
    values: dict[str, str | None]


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


def parse_line(text: str) -> _Line | None:
    """The parts of one line; None if it has none of the known forms."""
    if "%" in text and (match := _CISCO.match(text)):
        return _cisco(match)
    match = _BSD.match(text) or _ISO.match(text)
    if match:
        if match["host"].endswith(":") or "[" in match["host"]:  # "Dec 10 06:55:46 program[1]: message"
            bare = _TAG.match(f"{match['host']} {match['body']}")
            if bare:
                return _Line(match["time"], {**_priority(match["pri"]), **_tag(f"{match['host']} {match['body']}")})
        return _Line(match["time"], {"host": match["host"], **_priority(match["pri"]), **_tag(match["body"])})
    match = _RFC5424.match(text)
    if match:
        return _rfc5424(match)
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


def _rfc5424(match: re.Match[str]) -> _Line:
    body = match["body"]
    values: dict[str, str | None] = {
        name: None if match[name] == "-" else match[name] for name in ("host", "program", "pid", "msgid")
    }
    values.update(_priority(match["pri"]))
    if body.startswith("["):
        position = 0
        while element := _SD_ELEMENT.match(body, position):
            for name, value in _SD_PARAM.findall(element[2]):
                values[f"sd.{element[1]}.{name}"] = re.sub(r"\\([\"\\\]])", r"\1", value)
            position = element.end()
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
    return _Line(f"{match['time']}{zone}" if match["time"] else match["received"], values)


# ---- the missing year


class Years:
    """Counts the turns of the year along the lines of a file.

    A step back of more than 60 days is a new year; a step ahead of more than 300 is a late line of the
    old one.
    """

    def __init__(self, year: int) -> None:
        self.year = year
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


def last_year(month: int, day: int, dated: datetime) -> int:
    """The latest year in which this day exists and is not after `dated` (a day of grace for zones)."""
    for year in range(dated.year + 1, dated.year - 9, -1):
        moment = timestamps.civil(year, month, day, 0, 0, 0)
        if moment is not None and moment <= (dated - timestamps.EPOCH).total_seconds() * 1_000_000 + 86_400_000_000:
            return year
    return dated.year


def first_year(source: Source, context: ReadContext) -> Years:
    """Years that end in the latest possible one at the file's last line."""
    counter, last = Years(0), None
    with source.open() as stream:
        for block in read_lines(stream, line_bytes=context.limits.line_bytes, start_offset=context.start_offset):
            if not isinstance(block, LineBlock):
                continue
            for line in block.lines:
                match = _DAY.match(line)
                if match and len(match[3]) == 8:
                    last = (MONTHS[match[1].decode()], int(match[2]))
                    counter.of(*last)
    if last is None:
        return Years(context.dated.year)
    return Years(last_year(*last, context.dated) - counter.year)


def read_time(text: str, years: Years) -> timestamps.Reading:
    """A time of any of the forms above."""
    zone = re.search(r" ([A-Z]{1,5})\Z", text)
    match = _BSD_PARTS.match(text[: zone.start()] if zone else text)
    if match is None:
        return timestamps.read_iso(text)
    month, day = MONTHS[match[1]], int(match[2])
    stated = match[3] or match[8]
    year = int(stated) if stated else years.of(month, day)
    micro = int(match[7][:6].ljust(6, "0")) if match[7] else 0
    moment = timestamps.civil(year, month, day, int(match[4]), int(match[5]), int(match[6]), micro)
    flags: tuple[str, ...] = () if stated else ("year_inferred",)
    if zone is None or zone[1] not in ("UTC", "GMT", "Z"):
        flags = (*flags, "zone_assumed_utc")
    if moment is None:
        return None, ("time_unreadable",)
    value, more = timestamps.believed(moment)
    return value, (*flags, *more)


# ---- the reader


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    years = first_year(source, context)
    rows = {table.name: RowBuilder(table) for table in (SYSLOG, sysmon_linux.LINUX_SYSMON)}
    records = structure = 0
    inferred = assumed = False
    before: dict[str, str | None] = {}
    with source.open() as stream:
        for block in read_lines(
            stream,
            line_bytes=context.limits.line_bytes,
            start_offset=context.start_offset,
            start_record=context.start_record,
        ):
            if not isinstance(block, LineBlock):
                records += 1
                reason = f"line longer than {context.limits.line_bytes} bytes"
                yield Reject(block.record, block.offset, block.length, reason)
                continue
            places = zip(block.lines, block.offsets.tolist(), block.lengths.tolist(), strict=True)
            for record, (line, offset, length) in enumerate(places, start=block.first_record):
                if not line or line.isspace():
                    structure += 1
                    continue
                records += 1
                flags: tuple[str, ...] = ()
                try:
                    text = line.decode()
                except UnicodeDecodeError:
                    text, flags = line.decode("utf-8", "backslashreplace"), ("encoding_replaced",)
                parsed = parse_line(text)
                table = SYSLOG.name
                if parsed is None:
                    time, time_raw, values = None, None, {"message": text}
                    flags = (*flags, "time_unreadable")
                else:
                    time_raw, values = parsed.time, parsed.values
                    time, said = read_time(time_raw, years) if time_raw else (None, ("time_unreadable",))
                    flags = (*flags, *said)
                    inferred = inferred or "year_inferred" in said
                    assumed = assumed or "zone_assumed_utc" in said
                    message = values["message"] or ""
                    event = sysmon_linux.parse(message) if "<Event>" in message or "<Event " in message else None
                    if isinstance(event, sysmon_linux.SysmonEvent):
                        table = sysmon_linux.LINUX_SYSMON.name
                        values = {"host": values.get("host"), **event.values}
                        time, time_raw, flags = event.time, event.time_raw, (*flags[:1], *event.flags)
                        flags = tuple(flag for flag in flags if flag in event.flags or flag == "encoding_replaced")
                    else:
                        more = _read_further(values, before)
                        values = {**values, **more} if more else values
                        before = values
                rows[table].add(record, offset, length, time=time, time_raw=time_raw, flags=flags, values=values)
                if rows[table].full:
                    yield rows[table].take()
    for builder in rows.values():
        if len(builder):
            yield builder.take()
    notes = []
    if inferred:
        notes.append(NOTE_YEAR.format(dated=f"{context.dated:%Y-%m-%d}", year=years.year))
    if assumed:
        notes.append(NOTE_ZONE)
    yield Tally(records, structure, tuple(notes))


def _read_further(values: dict[str, str | None], before: dict[str, str | None]) -> dict[str, str | None]:
    message = values["message"] or ""
    program = values.get("program")
    repeated = _LAST_REPEATED.match(message)
    if repeated:
        if before.get("host") != values.get("host"):
            return {"repeated": repeated[1]}
        names = ("program", "module", "pid", *openssh.COLUMNS, *syslog_programs.COLUMNS)
        return {**{name: before.get(name) for name in names}, "repeated": repeated[1]}
    return dict(syslog_programs.parse(program, message)) if program else {}


SYSLOG_READER = ReaderSpec("syslog", 1, (SYSLOG, sysmon_linux.LINUX_SYSMON), recognise, read, continues=True)
