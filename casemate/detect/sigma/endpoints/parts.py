"""What the endpoints of all tables are made of."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

Text = str | None
Endpoint = tuple[str, str]
"""Kind and value, of the kinds in the schema of findings."""
Target = tuple[str, str, Text]
"""Kind, value and service."""


@dataclass(frozen=True)
class Endpoints:
    """Source, target, vector and outcome of a finding."""

    source: Endpoint | None
    target: Target | None
    vector: str
    outcome: str


@dataclass(frozen=True)
class EndpointTable:
    """Columns needed, and the function of their values in that order."""

    columns: tuple[str, ...]
    find: Callable[..., Endpoints]


NOWHERE = frozenset(
    {"", "-", "?", "127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "local", "n/a", "(null)", "unknown"}  # noqa: S104
)
_NUMBERS = re.compile(r"[0-9.]+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*", re.ASCII)
PORT_SERVICES = {
    "21": "ftp",
    "22": "ssh",
    "23": "telnet",
    "25": "smtp",
    "53": "dns",
    "80": "http",
    "88": "kerberos",
    "110": "pop3",
    "135": "rpc",
    "139": "smb",
    "143": "imap",
    "389": "ldap",
    "443": "https",
    "445": "smb",
    "636": "ldaps",
    "993": "imaps",
    "1433": "mssql",
    "3306": "mysql",
    "3389": "rdp",
    "5432": "postgresql",
    "5900": "vnc",
    "5985": "winrm",
    "5986": "winrm",
    "6379": "redis",
    "8080": "http",
    "8443": "https",
    "8888": "http",
    "6443": "kubernetes",
    "9200": "elasticsearch",
    "27017": "mongodb",
}


def known(value: Text) -> Text:
    """The value, unless it says nothing or names the machine itself."""
    return None if value is None or value.strip().lower() in NOWHERE else value.strip()


def address(value: Text) -> Endpoint | None:
    """An address, without the IPv6 form of an IPv4 address; a name in its place is a host.

    What is written like an address and is none (``035.249.253.232``) is kept as a host too: see
    :func:`identified`.
    """
    value = known(value)
    if value is None:
        return None
    try:
        parsed = ipaddress.ip_address(value.strip("[]").split("%", 1)[0])
    except ValueError:
        return "host", value
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else ("address", str(parsed))


def identified(value: Text, *accounts: Endpoint | None) -> Endpoint | None:
    """The address; where it is not a valid one, rather the account that acted."""
    found = address(value)
    if found is not None and found[0] == "host" and _NUMBERS.fullmatch(found[1]):
        return first(*accounts, found)
    return first(found, *accounts)


def account(domain: Text, name: Text) -> Endpoint | None:
    """A user, with its domain where one is named."""
    name = known(name)
    if name is None:
        return None
    domain = known(domain)
    return "user", f"{domain}\\{name}" if domain else name


def host(value: Text, service: Text = None) -> Target | None:
    """A host as target."""
    value = known(value)
    return None if value is None else ("host", value, service)


def to(endpoint: Endpoint | None, service: Text) -> Target | None:
    """An endpoint as target."""
    return None if endpoint is None else (*endpoint, service)


def first(*endpoints: Endpoint | None) -> Endpoint | None:
    """The first that is known."""
    return next((endpoint for endpoint in endpoints if endpoint is not None), None)


def service_of(port: Text) -> Text:
    """The service usually behind a port."""
    return None if port is None else PORT_SERVICES.get(port, f"port {port}")


def http_outcome(status: Text) -> str:
    """Errors are failures; that a page was served says nothing about whether an attempt came through."""
    return "failed" if status is not None and len(status) == 3 and status[0] in "45" else "unknown"


def call_outcome(status: Text) -> str:
    """Of a call answered with an HTTP status: refused (401, 403), failed, or done."""
    if status is None or not status[:1].isdigit():
        return "unknown"
    return "blocked" if status in ("401", "403") else "failed" if status[0] in "45" else "succeeded"
