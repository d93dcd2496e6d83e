"""Which fields of which native tables may hold something encoded, and what kind of text each is.

A field that is not listed is never decoded.  ``part`` is an expression whose first group is the text to
decode, where it is only a part of the value; ``source`` the column it is looked for in, where that is not the
field itself.  ``events`` limits a field to some values of ``EventID``.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.decode.forms import (
    ADDRESS,
    ARGUMENTS,
    BASE64_VALUE,
    DOCUMENT,
    MESSAGE,
    UNIX_COMMAND,
    WINDOWS_COMMAND,
    Form,
)


@dataclass(frozen=True)
class EncodedField:
    """One field; see the head of this file."""

    name: str
    form: Form
    part: str | None = None
    source: str | None = None
    events: tuple[str, ...] = ()


def _fields(form: Form, *names: str) -> tuple[EncodedField, ...]:
    return tuple(EncodedField(name, form) for name in names)


CONTAINER = ("spec.containers", "spec.template.spec.containers")

ENCODED: dict[str, tuple[EncodedField, ...]] = {
    "windows_event": (
        *_fields(WINDOWS_COMMAND, "CommandLine", "ParentCommandLine", "SourceCommandLine"),
        *_fields(WINDOWS_COMMAND, "ScriptBlockText", "Payload"),
        # what Windows PowerShell's own log says of the process: the same for each of its records, so only where
        # the process says that it starts (400, 403), a provider starts (600) or a pipeline runs (800)
        EncodedField(
            "Data", WINDOWS_COMMAND, part=r"HostApplication=([^\r\n]{1,40000})", events=("400", "403", "600", "800")
        ),
        *_fields(WINDOWS_COMMAND, "Details", "NewValue", "ServiceFileName", "ImagePath"),
        *_fields(WINDOWS_COMMAND, "TaskContent", "TaskContentNew", "Destination"),
    ),
    "linux_sysmon": _fields(UNIX_COMMAND, "CommandLine", "ParentCommandLine"),
    "linux_audit": _fields(
        UNIX_COMMAND, "command_line", *(f"a{number}" for number in range(1, 10)), "proctitle", "cmd", "data"
    ),
    "syslog": _fields(MESSAGE, "message", "command"),
    "journald": _fields(MESSAGE, "MESSAGE", "_CMDLINE", "command"),
    "cloudtrail": (
        EncodedField(
            "requestParameters.userData",
            BASE64_VALUE,
            part=r'(?i)"userData":\s{0,4}(?:\{"value":\s{0,4})?"([A-Za-z0-9+/=_-]{8,40000})"',
            source="requestParameters",
        ),
        *_fields(ARGUMENTS, "requestParameters.containerDefinitions.command"),
        *_fields(DOCUMENT, "requestParameters"),
    ),
    "kubernetes_audit": (
        *_fields(ARGUMENTS, *(f"requestObject.{path}.{name}" for path in CONTAINER for name in ("command", "args"))),
        *_fields(ADDRESS, "requestURI"),
        *_fields(DOCUMENT, "requestObject"),
    ),
    "web_access": _fields(ADDRESS, "target", "path", "query", "referer", "user_agent", "request"),
    "web_error": _fields(ADDRESS, "message", "request"),
    "zeek_http": _fields(ADDRESS, "uri", "referrer", "user_agent"),
    "suricata_event": _fields(ADDRESS, "http.url", "http.http_refer", "http.http_user_agent"),
}
"""The fields of each native table, in the order in which their variants are asked."""
