"""Lists of numbers that stand for characters, as PowerShell, JavaScript and shells join them.

``[char[]](73,69,88) -join ''``, ``'73z69z88'.split('z') | % {[char][int]$_}``, ``String.fromCharCode(...)``,
octal, binary and hexadecimal lists through ``ToInt16($_, 8)``, each with ``-bxor`` and a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from casemate.decode.model import Budget, Piece
from casemate.decode.signs import Decoder

LEAST_NUMBERS = 6
BASE = re.compile(r"toint(?:16|32)?\s{0,4}\([^,]{0,60},\s{0,4}(16|8|2|10)\b", re.IGNORECASE)
XOR = re.compile(r"-bxor\s{0,4}['\"(]{0,2}\s{0,2}(0x[0-9a-f]{1,2}|\d{1,3})(?!\d)", re.IGNORECASE)
LISTS: dict[int, re.Pattern[str]] = {
    10: re.compile(r"(?<!\d)\d{1,3}(?:[^\d\w]{1,4}\d{1,3}|[A-Za-z]{1,2}\d{2,3}){3,}(?!\d)"),
    16: re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{2}(?:[^0-9a-fA-F]{1,4}[0-9a-fA-F]{2}){3,}(?![0-9a-fA-F])"),
    8: re.compile(r"(?<!\d)[0-7]{2,3}(?:[^\d]{1,4}[0-7]{2,3}){3,}(?!\d)"),
    2: re.compile(r"(?<!\d)[01]{5,8}(?:[^01\d]{1,4}[01]{5,8}){3,}(?!\d)"),
}
DIGITS: dict[int, re.Pattern[str]] = {
    10: re.compile(r"\d{1,3}"),
    16: re.compile(r"[0-9a-fA-F]{2}"),
    8: re.compile(r"[0-7]{2,3}"),
    2: re.compile(r"[01]{5,8}"),
}


def character_codes(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Every list of numbers in `text` that are characters."""
    bases = sorted({10, *(int(found) for found in BASE.findall(text)[:8])})
    keys = [int(found, 0) if found[:2].lower() == "0x" else int(found) for found in XOR.findall(text)[:4]]
    for base in bases:
        for match in LISTS[base].finditer(text):
            if not budget.attempt():
                return
            codes = [int(number, base) for number in DIGITS[base].findall(match[0])]
            for key in (*dict.fromkeys(keys), None):
                piece = _characters(codes, key)
                if piece is not None and budget.spend(len(codes)):
                    yield piece
                    break


def _characters(codes: list[int], key: int | None) -> Piece | None:
    if key is not None:
        codes = [code ^ key for code in codes]
    if len(codes) < LEAST_NUMBERS or not all(32 <= code < 127 or code in (9, 10, 13) for code in codes):
        return None
    text = "".join(map(chr, codes))
    if sum(character.isalpha() for character in text) * 3 < len(text) or len(set(text)) < 3:
        return None
    return Piece(text, ("char-codes",) if key is None else ("char-codes", "xor"))


SIGNS = (r"char|chr\(|byte|-join|\[int\]", r"\d\d[^0-9A-Za-z]+\d\d\d?[^0-9A-Za-z]+\d\d|\d\d[a-z]+\d\d\d?[a-z]+\d\d")
CHARACTER_CODES = (Decoder(character_codes, SIGNS), Decoder(character_codes, ("toint",)))
"""Lists of numbers, if something in the text speaks of characters."""
