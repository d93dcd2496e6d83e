"""Sysmon for Linux: one XML event, inside a syslog message or alone on a line -> table ``linux_sysmon``.

The names are Sysmon's own (``Image``, ``CommandLine``, ``ParentImage``, ``DestinationIp``, ...), the same as on
Windows; the layout is that of ``Event/System`` and ``Event/EventData/Data[@Name]``
(https://github.com/microsoft/SysmonForLinux).  The XML is read by expat with document types and
entities refused, so nothing can be expanded or fetched, and within limits of size and depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.text_lines import LineCounts, text_blocks
from casemate.schema.native import NativeTable

LINUX_SYSMON = NativeTable(
    "linux_sysmon",
    (
        *("host", "Computer", "Provider", "Channel", "EventID", "EventRecordID", "UserID"),
        *("RuleName", "UtcTime", "ProcessGuid", "ProcessId", "Image", "FileVersion", "Description", "Product"),
        *("Company", "OriginalFileName", "CommandLine", "CurrentDirectory", "User", "LogonGuid", "LogonId"),
        *("TerminalSessionId", "IntegrityLevel", "Hashes", "ParentProcessGuid", "ParentProcessId", "ParentImage"),
        *("ParentCommandLine", "ParentUser", "TargetFilename", "CreationUtcTime", "Protocol", "Initiated"),
        *("SourceIsIpv6", "SourceIp", "SourceHostname", "SourcePort", "DestinationIsIpv6", "DestinationIp"),
        *("DestinationHostname", "DestinationPort", "SourceProcessId", "SourceImage", "TargetProcessId"),
        *("TargetImage", "GrantedAccess", "Device", "IsExecutable", "Archived", "State", "Version", "Configuration"),
    ),
    "Events of Sysmon for Linux.",
)

EVENT_CHARACTERS = 1024 * 1024
DEPTH = 8
FIELDS = 256
_SYSTEM_TEXT = {"EventID", "Channel", "Computer", "EventRecordID"}


@dataclass(frozen=True)
class SysmonEvent:
    """One event: its columns, its time, and flags."""

    values: dict[str, str | None]
    time: int | None
    time_raw: str | None
    flags: tuple[str, ...]


class _Refused(Exception):  # noqa: N818 - never seen outside
    pass


def parse(message: str) -> SysmonEvent | str:
    """The event in `message`, or the reason why there is none."""
    begin, end = message.find("<Event"), message.rfind("</Event>")
    if begin < 0 or end < begin:
        return "no complete Event element"
    text = message[begin : end + len("</Event>")]
    if len(text) > EVENT_CHARACTERS:
        return f"an event longer than {EVENT_CHARACTERS} characters"
    if "Linux-Sysmon" not in text:
        return "not an event of Sysmon for Linux"
    try:
        values = _fields(text)
    except expat.ExpatError as error:
        return f"not XML: {expat.ErrorString(error.code)}"
    except _Refused as refused:
        return str(refused)
    if "EventID" not in values:
        return "an event without EventID"
    time_raw = values.pop("_time", None)
    time, flags = timestamps.read_iso(time_raw) if time_raw else (None, ("time_unreadable",))
    return SysmonEvent(dict(values), time, time_raw, tuple(flag for flag in flags if flag != "zone_assumed_utc"))


def _fields(text: str) -> dict[str, str]:
    path: list[str] = []
    values: dict[str, str] = {}
    pieces: list[str] = []
    name: str | None = None

    def put(key: str, value: str) -> None:
        if key in values:
            raise _Refused(f"the field {key[:100]!r} stands twice in one event")
        if len(values) >= FIELDS:
            raise _Refused(f"more than {FIELDS} fields")
        values[key] = value

    def started(tag: str, attributes: dict[str, str]) -> None:
        nonlocal name
        path.append(tag)
        pieces.clear()
        if len(path) > DEPTH:
            raise _Refused(f"nested deeper than {DEPTH} levels")
        name = None
        if path[1:2] == ["System"]:
            if tag == "Provider" and attributes.get("Name"):
                put("Provider", attributes["Name"])
            elif tag == "TimeCreated" and attributes.get("SystemTime"):
                put("_time", attributes["SystemTime"])
            elif tag == "Security" and attributes.get("UserId"):
                put("UserID", attributes["UserId"])
            elif tag == "Execution":
                for key in ("ProcessID", "ThreadID"):
                    if attributes.get(key):
                        put(f"Execution.{key}", attributes[key])
            elif tag in _SYSTEM_TEXT:
                name = tag
        elif path[1:2] == ["EventData"] and tag == "Data":
            name = attributes.get("Name")

    def ended(_tag: str) -> None:
        nonlocal name
        path.pop()
        if name is not None:
            put(name, "".join(pieces))
            name = None

    def refused(*_ignored: object) -> int:
        raise _Refused("document types and entities are refused")

    parser = expat.ParserCreate()
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = pieces.append
    parser.StartDoctypeDeclHandler = refused
    parser.EntityDeclHandler = refused
    parser.ExternalEntityRefHandler = refused
    parser.Parse(text.encode("utf-8", "backslashreplace"), True)
    return values


def recognise(head: bytes) -> int:
    """85 for lines that begin with an event of Sysmon for Linux."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:4096]
    return 85 if start.startswith((b"<Event>", b"<Event ")) and b"Linux-Sysmon" in start else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one event."""
    rows = RowBuilder(LINUX_SYSMON)
    counts = LineCounts()
    for texts in text_blocks(source, context, counts):
        if isinstance(texts, Reject):
            yield texts
            continue
        for index, text, flags in texts.lines:
            event = parse(text)
            if isinstance(event, str):
                yield Reject(*texts.place(index), event)
                continue
            flags = (*event.flags, *flags)
            rows.add(*texts.place(index), time=event.time, time_raw=event.time_raw, flags=flags, values=event.values)
            if rows.full:
                yield rows.take()
    if len(rows):
        yield rows.take()
    yield Tally(counts.records, counts.structure)


SYSMON_LINUX_READER = ReaderSpec("sysmon-linux", 1, (LINUX_SYSMON,), recognise, read, continues=True)
