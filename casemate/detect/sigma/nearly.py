"""What nearly ruled a match out: the parts of a rule's exclusions and of its filters of which all but one held.

The rule is compiled again, alone with the filters that fit it, and asked about the one record, so that what is
told is what the matcher would have done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from casemate.detect.sigma.atoms import pattern_text
from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.compiled import KEYWORDS, Node
from casemate.detect.sigma.evaluation import refers
from casemate.detect.sigma.filters import PREFIX, apply_filters, fits
from casemate.detect.sigma.load import LoadedRule, RuleSet, parse_rule_files
from casemate.detect.sigma.match import BatchMatches, TableMatcher
from casemate.detect.sigma.rule_files import RuleFile

PATTERNS = 5
"""Most patterns named of the part that did not hold."""
MOST = 20
"""Most near misses told of one record."""


@dataclass(frozen=True)
class Part:
    """One test of a rule: the field, what it would have to be, and what the record has (None: nothing)."""

    field: str
    wanted: tuple[str, ...]
    value: str | None
    more: int = 0


@dataclass(frozen=True)
class NearMiss:
    """An exclusion that did not hold by one part.

    Args:
        name: of the selection, as the rule or filter writes it.
        filter: title of the filter it belongs to; None for the rule's own.
        held, missing: its parts that held, and the one that did not.
    """

    name: str
    filter: str | None
    held: tuple[Part, ...]
    missing: Part


def near_misses(
    files: Sequence[RuleFile],
    rule_id: str,
    table: str,
    record: pa.RecordBatch,
    placeholders: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[NearMiss, ...]:
    """Exclusions of a rule that would have taken this record out had one more part of them held.

    Args:
        files: the rule's file, and those of filters.
        rule_id: of the rule; with any other id, or files that cannot be read, nothing is found.
        table: native table of the record.
        record: the one row as stored.
        placeholders: values of ``%name%``.
    """
    rule_set = parse_rule_files(files)
    rule = next((one for one in rule_set.rules if one.id == rule_id), None)
    if rule is None:
        return ()
    fitting = tuple(one for one in rule_set.filters if fits(one, rule))
    filtered = apply_filters(replace_rules(rule_set, rule, fitting)).rules
    compiled = compile_rules(filtered, placeholders=placeholders or {})
    if table not in compiled.tables:
        return ()
    matcher = TableMatcher(compiled, table)
    found = matcher.match(record)
    misses: dict[tuple[str, str | None], NearMiss] = {}
    for match in found.matches:
        seen = _Seen(found, matcher)
        for name, node in _exclusions(matcher.condition(match.plan), excluded=False):
            missing, held = seen.closest(node)
            if len(missing) == 1 and held:
                shown, title = _named(name, fitting)
                misses.setdefault((shown, title), NearMiss(shown, title, tuple(held), missing[0]))
    return tuple(list(misses.values())[:MOST])


def replace_rules(rule_set: RuleSet, rule: LoadedRule, filters: tuple[LoadedRule, ...]) -> RuleSet:
    """The rule set with that rule and those filters alone."""
    return replace(rule_set, rules=(rule,), correlations=(), filters=filters)


def _named(name: str, filters: Sequence[LoadedRule]) -> tuple[str, str | None]:
    """A selection's own name, and the title of the filter it came from."""
    for number, one in enumerate(filters):
        prefix = PREFIX.format(number)
        if name.startswith(prefix):
            return name[len(prefix) :], one.title
    return name, None


def _exclusions(node: Node, *, excluded: bool) -> Iterator[tuple[str, Node]]:
    """Selections that a record must not fulfil, with their conditions."""
    kind = node[0]
    if kind in ("and", "or"):
        for part in node[1]:
            yield from _exclusions(part, excluded=excluded)
    elif kind == "not":
        yield from _exclusions(node[1], excluded=not excluded)
    elif kind == "selection" and excluded:
        yield node[1], node[2]


class _Seen:
    """Asks which parts of a condition hold for the one row of a batch."""

    def __init__(self, found: BatchMatches, matcher: TableMatcher) -> None:
        self._found = found
        self._matcher = matcher

    def closest(self, node: Node) -> tuple[list[Part], list[Part]]:
        """The fewest parts that lack for the node to hold, and those beside them that hold."""
        kind = node[0]
        if kind == "and":
            sides = [self.closest(part) for part in node[1]]
            return [one for missing, _ in sides for one in missing], [one for _, held in sides for one in held]
        if kind == "or":
            return min((self.closest(part) for part in node[1]), key=lambda side: (len(side[0]), -len(side[1])))
        if kind == "selection":
            return self.closest(node[2])
        if kind == "not":
            missing, held = self.closest(node[1])
            shown = [Part(f"not {part.field}", part.wanted, part.value, part.more) for part in (held or missing)[:1]]
            return (shown, []) if not missing else ([], shown)
        part, holds = self._leaf(node)
        return ([], [part]) if holds else ([part], [])

    def _leaf(self, node: Node) -> tuple[Part, bool]:
        kind = node[0]
        if kind == "keyword":
            keywords = self._found.keywords
            holds = keywords is not None and bool(keywords.places(frozenset(node[1]), 0))
            return self._part("any field", KEYWORDS, node[1], None), holds
        value = self._value(node[2])
        if kind == "field":
            hits = self._found.hits.get(node[2])
            code = None if hits is None or hits.column is None else int(hits.column.codes[0])
            held = set(node[3]).intersection(hits.atoms.get(code, ())) if hits is not None and code is not None else ()
            return self._part(node[1], node[2], sorted(held) or node[3], value), bool(held)
        if kind == "null":
            return Part(node[1], ("null",), value), value is None
        if kind == "exists":
            return Part(node[1], ("there",), value), value is not None
        return Part(node[1], (f"{node[5]} field {node[3]}",), value), refers(value, self._value(node[4]), node[5])

    def _part(self, field: str, column: str, atoms: Sequence[int], value: str | None) -> Part:
        known = self._matcher.atoms.get(column, {})
        texts = tuple(_text(known[atom]) for atom in atoms[:PATTERNS] if atom in known)
        return Part(field, texts, value, max(len(atoms) - PATTERNS, 0))

    def _value(self, column: str) -> str | None:
        found = self._found.columns.get(column)
        return None if found is None else found.text(0)


def _text(atom: list) -> str:
    return {"regex": "re: ", "network": "cidr: "}.get(atom[0], "") + pattern_text(atom)
