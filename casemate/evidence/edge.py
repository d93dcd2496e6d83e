"""The network edge of this room: asks a timestamp authority over HTTP (RFC 3161, 3.4).

One request that holds a hash and a random number, one bounded answer; nothing of it is interpreted here.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

from casemate.errors import BadInput, CannotFinish

SCHEMES = ("https", "http")  # many authorities answer over http only; what they sign needs no cover
SILENCE_SECONDS = 20.0
SECONDS = 60.0
CHUNK = 16 * 1024


def check_url(url: str) -> str:
    """`url` if an authority can be asked there.

    Raises:
        BadInput: another scheme, no host, or a user name in it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"is not a URL: {error}", where=url) from None
    if parts.scheme not in SCHEMES or not host or not url.isprintable() or " " in url:
        raise BadInput("is not the http or https URL of a timestamp authority", where=url)
    if parts.username is not None or parts.password is not None:
        raise BadInput("a URL with a user name or password is not asked", where=f"{parts.scheme}://{host}")
    return url


def ask_authority(url: str, request: bytes, most: int, clock: Callable[[], float] = time.monotonic) -> bytes:
    """The answer of the authority at `url` to a timestamp request.

    Args:
        url: http or https; redirects are not followed.
        request: DER of a ``TimeStampReq``.
        most: longest answer in bytes.

    Raises:
        BadInput: a URL that is not asked.
        CannotFinish: no answer, one too long, too slow, or of another kind.
    """
    check_url(url)
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    asked = urllib.request.Request(url, data=request, headers={**headers, "User-Agent": "casemate"}, method="POST")  # noqa: S310
    started, parts, size = clock(), [], 0
    try:
        with _opener().open(asked, timeout=SILENCE_SECONDS) as answer:
            kind = answer.headers.get_content_type()
            while chunk := answer.read1(CHUNK):
                parts.append(chunk)
                size += len(chunk)
                if size > most or clock() - started > SECONDS:
                    raise CannotFinish("the timestamp authority's answer is too long or too slow", where=url)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        reason = getattr(error, "reason", None) or error
        raise CannotFinish(f"the timestamp authority does not answer: {code}{reason}", where=url) from error
    if kind != "application/timestamp-reply":
        raise CannotFinish(f"answers with {kind}, which no timestamp authority does", where=url)
    return b"".join(parts)


def _opener() -> urllib.request.OpenerDirector:
    """An opener that knows http and https and follows nothing."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
