"""Bodies of HTTP/1 messages in one direction of a connection, unpacked (RFC 9112, RFC 9110).

Works on bytes that are there already; what is damaged ends the walk, and nothing is unpacked beyond a limit.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import zstandard

MOST_BODIES = 10_000
MOST_UNPACKED = 32 * 1024 * 1024
LONGEST_HEAD = 64 * 1024
_BEGIN = re.compile(rb"(?:HTTP/1\.[01] \d{3}|[A-Z][A-Z-]{2,15} [^\r\n]{1,8192} HTTP/1\.[01])[^\r\n]*\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_NAMED = re.compile(rb"filename\*?=(?:\"([^\"]{1,512})\"|([^;\s]{1,512}))", re.IGNORECASE)


class Body(NamedTuple):
    """One body: where it stands in the stream, its bytes as sent and unpacked, and its name if it has one."""

    begin: int
    end: int
    data: bytes
    name: str
    cut: bool


def bodies(stream: bytes) -> Iterator[Body]:
    """The bodies in `stream` that are not empty, in order."""
    place = 0
    for _ in range(MOST_BODIES):
        head = _BEGIN.match(stream, place)
        if head is None:
            return
        end = _END.search(stream, head.end() - 2, place + LONGEST_HEAD)
        if end is None:
            return
        headers = _headers(stream[head.end() : end.start()])
        begin = end.end()
        status = stream[place + 9 : place + 12] if stream.startswith(b"HTTP/", place) else b""
        if status.startswith(b"1") or status in (b"204", b"304"):
            place = begin
            continue
        found = _sent(stream, begin, headers, reply=bool(status))
        if found is None:
            return
        sent, place, cut = found
        if sent:
            data, short = _unpacked(sent, headers.get(b"content-encoding", b"").lower())
            yield Body(begin, place, data, _name(headers, stream[head.start() : head.end()]), cut or short)


def _headers(lines: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in lines.split(b"\n"):
        name, _, value = line.partition(b":")
        found.setdefault(name.strip().lower(), value.strip())
    return found


def _sent(stream: bytes, begin: int, headers: dict[bytes, bytes], *, reply: bool) -> tuple[bytes, int, bool] | None:
    """The body as sent without chunks, where it ends, and whether it is cut."""
    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        return _chunks(stream, begin)
    said = headers.get(b"content-length", b"")
    if said.isdigit() and len(said) < 16:
        end = begin + int(said)
        return stream[begin:end], min(end, len(stream)), end > len(stream)
    if not reply:
        return b"", begin, False
    return stream[begin:], len(stream), False  # until the connection closes


def _chunks(stream: bytes, place: int) -> tuple[bytes, int, bool] | None:
    parts: list[bytes] = []
    while True:
        end = stream.find(b"\n", place, place + 1024)
        if end < 0:
            return b"".join(parts), len(stream), True
        try:
            size = int(stream[place:end].split(b";")[0].strip() or b"0", 16)
        except ValueError:
            return None
        place = end + 1
        if size <= 0:
            while (end := stream.find(b"\n", place, place + 8192)) >= 0 and stream[place:end].strip():
                place = end + 1
            return b"".join(parts), (end + 1 if end >= 0 else len(stream)), False
        parts.append(stream[place : place + size])
        if place + size > len(stream):
            return b"".join(parts), len(stream), True
        place += size
        place += 2 if stream.startswith(b"\r\n", place) else int(stream.startswith(b"\n", place))


def _unpacked(data: bytes, encoding: bytes) -> tuple[bytes, bool]:
    """What was packed, up to :data:`MOST_UNPACKED`; as it is where it cannot be unpacked."""
    try:
        if encoding in (b"gzip", b"x-gzip"):
            opener = zlib.decompressobj(31)
        elif encoding == b"deflate":
            opener = zlib.decompressobj(15 if data[:1] == b"\x78" else -15)
        elif encoding == b"zstd":
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                opened = reader.read(MOST_UNPACKED + 1)
            return opened[:MOST_UNPACKED], len(opened) > MOST_UNPACKED
        else:
            return data, encoding not in (b"", b"identity")
        opened = opener.decompress(data, MOST_UNPACKED)
        return opened, bool(opener.unconsumed_tail) or not opener.eof
    except (zlib.error, zstandard.ZstdError):
        return data, True


def _name(headers: dict[bytes, bytes], first: bytes) -> str:
    named = _NAMED.search(headers.get(b"content-disposition", b""))
    if named is not None:
        return (named[1] or named[2]).decode("utf-8", "backslashreplace")
    if not first.startswith(b"HTTP/"):
        return first.split(b" ")[1].decode("utf-8", "backslashreplace")
    return ""
