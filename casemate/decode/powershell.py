"""Constant strings of PowerShell put together as its parser would, without running anything.

``'Down'+'load'``, ``"{1}{0}" -f 'x','ie'``, ``'aZb'.Replace('Z','-')`` and ``-replace``, ``-join('a','b')``,
``'xei'[-1..-3] -join ''``, ``[char]105``, backticks inside words, ``&('iex')``.  The operators are those of
about_Operators and about_Join; only strings without variables take part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from casemate.decode.model import Budget, Piece
from casemate.decode.signs import Decoder

PASSES = 12
"""How often operators are applied to what came out of them."""
LONGEST_OPERATOR = 80
"""Characters between two strings, beyond which no operator is looked for."""

BACKTICK = re.compile(r"(?<=[A-Za-z.\-])`(?=[A-Za-z.\-])")
SPECIAL_TICK = frozenset("0abfnrtv")
"""Lower-case letters that a backtick makes a control character of."""
CHARACTER = re.compile(
    r"\(?\s{0,4}\[char\]\s{0,4}(?:\(\s{0,4})?(0x[0-9a-f]{1,4}|\d{1,5})(?![0-9a-z])(?!\s{0,4}[*/%])(?:\s{0,4}\))?(?:\s{0,4}\))?",
    re.IGNORECASE,
)
ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
QUOTE = re.compile("['\"\u2018\u2019\u201c\u201d]")
QUOTES = {"'": "'", '"': '"', "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}

CONCAT = re.compile(r"\s*\+\s*")
COMMA = re.compile(r"\s*,\s*")
FORMAT = re.compile(r"\s*(\)*)\s*-f\s*(\(*)\s*", re.IGNORECASE)
REPLACE = re.compile(r"\s*(\)*)\s*(?:-[ci]?replace\s*(\(?)|\.\s*replace\s*(\())\s*", re.IGNORECASE)
JOIN_BEFORE = re.compile(r"-join\s*\(?\s*\Z", re.IGNORECASE)
JOIN_AFTER = re.compile(r"\s*(\)*)\s*-join\s*", re.IGNORECASE)
BACKWARDS = re.compile(r"\s*(\)*)\s*\[\s*-\s*1\s*\.\.[^\]]{1,60}\]", re.IGNORECASE)
PLACE = re.compile(r"\{\s*(\d{1,4})\s*(?:[,:][^{}]{0,20})?\}")
OPEN, CLOSE = re.compile(r"(?<![\w\]'\"])\(\s*\Z"), re.compile(r"\s*\)")
REGEX_MARKS = frozenset("\\.^$*+?()[]{}|")
NAME = r"(?:\(\s{0,4}(['\"])([\w.-]{2,80})\1\s{0,4}\)|(['\"])([\w.-]{2,80})\3)"
CALLED = re.compile(r"(?:(?<=^)|(?<=[\s;|({=]))[&.]\s{0,4}" + NAME)
MEMBER = re.compile(r"(?<=[\w)\]'\"])(?:\.|::)\s{0,4}" + NAME)
CLASS = re.compile(r"(?<=new-object)\s{1,4}" + NAME, re.IGNORECASE)
LEAST_BACKWARDS = 6
TELLING = re.compile(
    r"invoke|https?:|object|power|shell|\bcmd|\.exe|\biex\b|net\.|system|download|string|char|import|bash|/bin/|curl|\$\w",
    re.IGNORECASE,
)
"""What a string that was written backwards says in its right order; all others are left alone."""


@dataclass
class _Literal:
    """A constant string; `before` is the text between it and the one before."""

    before: str
    value: str
    quote: str


def powershell_strings(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The text with its constant expressions put together; nothing if there are none."""
    steps: list[str] = []
    changed = text
    if BACKTICK.search(changed):
        changed = BACKTICK.sub(lambda match: "`" if changed[match.end()] in SPECIAL_TICK else "", changed)
        if changed != text:
            steps.append("backticks")
    if budget.attempt():
        folded = _fold(changed, budget)
        if folded != changed:
            steps.append("strings")
            changed = folded
    if steps and budget.spend(len(changed)):
        yield Piece(changed, tuple(steps))


def reversed_strings(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """Constant strings written backwards, where something in the text says that it turns one round."""
    for literal in _literals(text)[0]:
        if len(literal.value) >= LEAST_BACKWARDS and TELLING.search(literal.value[::-1]):
            if not (budget.attempt() and budget.spend(len(literal.value))):
                return
            yield Piece(literal.value[::-1], ("reversed",))


def _fold(text: str, budget: Budget) -> str:
    spelled = CHARACTER.sub(_character, text)
    literals, rest = _literals(spelled)
    before = len(literals), spelled != text
    for _ in range(PASSES):
        size = len(literals), len(rest), sum(len(one.before) for one in literals)
        literals, rest = _pass(literals, rest, budget)
        if budget.bytes < 0 or (len(literals), len(rest), sum(len(one.before) for one in literals)) == size:
            break
    if before[1] or len(literals) != before[0]:
        spelled = "".join(f"{one.before}{one.quote}{one.value}{one.quote}" for one in literals) + rest
    for pattern, between in ((CALLED, ""), (MEMBER, None), (CLASS, " ")):
        spelled = pattern.sub(partial(_bare, between), spelled)
    return spelled


def _bare(between: str | None, match: re.Match[str]) -> str:
    """A name in quotes as it is written without; what binds a member to its object stays."""
    binding = match[0][: 2 if match[0][0] == ":" else 1] if between is None else between
    return binding + (match[2] or match[4])


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 0) if match[1][:2].lower() == "0x" else int(match[1])
    if not 9 <= code < 0xD800:
        return match[0]
    opened, closed = match[0].count("("), match[0].count(")")
    value = chr(code)
    quote = '"' if value == "'" else "'"
    return "(" * max(0, opened - closed) + f"{quote}{value}{quote}" + ")" * max(0, closed - opened)


def _literals(text: str) -> tuple[list[_Literal], str]:
    """The constant strings of a text, and what follows the last; an unclosed one ends the search."""
    found: list[_Literal] = []
    begin = place = 0
    while (match := QUOTE.search(text, place)) is not None:
        kind = QUOTES[match[0]]
        scan = SINGLE if kind == "'" else DOUBLE
        body = scan.match(text, match.end())
        if body is None:
            break
        found.append(_Literal(text[begin : match.start()], _value(body[1], kind), kind))
        begin = place = body.end()
    return found, text[begin:]


# possessive repetitions: an unclosed string is found out in one go
SINGLE = re.compile("((?:[^'\u2018\u2019]|'')*+)['\u2018\u2019]", re.DOTALL)
DOUBLE = re.compile('((?:[^"`\u201c\u201d]|`.|"")*+)["\u201c\u201d]', re.DOTALL)


def _value(body: str, kind: str) -> str:
    if kind == "'":
        return body.replace("''", "'")
    if "`" in body:
        body = re.sub("`(.)", lambda match: ESCAPES.get(match[1], match[1]), body, flags=re.DOTALL)
    return body.replace('""', '"')


def _pass(literals: list[_Literal], rest: str, budget: Budget) -> tuple[list[_Literal], str]:
    """Apply operators once, from left to right."""
    made: list[_Literal] = []
    after = [*(one.before for one in literals[1:]), rest]  # the text behind each literal
    place = looked_at = 0  # a list that nothing joins is looked at once
    while place < len(literals):
        one = literals[place]
        behind = after[place]
        taken = 0
        if (match := BACKWARDS.match(behind[:LONGEST_OPERATOR])) is not None:
            one, behind = _without_parens(one, match[1]), behind[match.end() :]
            one = _Literal(one.before, one.value[::-1], one.quote)
        elif place + 1 < len(literals) and len(behind) <= LONGEST_OPERATOR:
            following = literals[place + 1]
            if CONCAT.fullmatch(behind):
                taken = _listed(after, literals, place + 1, CONCAT)
                whole = "".join(literals[place + number].value for number in range(taken + 1))
                one = _Literal(one.before, whole, one.quote)
            elif (match := FORMAT.fullmatch(behind)) and PLACE.search(one.value):
                taken = _listed(after, literals, place + 1)
                values = [literals[place + number].value for number in range(1, taken + 1)]
                filled = _filled(one.value, values, budget)
                if filled is None:
                    taken = 0
                else:
                    one = _Literal(_without_parens(one, match[1]).before, filled, one.quote)
                    after[place + taken] = _closed(after[place + taken], len(match[2]))
            elif match := REPLACE.fullmatch(behind):
                two = place + 2 < len(literals) and COMMA.fullmatch(after[place + 1]) is not None
                new = literals[place + 2].value if two else ""
                replaced = _replaced(one.value, following.value, new, budget, plain=match[3] is not None)
                if replaced is not None:
                    taken = 1 + two
                    one = _Literal(_without_parens(one, match[1]).before, replaced, one.quote)
                    after[place + taken] = _closed(after[place + taken], len(match[2] or match[3] or ""))
            elif (match := JOIN_AFTER.fullmatch(behind)) is not None and not following.value:
                one, taken = _without_parens(one, match[1]), 1
            elif place >= looked_at and COMMA.fullmatch(behind):
                more = _listed(after, literals, place + 1)
                one, taken = _joined(one, literals, after, place, more)
                looked_at = place + more if not taken else 0
        if taken:
            behind = after[place + taken]
        if OPEN.search(one.before) and (match := CLOSE.match(behind)):
            one, behind = _Literal(OPEN.sub("", one.before), one.value, one.quote), behind[match.end() :]
        made.append(one)
        place += 1 + taken
        if place < len(literals):
            literals[place] = _Literal(behind, literals[place].value, literals[place].quote)
        else:
            rest = behind
    return made, rest


def _listed(after: list[str], literals: list[_Literal], place: int, between: re.Pattern[str] = COMMA) -> int:
    """How many literals from `place` on stand with nothing but commas (or another operator) between them."""
    count = 1
    while place + count < len(literals) and between.fullmatch(after[place + count - 1]):
        count += 1
    return count


def _joined(one: _Literal, literals: list[_Literal], after: list[str], place: int, more: int) -> tuple[_Literal, int]:
    """A literal and `more` after it joined by an operator before or behind them; unchanged if there is none."""
    values = [literals[place + number].value for number in range(more + 1)]
    tail = one.before[-LONGEST_OPERATOR:]
    if match := JOIN_BEFORE.search(tail):
        opened = match[0].count("(")
        after[place + more] = _closed(after[place + more], opened)
        before = one.before[: len(one.before) - len(tail) + match.start()]
        return _Literal(before, "".join(values), one.quote), more
    last = place + more
    near = last + 1 < len(literals) and len(after[last]) <= LONGEST_OPERATOR
    match = JOIN_AFTER.fullmatch(after[last]) if near else None
    if match is not None:
        without = _without_parens(one, match[1])
        return _Literal(without.before, literals[last + 1].value.join(values), one.quote), more + 1
    return one, 0


def _filled(form: str, values: list[str], budget: Budget) -> str | None:
    if budget.bytes < len(form):
        return None
    size = len(form) + sum(len(values[int(number)]) for number in PLACE.findall(form) if int(number) < len(values))
    if not budget.spend(size):
        return None
    return PLACE.sub(lambda match: values[int(match[1])] if int(match[1]) < len(values) else match[0], form)


def _replaced(value: str, old: str, new: str, budget: Budget, *, plain: bool) -> str | None:
    if not plain:
        bare = re.sub(r"\\(.)", r"\1", old)
        if REGEX_MARKS & set(old.replace("\\" + bare[:1], "", 1) if len(bare) == 1 else old):
            return None  # a pattern, not a text
        old = bare
    if not old or not budget.spend(len(value) + value.count(old) * len(new)):
        return None
    return value.replace(old, new)


def _without_parens(one: _Literal, closing: str) -> _Literal:
    """The literal without as many brackets before it as were closed behind it."""
    before = one.before
    for _ in closing:
        stripped = before.rstrip()
        if stripped.endswith("("):
            before = stripped[:-1]
    return _Literal(before, one.value, one.quote)


def _closed(text: str, count: int) -> str:
    for _ in range(count):
        match = CLOSE.match(text)
        text = text if match is None else text[match.end() :]
    return text


STRINGS: tuple[Decoder, ...] = (
    Decoder(
        powershell_strings,
        (
            r"['\"]\s*\)*\s*\+\s*\(*\s*['\"\[]"
            r"|['\"]\s*\)*\s*-f\s*\(*\s*['\"]"
            r"|\[char\]\s*\(?\s*(?:0x|\d)"
            r"|['\"\d]\s*\)*\s*-[ci]?replace"
            r"|['\"]\s*\)*\s*\.\s*['\"]?replace['\"]?\s*\("
            r"|-join\s*\(?\s*['\"]|['\"]\s*\)*\s*-join"
            r"|['\"]\s*\)*\s*\[\s*-\s*1\s*\.\."
            r"|(?:&|\.|::)\s*\(?\s*['\"][a-z0-9.-]+['\"]"
            r"|[a-z.-]`[a-z.-]",
        ),
    ),
    Decoder(
        reversed_strings,
        (r"\[array\]::reverse|righttoleft|\[\s*-\s*1\s*\.\.|\|\s*rev\b|\[::-1\]|reverse\(\)|strreverse",),
    ),
)
