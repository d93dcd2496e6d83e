"""Bytes and characters written as numbers: ``\\x41``, ``0x41``, ``41-42``, ``4142``, ``\\101``, ``\\u0041``, ``%41``.

Percent escapes are those of RFC 3986, section 2.1; ``%uNNNN`` is what JavaScript's ``escape`` writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_to_bytes

from casemate.decode.model import Budget, Piece
from casemate.decode.readable import LEAST_DIFFERENT, as_text
from casemate.decode.signs import Decoder

ESCAPED_HEX = re.compile(r"(?:\\{1,2}x[0-9a-fA-F]{2}){4,}")
LISTED_HEX = re.compile(r"(?<![0-9a-zA-Z])0x[0-9a-fA-F]{2}(?:\s{0,4}[,;]?\s{0,4}0x[0-9a-fA-F]{2}){3,}(?![0-9a-fA-F])")
DASHED_HEX = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{2}([-: ,])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4,}(?![0-9a-fA-F])")
SHORT_HEX = re.compile(r"(?<![0-9a-zA-Z])(?:0x)?((?:[0-9a-fA-F]{2}){4,7})(?![0-9a-zA-Z])")
PLAIN_HEX = re.compile(r"((?:[0-9a-fA-F]{2})+)(?![0-9a-zA-Z])")
LEAST_PLAIN_HEX = 16
"""Digits; shorter runs are decoded beside a word that says what they are."""
OCTAL = re.compile(r"(?:\\{1,2}[0-3]?[0-7]{2}){4,}")
UNICODE = re.compile(r"(?:\\{1,2}u[0-9a-fA-F]{4}){3,}")
PERCENT = re.compile(r"%(?:u[0-9a-fA-F]{4}|[0-9a-fA-F]{2})")
LEAST_PERCENT = 3
"""Escapes in a text that is no address: one or two may be variables between percent signs."""
PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})")
DIGITS = re.compile(r"[0-9a-fA-F]{2}")


def escaped_hex(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Runs of ``\\xNN``."""
    for match in ESCAPED_HEX.finditer(text):
        yield from _bytes(bytes.fromhex(match[0].replace("\\", "").replace("x", "")), "hex", budget)


def listed_hex(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Lists of ``0xNN``."""
    for match in LISTED_HEX.finditer(text):
        yield from _bytes(bytes.fromhex("".join(re.findall(r"0x([0-9a-fA-F]{2})", match[0]))), "hex", budget)


def dashed_hex(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Lists of pairs of digits with the same mark between them."""
    for match in DASHED_HEX.finditer(text):
        yield from _bytes(bytes.fromhex(match[0].replace(match[1], "")), "hex", budget)


def plain_hex(text: str, budget: Budget, places: Sequence[int]) -> Iterator[Piece]:
    """Runs of at least :data:`LEAST_PLAIN_HEX` digits."""
    for end in places:
        match = PLAIN_HEX.match(text, end - LEAST_PLAIN_HEX)
        if match is not None:
            yield from _digits(match[1], budget)


def short_hex(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Shorter runs, beside a word that says what they are."""
    for match in SHORT_HEX.finditer(text):
        yield from _digits(match[1], budget)


def octal(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Every run of octal escapes, as ``printf`` and ``$'...'`` take them."""
    for match in OCTAL.finditer(text):
        numbers = [int(number, 8) for number in re.findall(r"[0-3]?[0-7]{2}", match[0])]
        yield from _bytes(bytes(number & 255 for number in numbers), "octal", budget)


def unicode_escapes(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The text with its runs of ``\\uNNNN`` replaced."""
    if budget.attempt() and budget.spend(len(text)):
        changed = UNICODE.sub(lambda match: _characters(re.findall(r"u(.{4})", match[0])), text)
        if changed != text:
            yield Piece(changed, ("unicode",))


def percent(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The text with its percent escapes replaced."""
    if not budget.attempt():
        return
    decoded = PERCENT_U.sub(lambda match: _characters([match[1]]), text)
    data = unquote_to_bytes(decoded.encode("utf-8", "surrogatepass"))
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        decoded = data.decode("latin-1")
    if budget.spend(len(data)) and decoded != text and _tells(decoded):
        yield Piece(decoded, ("url",))


def percent_in_text(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The same in text that is no address."""
    if len(PERCENT.findall(text)) >= LEAST_PERCENT:
        yield from percent(text, budget)


def _digits(digits: str, budget: Budget) -> Iterator[Piece]:
    if _letters(digits) if digits.isdigit() else not _one_letter(digits):
        data = bytes.fromhex(digits)
        if len(digits) < LEAST_PLAIN_HEX or len(set(data)) >= LEAST_DIFFERENT - 2:
            yield from _bytes(data, "hex", budget)


def _bytes(data: bytes, step: str, budget: Budget) -> Iterator[Piece]:
    if not budget.attempt():
        return
    found = as_text(data, budget)
    if found is not None:
        text, steps, limit = found
        yield Piece(text, (step, *steps), limit)


def _characters(codes: list[str]) -> str:
    """Characters of UTF-16 code units; a lone surrogate is replaced."""
    data = b"".join(int(code, 16).to_bytes(2, "little") for code in codes)
    return data.decode("utf-16-le", "replace")


def _tells(text: str) -> bool:
    marks = sum(not (character.isprintable() or character in "\t\r\n\0") for character in text[:4096])
    return marks * 10 <= min(len(text), 4096)


def _one_letter(digits: str) -> bool:
    return len(set(digits.lower())) < 4


def _letters(digits: str) -> bool:
    """Whether digits alone (a number, or hexadecimal text without a-f) are bytes of letters."""
    return all(pair in range(0x30, 0x7A) for pair in (int(two, 16) for two in DIGITS.findall(digits))) and not (
        # 30..39 would be digits again: a number
        all(two[0] == "3" for two in DIGITS.findall(digits))
    )


ESCAPES: tuple[Decoder, ...] = (
    Decoder(escaped_hex, (r"(?:\\+x[0-9a-f]{2}){4}",)),
    Decoder(listed_hex, (r"(?:0x[0-9a-f]{2}[\s,;]+){3}0x[0-9a-f]{2}",)),
    Decoder(
        dashed_hex,
        (r"(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|(?:[0-9a-f]{2} ){5}[0-9a-f]{2}|(?:[0-9a-f]{2}[:,]){5}[0-9a-f]{2}",),
    ),
    Decoder(plain_hex, at=r"(?:^|[^0-9A-Za-z]|[^0-9A-Za-z]0x)[0-9a-f]{16}"),
    Decoder(short_hex, (r"xxd|unhex|fromhex|hex2bin|hexlify|\bhex\b|-r\s+-p", r"[0-9a-f]{8}")),
    Decoder(octal, (r"(?:\\+[0-3]?[0-7]{2}){4}",)),
    Decoder(unicode_escapes, (r"(?:\\+u[0-9a-f]{4}){3}",)),
)
PERCENT_IN_TEXT = Decoder(percent_in_text, (r"%(?:u[0-9a-f]{2}|[0-9a-f]{2})",))
HIDING = (
    # quotes, brackets, control characters, letters, digits, dots, backslashes, what is no ASCII; double escapes
    r"%(?:25|2[2-9e]|0[0-9a-f]|3[0-9bce]|4[1-9a-f]|5[0-9ace]|6[0-9a-f]|7[0-9a-e]|u[0-9a-f]{4}|[89a-f][0-9a-f])|\.\.%2f"
)
PERCENT_IN_ADDRESS = Decoder(percent, (HIDING,))
"""Only escapes that hide something: spaces, slashes and commas of ordinary addresses are left as they are."""
