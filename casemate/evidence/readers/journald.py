"""systemd's journal as JSON (``journalctl -o json`` or ``-o json-pretty``) -> table ``journald``.

The names are the journal's own (systemd.journal-fields(7)).  As systemd's JSON format says
(https://systemd.io/JOURNAL_EXPORT_FORMATS/), a value that is not text is an array of byte numbers, a field
given several times is an array of values, and one too large is null.  ``__REALTIME_TIMESTAMP`` counts
microseconds in UTC.
Messages of sshd, sudo, ... are read further as in ``syslog`` (:mod:`.syslog_programs`); events of Sysmon for Linux
inside a message go to ``linux_sysmon`` (:mod:`.sysmon_linux`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from casemate.evidence.readers import openssh, syslog_programs, sysmon_linux, timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_records import Converted, invalid_address, read_records, sample
from casemate.evidence.readers.json_values import as_text
from casemate.limits import Limits
from casemate.schema.native import NativeTable

JOURNALD = NativeTable(
    "journald",
    (
        *("MESSAGE", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "SYSLOG_PID", "PRIORITY", "MESSAGE_ID"),
        *("_HOSTNAME", "_PID", "_UID", "_GID", "_COMM", "_EXE", "_CMDLINE", "_SYSTEMD_UNIT", "_SYSTEMD_SLICE"),
        *("_SYSTEMD_CGROUP", "_SYSTEMD_SESSION", "_TRANSPORT", "_BOOT_ID", "_MACHINE_ID", "_AUDIT_SESSION"),
        *("_AUDIT_LOGINUID", "_SELINUX_CONTEXT", "_CAP_EFFECTIVE", "_SOURCE_REALTIME_TIMESTAMP"),
        *("__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "__CURSOR", "UNIT", "JOB_TYPE", "JOB_RESULT"),
        *openssh.COLUMNS,
        *syslog_programs.COLUMNS,
    ),
    "Entries of systemd's journal.",
)

_OURS = frozenset({*openssh.COLUMNS, *syslog_programs.COLUMNS})  # an entry that brings such names does not fill them


def convert(fields: dict[str, Any], limits: Limits) -> Converted | str:
    """One entry to the columns of :data:`JOURNALD`."""
    if not is_entry(fields):
        return "not a journal entry: it has no __REALTIME_TIMESTAMP"
    flags: tuple[str, ...] = ()
    values: dict[str, str | None] = {}
    for name, value in fields.items():
        text, said = _text(value)
        values[f"raw.{name}" if name in _OURS else name] = text
        flags = (*flags, *said)
    program = values.get("SYSLOG_IDENTIFIER") or values.get("_COMM")
    message = values.get("MESSAGE")
    if message and message.startswith("<Event"):
        event = sysmon_linux.parse(message)
        if isinstance(event, sysmon_linux.SysmonEvent):
            said = {"host": values.get("_HOSTNAME"), **event.values}
            return Converted(said, event.time, event.time_raw, (*flags, *event.flags), sysmon_linux.LINUX_SYSMON)
    if program and message:
        for name, text in syslog_programs.parse(program, message).items():
            values[name] = text
        if (address := values.get("source_ip")) and invalid_address(address):
            flags = (*flags, "address_invalid")
    time_raw = values.get("__REALTIME_TIMESTAMP")
    time, said = timestamps.read_epoch(time_raw, 1) if time_raw else (None, ("time_unreadable",))
    return Converted(values, time, time_raw, (*flags, *said))


def is_entry(fields: dict[str, Any]) -> bool:
    """Whether an object is an entry of a journal."""
    return "__REALTIME_TIMESTAMP" in fields


def _text(value: Any) -> tuple[str | None, tuple[str, ...]]:
    if isinstance(value, list) and value and all(type(item) is int and 0 <= item <= 255 for item in value):
        raw = bytes(value)
        try:
            return raw.decode(), ()
        except UnicodeDecodeError:
            return raw.decode("utf-8", "backslashreplace"), ("encoding_replaced",)
    if isinstance(value, list):
        texts = [_text(item) for item in value]
        flags = {flag for _, said in texts for flag in said}
        return "\n".join(text for text, _ in texts if text is not None), tuple(flags)
    return as_text(value), ()


def _recognise(head: bytes, documents: bool) -> int:
    if b"__REALTIME_TIMESTAMP" not in head:
        return 0
    framed, found = sample(head, ())
    if not found or framed != documents:
        return 0
    return 90 if 2 * sum(map(is_entry, found)) >= len(found) else 0


def _read(source: Source, context: ReadContext, documents: bool) -> Iterator[Rows | Reject | Tally]:
    return read_records(source, context, JOURNALD, convert, documents=documents)


JOURNALD_LINES = ReaderSpec(
    "journald-json",
    3,
    (JOURNALD, sysmon_linux.LINUX_SYSMON),
    partial(_recognise, documents=False),
    partial(_read, documents=False),
    continues=True,
)
JOURNALD_DOCUMENTS = ReaderSpec(
    "journald-json-pretty",
    3,
    (JOURNALD, sysmon_linux.LINUX_SYSMON),
    partial(_recognise, documents=True),
    partial(_read, documents=True),
)
