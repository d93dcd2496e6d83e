"""A plain, slow evaluator of Sigma rules, written only for testing.

It walks the condition tree that pySigma itself makes of a rule (identifiers resolved, values linked)
and asks each leaf of one record, a dict of field to text.  It shares nothing with the compiler and the
matcher but the table of log sources and the derived values named there.  Wildcards become Python
regular expressions; regular expressions are Python's with ASCII classes.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.rule import SigmaRule
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
    TimestampPart,
)

from casemate.detect.sigma.derived import DERIVED
from casemate.detect.sigma.logsources import EventSource, sources_for

FIXED = ("evidence", "record", "offset", "length", "time", "time_raw", "flags")


class Record:
    """One record of a native table: its text columns and the keys of ``rest``, found ignoring case."""

    def __init__(self, table: str, row: Mapping[str, Any]) -> None:
        self.table = table
        self.fields: dict[str, str] = {}
        self.all: list[str] = []
        self._values: dict[tuple[str, int], str | None] = {}
        for key, value in json.loads(row.get("rest") or "{}").items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
                self.fields.setdefault(key.lower(), text)
                self.all.append(text)
        self.columns: set[str] = set()
        for key, value in row.items():
            if key in FIXED or key == "rest":
                continue
            self.columns.add(key.lower())
            self.fields.pop(key.lower(), None)
            if isinstance(value, str):
                self.fields[key.lower()] = value
                self.all.append(value)

    def value(self, field: str, source: EventSource) -> str | None:
        """The value a rule's field has in this record."""
        key = (field, id(source))
        if key not in self._values:
            column = source.fields.get(field, source.fields.get(field.lower(), field))
            if column.startswith("="):
                derived = DERIVED[column[1:]]
                self._values[key] = derived.value(*(self.fields.get(name.lower()) for name in derived.columns))
            else:
                self._values[key] = self.fields.get(column.lower())
        return self._values[key]

    def several(self, field: str, value: str, source: EventSource) -> Iterator[str]:
        """The value, and its parts where it holds several."""
        yield value
        if self.table == "windows_event":
            if field.lower() == "data" and "\n" in value:
                yield from value.split("\n")
        elif value.startswith("[") and value.endswith("]"):
            try:
                parts = json.loads(value)
            except ValueError:
                return
            for part in parts:
                if isinstance(part, bool):
                    yield str(part).lower()
                elif isinstance(part, (dict, list)):
                    yield json.dumps(part, separators=(",", ":"), ensure_ascii=False)
                elif part is not None:
                    yield str(part)


def sources_of(rule: SigmaRule, record: Record) -> list[EventSource]:
    """The rule's event sources that the record belongs to."""
    log_source = rule.logsource
    found = []
    for source in _sources(log_source.product, log_source.category, log_source.service):
        if source.table != record.table:
            continue
        fits = True
        for where in source.where:
            value = record.fields.get(where.column.lower())
            fits = fits and (where.absent if value is None else value.lower() in where.values)
        if source.one_of and all(record.fields.get(column.lower()) is None for column in source.one_of):
            fits = False
        if fits:
            found.append(source)
    return found


_sources = lru_cache(10_000)(sources_for)


def matches(rule: SigmaRule, record: Record) -> bool:
    """Whether the rule matches the record."""
    trees = [condition.parsed for condition in rule.detection.parsed_condition]
    return _matches(trees, record, sources_of(rule, record))


def _matches(trees: list[Any], record: Record, sources: list[EventSource]) -> bool:
    return any(
        _holds(tree, record, source)
        for source in sources
        if not (source.strict and _unanswered(trees, source))
        for tree in trees
    )


class Oracle:
    """A rule set, each condition parsed once and each record shown only to rules of its kind."""

    def __init__(self, rules: Mapping[str, SigmaRule]) -> None:
        self._groups: dict[tuple[str | None, ...], list[tuple[str, SigmaRule, list[Any]]]] = {}
        for identity, rule in rules.items():
            source = rule.logsource
            trees = [condition.parsed for condition in rule.detection.parsed_condition]
            key = (source.product, source.category, source.service)
            self._groups.setdefault(key, []).append((identity, rule, trees))

    def matching(self, record: Record) -> set[str]:
        """Ids of the rules that match a record."""
        return {
            identity
            for group in self._groups.values()
            if (sources := sources_of(group[0][1], record))
            for identity, _, trees in group
            if _matches(trees, record, sources)
        }


def _unanswered(trees: list[Any], source: EventSource) -> bool:
    def under_not(node: Any, negated: bool) -> bool:
        if isinstance(node, ConditionNOT):
            return under_not(node.args[0], not negated)
        if isinstance(node, (ConditionAND, ConditionOR)):
            return any(under_not(arg, negated) for arg in node.args)
        if isinstance(node, ConditionFieldEqualsValueExpression):
            return negated and node.field.lower() not in source.recorded
        return False

    return any(under_not(tree, False) for tree in trees)


def _holds(node: Any, record: Record, source: EventSource) -> bool:
    kind = type(node)  # isinstance is slow for these classes
    if kind is ConditionAND:
        return all(_holds(arg, record, source) for arg in node.args)
    if kind is ConditionOR:
        return any(_holds(arg, record, source) for arg in node.args)
    if kind is ConditionNOT:
        return not _holds(node.args[0], record, source)
    if kind is ConditionFieldEqualsValueExpression:
        return _field(node.field, node.value, record, source)
    if kind is ConditionValueExpression:
        return any(_keyword(node.value, value) for value in record.all)
    raise NotImplementedError(type(node).__name__)


def _field(field: str, wanted: Any, record: Record, source: EventSource) -> bool:
    if type(wanted) is SigmaExpansion:
        return any(_field(field, value, record, source) for value in wanted.values)
    value = record.value(field, source)
    if value is not None and type(wanted) is SigmaString:  # nearly all are, and values repeat
        key = (id(wanted), value, record.table, field)
        known = _ANSWERS.get(key)
        if known is None:
            if len(_ANSWERS) > 1_000_000:
                _ANSWERS.clear()
            known = any(_value(wanted, part) for part in record.several(field, value, source))
            _ANSWERS[key] = known
        return known
    if isinstance(wanted, SigmaNull):
        return value is None
    if isinstance(wanted, SigmaExists):
        return (value is not None) == wanted.exists
    if value is None:
        return False
    if isinstance(wanted, SigmaFieldReference):
        other = record.value(wanted.field, source)
        if other is None:
            return False
        left, right = value.lower(), other.lower()
        if wanted.starts_with and wanted.ends_with:
            return right in left
        if wanted.starts_with:
            return left.startswith(right)
        return left.endswith(right) if wanted.ends_with else left == right
    return any(_value(wanted, part) for part in record.several(field, value, source))


def _value(wanted: Any, value: str) -> bool:
    if type(wanted) is SigmaString:
        return _string(wanted, whole=True)[1].search(value.lower()) is not None
    if isinstance(wanted, SigmaTimestampPart):
        return _clock(value, wanted.timestamp_part) == wanted.number
    if isinstance(wanted, SigmaNumber):
        return _number(value) == wanted.number
    if isinstance(wanted, SigmaBool):
        return value.lower() == str(wanted.boolean).lower()
    if isinstance(wanted, SigmaString):
        cased, pattern = _string(wanted, whole=True)
        return pattern.search(value if cased else value.lower()) is not None
    if isinstance(wanted, SigmaRegularExpression):
        flags = re.ASCII
        for flag in wanted.flags:
            flags |= {
                SigmaRegularExpressionFlag.IGNORECASE: re.IGNORECASE,
                SigmaRegularExpressionFlag.MULTILINE: re.MULTILINE,
                SigmaRegularExpressionFlag.DOTALL: re.DOTALL,
            }[flag]
        return _regex(str(wanted.regexp), flags).search(value) is not None
    if isinstance(wanted, SigmaCIDRExpression):
        try:
            return ipaddress.ip_address(value.split("%")[0]) in wanted.network
        except ValueError:
            return False
    if isinstance(wanted, SigmaCompareExpression):
        number = _number(value)
        if number is None:
            return False
        limit = wanted.number.number
        return {
            CompareOperators.LT: number < limit,
            CompareOperators.LTE: number <= limit,
            CompareOperators.GT: number > limit,
            CompareOperators.GTE: number >= limit,
            CompareOperators.NEQ: number != limit,
        }[wanted.op]
    raise NotImplementedError(type(wanted).__name__)


def _keyword(wanted: Any, value: str) -> bool:
    if isinstance(wanted, SigmaExpansion):
        return any(_keyword(inner, value) for inner in wanted.values)
    if isinstance(wanted, (SigmaNumber, SigmaBool)) and not isinstance(wanted, SigmaTimestampPart):
        return str(wanted).lower() in value.lower()
    if isinstance(wanted, SigmaString):
        cased, pattern = _string(wanted, whole=False)
        return pattern.search(value if cased else value.lower()) is not None
    return _value(wanted, value)


_ANSWERS: dict[tuple[int, str, str, str], bool] = {}
_STRINGS: dict[tuple[int, bool], tuple[SigmaString, bool, re.Pattern[str]]] = {}
"""Patterns of the strings seen (kept alive here, so that their ids stay theirs)."""


def _string(wanted: SigmaString, *, whole: bool) -> tuple[bool, re.Pattern[str]]:
    """Whether case counts, and the pattern to search for."""
    key = (id(wanted), whole)
    if key not in _STRINGS:
        cased = isinstance(wanted, SigmaCasedString)
        _STRINGS[key] = (wanted, cased, re.compile(_expression(wanted, cased, whole), re.DOTALL))
    return _STRINGS[key][1:]


def _expression(wanted: SigmaString, cased: bool, whole: bool) -> str:
    parts = list(wanted.s)
    begin, end = (r"\A", r"\Z") if whole else ("", "")
    while parts and parts[0] is SpecialChars.WILDCARD_MULTI:  # what ".*" would try letter by letter
        begin = ""
        del parts[0]
    while parts and parts[-1] is SpecialChars.WILDCARD_MULTI:
        end = ""
        del parts[-1]
    written = []
    for part in parts:
        if part is SpecialChars.WILDCARD_MULTI:
            written.append(".*")
        elif part is SpecialChars.WILDCARD_SINGLE:
            written.append(".")
        else:
            assert isinstance(part, str)
            written.append(re.escape(part if cased else part.lower()))
    return begin + "".join(written) + end


@lru_cache(10_000)
def _regex(expression: str, flags: int) -> re.Pattern[str]:
    return re.compile(expression, flags)


def _number(value: str) -> float | int | None:
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", value) or len(value) > 400:
        return None
    return float(value) if "." in value else int(value)


def _clock(value: str, part: TimestampPart) -> int | None:
    moment = None
    text = (
        re.sub(r"[.,][0-9]+", "", value.strip().replace("T", " ", 1)).replace("Z", "+00:00").replace(" UTC", "+00:00")
    )
    for form in ("%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M%z", "%Y-%m-%d %H:%M"):
        try:
            moment = datetime.strptime(text, form)
            break
        except ValueError:
            continue
    if moment is None:
        number = _number(value)
        if number is None or not 1e8 <= number < 1e11:
            return None
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(number))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if part is TimestampPart.WEEK:
        return moment.isocalendar()[1]
    return int(getattr(moment, part.name.lower()))
