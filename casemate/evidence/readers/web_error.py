"""Error logs of web servers: Apache 1.3 to 2.4 and nginx.

Definition: Apache's ``ErrorLogFormat`` (``[Sun Dec 04 04:47:44 2005] [error] [client 192.0.2.1] text``; since
2.4 ``[time] [module:level] [pid 1:tid 2] [client 192.0.2.1:80] AH00000: text``) and nginx's ``error_log``
(``2024/04/21 22:59:51 [error] 12#34: *5 text, client: 192.0.2.1, ...``).

Yields ``web_error``.  The times carry no zone: UTC is assumed and flagged.  Programs started by a
server write into its error log without any form; such lines are kept whole as `message`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from casemate.evidence.readers import timestamps
from casemate.evidence.readers.address_columns import FLAG, is_address
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.text_lines import Parsed, read_parsed_lines
from casemate.evidence.readers.web_request import MONTHS
from casemate.schema.native import NativeTable

WEB_ERROR = NativeTable(
    "web_error",
    ("level", "module", "pid", "tid", "client_ip", "client_port", "code", "message", "request", "host", "referer"),
    "Messages in error logs of web servers.",
)

LOOKED_AT = 100
LOOKED_AT_BYTES = 64 * 1024
RECOGNISED_SHARE = 0.5
NO_ZONE = "times in this log carry no zone; UTC was assumed"

_LEVELS = "emerg|alert|crit|error|err|warn|warning|notice|info|debug|trace[1-8]"
_APACHE = re.compile(
    r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4})\] "
    rf"\[(?:(?P<module>[\w.-]{{0,40}}):)?(?P<level>{_LEVELS})\] "
    r"(?:\[pid (?P<pid>\d{1,20})(?::tid (?P<tid>\d{1,20}))?\] )?(?P<message>.*)\Z",
    re.ASCII | re.DOTALL,
)
_APACHE_CLIENT = re.compile(
    r"(?P<before>(?:\([^)]{0,40}\)[^\[]{0,200}: )?)\[(?:client|remote) (?P<client>[^\]\s]{1,100})\] ?", re.ASCII
)
_APACHE_TIME = re.compile(r"\w{3} (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? (\d{4})\Z", re.ASCII)
_CODE = re.compile(r"(AH\d{5}): ", re.ASCII)
_REFERER = re.compile(r", referer: (\S+)\Z", re.ASCII)
_NGINX = re.compile(
    rf"(?P<time>\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>{_LEVELS})\] (?P<pid>\d{{1,20}})#(?P<tid>\d{{1,20}}): "
    r"(?:\*\d{1,20} )?(?P<message>.*)\Z",
    re.ASCII | re.DOTALL,
)
_NGINX_TIME = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)\Z", re.ASCII)
_NGINX_PARTS = {
    "client": re.compile(r", client: ([^,\s]{1,100})", re.ASCII),
    "request": re.compile(r', request: "((?:[^"\\]|\\.)*+)"'),
    "host": re.compile(r', host: "([^"]{0,300})"'),
    "referer": re.compile(r', referrer: "([^"]{0,8000})"'),
}
_PORT = re.compile(r"(.*):(\d{1,5})\Z", re.ASCII)


def recognise(head: bytes) -> int:
    """90 if at least half of the lines begin as Apache's or nginx's do."""
    lines = head[:LOOKED_AT_BYTES].decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    if len(lines) > 1:
        lines.pop()  # it may be cut
    lines = [line.rstrip("\r") for line in lines if line.strip()][:LOOKED_AT]
    good = sum(1 for line in lines if _APACHE.match(line) or _NGINX.match(line))
    return 90 if lines and good >= RECOGNISED_SHARE * len(lines) else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    return read_parsed_lines(source, context, WEB_ERROR, parse_line, (NO_ZONE,))


def parse_line(text: str) -> Parsed:
    """One line taken apart."""
    match = _APACHE.match(text)
    if match:
        return _apache(match)
    match = _NGINX.match(text)
    if match:
        return _nginx(match)
    return None, None, (), (None, None, None, None, None, None, None, text, None, None, None)


def _apache(match: re.Match[str]) -> Parsed:
    time, flags = _apache_time(match["time"])
    message, client, port, code, referer = match["message"], None, None, None, None
    named = _APACHE_CLIENT.match(message)
    if named:
        client, port = _address_and_port(named["client"])
        message = named["before"] + message[named.end() :]
    coded = _CODE.match(message)
    if coded:
        code, message = coded.group(1), message[coded.end() :]
    referred = _REFERER.search(message, max(0, len(message) - 8_000))
    if referred:
        referer = referred.group(1)
    if client and not is_address(client):
        flags = (*flags, FLAG)
    values = (match["level"], match["module"] or None, match["pid"], match["tid"], client, port, code, message)
    return time, match["time"], flags, (*values, None, None, referer)


def _nginx(match: re.Match[str]) -> Parsed:
    time, flags = _nginx_time(match["time"])
    message = match["message"]
    found = {name: part.group(1) for name, parts in _NGINX_PARTS.items() if (part := parts.search(message))}
    client = found.get("client")
    if client and not is_address(client) and not client.startswith("unix:"):
        flags = (*flags, FLAG)
    values = (match["level"], None, match["pid"], match["tid"], client, None, None, message)
    return time, match["time"], flags, (*values, found.get("request"), found.get("host"), found.get("referer"))


def _address_and_port(text: str) -> tuple[str, str | None]:
    """``192.0.2.1:80``, ``[2001:db8::1]:80`` or ``2001:db8::1:80`` (Apache writes no brackets)."""
    with_port = _PORT.match(text)
    if with_port and not is_address(text):
        return with_port.group(1).strip("[]"), with_port.group(2)
    if with_port and text.count(":") > 7:
        return with_port.group(1), with_port.group(2)
    return text, None


@lru_cache(maxsize=8_192)
def _apache_time(text: str) -> timestamps.Reading:
    match = _APACHE_TIME.match(text)
    if match is None:
        return None, ("time_unreadable",)
    name, day, hour, minute, second, fraction, year = match.groups()
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return _assumed((year, str(MONTHS.get(name.lower(), 0)), day, hour, minute, second), micro)


@lru_cache(maxsize=8_192)
def _nginx_time(text: str) -> timestamps.Reading:
    match = _NGINX_TIME.match(text)
    return _assumed(match.groups(), 0) if match else (None, ("time_unreadable",))


def _assumed(parts: tuple[str, ...], micro: int) -> timestamps.Reading:
    year, month, day, hour, minute, second = map(int, parts)
    moment = timestamps.civil(year, month, day, hour, minute, second, micro)
    if moment is None:
        return None, ("time_unreadable",)
    value, flags = timestamps.believed(moment)
    return value, (*flags, "zone_assumed_utc")


WEB_ERROR_TEXT = ReaderSpec("web_error", 1, (WEB_ERROR,), recognise, read, continues=True)
