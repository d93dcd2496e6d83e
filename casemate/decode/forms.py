"""Kinds of text, and what may be encoded in each."""

from __future__ import annotations

from dataclasses import dataclass

from casemate.decode.arguments import LIST
from casemate.decode.base64_runs import BASE64, WHOLE_BASE64
from casemate.decode.command_line import CMD, SHELL
from casemate.decode.escapes import ESCAPES, PERCENT_IN_ADDRESS, PERCENT_IN_TEXT
from casemate.decode.numbers import CHARACTER_CODES
from casemate.decode.powershell import STRINGS
from casemate.decode.signs import Decoder, signs_of


@dataclass(frozen=True, eq=False)
class Form:
    """A kind of text.

    Args:
        name: for humans.
        decoders: asked in this order.
        inner: the kind of what was decoded; the same kind when None.
    """

    name: str
    decoders: tuple[Decoder, ...]
    inner: Form | None = None


ANYWHERE = (*BASE64, *ESCAPES, PERCENT_IN_TEXT, *CHARACTER_CODES, *STRINGS)
WINDOWS_COMMAND = Form("command or script of Windows", (*ANYWHERE, CMD))
UNIX_COMMAND = Form("command of Unix", (*ANYWHERE, *SHELL))
ARGUMENTS = Form("list of arguments", (LIST, *UNIX_COMMAND.decoders), UNIX_COMMAND)
DOCUMENT = Form("JSON", BASE64[1:2], UNIX_COMMAND)
MESSAGE = Form("message", (*BASE64, *ESCAPES[:1]), UNIX_COMMAND)
BASE64_VALUE = Form("base64", (WHOLE_BASE64, *UNIX_COMMAND.decoders), UNIX_COMMAND)
ADDRESS = Form(
    "address of the web",
    (PERCENT_IN_ADDRESS, *BASE64[1:3]),
    Form("part of an address", (PERCENT_IN_ADDRESS, *BASE64, *ESCAPES)),
)


def may_hold(form: Form, text: str) -> bool:
    """False only if none of the form's decoders would find anything in `text`."""
    return bool(signs_of(form.decoders).found(text))
