"""Atoms: the smallest questions a rule asks about one value, and how they are answered at speed.

An atom is a plain list (it is cached as JSON): its kind, then its arguments.

=========  ==========================  =======================================================
kind       arguments                   holds for a value when
=========  ==========================  =======================================================
any        -                           it is there (a pattern of nothing but ``*``)
text       text                        equal, ignoring case
cased      text                        equal
like       parts                       the wildcard pattern fits the whole value, ignoring case
likecased  parts                       the wildcard pattern fits the whole value
regex      pattern, flags              the regular expression is found in it
number     number                      it is that number
compare    operator, number            it is a number for which ``value operator number`` holds
network    CIDR                        it is an address inside the network
clock      part, number                it is a time (UTC) whose part is that number
=========  ==========================  =======================================================

``parts`` is a list of texts and the marks ``[0]`` (``*``: any characters, none included) and ``[1]``
(``?``: exactly one character).  Ignoring case means: both sides in Python's ``str.lower``.

Distinct values are asked once: equal text through a dictionary, wildcards and regular expressions
through Hyperscan databases, the rest by a function each.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import hyperscan
import orjson

Atom = list[Any]

MANY = [0]
"""The part of a wildcard pattern that stands for any characters."""
ONE = [1]
"""The part of a wildcard pattern that stands for one character."""
SLOW = "slow"
"""Third item of ``like`` and ``likecased`` whose pattern the engine refuses (too long): a function answers."""

PATTERN_FLAGS = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
REGEX_FLAGS = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_UTF8
REGEX_LETTERS = {
    "i": hyperscan.HS_FLAG_CASELESS,
    "m": hyperscan.HS_FLAG_MULTILINE,
    "s": hyperscan.HS_FLAG_DOTALL,
}
_LITERAL = tuple(
    bytes([byte]) if chr(byte).isascii() and (chr(byte).isalnum() or byte == 0x20) else b"\\x%02x" % byte
    for byte in range(256)
)
"""Each byte as it stands for itself in an expression."""
_ONE_CHARACTER = rb"(?:[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*)"
_NUMBER = re.compile(r"[+-]?\d{1,300}(?:\.\d{1,300})?", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?\s*(?:Z|UTC|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REMEMBERED_LENGTH = 2048
"""Longest value that the cache of distinct values keeps."""


# --- patterns -----------------------------------------------------------------------------------


def pattern_text(atom: Atom) -> str:
    """The atom as a person reads it."""
    kind = atom[0]
    if kind in ("like", "likecased"):
        return "".join(
            part.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
            if isinstance(part, str) and ("*" in part or "?" in part)
            else part
            if isinstance(part, str)
            else "*"
            if part == MANY
            else "?"
            for part in atom[1]
        )
    if kind == "any":
        return "*"
    return " ".join(str(part) for part in atom[1:] if part != "")


def like_expression(parts: Sequence[Any], *, cased: bool) -> bytes:
    """A wildcard pattern as a Hyperscan expression over UTF-8 bytes (flags: :data:`PATTERN_FLAGS`)."""
    expression = [b"" if parts and parts[0] == MANY else b"^"]
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if part == MANY:
            expression.append(b"" if index in (0, last) else b".*")
        elif part == ONE:
            expression.append(_ONE_CHARACTER)
        else:
            text = (part if cased else part.lower()).encode("utf-8", "replace")
            expression.append(b"".join(map(_LITERAL.__getitem__, text)))
    if not parts or parts[-1] != MANY:
        expression.append(rb"\z")
    return b"".join(expression)


def like_matches(parts: Sequence[Any], value: str, *, cased: bool) -> bool:
    """Whether a wildcard pattern fits the whole of a value; linear in each part, no regex involved."""
    if not cased:
        value = value.lower()
    groups: list[list[Any]] = [[]]
    for part in parts:
        if part == MANY:
            groups.append([])
        elif part == ONE:
            groups[-1].append(None)
        else:
            groups[-1].extend(part if cased else part.lower())
    if len(groups) == 1:
        return len(value) == len(groups[0]) and _fits(groups[0], value, 0)
    first, last = groups[0], groups[-1]
    if len(value) < len(first) + len(last) or not _fits(first, value, 0):
        return False
    end = len(value) - len(last)
    if not _fits(last, value, end):
        return False
    position = len(first)
    for group in groups[1:-1]:
        while position + len(group) <= end and not _fits(group, value, position):
            position += 1
        if position + len(group) > end:
            return False
        position += len(group)
    return True


def _fits(group: Sequence[Any], value: str, position: int) -> bool:
    return all(character is None or character == value[position + index] for index, character in enumerate(group))


def regex_expression(pattern: str) -> bytes:
    """A regular expression for Hyperscan; only ``\\Z`` means something else there than in Python."""
    return re.sub(r"((?:^|[^\\])(?:\\\\)*)\\Z", r"\1\\z", pattern).encode("utf-8", "replace")


def regex_flags(letters: str) -> int:
    """Hyperscan flags of a regular expression with Sigma's flags `letters` (of "ims")."""
    flags = REGEX_FLAGS
    for letter in letters:
        flags |= REGEX_LETTERS[letter]
    return flags


# --- values that are asked by a function ---------------------------------------------------------


def as_number(value: str) -> float | int | None:
    """A value in plain decimal notation as a number."""
    if not value or len(value) > 400 or not _NUMBER.fullmatch(value):
        return None
    return float(value) if "." in value else int(value)


def as_clock(value: str) -> datetime | None:
    """A value that is a time, in UTC: ISO 8601 (no zone is UTC), or seconds since 1970."""
    match = _TIME.match(value)
    try:
        if match:
            year, month, day, hour, minute = (int(match[group]) for group in range(1, 6))
            moment = datetime(year, month, day, hour, minute, min(int(match[6] or 0), 59), tzinfo=UTC)
            if match[7]:
                shift = timedelta(hours=int(match[8]), minutes=int(match[9]))
                moment = moment - shift if match[7] == "+" else moment + shift
            return moment
        number = as_number(value)
        if number is not None and 1e8 <= number < 1e11:
            return _EPOCH + timedelta(seconds=float(number))
    except (ValueError, OverflowError):
        pass
    return None


def clock_part(moment: datetime, part: str) -> int:
    """``minute, hour, day, week`` (ISO week), ``month`` or ``year`` of a time."""
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))


COMPARE: dict[str, Callable[[float, float], bool]] = {
    "lt": lambda value, limit: value < limit,
    "lte": lambda value, limit: value <= limit,
    "gt": lambda value, limit: value > limit,
    "gte": lambda value, limit: value >= limit,
    "neq": lambda value, limit: value != limit,
}


@functools.lru_cache(maxsize=4096)
def as_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a value is (a zone is left out), remembered: many networks ask about one value."""
    if not 2 <= len(value) <= 64 or not ("." in value or ":" in value):
        return None
    try:
        return ipaddress.ip_address(value.split("%", 1)[0])
    except ValueError:
        return None


def function_of(atom: Atom) -> Callable[[str], bool]:
    """The question of a ``number, compare, network`` or ``clock`` atom as a function of the value."""
    kind = atom[0]
    if kind == "number":
        wanted = atom[1]
        return lambda value: as_number(value) == wanted
    if kind == "compare":
        compare, limit = COMPARE[atom[1]], atom[2]
        return lambda value: (number := as_number(value)) is not None and compare(number, limit)
    if kind == "network":
        network = ipaddress.ip_network(atom[1])

        def inside(value: str) -> bool:
            address = as_address(value)
            return address is not None and address in network

        return inside
    if kind == "clock":
        part, number = atom[1], atom[2]
        return lambda value: (moment := as_clock(value)) is not None and clock_part(moment, part) == number
    if kind in ("like", "likecased"):
        parts, cased = atom[1], kind == "likecased"
        return lambda value: like_matches(parts, value, cased=cased)
    raise ValueError(f"no function for {kind}")


# --- compiling and asking ------------------------------------------------------------------------


def compile_patterns(expressions: Sequence[bytes], ids: Sequence[int], flags: Sequence[int]) -> hyperscan.Database:
    """One Hyperscan block database.

    Raises:
        hyperscan.error: an expression is not supported; see :func:`refused_reason`.
    """
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=list(expressions), ids=list(ids), flags=list(flags))
    return database


def refused_reason(expression: bytes, flags: int) -> str | None:
    """Why Hyperscan does not take an expression, or None if it does."""
    try:
        compile_patterns([expression], [0], [flags])
    except hyperscan.error as error:
        return " ".join(str(error).split()) or "refused"
    return None


class ColumnMatcher:
    """All atoms about one column.

    Args:
        atoms: atom id -> atom.
        lists: how several values may stand in one text, which are then asked one by one too:
            ``json`` (a JSON array), ``lines``, or None.
        databases: serialized Hyperscan databases of an earlier :meth:`databases`, by name; compiled
            from the atoms when None.
        remember: how many distinct values are kept with their answers.
    """

    def __init__(
        self,
        atoms: dict[int, Atom],
        *,
        lists: str | None = None,
        databases: dict[str, bytes] | None = None,
        remember: int = 20_000,
    ) -> None:
        self.lists = lists
        self._remember = remember
        self._cache: dict[str, tuple[int, ...]] = {}
        self._always = tuple(number for number, atom in atoms.items() if atom[0] == "any")
        self._equal: dict[str, list[int]] = {}
        self._equal_cased: dict[str, list[int]] = {}
        self._functions: list[tuple[int, Callable[[str], bool]]] = []
        patterns: dict[str, list[tuple[int, Atom]]] = {"lowered": [], "cased": [], "regex": []}
        for number, atom in atoms.items():
            kind = atom[0]
            if kind == "text":
                self._equal.setdefault(atom[1].lower(), []).append(number)
            elif kind == "cased":
                self._equal_cased.setdefault(atom[1], []).append(number)
            elif kind == "like" and atom[-1] != SLOW:
                patterns["lowered"].append((number, atom))
            elif kind == "likecased" and atom[-1] != SLOW:
                patterns["cased"].append((number, atom))
            elif kind == "regex":
                patterns["regex"].append((number, atom))
            elif kind != "any":
                self._functions.append((number, function_of(atom)))
        self._databases: dict[str, hyperscan.Database] = {}
        for name, found in patterns.items():
            if found:
                # writing the expressions of a whole rule set takes longer than loading its databases
                self._databases[name] = _compiled(found) if databases is None else _load(databases[name])
        self._lowered = self._databases.get("lowered")
        self._cased = self._databases.get("cased")
        self._regex = self._databases.get("regex")

    def databases(self) -> dict[str, bytes]:
        """The compiled databases, serialized, by name."""
        return {name: hyperscan.dumpb(database) for name, database in self._databases.items()}

    def hits(self, value: str) -> tuple[int, ...]:
        """Ids of the atoms that hold for a value, each once, sorted."""
        found = self._cache.get(value)
        if found is None:
            several = (self.lists == "json" and value[:1] == "[") or (self.lists == "lines" and "\n" in value)
            found = self._ask_all(value) if several else self._ask(value)
            if len(value) <= REMEMBERED_LENGTH:
                if len(self._cache) >= self._remember:
                    self._cache.clear()
                self._cache[value] = found
        return found

    def _ask_all(self, value: str) -> tuple[int, ...]:
        found = set(self._ask(value))
        for element in elements_of(value) if self.lists == "json" else value.split("\n"):
            found.update(self._ask(element))
        return tuple(sorted(found))

    def _ask(self, value: str) -> tuple[int, ...]:
        found: list[int] = list(self._always)

        def hit(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.append(number)

        lowered = value.lower()
        if self._equal:
            found.extend(self._equal.get(lowered, ()))
        if self._lowered is not None:
            self._lowered.scan(lowered.encode("utf-8", "replace"), match_event_handler=hit)
        if self._equal_cased:
            found.extend(self._equal_cased.get(value, ()))
        if self._cased is not None:
            self._cased.scan(value.encode("utf-8", "replace"), match_event_handler=hit)
        if self._regex is not None:
            self._regex.scan(value.encode("utf-8", "replace"), match_event_handler=hit)
        for number, holds in self._functions:
            if holds(value):
                found.append(number)
        return tuple(sorted(found)) if len(found) > 1 else tuple(found)


def _compiled(patterns: Sequence[tuple[int, Atom]]) -> hyperscan.Database:
    expressions, flags = [], []
    for _, atom in patterns:
        if atom[0] == "regex":
            expressions.append(regex_expression(atom[1]))
            flags.append(regex_flags(atom[2]))
        else:
            expressions.append(like_expression(atom[1], cased=atom[0] == "likecased"))
            flags.append(PATTERN_FLAGS)
    return compile_patterns(expressions, [number for number, _ in patterns], flags)


def elements_of(value: str) -> Iterable[str]:
    """The elements of a value that is a JSON array, as text; none if it is not."""
    if not (value.startswith("[") and value.endswith("]")):
        return
    try:
        elements = orjson.loads(value)
    except orjson.JSONDecodeError:
        return
    for element in elements:
        if element is None:
            continue
        if isinstance(element, str):
            yield element
        elif isinstance(element, bool):
            yield "true" if element else "false"
        elif isinstance(element, (dict, list)):
            yield orjson.dumps(element).decode()
        else:
            yield str(element)


def _load(serialized: bytes) -> hyperscan.Database:
    database = hyperscan.loadb(serialized, mode=hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database
