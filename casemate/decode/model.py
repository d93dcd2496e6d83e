"""What decoding yields, and the budget it works within.

A *piece* is what one decoder found in one text; a *variant* is a text that a rule may be held
against in the place of the recorded one, with all the steps that led to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.limits import Limits

STEPS: dict[str, str] = {
    "base64": "base64 or its form for URLs, padded or not",
    "utf-16le": "the bytes were text in UTF-16, low byte first",
    "utf-16be": "the bytes were text in UTF-16, high byte first",
    "latin-1": "the bytes were text of one byte per character",
    "gzip": "a gzip stream",
    "zlib": "a zlib stream",
    "deflate": "a raw deflate stream",
    "hex": "pairs of hexadecimal digits, plain or as \\xNN, 0xNN, NN-NN",
    "octal": "bytes written as \\NNN",
    "url": "escapes of a URL, %NN and %uNNNN",
    "unicode": "escapes \\uNNNN",
    "char-codes": "numbers that stand for characters",
    "xor": "numbers were combined with a constant that stands beside them",
    "rot13": "letters moved by thirteen places",
    "reversed": "written backwards",
    "strings": "PowerShell: constant strings joined, formatted or replaced",
    "backticks": "PowerShell: backticks that mean nothing",
    "carets": "cmd: carets and empty quotes that mean nothing",
    "variables": "cmd: parts of variables whose values are known",
    "quotes": "shell: quotes and backslashes inside words, $'...'",
    "arguments": "a list of arguments put together",
    "script-block": "the parts of a script block put together",
}
"""Every step there is, and what it undoes."""


@dataclass(frozen=True)
class Piece:
    """What one decoder found: a text, the steps it undid, and why it may be incomplete."""

    text: str
    steps: tuple[str, ...]
    limit: str | None = None


@dataclass(frozen=True)
class Variant:
    """A decoded text.

    Args:
        text: the text itself.
        steps: names of :data:`STEPS`, in the order in which they were undone.
        depth: how many times something encoded was found inside what had been decoded before; 1 at least.
        limit: why the text may be incomplete; None if it is whole.
    """

    text: str
    steps: tuple[str, ...]
    depth: int
    limit: str | None = None


@dataclass(frozen=True)
class Decoding:
    """All variants of one text, outer ones first; `limit` says why there may be more, None if there are none."""

    variants: tuple[Variant, ...] = ()
    limit: str | None = None


NOTHING = Decoding()


class Budget:
    """What decoding one text may still cost; counted, never timed, so that the same text gives the same variants."""

    def __init__(self, limits: Limits) -> None:
        self.bytes = limits.decode_output_bytes
        self.tries = limits.decode_tries
        self.hit: str | None = None

    def attempt(self) -> bool:
        """Whether one more candidate may be tried."""
        self.tries -= 1
        if self.tries < 0:
            self.hit = "tries"
        return self.tries >= 0

    def spend(self, size: int) -> bool:
        """Count `size` bytes that came out; False if that was too much."""
        self.bytes -= size
        if self.bytes < 0:
            self.hit = "output"
        return self.bytes >= 0
