"""Access logs of web servers as text: Apache's and nginx's common and combined forms.

Definition: Apache's ``mod_log_config`` (``%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"``) and
nginx's ``ngx_http_log_module``.  Read as well: a virtual host (with port) before the client, a list of
forwarded addresses in the client's place, user names with spaces, and whatever stands after the last
field (response times, ``X-Forwarded-For``), which goes to `extra`.

Yields ``web_access``.  ``-`` is null.  Lines without client, time in brackets, quoted request and
status are rejected.  Times carry a zone; one without is taken as UTC and flagged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from casemate.evidence.readers.address_columns import FLAG, is_address
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.text_lines import Parsed, read_parsed_lines
from casemate.evidence.readers.web_request import REMEMBERED, WEB_ACCESS, read_web_time, request_parts

LOOKED_AT = 100
LOOKED_AT_BYTES = 64 * 1024
RECOGNISED_SHARE = 0.6
NOT_A_LINE = "not a line of a web access log"

# no part below may be tried again from another place over the whole rest of a line
_FRONT = r"(?P<front>[^\[]{0,2000}(?:\[(?!\d)[^\[]{0,2000}){0,4}) "
_TIME = r"\[(?P<time>\d{1,2}/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d[^\]]{0,40}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\]]{0,40})\]"
_AFTER = r'" (?P<status>\d{3}|-|0)(?: (?P<bytes>\d{1,20}|-))?'
_LINE = re.compile(
    _FRONT + _TIME + r' "(?P<request>(?:[^"\\]|\\.)*+)' + _AFTER + r"(?P<tail>(?: .*)?)\Z", re.ASCII | re.DOTALL
)
_UNESCAPED = re.compile(
    _FRONT + _TIME + r' "(?P<request>.*?)' + _AFTER + r'(?P<tail>(?: ".*)?)\Z', re.ASCII | re.DOTALL
)
"""Servers told not to escape (nginx's ``escape=none``) let a request hold the quote that ends it."""
_TAIL = re.compile(r' "(?P<referer>(?:[^"\\]|\\.)*+)" "(?P<agent>(?:[^"\\]|\\.)*+)"(?P<extra>(?: .*)?)\Z', re.DOTALL)
_FORWARDED = re.compile(r' "((?:[0-9A-Fa-f.:]{3,45}|unknown)(?:, ?(?:[0-9A-Fa-f.:]{3,45}|unknown))*)"', re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+\Z|[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*\Z", re.ASCII)
_HOST_PORT = re.compile(r"(.*):(\d{1,5})\Z", re.ASCII | re.DOTALL)

Front = tuple[str | None, str | None, str | None, str | None, str | None, str | None, tuple[str, ...]]
"""Client, identity, user, virtual host and its port, forwarded addresses, flags."""


def recognise(head: bytes) -> int:
    """90 if most lines are requests."""
    lines = head[:LOOKED_AT_BYTES].decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    if len(lines) > 1:
        lines.pop()  # it may be cut
    lines = [line.rstrip("\r") for line in lines if line.strip()][:LOOKED_AT]
    # the time in brackets is looked for first: without it the patterns would try every length of what stands before
    good = sum(1 for line in lines if " [" in line and (_LINE.match(line) or _UNESCAPED.match(line)))
    return 90 if lines and good >= RECOGNISED_SHARE * len(lines) else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    return read_parsed_lines(source, context, WEB_ACCESS, parse_line)


def parse_line(text: str) -> Parsed | str:
    """One line taken apart, or why it is none."""
    match = _LINE.match(text) or _UNESCAPED.match(text)
    if match is None:
        return NOT_A_LINE
    front, time_raw, line, status, size, tail = match.groups()
    if len(front) + len(tail) <= 2 * REMEMBERED:
        (client, identity, user, host, port, forwarded, flags), (referer, agent, extra) = _front(front), _tail(tail)
    else:
        (client, identity, user, host, port, forwarded, flags) = _front.__wrapped__(front)
        (referer, agent, extra) = _tail.__wrapped__(tail)
    time, time_flags = read_web_time(time_raw)
    (method, target, protocol), (named, path, query) = request_parts(line)
    if extra is not None and forwarded is None:
        named_forwarded = _FORWARDED.match(extra)
        forwarded = named_forwarded[1] if named_forwarded else None
    values = (
        client, identity, user, method, target, path, query, protocol, _known(status), _known(size), referer, agent,
        host or named, port, forwarded, _known(line), extra.strip() if extra else None,
    )  # fmt: skip
    return time, time_raw, flags + time_flags, values


def _known(text: str | None) -> str | None:
    return None if text in ("-", "", None) else text


@lru_cache(maxsize=16_384)
def _front(front: str) -> Front:
    """What stands before the time."""
    words = front.split(" ")
    forwarded = None
    if words[0].endswith(",") and len(words) > 3:
        ends = next((index for index, word in enumerate(words) if not word.endswith(",")), len(words) - 1)
        forwarded = " ".join(words[: ends + 1])
        words = [words[0].rstrip(","), *words[ends + 1 :]]
    host = port = None
    if len(words) > 3 and (is_address(words[1]) or (words[1] != "-" and words[2] == "-")):
        host, *words = words
        with_port = _HOST_PORT.match(host)
        if with_port and not is_address(host):
            host, port = with_port.groups()
    client, identity, user = words[0], words[1] if len(words) > 2 else None, " ".join(words[2:]) or None
    flags = (FLAG,) if _NUMERIC.match(client) and not is_address(client) else ()
    return _known(client), _known(identity), _known(user), _known(host), port, forwarded, flags


@lru_cache(maxsize=16_384)
def _tail(tail: str) -> tuple[str | None, str | None, str | None]:
    """Referer, user agent, and what stands after them (with its leading space)."""
    match = _TAIL.match(tail)
    if match:
        referer, agent, extra = match.groups()
        return _known(referer), _known(agent), extra or None
    begin, end = tail.find('" "', 2), tail.rfind('"')
    if tail.startswith(' "') and 0 <= begin < end - 2:  # quotes that nobody escaped: the outer ones count
        return _known(tail[2:begin]), _known(tail[begin + 3 : end]), tail[end + 1 :] or None
    return None, None, tail or None


WEB_ACCESS_TEXT = ReaderSpec("web_access", 1, (WEB_ACCESS,), recognise, read, continues=True)
