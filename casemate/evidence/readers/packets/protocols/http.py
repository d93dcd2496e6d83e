"""HTTP/1 requests with their replies (RFC 9112), into ``zeek_http``; bodies are counted and passed over."""

from __future__ import annotations

import base64
import re
from collections import deque

from casemate.evidence.readers.packets.protocols.base import Analyzer, Buffered, text
from casemate.evidence.readers.packets.streams import Ref

LIMIT_HEAD = 64 * 1024
LIMIT_WAITING = 256
REQUEST = re.compile(rb"^([A-Za-z_-]{2,32}) +(\S.*?)(?: +HTTP/(\d\.\d))?\r?$")
REPLY = re.compile(rb"^HTTP/(\d\.\d) +(\d{3})(?: +(.*?))?\r?$")
METHODS = (
    b"GET POST HEAD PUT DELETE OPTIONS CONNECT TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH "
    b"REPORT CHECKOUT MERGE NOTIFY M-SEARCH SUBSCRIBE UNSUBSCRIBE BITS_POST CCM_POST RPC_CONNECT RPC_IN_DATA "
    b"RPC_OUT_DATA VERSION-CONTROL"
).split()
STARTS = tuple(method + b" " for method in METHODS)
HEADERS = {
    b"host": "host", b"referer": "referrer", b"user-agent": "user_agent", b"origin": "origin",
}  # fmt: skip
HEAD, BODY, CHUNK, TRAILER, UNTIL_CLOSE, TUNNEL = range(6)
END = re.compile(rb"\r?\n\r?\n")


def looks_like_http(data: bytes) -> bool:
    """Whether bytes begin a request or a reply."""
    return data.startswith((*STARTS, b"HTTP/1."))


class _Side:
    __slots__ = ("body", "buffer", "left", "state")

    def __init__(self) -> None:
        self.buffer = Buffered()
        self.state = HEAD
        self.left = 0
        self.body = 0


class Http(Analyzer):
    """One connection."""

    service = "http"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.sides = (_Side(), _Side())
        self.requests: deque[tuple[Ref, dict[str, str | None]]] = deque()
        self.current: tuple[Ref, dict[str, str | None]] | None = None
        self.depth = 0
        self.methods: deque[str] = deque()

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        side = self.sides[not originator]
        if side.state in (UNTIL_CLOSE, TUNNEL):
            side.body += len(data)
            return
        if side.state == BODY and not side.buffer and len(data) < side.left:
            side.left -= len(data)
            side.body += len(data)
            return
        side.buffer.add(data, ref)
        while side.buffer and not self.done and self._step(originator, side):
            pass

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        side = self.sides[not originator]
        if side.state == BODY and size <= side.left:
            side.left -= size
            side.body += size
            if not side.left:
                self._body_done(originator, side)
        elif side.state not in (UNTIL_CLOSE, TUNNEL):
            self.done = True

    def held(self) -> int:
        return sum(len(side.buffer) for side in self.sides)

    def finish(self) -> None:
        if self.current is not None:
            self._give(self.sides[1].body)
        while self.requests:
            begun, values = self.requests.popleft()
            self.emit("zeek_http", begun, {**self.common, **values})

    def _step(self, originator: bool, side: _Side) -> bool:
        if side.state == HEAD:
            return self._head(originator, side)
        if side.state == BODY:
            taken = len(side.buffer.take(side.left))
            side.left -= taken
            side.body += taken
            if not side.left:
                self._body_done(originator, side)
            return True
        if side.state in (CHUNK, TRAILER):
            return self._chunk(originator, side)
        side.body += len(side.buffer.take(len(side.buffer)))
        return False

    def _chunk(self, originator: bool, side: _Side) -> bool:
        if side.left:
            taken = len(side.buffer.take(side.left))
            side.left -= taken
            side.body += max(0, taken - 2 if side.left == 0 else taken)
            return True
        end = side.buffer.data.find(b"\n", 0, 4096)
        if end < 0:
            self.done = len(side.buffer) > 4096
            return False
        line = side.buffer.take(end + 1).strip()
        if side.state == TRAILER:
            if not line:
                self._body_done(originator, side)
            return True
        size = int(line.split(b";")[0], 16)
        if size:
            side.left = size + 2
        else:
            side.state = TRAILER
        return True

    def _body_done(self, originator: bool, side: _Side) -> None:
        if originator:
            if self.requests:
                self.requests[-1][1]["request_body_len"] = str(side.body)
            elif self.current is not None:
                self.current[1]["request_body_len"] = str(side.body)
        else:
            self._give(side.body)
        side.state, side.left, side.body = HEAD, 0, 0

    def _give(self, body: int) -> None:
        if self.current is not None:
            begun, values = self.current
            values["response_body_len"] = str(body)
            self.emit("zeek_http", begun, {**self.common, **values})
            self.current = None

    def _head(self, originator: bool, side: _Side) -> bool:
        buffer = side.buffer
        if buffer.data[:2] in (b"\r\n", b"\n"):
            buffer.take(2 if buffer.data[0] == 13 else 1)
            return True
        found = END.search(buffer.data, 0, LIMIT_HEAD)
        if found is None:
            odd = len(buffer) > 20 and not looks_like_http(bytes(buffer.data[:20]))
            if odd or len(buffer) > LIMIT_HEAD:
                self.done = True
            return False
        ref = buffer.ref()
        lines = buffer.take(found.end()).split(b"\n")
        headers = [
            (name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])
        ]
        if originator:
            return self._request(lines[0], headers, side, ref)
        return self._reply(lines[0], headers, side, ref)

    def _request(self, line: bytes, headers: list[tuple[bytes, bytes]], side: _Side, ref: Ref) -> bool:
        found = REQUEST.match(line)
        if found is None:
            self.done = True
            return False
        self.named("http")
        self.depth += 1
        method = text(found[1])
        values: dict[str, str | None] = {
            "trans_depth": str(self.depth),
            "method": method,
            "uri": text(found[2], 65536),
            "version": text(found[3] or b"0.9"),
            "request_body_len": "0",
            "response_body_len": "0",
        }
        for name, value in headers:
            column = HEADERS.get(name)
            if column is not None:
                values[column] = text(value)
            elif name == b"authorization" and value[:6].lower() == b"basic ":
                try:
                    user = base64.b64decode(value[6:]).partition(b":")[0]
                    values["username"] = text(user)
                except ValueError:
                    pass
        values["client_header_names"] = "\n".join(text(name.upper()) for name, _ in headers if name)
        if values.get("host") and (values["host"] or "").startswith("["):
            pass
        elif values.get("host"):
            values["host"] = (values["host"] or "").rsplit(":", 1)[0]
        self.requests.append((ref, values))
        self.methods.append(method.upper())
        if len(self.requests) > LIMIT_WAITING:
            begun, first = self.requests.popleft()
            self.emit("zeek_http", begun, {**self.common, **first})
        self._body(headers, side)
        if side.state == HEAD:
            side.body = 0
        elif side.state == UNTIL_CLOSE:  # a request says how long it is, or has no body
            side.state = HEAD
        return True

    def _reply(self, line: bytes, headers: list[tuple[bytes, bytes]], side: _Side, ref: Ref) -> bool:
        found = REPLY.match(line)
        if found is None:
            self.done = True
            return False
        self.named("http")
        code = int(found[2])
        if 100 <= code < 200 and code != 101:
            if self.requests:
                self.requests[0][1].update(info_code=str(code), info_msg=text(found[3] or b""))
            return True
        method = self.methods.popleft() if self.methods else ""
        self.current = self.requests.popleft() if self.requests else (ref, {"trans_depth": str(self.depth + 1)})
        values = self.current[1]
        values |= {"status_code": str(code), "status_msg": text(found[3] or b"")}
        for name, value in headers:
            if name == b"content-type":
                values["resp_mime_types"] = text(value.split(b";")[0])
        values["server_header_names"] = "\n".join(text(name.upper()) for name, _ in headers if name)
        if code == 101 or (method == "CONNECT" and 200 <= code < 300):
            self._give(0)
            self.sides[0].state = self.sides[1].state = TUNNEL
            self.named("http")
            self.done = True
            return False
        if method == "HEAD" or code in (204, 304):
            self._give(0)
            return True
        self._body(headers, side)
        if side.state == HEAD:
            self._give(0)
        return True

    def _body(self, headers: list[tuple[bytes, bytes]], side: _Side) -> None:
        side.left, side.body, side.state = 0, 0, UNTIL_CLOSE
        for name, value in headers:
            if name == b"transfer-encoding" and b"chunked" in value.lower():
                side.state = CHUNK
                return
            if name == b"content-length" and value.isdigit() and len(value) < 19:
                side.left = int(value)
                side.state = BODY if side.left else HEAD
