"""From pySigma's values to atoms."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from casemate.detect.sigma.atoms import (
    MANY,
    ONE,
    PATTERN_FLAGS,
    SLOW,
    Atom,
    like_expression,
    refused_reason,
    regex_expression,
    regex_flags,
)

LONG_PATTERN = 256
"""Parts and characters of a wildcard pattern beyond which the pattern engine may refuse it."""
MANY_PARTS = 200
"""Parts of a wildcard pattern beyond which the engine would take seconds to compile it."""
SHOWN_PATTERN = 120
"""Characters of a regular expression that a reason shows."""
FLAG_LETTERS = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}


class UncompilableError(ValueError):
    """A rule that cannot be compiled; the text says why in one clause."""


def atom_of(value: SigmaType, *, keyword: bool) -> Atom:
    """The atom that asks a field, or as a `keyword` any field, for one value.

    Raises:
        UncompilableError: there is none.
    """
    if isinstance(value, SigmaTimestampPart):
        return ["clock", value.timestamp_part.name.lower(), value.number]
    if isinstance(value, SigmaNumber):
        return _text_atom([str(value.number)], cased=False, keyword=True) if keyword else ["number", value.number]
    if isinstance(value, SigmaBool):
        return _text_atom([str(value.boolean).lower()], cased=False, keyword=keyword)
    if isinstance(value, SigmaString):
        parts = [_part(part) for part in value.s]
        return _text_atom(parts, cased=isinstance(value, SigmaCasedString), keyword=keyword)
    if isinstance(value, SigmaRegularExpression):
        letters = "".join(sorted(FLAG_LETTERS[flag.name] for flag in value.flags))
        _refuse_regex(str(value.regexp), letters)
        return ["regex", str(value.regexp), letters]
    if isinstance(value, SigmaCIDRExpression):
        return ["network", str(value.network)]
    if isinstance(value, SigmaCompareExpression):
        return ["compare", value.op.name.lower(), value.number.number]
    raise UncompilableError(f"values of the kind {type(value).__name__} are not supported")


@lru_cache(maxsize=10_000)
def _refusal(pattern: str, letters: str) -> str | None:
    return refused_reason(regex_expression(pattern), regex_flags(letters))


def _refuse_regex(pattern: str, letters: str) -> None:
    """One expression that the engine refuses would keep those of all rules from being compiled."""
    reason = _refusal(pattern, letters)
    if reason is not None:
        shown = pattern if len(pattern) <= SHOWN_PATTERN else f"{pattern[:SHOWN_PATTERN]}..."
        raise UncompilableError(f"the regular expression {shown!r} is not supported: {reason}")


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return part
    if part is SpecialChars.WILDCARD_MULTI:
        return MANY
    if part is SpecialChars.WILDCARD_SINGLE:
        return ONE
    raise UncompilableError(f"unknown part of a value: {part!r}")


def _text_atom(parts: list[Any], *, cased: bool, keyword: bool) -> Atom:
    """A text with its wildcards; a keyword stands anywhere in a value."""
    if keyword:
        parts = [MANY, *parts, MANY]
    merged: list[Any] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "" and not (part == MANY and merged and merged[-1] == MANY):
            merged.append(part)
    if merged == [MANY]:
        return ["any"]
    if all(isinstance(part, str) for part in merged):
        return ["cased" if cased else "text", "".join(merged)]
    atom = ["likecased" if cased else "like", merged]
    if len(merged) > MANY_PARTS or (
        sum(map(len, merged)) > LONG_PATTERN
        and refused_reason(like_expression(merged, cased=cased), PATTERN_FLAGS) is not None
    ):
        atom.append(SLOW)
    return atom
