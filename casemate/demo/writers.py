"""Log files of the demo, written as the real programs write them, with every labelled record noted.

A writer takes events of one file, sorts them by time, writes them and remembers the record number
(line, or element of an array) of each event that carries a label.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casemate.demo import lab


@dataclass(frozen=True)
class Event:
    """One record to be written: when, what (as the file's formatter takes it) and which label it bears."""

    time: dt.datetime
    body: Any
    label: str | None = None


@dataclass(frozen=True)
class Lost:
    """In place of a body: so many records of a computer's log that were never shipped."""

    computer: str
    records: int


@dataclass
class Numbering:
    """The numbers that records bear: auditd's serials, shared by the records of one event, and Windows' record numbers.

    Both count on over all days, whether a record is shipped, kept or lost.
    """

    serials: int = 4_100
    computers: dict[str, int] = field(default_factory=dict)
    _together: int = -1

    def number(self, log: str, events: list[Event]) -> list[Event]:
        """The events of one log in order of time, numbered; those that were lost are taken out."""
        ordered = sorted(events, key=lambda event: event.time)
        if log == "audit":
            return [self._audit(event) for event in ordered]
        return [event for event in ordered if self._windows(event.body)] if log == "windows" else ordered

    def _audit(self, event: Event) -> Event:
        kind, together, text = event.body
        if together != self._together:
            self.serials += 1
            self._together = together
        return Event(event.time, (kind, self.serials, text), event.label)

    def _windows(self, body: Any) -> bool:
        lost = isinstance(body, Lost)
        computer = body.computer if lost else body["winlog"]["computer_name"]
        number = self.computers.get(computer, 220_000) + (body.records if lost else 1)
        self.computers[computer] = number
        if not lost:
            body["winlog"]["record_id"] = number
        return not lost


@dataclass
class Labels:
    """Which records bear which label: label -> SHA-256 of the file's content -> record numbers."""

    records: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    total: int = 0

    def add(self, content_hash: str, path: str, marked: list[tuple[int, str]], count: int) -> None:
        """Note the labelled records of one finished file."""
        self.total += count
        self.files[content_hash] = path
        for record, label in marked:
            self.records.setdefault(label, {}).setdefault(content_hash, []).append(record)


@dataclass
class LogFile:
    """A text log that grows day by day.

    Args:
        path: where it is written.
        render: an event to its line (without line end).
        header: lines before the first record.
        compressed: gzip it; the label's hash is that of the content inside.
    """

    path: Path
    render: Callable[[Event], str]
    header: str = ""
    compressed: bool = False

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb")
        self._squeeze = zlib.compressobj(6, zlib.DEFLATED, 31) if self.compressed else None
        self._hash = hashlib.sha256()
        self._line = 0
        self._count = 0
        self._marked: list[tuple[int, str]] = []
        if self.header:
            self._put(self.header)
            self._line = self.header.count("\n")

    def _put(self, text: str) -> None:
        data = text.encode()
        self._hash.update(data)
        self._file.write(self._squeeze.compress(data) if self._squeeze else data)

    def write(self, events: list[Event]) -> None:
        """Append events in order of time."""
        lines = []
        for event in sorted(events, key=lambda event: event.time):
            self._line += 1
            self._count += 1
            lines.append(self.render(event))
            if event.label:
                self._marked.append((self._line, event.label))
        if lines:
            self._put("\n".join(lines) + "\n")

    def close(self, labels: Labels, root: Path) -> None:
        """Finish the file and hand its labels over."""
        if self._squeeze:
            self._file.write(self._squeeze.flush())
        self._file.close()
        labels.add(self._hash.hexdigest(), str(self.path.relative_to(root)), self._marked, self._count)


def write_array(path: Path, events: list[Event], labels: Labels, root: Path, key: str = "Records") -> None:
    """Write ``{"Records": [...]}`` as AWS delivers CloudTrail files; record numbers are element numbers."""
    ordered = sorted(events, key=lambda event: event.time)
    data = json.dumps({key: [event.body for event in ordered]}, separators=(",", ":")).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    marked = [(number, event.label) for number, event in enumerate(ordered, 1) if event.label]
    labels.add(hashlib.sha256(data).hexdigest(), str(path.relative_to(root)), marked, len(ordered))


# -- Zeek ------------------------------------------------------------------------------------------------

CONN = (
    "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum service:string "
    "duration:interval orig_bytes:count resp_bytes:count conn_state:string local_orig:bool local_resp:bool "
    "missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count resp_pkts:count resp_ip_bytes:count "
    "tunnel_parents:set[string]"
)
DNS = (
    "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum trans_id:count "
    "rtt:interval query:string qclass:count qclass_name:string qtype:count qtype_name:string rcode:count "
    "rcode_name:string AA:bool TC:bool RD:bool RA:bool Z:count answers:vector[string] TTLs:vector[interval] "
    "rejected:bool"
)
SSH = (
    "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port version:count "
    "auth_success:bool auth_attempts:count direction:enum client:string server:string cipher_alg:string "
    "mac_alg:string compression_alg:string kex_alg:string host_key_alg:string host_key:string"
)


def zeek_header(path: str, fields: str, opened: dt.datetime) -> str:
    """The header block of a Zeek TSV log that was opened then."""
    names, types = zip(*(item.split(":", 1) for item in fields.split()), strict=True)
    return (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
        f"#path\t{path}\n#open\t{opened:%Y-%m-%d-%H-%M-%S}\n"
        "#fields\t" + "\t".join(names) + "\n#types\t" + "\t".join(types) + "\n"
    )


def zeek_line(event: Event) -> str:
    """A Zeek TSV line: the time, then the values; None is unset."""
    values = ["-" if value is None else str(value) for value in event.body]
    return f"{event.time.timestamp():.6f}\t" + "\t".join(values)


# -- hosts -----------------------------------------------------------------------------------------------


def iso(moment: dt.datetime) -> str:
    """ISO 8601 with microseconds and offset, as rsyslog writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def syslog_line(host: str, ahead: dt.timedelta) -> Callable[[Event], str]:
    """rsyslog's file format; the body is (program, pid, message), the clock of the host `ahead`."""

    def render(event: Event) -> str:
        program, pid, message = event.body
        return f"{iso(event.time + ahead)} {host} {program}[{pid}]: {message}"

    return render


def access_line(event: Event) -> str:
    """nginx's combined format; the body is (client, user, method, target, status, bytes, referrer, agent)."""
    client, user, method, target, status, size, referrer, agent = event.body
    moment = event.time.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{client} - {user or "-"} [{moment}] "{method} {target} HTTP/1.1" {status} {size} "{referrer}" "{agent}"'


def audit_line(event: Event) -> str:
    """An auditd line; the body is (type, serial, text)."""
    kind, serial, text = event.body
    return f"type={kind} msg=audit({event.time.timestamp():.3f}:{serial}): {text}"


def json_text(event: Event) -> str:
    """One JSON object a line."""
    return json.dumps(event.body, separators=(",", ":"))


def origin_csv() -> str:
    """The demo's own origin file."""
    day = lab.START.date().isoformat()
    return "block,registered_country,holder,category,dated\n" + "".join(
        ",".join((*row, day)) + "\n" for row in lab.ORIGINS
    )
