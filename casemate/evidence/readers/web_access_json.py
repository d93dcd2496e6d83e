"""Access logs of web servers and proxies as JSON, one request a line.

There is no standard: the names below are those of nginx's variables (as ``log_format`` examples use
them), Caddy's and Traefik's access logs, Elastic's common schema and Apache logs turned to JSON.  Names
are compared ignoring case; the first name of a column that a record holds fills it, everything else
goes to ``rest``.

Yields ``web_access``.  A request line (``request``) is taken apart where method and target are not
fields of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import pyarrow as pa

from casemate.evidence.readers.address_columns import flag_addresses
from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_rows import read_json
from casemate.evidence.readers.json_texts import flatten
from casemate.evidence.readers.web_request import WEB_ACCESS, parse_request, parse_target, read_web_time

LOOKED_AT = 8

NAMES: dict[str, str] = {
    "client_ip": "remote_addr client_ip clientip request.client_ip request.remote_ip remote_ip clienthost client_addr "
    "remote_host remotehost remoteip client.ip client.address source.ip source.address source_ip clientaddr client ip",
    "user": "remote_user clientusername auth_user user.name user_id user",
    "method": "request_method requestmethod request.method http.request.method http_method method verb",
    "target": "request_uri requestpath request.uri url.original request_url http.url uri url request_path url.path "
    "path",
    "query": "query_string args url.query query",
    "protocol": "server_protocol requestprotocol request.proto http.version http_version protocol proto",
    "status": "status downstreamstatus response.status http.response.status_code status_code response_code http_status "
    "originstatus response code",
    "bytes": "body_bytes_sent downstreamcontentsize bytes_sent http.response.body.bytes response.bytes response_size "
    "size bytes",
    "referer": "http_referer http_referrer request.headers.referer request_referer http.request.referrer referer "
    "referrer",
    "user_agent": "http_user_agent request.headers.user-agent request_user-agent user_agent.original user_agent "
    "useragent agent ua",
    "host": "http_host request.host requesthost url.domain vhost host server_name domain",
    "server_port": "server_port requestport url.port",
    "forwarded_for": "http_x_forwarded_for request.headers.x-forwarded-for request_x-forwarded-for x_forwarded_for xff",
    "request": "request request_line",
}
"""Column to the names that fill it, best first."""

TIMES = "time_iso8601 @timestamp timestamp time_local time msec startutc startlocal ts datetime date"
NEEDED = ("client_ip", "status")
"""Columns without which a record is no request, besides a target or a request line and a time."""


def columns_of(keys: Keys) -> dict[str, str]:
    """Key of a record to the column it fills."""
    lowered = {key.lower(): key for key in reversed(keys)}
    found: dict[str, str] = {}
    for column, names in NAMES.items():
        name = next((name for name in names.split() if name in lowered and lowered[name] not in found), None)
        if name is not None:
            found[lowered[name]] = column
    return found


def times_of(keys: Keys) -> tuple[int, ...]:
    """Positions of the keys that may hold the time, best first."""
    lowered = [key.lower() for key in keys]
    return tuple(lowered.index(name) for name in TIMES.split() if name in lowered)


def recognise(head: bytes) -> int:
    """75 where one of the first lines is a request by its names: other readers of JSON know more surely."""
    for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", LOOKED_AT)[:LOOKED_AT]:
        if line.lstrip()[:1] != b"{":
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(record, dict):
            continue
        keys = tuple(flatten(record))
        filled = set(columns_of(keys).values())
        if filled.issuperset(NEEDED) and times_of(keys) and (filled >= {"method", "target"} or "request" in filled):
            return 75
    return 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    for item in read_json(source, context, (WEB_ACCESS,), arrange, read_time=read_web_time):
        yield flag_addresses(_derived(item), ("client_ip",)) if isinstance(item, Rows) else item


def arrange(keys: Keys) -> Arrangement:
    """Named fields to their columns, the rest to ``rest``."""
    columns = columns_of(keys)
    return Arrangement(WEB_ACCESS.name, tuple(columns.get(key) for key in keys), times_of(keys))


def _derived(rows: Rows) -> Rows:
    """The rows with parts of request line and target in their columns."""
    size = rows.batch.num_rows
    names = ("request", "method", "target", "protocol", "query", "host")
    present = rows.batch.schema.names
    lists = [rows.batch.column(name).to_pylist() if name in present else [None] * size for name in names]
    results = [_parts(*row) for row in zip(*lists, strict=True)]
    batch = rows.batch
    for name, column in zip(
        ("method", "target", "protocol", "path", "query", "host"), zip(*results, strict=True), strict=True
    ):
        array = pa.array(column, pa.string())
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, array) if place >= 0 else batch.append_column(name, array)
    return replace(rows, batch=batch)


def _parts(
    request: str | None,
    method: str | None,
    target: str | None,
    protocol: str | None,
    query: str | None,
    host: str | None,
) -> tuple[str | None, ...]:
    if request and method and not target and request.startswith("/") and " " not in request:
        target = request  # the path alone, as in Apache's own example
    if request and not (method and target):
        read_method, read_target, read_protocol = parse_request(request)
        method, target, protocol = method or read_method, target or read_target, protocol or read_protocol
    if query:
        query = query.removeprefix("?")  # Apache's %q begins with it
    if not target:
        return method, target, protocol, None, query, host
    named, path, own_query = parse_target(target, method)
    return method, target, protocol, path, own_query if own_query is not None else query, host or named


WEB_ACCESS_JSON = ReaderSpec("web_access_json", 2, (WEB_ACCESS,), recognise, read, continues=True)
