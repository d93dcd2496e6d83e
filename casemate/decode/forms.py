"""Which decoders a kind of text is given to, and the cheap look that most texts do not pass.

The look is one Hyperscan database per kind over everything its decoders begin with; a text without any of it
is not decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import hyperscan

from casemate.decode.arguments import argument_lists
from casemate.decode.base64_runs import base64_runs, whole_base64
from casemate.decode.command_line import cmd_words, echoed_words, shell_words
from casemate.decode.escapes import hexadecimal, octal, percent, unicode_escapes
from casemate.decode.model import Budget, Piece
from casemate.decode.numbers import character_codes
from casemate.decode.powershell import powershell_strings, reversed_strings

Decoder = Callable[[str, Budget], Iterator[Piece]]


def address(text: str, budget: Budget) -> Iterator[Piece]:
    """Percent escapes of an address: any that hide something."""
    return percent(text, budget, least=1)


# what each decoder needs to find anything; case is ignored
BASE64 = (
    r"[A-Za-z0-9+/]{20}",
    r"[A-Za-z0-9_-]{20}",
    r"base64",
    r"b64",
    r"certutil",
    r"[-/]e[a-z]*\s+[\"']?[A-Za-z0-9+/]{4}",
)
HEX = (
    r"(?:\\x[0-9a-f]{2}){4}",
    r"(?:0x[0-9a-f]{2}[\s,;]+){3}",
    r"(?:[0-9a-f]{2}){8}",
    r"(?:[0-9a-f]{2}[-: ]){5}",
    r"xxd",
    r"unhex|fromhex",
)
OCTAL = (r"(?:\\[0-3]?[0-7]{2}){4}",)
UNICODE = (r"(?:\\u[0-9a-f]{4}){3}",)
PERCENT = (r"(?:%(?:u[0-9a-f]{4}|[0-9a-f]{2})[^%]*){3}",)
HIDING = (
    # quotes, brackets, control characters, letters, digits, dots, backslashes; double escapes
    r"%(?:25|2[2-9e]|0[0-9a-f]|3[0-9bce]|4[1-9a-f]|5[0-9ace]|6[0-9a-f]|7[0-9a-e]|u[0-9a-f]{4}|[89a-f][0-9a-f])",
    r"\.\.%2f",
)
CODES = (r"char|chr\(|byte|toint|-join",)
STRINGS = (
    r"['\"]\s*\)?\s*\+\s*\(?\s*['\"\[]",
    r"['\"]\s*\)?\s*-f\s*\(?\s*['\"]",
    r"\[char\]",
    r"replace",
    r"-join",
    r"\.\.",
    r"[a-z.-]`[a-z.-]",
    r"[&.]\s*\(?\s*['\"]\w",
    r"reverse",
    r"righttoleft",
)
CMD = (r"[a-z0-9]\^[a-z0-9]", r"\^[a-z]\^", r"[a-z0-9./-]\"\"[a-z0-9./-]", r"%[a-z_()]+:", r"\bset\s+\"?[a-z_]\w*=")
SHELL = (
    r"\$'",
    r"\$\{?ifs",
    r"[a-z0-9](?:''|\"\"|\$@|\\[a-z]|\$\{[a-z_]{1,8}:)",
    r"['\"][a-z0-9]{1,3}['\"][a-z0-9'\"]",
    r"\|\s*(?:rev|tr)\b",
)
LIST = (r"^\s*\[",)
ANY = (r".",)


@dataclass(frozen=True)
class Form:
    """A kind of text: what may be encoded in it.

    Args:
        name: for humans.
        decoders: asked in this order.
        signs: expressions of which one must be found before any decoder is asked.
    """

    name: str
    decoders: tuple[Decoder, ...]
    signs: tuple[str, ...]


WINDOWS_COMMAND = Form(
    "command of Windows",
    (
        base64_runs,
        hexadecimal,
        percent,
        unicode_escapes,
        character_codes,
        powershell_strings,
        reversed_strings,
        cmd_words,
    ),
    (*BASE64, *HEX, *PERCENT, *UNICODE, *CODES, *STRINGS, *CMD),
)
SCRIPT = Form(
    "PowerShell",
    (base64_runs, hexadecimal, percent, unicode_escapes, character_codes, powershell_strings, reversed_strings),
    (*BASE64, *HEX, *PERCENT, *UNICODE, *CODES, *STRINGS),
)
UNIX_COMMAND = Form(
    "command of Unix",
    (
        base64_runs,
        hexadecimal,
        octal,
        percent,
        unicode_escapes,
        character_codes,
        shell_words,
        echoed_words,
        reversed_strings,
    ),
    (*BASE64, *HEX, *OCTAL, *PERCENT, *UNICODE, *CODES, *SHELL, r"reverse|\[::-1\]"),
)
ARGUMENTS = Form("list of arguments", (argument_lists, *UNIX_COMMAND.decoders), (*LIST, *UNIX_COMMAND.signs))
DOCUMENT = Form("JSON", (base64_runs,), BASE64[:2])
BASE64_VALUE = Form("base64", (whole_base64, *UNIX_COMMAND.decoders), ANY)
ADDRESS = Form("address of the web", (address, base64_runs), (*HIDING, r"[A-Za-z0-9+/]{24}", r"[A-Za-z0-9_-]{24}"))

INNER: dict[Form, Form] = {
    DOCUMENT: UNIX_COMMAND,
    ADDRESS: Form("inside an address", (address, base64_runs, hexadecimal), (*HIDING, *BASE64, *HEX)),
}
"""What may be encoded inside what was decoded, where it is not the same."""


@lru_cache(maxsize=32)
def _signs(form: Form) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
    database.compile(
        expressions=[sign.encode() for sign in form.signs],
        ids=list(range(len(form.signs))),
        flags=[flags] * len(form.signs),
    )
    return database


def may_hold(form: Form, text: str) -> bool:
    """False only if none of the form's decoders would find anything in `text`."""
    found = False

    def seen(*_: object) -> bool:
        nonlocal found
        found = True
        return True  # ends the scan

    try:
        _signs(form).scan(text.encode("utf-8", "replace"), match_event_handler=seen)
    except hyperscan.ScanTerminated:
        return True
    return found
