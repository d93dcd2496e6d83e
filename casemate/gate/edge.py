"""The gate over HTTP, on this machine alone: other programs ask before they load.

``POST /decide`` with ``Authorization: Bearer <token>`` and a JSON object with ``path`` and, if wanted, ``destination``
and ``approved_by`` gives the decision: 200 when it may pass, 403 when not (the body says why), 400 for a bad request,
401 without the token.  Paths are those below the folder that is served; ``GET /health`` needs no token and tells
nothing.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from casemate.errors import BadInput, CasemateError
from casemate.gate.decide import Decision, Request

BODY_BYTES = 65536
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECONDS = 30
"""How long a caller may take to send its request."""


def server(
    root: Path, token: str, port: int, answer: Callable[[Request], Decision], *, host: str = "127.0.0.1"
) -> HTTPServer:
    """A server that is bound and not yet running; one request at a time.

    Args:
        root: the folder whose files may be asked about.
        token: what callers must show.
        port: 0 for any free one.
        answer: decides, and writes the decision down.
        host: an address of this machine alone.

    Raises:
        BadInput: the address is another, the token is too short, or the port is taken.
    """
    if host not in LOOPBACK:
        raise BadInput(f"the gate answers on this machine alone, not on {host}")
    if len(token) < 16:
        raise BadInput("the token must have 16 characters or more")
    root = root.resolve()
    if not root.is_dir():
        raise BadInput("no such folder", where=str(root))

    class Handler(BaseHTTPRequestHandler):
        server_version = "casemate"
        sys_version = ""
        timeout = SECONDS

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: the audit record has every decision."""

        def do_GET(self) -> None:
            self._send(200 if self.path == "/health" else 404, {"ok": self.path == "/health"})

        def do_POST(self) -> None:
            name = (self.headers.get("Host") or "").rsplit(":", 1)[0].strip("[]")
            if name not in LOOPBACK:  # a page in a browser on this machine, with a name of its own for it
                self._send(400, {"error": "the request is not for this machine"})
            elif not hmac.compare_digest(
                (self.headers.get("Authorization") or "").encode(), f"Bearer {token}".encode()
            ):
                self._send(401, {"error": "the token is missing or wrong"})
            elif self.path != "/decide":
                self._send(404, {"error": "there is only /decide"})
            else:
                self._decide()

        def _decide(self) -> None:
            try:
                decision = answer(_request(self._body(), root))
            except BadInput as error:
                self._send(400, {"error": str(error)})
            except CasemateError as error:
                self._send(503, {"error": str(error)})
            else:
                self._send(200 if decision.allowed else 403, decision.as_dict())

        def _body(self) -> Any:
            length = self.headers.get("Content-Length") or ""
            if not length.isdigit() or int(length) > BODY_BYTES:
                raise BadInput(f"the request must say its length, at most {BODY_BYTES} bytes")
            try:
                return json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                raise BadInput("the request is no JSON") from None

        def _send(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

    try:
        return HTTPServer((host, port), Handler)
    except OSError as error:
        raise BadInput(f"port {port} cannot be used: {error.strerror}") from None


def _request(value: Any, root: Path) -> Request:
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        raise BadInput("the request must be an object with a path")
    known = {"path", "destination", "approved_by"}
    if set(value) - known:
        raise BadInput(f"the request may have {', '.join(sorted(known))} and nothing else")
    destination, by = value.get("destination"), value.get("approved_by", [])
    if destination is not None and not isinstance(destination, str):
        raise BadInput("destination must be text")
    if not isinstance(by, list) or not all(isinstance(name, str) for name in by):
        raise BadInput("approved_by must be a list of names")
    try:
        path = (root / value["path"]).resolve()
    except (OSError, ValueError):
        raise BadInput("the path cannot be followed") from None
    if not path.is_relative_to(root):
        raise BadInput("the path leads out of the folder that is served")
    return Request(path, destination, tuple(by))
