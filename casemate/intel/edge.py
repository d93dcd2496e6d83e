"""The network edge of this room: the only module of it that reaches out.

One table of public release files, and one function that fetches a URL into a file: http and https
only, bounded in size, time and redirects; nothing that arrives is executed or interpreted here.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from casemate.errors import BadInput, CannotFinish, LimitReached
from casemate.limits import MIB

RELEASES: dict[str, str] = {
    # dataset -> its public release file
    "sigma": "https://github.com/SigmaHQ/sigma/releases/latest/download/sigma_all_rules.zip",
    "yara": "https://github.com/YARAHQ/yara-forge/releases/latest/download/yara-forge-rules-core.zip",
    "attack": "https://raw.githubusercontent.com/mitre-attack/attack-stix-data/master/enterprise-attack/"
    "enterprise-attack.json",
    "atlas": "https://raw.githubusercontent.com/mitre-atlas/atlas-data/main/dist/ATLAS.yaml",
}
SCHEMES = ("https", "http")
USER_AGENT = "casemate-intel"
CHUNK = 256 * 1024


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one download: bytes, seconds of wall clock in all and of silence, redirects."""

    bytes: int = 512 * MIB
    seconds: float = 600.0
    silence_seconds: float = 30.0
    redirects: int = 5


@dataclass(frozen=True)
class Fetched:
    """A finished download: where it came from in the end, its SHA-256 and size."""

    url: str
    sha256: str
    bytes: int


def check_url(url: str) -> urllib.parse.SplitResult:
    """Refuse what is no plain http or https URL.

    Raises:
        BadInput: another scheme, no host, or a user name in it (it would be stored and shown).
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise BadInput(f"not a URL: {error}", where=url) from error
    if parts.scheme not in SCHEMES or not host:
        raise BadInput("only http and https URLs are fetched", where=url)
    if parts.username is not None or parts.password is not None:
        raise BadInput("a URL with a user name or password is not fetched", where=f"{parts.scheme}://{host}")
    return parts


def fetch(
    url: str,
    destination: Path,
    limits: FetchLimits = FetchLimits(),
    clock: Callable[[], float] = time.monotonic,
) -> Fetched:
    """Fetch `url` into the new file `destination`.

    Raises:
        BadInput: a URL that is not fetched, or a redirect to one.
        LimitReached: too large, too slow, too many redirects.
        CannotFinish: the server or the way to it failed; what came so far is deleted.
    """
    check_url(url)
    started = clock()
    digest, size = hashlib.sha256(), 0
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})  # noqa: S310
    try:
        with _opener(limits).open(request, timeout=limits.silence_seconds) as answer, destination.open("xb") as output:
            expected = answer.headers.get("Content-Length")
            if expected is not None and expected.isdigit() and int(expected) > limits.bytes:
                raise LimitReached(f"the file is larger than {limits.bytes} bytes", where=url)
            while chunk := answer.read1(CHUNK):
                size += len(chunk)
                if size > limits.bytes:
                    raise LimitReached(f"the file is larger than {limits.bytes} bytes", where=url)
                if clock() - started > limits.seconds:
                    raise LimitReached(f"the download took more than {limits.seconds:g} seconds", where=url)
                digest.update(chunk)
                output.write(chunk)
            if expected is not None and expected.isdigit() and size != int(expected):
                raise CannotFinish(f"{size} of {expected} bytes arrived", where=url)
            final = answer.geturl()
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        destination.unlink(missing_ok=True)
        reason = getattr(error, "reason", None) or error
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        raise CannotFinish(
            f"could not be fetched: {code}{reason}", where=url, hint="use --from with a local file or a mirror"
        ) from error
    except (BadInput, LimitReached, CannotFinish):
        destination.unlink(missing_ok=True)
        raise
    return Fetched(final, digest.hexdigest(), size)


def _opener(limits: FetchLimits) -> urllib.request.OpenerDirector:
    """An opener that knows http and https and nothing else (``build_opener`` adds file and ftp)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _BoundedRedirects(limits),
    ):
        opener.add_handler(handler)
    return opener


class _BoundedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a bounded number of redirects, to http and https only, never from https to http."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limit = limits.redirects
        self._followed = 0

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self._followed += 1
        if self._followed > self._limit:
            raise LimitReached(f"more than {self._limit} redirects", where=req.full_url)
        target = check_url(newurl)
        if req.type == "https" and target.scheme != "https":
            raise BadInput("redirected from https to http", where=newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
