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
from collections.abc import Iterator, Mapping
from functools import lru_cache

from casemate.evidence.lines import utf16_of
from casemate.evidence.readers import openssh, syslog_programs, sysmon_linux
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_records import invalid_address
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.syslog_lines import Line, parse_line, recognise
from casemate.evidence.readers.syslog_times import Clock, first_year
from casemate.evidence.readers.text_lines import LineCounts, text_blocks
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
                event = sysmon_linux.parse(message) if "<Event" in message and _EVENT.search(message) else None
                if isinstance(event, sysmon_linux.SysmonEvent):
                    table = sysmon_linux.LINUX_SYSMON.name
                    values = {"host": values.get("host"), **event.values}
                    time, time_raw, flags = event.time, event.time_raw, (*flags, *event.flags)
                else:
                    flags = (*flags, *said) if flags else said
                    more = _read_further(values, before)
                    if more:
                        values.update(more)
                        if (address := more.get("source_ip")) and invalid_address(address):
                            flags = (*flags, "address_invalid")
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
    if program in syslog_programs.SSHD or len(message) > REMEMBERED:  # each of sshd's has a port of its own
        return syslog_programs.parse(program, message)
    return _said(program, message)


@lru_cache(maxsize=8_192)
def _said(program: str, message: str) -> dict[str, str]:
    """What programs say again and again (never changed by who asks)."""
    return syslog_programs.parse(program, message)


SYSLOG_READER = ReaderSpec("syslog", 2, (SYSLOG, sysmon_linux.LINUX_SYSMON), recognise, read, continues=True)
