"""Base64 anywhere in a text: whole, embedded, at an offset, wrapped over lines, for URLs, without padding.

The alphabets are those of RFC 4648, sections 4 and 5.  Beside a word that says what follows (``base64
-d``, ``FromBase64String``, ``-EncodedCommand``) short runs are decoded as well.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence

from casemate.decode.model import Budget, Piece
from casemate.decode.readable import HEAD, as_text, promising, wide_text
from casemate.decode.signs import Decoder

LEAST_RUN = 20
"""Shortest run that is looked at where nothing says that it is base64."""
LEAST_SHIFTED_RUN = 28
"""Shortest run that is tried from its second, third and fourth character on as well."""
OFFSETS = range(4)

RUN = re.compile(r"[A-Za-z0-9+/]+")
URL_RUN = re.compile(r"[A-Za-z0-9_-]+")
WRAPPED = re.compile(r"[A-Za-z0-9+/]{40,}(?:(?:\r?\n|\\r\\n|\\n)[ \t]{0,8}[A-Za-z0-9+/]{4,})+")
BREAKS = re.compile(r"(?:\r?\n|\\r\\n|\\n)[ \t]{0,8}")
SHORT_RUN = re.compile(
    r"(?:[\"']|(?:echo|printf|<<<|-n|-e)\s{1,4}[\"']?|\{echo,)([A-Za-z0-9+/]{8,19})={0,2}(?=[\"'\s|)>;}\\]|\Z)",
    re.IGNORECASE,
)
# a parameter may be written as short as it stays unique; "ec" is an alias of its own
PARAMETER = r"(?:ec|e(?:n(?:c(?:o(?:d(?:e(?:d(?:c(?:o(?:m(?:m(?:a(?:n(?:d)?)?)?)?)?)?)?)?)?)?)?)?)?)"
ENCODED_COMMAND = re.compile(
    r"(?<![\w-])[-/\u2013\u2014\u2015]" + PARAMETER + r"(?:\s{1,64}|\s{0,8}:\s{0,8})[\"']?([A-Za-z0-9+/]{4,}={0,2})",
    re.IGNORECASE,
)
DIGIT = re.compile(r"\d")
NAMED = re.compile(r"base64|b64|-e[nc]", re.IGNORECASE)
POWERSHELL = re.compile(r"power|pwsh", re.IGNORECASE)


def encoded_commands(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """What follows PowerShell's ``-EncodedCommand``, however short the parameter is written."""
    sure = POWERSHELL.search(text) is not None
    for match in ENCODED_COMMAND.finditer(text):
        if not budget.attempt():
            return
        piece = _encoded_command(match[1], budget, sure=sure)
        if piece is not None:
            yield piece


def base64_runs(text: str, budget: Budget, places: Sequence[int]) -> Iterator[Piece]:
    """Runs of at least :data:`LEAST_RUN` characters, also over several lines."""
    behind = 0
    named = NAMED.search(text) is not None
    for end in places:
        begin = end - LEAST_RUN
        if begin < behind:
            continue
        wrapped = WRAPPED.match(text, begin)
        if wrapped is not None:
            if not budget.attempt():
                return
            piece = _decoded(BREAKS.sub("", wrapped[0]), budget)
            if piece is not None:
                behind = wrapped.end()
                yield piece
                continue
        match = RUN.match(text, begin)
        if match is not None:
            behind = match.end()
            if _likely(match[0], named=named):
                if not budget.attempt():
                    return
                yield from _of_run(match[0], budget)


def url_base64_runs(text: str, budget: Budget, places: Sequence[int]) -> Iterator[Piece]:
    """Runs in the alphabet for URLs, which has ``-`` and ``_``."""
    named = NAMED.search(text) is not None
    for end in places:
        match = URL_RUN.match(text, end - LEAST_RUN)
        if match is None or not ("-" in match[0] or "_" in match[0]) or not _likely(match[0], named=named):
            continue
        if not budget.attempt():
            return
        piece = _decoded(match[0].replace("-", "+").replace("_", "/"), budget)
        if piece is not None:
            yield piece


def short_base64(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Short runs that are all that stands in quotes or after ``echo``, in a text that speaks of base64."""
    for match in SHORT_RUN.finditer(text):
        if not budget.attempt():
            return
        if _mixed(match[1]):
            piece = _decoded(match[1], budget)
            if piece is not None:
                yield piece


def whole_base64(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The text itself as base64, however short: for fields that hold nothing else (user data of a machine)."""
    run = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if len(run) >= 4 and re.fullmatch(r"[A-Za-z0-9+/]+", run) and budget.attempt():
        piece = _decoded(run, budget)
        if piece is not None:
            yield piece


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


def _of_run(run: str, budget: Budget) -> Iterator[Piece]:
    """The run, from its first characters on; if that is no text, what stands between its slashes."""
    for offset in OFFSETS if len(run) >= LEAST_SHIFTED_RUN else OFFSETS[:1]:
        piece = _decoded(run[offset:], budget, sure=not offset)
        if piece is not None:
            yield piece
            return
    if "/" in run:
        for part in run.split("/"):
            if len(part) >= LEAST_RUN and _mixed(part) and DIGIT.search(part) and budget.attempt():
                piece = _decoded(part, budget)
                if piece is not None:
                    yield piece


def _decoded(run: str, budget: Budget, *, sure: bool = True) -> Piece | None:
    if not promising(_bytes_of(run[:HEAD]), sure=sure):
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


def _likely(run: str, *, named: bool) -> bool:
    """Whether a run is base64 rather than a name or a path.

    Of twenty characters of base64 some are digits, 29 of 30 times; the rest counts where base64 is `named`.
    """
    head = run[:HEAD]
    return _mixed(head) and (named or DIGIT.search(head) is not None)


def _mixed(run: str) -> bool:
    """Whether both cases, or one case and digits, occur: words, paths and hexadecimal numbers mostly fail this."""
    return not (run.islower() or run.isupper()) or (run.isupper() and not run.isalpha())


BASE64: tuple[Decoder, ...] = (
    Decoder(
        encoded_commands,
        (r"[-/?](?:e|ec|en|enc|enco|encod|encode|encoded|encodedc[a-z]*)(?:\s+|\s*:\s*)[\"']?[A-Za-z0-9+/]{4}",),
    ),
    Decoder(base64_runs, at=r"(?:^|[^A-Za-z0-9+/])[A-Za-z0-9+/]{20}"),
    Decoder(url_base64_runs, at=r"(?:^|[^A-Za-z0-9_-])[A-Za-z0-9_-]{20}"),
    Decoder(short_base64, (r"base64|b64|certutil|\batob\b",)),
)
WHOLE_BASE64 = Decoder(whole_base64)
