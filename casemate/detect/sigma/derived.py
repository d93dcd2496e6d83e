"""Values that a rule's field means but no column holds as such.

Events of another source say the same in another form: event 4657 writes the registry path as
``\\REGISTRY\\MACHINE\\...`` where Sysmon, and so the rules, write ``HKLM\\...``.  Each function takes the
values of its columns (None where absent) and returns the field's value, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson

DERIVED_PREFIX = "="
"""Marks the name of a derived value where a column's name is expected."""

Text = str | None


@dataclass(frozen=True)
class Derived:
    """Columns that are needed, and the function of their values."""

    columns: tuple[str, ...]
    value: Callable[..., Text]


def _account(domain: Text, name: Text) -> Text:
    if not name or name == "-":
        return None
    return f"{domain}\\{name}" if domain and domain != "-" else name


def _account_4688(target_domain: Text, target: Text, subject_domain: Text, subject: Text) -> Text:
    """The account a process runs as: the target's where it was started for another account."""
    return _account(target_domain, target) or _account(subject_domain, subject)


INTEGRITY_LEVELS = {
    "S-1-16-0": "Untrusted",
    "S-1-16-4096": "Low",
    "S-1-16-8192": "Medium",
    "S-1-16-8448": "Medium Plus",
    "S-1-16-12288": "High",
    "S-1-16-16384": "System",
    "S-1-16-20480": "Protected",
}


def _integrity_level(label: Text) -> Text:
    return None if label is None else INTEGRITY_LEVELS.get(label.strip(), label)


REGISTRY_ROOTS: tuple[tuple[str, str], ...] = (
    ("\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\", "HKLM\\System\\CurrentControlSet\\"),
    ("\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet002\\", "HKLM\\System\\CurrentControlSet\\"),
    ("\\REGISTRY\\MACHINE\\", "HKLM\\"),
    ("\\REGISTRY\\USER\\", "HKU\\"),
)


def _registry_target(key: Text, value: Text) -> Text:
    if key is None:
        return None
    for root, name in REGISTRY_ROOTS:
        if key[: len(root)].upper() == root.upper():
            key = name + key[len(root) :]
            break
    return key if not value or value == "-" else f"{key}\\{value}"


def _registry_details(kind: Text, value: Text) -> Text:
    """The value as Sysmon writes it: ``DWORD (0x00000001)``, text as it is, other types by name."""
    if value is None or value == "-":
        return None
    number = value.strip()
    if kind in ("%%1876", "REG_DWORD") and re.fullmatch(r"\d{1,10}", number, re.ASCII):
        return f"DWORD (0x{int(number):08x})"
    if kind in ("%%1883", "REG_QWORD") and re.fullmatch(r"\d{1,20}", number, re.ASCII):
        return f"QWORD (0x{int(number) >> 32:08x}-0x{int(number) & 0xFFFFFFFF:08x})"
    return value


def _registry_event_type(operation: Text) -> Text:
    if operation is None:
        return None
    return "DeleteValue" if operation in ("%%1906", "Registry value deleted") else "SetValue"


PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def _protocol_name(number: Text) -> Text:
    return None if number is None else PROTOCOLS.get(number, number)


def _initiated_5156(direction: Text) -> Text:
    if direction is None:
        return None
    return "true" if direction in ("%%14593", "Outbound") else "false"


def _url_query(url: Text) -> Text:
    return None if url is None or "?" not in url else url.split("?", 1)[1]


def _url_path(url: Text) -> Text:
    if url is None:
        return None
    path = url.split("?", 1)[0]
    return re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]{0,20}://[^/]*", "", path)


def _url_extension(url: Text) -> Text:
    path = _url_path(url)
    last = path.rsplit("/", 1)[-1] if path else ""
    return last.rsplit(".", 1)[1] if "." in last else None


def _zeek_url(host: Text, uri: Text) -> Text:
    """The whole address as a proxy writes it; Zeek records host and path apart."""
    if uri is None or host is None or not uri.startswith("/"):
        return uri
    return f"http://{host}{uri}"


def _first(*values: Text) -> Text:
    return next((value for value in values if value is not None), None)


def _audit_syscall(number: Text, name: Text) -> Text:
    """A JSON array of number and name, since rules use both (``SYSCALL: init_module``, ``syscall: 59``)."""
    known = [value for value in (name, number) if value is not None]
    return orjson.dumps(known).decode() if len(known) > 1 else _first(*known)


DERIVED: dict[str, Derived] = {
    "account_4688": Derived(
        ("TargetDomainName", "TargetUserName", "SubjectDomainName", "SubjectUserName"), _account_4688
    ),
    "subject_account": Derived(("SubjectDomainName", "SubjectUserName"), _account),
    "integrity_level": Derived(("MandatoryLabel",), _integrity_level),
    "registry_target": Derived(("ObjectName", "ObjectValueName"), _registry_target),
    "registry_details": Derived(("NewValueType", "NewValue"), _registry_details),
    "registry_event_type": Derived(("OperationType",), _registry_event_type),
    "protocol_name": Derived(("Protocol",), _protocol_name),
    "initiated_5156": Derived(("Direction",), _initiated_5156),
    "path_extension": Derived(("path",), _url_extension),
    "target_url": Derived(("host", "target"), _zeek_url),
    "suricata_query": Derived(("http.url",), _url_query),
    "suricata_path": Derived(("http.url",), _url_path),
    "suricata_extension": Derived(("http.url",), _url_extension),
    "uri_query": Derived(("uri",), _url_query),
    "uri_path": Derived(("uri",), _url_path),
    "uri_extension": Derived(("uri",), _url_extension),
    "zeek_url": Derived(("host", "uri"), _zeek_url),
    "audit_image": Derived(("exe", "a0"), _first),
    "audit_user": Derived(("uid_name", "uid"), _first),
    "audit_syscall": Derived(("syscall", "syscall_name"), _audit_syscall),
    "action_name": Derived(("Action Name", "ActionName"), _first),
    "feature_name": Derived(("Feature_Name", "Feature Name", "FeatureName"), _first),
}
