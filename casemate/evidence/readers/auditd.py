"""Linux audit logs (auditd's ``audit.log``, ``ausearch`` output) -> table ``linux_audit``.

One line is one record is one row::

    node=web1 type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=59 success=yes ... key="x"

The names are auditd's own (https://github.com/linux-audit/audit-documentation/wiki/SPEC-Audit-Event-Enrichment
and ``audit-fields``), with these additions:

* enriched fields (behind the separator 0x1D, ``SYSCALL=execve UID="root"``) become ``syscall_name``,
  ``uid_name``, ... since names must differ in more than case; without enrichment ``syscall_name`` comes from
  the kernel's tables for the usual calls of x86-64 and AArch64,
* untrusted strings that the kernel wrote in hexadecimal are decoded (``proctitle``, ``comm``, arguments of
  EXECVE, ...); the text as recorded stays in ``rest`` under ``raw.<name>``,
* EXECVE rows have ``command_line``: the arguments, joined by spaces,
* rows of an event take over from its SYSCALL record what they lack (:data:`INHERITED`), since rules look
  at one row; the search is bounded to the events seen last.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers import timestamps
from casemate.evidence.readers.auditd_syscalls import SYSCALLS
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.text_lines import LineCounts, text_blocks
from casemate.limits import Limits
from casemate.schema.native import NativeTable

INHERITED = (
    *("exe", "comm", "pid", "ppid", "auid", "uid", "euid", "gid", "ses", "tty", "success", "key"),
    *("uid_name", "auid_name", "euid_name"),
)
ARGUMENTS = tuple(f"a{number}" for number in range(10))

LINUX_AUDIT = NativeTable(
    "linux_audit",
    (
        *("node", "type", "serial", "arch", "syscall", "syscall_name", "success", "exit", *ARGUMENTS),
        *("argc", "command_line", "items", "ppid", "pid", "auid", "uid", "gid", "euid", "suid", "fsuid"),
        *("egid", "sgid", "fsgid", "tty", "ses", "comm", "exe", "key", "subj", "cwd", "item", "name", "inode"),
        *("dev", "mode", "ouid", "ogid", "rdev", "nametype", "op", "acct", "id", "grp", "hostname", "addr"),
        *("terminal", "res", "cmd", "unit", "proctitle", "data", "saddr", "saddr_family", "saddr_ip"),
        *("saddr_port", "saddr_path", "auid_name", "uid_name", "euid_name", "message"),
    ),
    "Records of the Linux audit system, one row per record.",
)

HEX_FIELDS = frozenset(
    {"proctitle", "comm", "exe", "name", "cwd", "key", "acct", "cmd", "data", "dir", "path", "watch", "old", "new"}
    | {"ocomm", "file", "vm", "device", "grp", "sw", "root_dir"}
)
EVENTS_REMEMBERED = 512
WAITING_PER_EVENT = 256
LOOK_BACK_BYTES = 64 * 1024
"""How far before the first new line of a grown log its event's SYSCALL record is looked for (an even number)."""

_HEAD = re.compile(
    r"(?:node=(?P<node>\S+) )?type=(?P<type>[\w.\[\]-]{1,64}) msg=audit\((?P<time>[^():]*(?::\d\d:\d\d[^():]*)?):"
    r"(?P<serial>\d{1,20})\)\s?:(?P<body>.*)\Z",
    re.DOTALL | re.ASCII,
)
_PAIR = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{0,63}(?:\[\d{1,6}\])?)=(\"[^\"]*\"|'[^']*'|[^\s\"']\S*|)", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-F]{2})+\Z", re.ASCII)
_ARGUMENT = re.compile(r"a(\d{1,6})(?:\[(\d{1,6})\])?\Z", re.ASCII)
_LOCAL_TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}|\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?\Z", re.ASCII)
_STRUCTURE = (b"----", b"time->")
_RECOGNISE = re.compile(rb"(?:node=\S{1,255} )?type=[\w.\[\]-]{1,64} msg=audit\(")


@dataclass
class _Event:
    """What is known of one event: its SYSCALL's fields, and rows of this batch that wait for them."""

    inherited: dict[str, str] | None = None
    waiting: list[tuple[int, frozenset[str]]] = field(default_factory=list)


def recognise(head: bytes) -> int:
    """95 if most lines are audit records."""
    lines = [line for line in head.split(b"\n")[:200] if line.strip() and not line.startswith(_STRUCTURE)]
    if not lines:
        return 0
    good = sum(1 for line in lines if _RECOGNISE.match(line[:1024].lstrip(b"\xef\xbb\xbf")))
    return 95 if good >= 0.6 * len(lines) else 0


def parse_line(
    text: str, most_fields: int = Limits.fields_per_record
) -> tuple[timestamps.Reading, str, dict[str, str]] | str:
    """Time, its text, and the fields of one record; the reason if it is none, or has more than `most_fields`."""
    match = _HEAD.match(text)
    if match is None:
        return "not an audit record"
    values: dict[str, str] = {"type": match["type"], "serial": match["serial"]}
    if match["node"]:
        values["node"] = match["node"]
    body, separator, enriched = match["body"].partition("\x1d")
    repeats: dict[str, int] = {}
    leftover = _fields(body, values, repeats, match["type"], most_fields)
    if separator:
        _enriched(enriched, values, repeats, most_fields)
    if len(values) > most_fields:
        return f"more than {most_fields} fields"
    if values.get("type") == "EXECVE":
        _arguments(values)
    if leftover:
        values["message"] = leftover
    number = values.get("syscall", "")
    if number and "syscall_name" not in values:
        if number.isdigit() and len(number) < 6:
            name = SYSCALLS.get(values.get("arch", ""), {}).get(int(number))
        else:
            name = number  # ausearch -i writes the name itself
        if name:
            values["syscall_name"] = name
    if "saddr" in values:
        values.update(socket_address(values["saddr"]))
    return _time(match["time"]), match["time"], values


def _fields(body: str, values: dict[str, str], repeats: dict[str, int], kind: str, most: int) -> str:
    """Put the pairs of `body` into `values`, at most one more than `most`; returns what is not a pair."""
    leftover, position = [], 0
    for match in _PAIR.finditer(body):
        if len(values) > most:
            break
        between = body[position : match.start()].strip(" ,")
        if between:
            leftover.append(between)
        position = match.end()
        name, value = match[1], match[2]
        if value[:1] == "'" and "=" in value:
            more = _fields(
                value[1:-1] if value.endswith("'") and len(value) > 1 else value[1:], values, repeats, kind, most
            )
            if more:
                leftover.append(more)
            continue
        _put(values, repeats, name, value, kind)
    between = body[position:].strip(" ,")
    if between:
        leftover.append(between)
    return " ".join(leftover)


def _put(values: dict[str, str], repeats: dict[str, int], name: str, value: str, kind: str) -> None:
    if value[:1] in "\"'" and len(value) > 1 and value[-1] == value[0]:
        text = value[1:-1]
    else:
        text = value
        argument = kind == "EXECVE" and _ARGUMENT.match(name)
        if (name in HEX_FIELDS or argument) and len(value) > 1 and _HEX.match(value):
            text = bytes.fromhex(value).decode("utf-8", "backslashreplace")
            if name == "proctitle":
                text = text.rstrip("\x00").replace("\x00", " ")
            if name == "key":
                text = text.replace("\x01", ",")
            _keep(values, repeats, f"raw.{name}", value)
    _keep(values, repeats, name, text)


def _keep(values: dict[str, str], repeats: dict[str, int], name: str, text: str) -> None:
    """A name that stands twice in a line keeps its first value; later ones get a number.

    `repeats` holds the number last given to a name: looking for it anew would be quadratic in a hostile line.
    """
    if name not in values:
        values[name] = text
        return
    number = repeats.get(name, 1) + 1
    while f"{name}.{number}" in values:
        number += 1
    repeats[name] = number
    values[f"{name}.{number}"] = text


def _enriched(text: str, values: dict[str, str], repeats: dict[str, int], most: int) -> None:
    for match in _PAIR.finditer(text):
        if len(values) > most:
            break
        value = match[2]
        if value[:1] in "\"'" and len(value) > 1:
            value = value[1:-1]
        _keep(values, repeats, f"{match[1].lower()}_name", value)


def _arguments(values: dict[str, str]) -> None:
    pieces: dict[int, list[tuple[int, str]]] = {}
    for name in list(values):
        match = _ARGUMENT.match(name)
        if match:
            pieces.setdefault(int(match[1]), []).append((int(match[2] or 0), values[name]))
            if match[2]:
                del values[name]
    whole = {number: "".join(text for _, text in sorted(parts)) for number, parts in pieces.items()}
    for number, text in whole.items():
        values[f"a{number}"] = text
    if whole:
        values["command_line"] = " ".join(whole[number] for number in sorted(whole))


def socket_address(text: str) -> dict[str, str]:
    """A ``sockaddr`` in hexadecimal -> family, address and port (or path); empty if it is not one."""
    if not _HEX.match(text) or len(text) > 256:
        return {}
    raw = bytes.fromhex(text)
    family = int.from_bytes(raw[:2], "little")
    if family == 2 and len(raw) >= 8:
        port = int.from_bytes(raw[2:4], "big")
        return {"saddr_family": "inet", "saddr_ip": ".".join(map(str, raw[4:8])), "saddr_port": str(port)}
    if family == 10 and len(raw) >= 24:
        port = int.from_bytes(raw[2:4], "big")
        return {
            "saddr_family": "inet6",
            "saddr_ip": str(ipaddress.IPv6Address(raw[8:24])),
            "saddr_port": str(port),
        }
    if family == 1:
        path = raw[2:].lstrip(b"\x00").partition(b"\x00")[0]
        return {"saddr_family": "local", "saddr_path": path.decode("utf-8", "backslashreplace")}
    return {}


def _time(text: str) -> timestamps.Reading:
    match = _LOCAL_TIME.match(text)
    if match is None:
        return timestamps.read_epoch(text, 1_000_000)
    month, day, year, hour, minute, second = (int(match[number]) for number in range(1, 7))
    micro = int(match[7][:6].ljust(6, "0")) if match[7] else 0
    moment = timestamps.civil(year if year > 99 else 2000 + year, month, day, hour, minute, second, micro)
    if moment is None:
        return None, ("time_unreadable",)
    value, flags = timestamps.believed(moment)
    return value, (*flags, "zone_assumed_utc")


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank or a separator of ausearch as one record."""
    rows = RowBuilder(LINUX_AUDIT)
    events = _before(source, context)
    counts = LineCounts()
    latest = None
    for texts in text_blocks(source, context, counts, structure=_STRUCTURE):
        if isinstance(texts, Reject):
            yield texts
            continue
        for index, text, flags in texts.lines:
            parsed = parse_line(text, context.limits.fields_per_record)
            if isinstance(parsed, str):
                yield Reject(*texts.place(index), parsed)
                continue
            (time, said), time_raw, values = parsed
            key = (values.get("node"), values["serial"])
            if rows.full and key != latest:
                yield rows.take()
                for event in events.values():
                    event.waiting.clear()
            latest = key
            event = _remembered(events, key)
            if event.inherited is not None:
                for name, value in event.inherited.items():
                    values.setdefault(name, value)
            rows.add(*texts.place(index), time=time, time_raw=time_raw, flags=(*flags, *said), values=values)
            if values["type"] == "SYSCALL":
                _settle(event, values, rows)
            elif event.inherited is None and len(event.waiting) < WAITING_PER_EVENT:
                event.waiting.append((len(rows) - 1, frozenset(values)))
    if len(rows):
        yield rows.take()
    yield Tally(counts.records, counts.structure)


def _before(source: Source, context: ReadContext) -> OrderedDict[tuple[str | None, str], _Event]:
    """Events whose SYSCALL record stands shortly before where reading begins: their records may go on behind it."""
    events: OrderedDict[tuple[str | None, str], _Event] = OrderedDict()
    begin = max(0, context.start_offset - LOOK_BACK_BYTES)
    if context.start_offset == 0:
        return events
    with source.open() as stream:
        for block in read_lines(
            stream, line_bytes=context.limits.line_bytes, start_offset=begin, block_bytes=LOOK_BACK_BYTES
        ):
            if isinstance(block, LineBlock):
                for line, offset in zip(block.lines, block.offsets.tolist(), strict=True):
                    if offset >= context.start_offset:
                        return events
                    if offset == begin > 0:
                        continue  # the rest of a line, most likely
                    parsed = parse_line(line.decode("utf-8", "backslashreplace"), context.limits.fields_per_record)
                    if isinstance(parsed, str):
                        continue
                    event = _remembered(events, (parsed[2].get("node"), parsed[2]["serial"]))
                    if parsed[2]["type"] == "SYSCALL":
                        event.inherited = _inherited(parsed[2])
            elif block.offset >= context.start_offset:
                return events
    return events


def _remembered(events: OrderedDict[tuple[str | None, str], _Event], key: tuple[str | None, str]) -> _Event:
    event = events.get(key)
    if event is None:
        event = events[key] = _Event()
        if len(events) > EVENTS_REMEMBERED:
            events.popitem(last=False)
    return event


def _inherited(syscall: dict[str, str]) -> dict[str, str]:
    return {name: syscall[name] for name in INHERITED if name in syscall}


def _settle(event: _Event, syscall: dict[str, str], rows: RowBuilder) -> None:
    """Give rows of the event that came before its SYSCALL record what they lack."""
    event.inherited = _inherited(syscall)
    for row, present in event.waiting:
        for name, value in event.inherited.items():
            if name not in present:
                rows.set(len(rows) - 1 - row, name, value)
    event.waiting.clear()


AUDITD_READER = ReaderSpec("auditd", 2, (LINUX_AUDIT,), recognise, read, continues=True)
