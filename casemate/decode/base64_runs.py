"""Base64 anywhere in a text: whole, embedded, at an offset, wrapped over lines, for URLs, without padding.

The alphabets are those of RFC 4648, sections 4 and 5.  Beside a word that says what follows (``base64
-d``, ``FromBase64String``, ``-EncodedCommand``) short runs are decoded as well.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from casemate.decode.model import Budget, Piece
from casemate.decode.readable import HEAD, as_text, promising, wide_text

LEAST_RUN = 20
"""Shortest run that is looked at where nothing says that it is base64."""
LEAST_NAMED_RUN = 8  # as in RUN and URL_RUN
OFFSETS = range(4)

# a look-behind keeps a run from being tried again from each of its characters, so that all of this is linear
RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{8,}")
URL_RUN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{8,}")
WRAPPED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}(?:(?:\r?\n|\\r\\n|\\n)[ \t]{0,8}[A-Za-z0-9+/]{4,})+")
BREAKS = re.compile(r"(?:\r?\n|\\r\\n|\\n)[ \t]{0,8}")
NAMED = re.compile(
    r"base64|b64|certutil|\batob\b|openssl|(?<![\w-])[-/\u2013\u2014\u2015]e(?:n?c?o?d?e?d?c?o?m?m?a?n?d?)\b",
    re.IGNORECASE,
)
ENCODED_COMMAND = re.compile(
    # a parameter may be written as short as it stays unique; "ec" is an alias of its own
    r"(?<![\w-])[-/\u2013\u2014\u2015](?:ec|e(?:n(?:c(?:o(?:d(?:e(?:d(?:c(?:o(?:m(?:m(?:a(?:n(?:d)?)?)?)?)?)?)?)?)?)?)?)?)?)"
    r"(?:\s{1,64}|\s{0,8}:\s{0,8})[\"']?([A-Za-z0-9+/]{4,}={0,2})",
    re.IGNORECASE,
)
BEFORE_SHORT = re.compile(r"[\"'](?:\\\\)?\Z|(?:echo|printf|<<<|-n|-e)\s{1,4}[\"']?\Z", re.IGNORECASE)
POWERSHELL = re.compile(r"power|pwsh", re.IGNORECASE)


def base64_runs(text: str, budget: Budget) -> Iterator[Piece]:
    """Every run of `text` that is base64 of text."""
    done: list[tuple[int, int]] = []
    for match in ENCODED_COMMAND.finditer(text):
        if not budget.attempt():
            return
        piece = _encoded_command(match[1], budget, sure=bool(POWERSHELL.search(text)))
        if piece is not None:
            done.append(match.span(1))
            yield piece
    for match in WRAPPED.finditer(text):
        if not _inside(match.start(), done):
            if not budget.attempt():
                return
            piece = _decoded(BREAKS.sub("", match[0]), budget)
            if piece is not None:
                done.append(match.span())
                yield piece
    least = LEAST_NAMED_RUN if NAMED.search(text) else LEAST_RUN
    for match in RUN.finditer(text):
        if _worth_it(match, text, least) and not _inside(match.start(), done):
            if not budget.attempt():
                return
            for piece in _of_run(match[0], least, budget):
                done.append(match.span())
                yield piece
    for match in URL_RUN.finditer(text):
        run = match[0]
        if (
            ("-" in run or "_" in run)
            and _worth_it(match, text, least)
            and _mixed(run)
            and not _inside(match.start(), done)
        ):
            if not budget.attempt():
                return
            piece = _decoded(run.replace("-", "+").replace("_", "/"), budget)
            if piece is not None:
                done.append(match.span())
                yield piece


def whole_base64(text: str, budget: Budget) -> Iterator[Piece]:
    """The text itself as base64, however short: for fields that hold nothing else (user data of a machine)."""
    run = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if len(run) >= 4 and re.fullmatch(r"[A-Za-z0-9+/]+", run) and budget.attempt():
        piece = _decoded(run, budget)
        if piece is not None:
            yield piece


def _worth_it(match: re.Match[str], text: str, least: int) -> bool:
    """Whether a run is long enough; a short one must be all that stands in quotes or after ``echo`` and the like."""
    size = match.end() - match.start()
    if size >= LEAST_RUN or size < least:
        return size >= LEAST_RUN
    before, after = text[max(0, match.start() - 12) : match.start()], text[match.end() : match.end() + 4].lstrip("=")
    return bool(BEFORE_SHORT.search(before)) and (not after or after[0] in "\"' \t\r\n|)>;\\")


def _encoded_command(run: str, budget: Budget, *, sure: bool) -> Piece | None:
    data = _bytes_of(run.rstrip("="))
    found = as_text(data, budget)
    if found is None and sure and len(data) >= 4:
        wide = wide_text(data)
        found = None if wide is None else (*wide, None)
    if found is None:
        return None
    text, steps, limit = found
    return Piece(text, ("base64", *steps), limit)


def _of_run(run: str, least: int, budget: Budget) -> Iterator[Piece]:
    """The run, from its first characters on; if that is no text, what stands between its slashes."""
    if not _mixed(run):
        return
    for offset in OFFSETS:
        if len(run) - offset < least:
            return
        piece = _decoded(run[offset:], budget)
        if piece is not None:
            yield piece
            return
    if "/" in run:
        for part in run.split("/"):
            if len(part) >= least and _mixed(part) and budget.attempt():
                piece = _decoded(part, budget)
                if piece is not None:
                    yield piece


def _decoded(run: str, budget: Budget) -> Piece | None:
    if not promising(_bytes_of(run[:HEAD])):
        return None
    found = as_text(_bytes_of(run), budget)
    if found is None:
        return None
    text, steps, limit = found
    return Piece(text, ("base64", *steps), limit)


def _bytes_of(run: str) -> bytes:
    """The bytes of a run without padding; a single last character, which says nothing, is left out."""
    size = len(run) - (len(run) % 4 == 1)
    return binascii.a2b_base64(run[:size] + "=" * (-size % 4))


def _mixed(run: str) -> bool:
    """Whether both cases, or one case and digits, occur: words, paths and hexadecimal numbers mostly fail this."""
    return not (run.islower() or run.isupper()) or (run.isupper() and not run.isalpha())


def _inside(place: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin <= place < end for begin, end in spans)
