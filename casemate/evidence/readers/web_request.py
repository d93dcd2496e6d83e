"""The request line of HTTP as web servers log it, taken apart.

A request line is ``method SP request-target SP HTTP-version`` (RFC 9112, 3).  What arrives at a port
is anything: TLS hellos, other protocols, nothing at all.  Such lines have no method and no target;
their text stays.  Escapes (``\\x16``, ``\\"``) and percent-encoding stay as the server wrote them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from casemate.evidence.readers import timestamps
from casemate.evidence.readers.dictionary_columns import read_json_time
from casemate.schema.native import NativeTable

WEB_ACCESS = NativeTable(
    "web_access",
    (
        "client_ip",
        "identity",
        "user",
        "method",
        "target",
        "path",
        "query",
        "protocol",
        "status",
        "bytes",
        "referer",
        "user_agent",
        "host",
        "server_port",
        "forwarded_for",
        "request",
        "extra",
    ),
    "Requests in access logs of web servers and proxies; `request` is the line as logged.",
)

REMEMBERED = 1_024
"""Longer texts are not kept in the caches of distinct values."""

_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]{0,31}) +(\S(?:.*\S)?) +([A-Z]{2,10}/\d(?:\.\d)?)\Z", re.ASCII | re.DOTALL)
_SHORT_REQUEST = re.compile(r"([A-Z][A-Z_-]{1,31}) +(\S+)\Z", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://([^/?#]*)", re.ASCII)
_CLF_TIME = re.compile(
    r"(\d{1,2})/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
    r"(?: ?([+-])(\d\d):?(\d\d)| ?(Z|UTC|GMT))?\Z",
    re.ASCII,
)
MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
)}  # fmt: skip


Request = tuple[str | None, str | None, str | None]
"""Method, target and protocol; all None where the line is none."""
Target = tuple[str | None, str | None, str | None]
"""Host (where the target names one), path and query (None where there is no ``?``)."""

NO_REQUEST: Request = (None, None, None)
NO_TARGET: Target = (None, None, None)


def parse_request(line: str) -> Request:
    """A request line in parts; HTTP/0.9 has no protocol."""
    match = _REQUEST.match(line) or _SHORT_REQUEST.match(line)
    return (match[1], match[2], match[3] if match.re is _REQUEST else None) if match else NO_REQUEST


def parse_target(target: str, method: str | None) -> Target:
    """A request target in parts (RFC 9112, 3.2): origin, absolute and authority form."""
    if method == "CONNECT":
        return target, None, None
    absolute = _ABSOLUTE.match(target)
    local = target[absolute.end() :] if absolute else target
    path, mark, query = local.partition("?")
    return absolute[1] or None if absolute else None, path or None, query if mark else None


def request_parts(line: str) -> tuple[Request, Target]:
    """Both, of a request line."""
    return _request_parts(line) if len(line) <= REMEMBERED else _request_parts.__wrapped__(line)


@lru_cache(maxsize=16_384)
def _request_parts(line: str) -> tuple[Request, Target]:
    request = parse_request(line)
    method, target, _ = request
    return request, parse_target(target, method) if target is not None else NO_TARGET


def read_web_time(text: str) -> timestamps.Reading:
    """``21/Apr/2024:22:59:51 +0200``, also in brackets, or what JSON logs write; without a zone UTC is assumed and
    flagged."""
    return _read_web_time(text) if len(text) <= REMEMBERED else (None, ("time_unreadable",))


@lru_cache(maxsize=32_768)
def _read_web_time(text: str) -> timestamps.Reading:
    match = _CLF_TIME.match(text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text)
    if match is None:
        return read_json_time(text)
    day, name, year, hour, minute, second, fraction, sign, hours, minutes, zulu = match.groups()
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    month = MONTHS.get(name.lower(), 0)
    moment = timestamps.civil(int(year), month, int(day), int(hour), int(minute), int(second), micro)
    if moment is None:
        return None, ("time_unreadable",)
    if sign is None:
        value, flags = timestamps.believed(moment)
        return value, flags if zulu else (*flags, "zone_assumed_utc")
    if int(hours) > 15 or int(minutes) > 59:
        return None, ("time_unreadable",)
    shift = (int(hours) * 60 + int(minutes)) * 60_000_000
    return timestamps.believed(moment - shift if sign == "+" else moment + shift)
