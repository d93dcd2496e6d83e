"""Compiled rules: plain values that go to JSON and back, needed by the matcher without pySigma.

The condition of a rule on one event source is a tree of lists, its nodes:

* ``["and", [node, ...]]``, ``["or", [node, ...]]``, ``["not", node]``
* ``["selection", name, node]``: a named part of the rule's detection
* ``["field", field, column, [atom, ...]]``: the column's value fits one of the atoms
* ``["null", field, column]``: the column is absent
* ``["exists", field, column]``: the column is there
* ``["reference", field, column, other field, other column, form]``: equal to (``equals``), or
  beginning with, ending with, containing the other column's value, ignoring case
* ``["keyword", [atom, ...]]``: any field's value fits one of the atoms
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from casemate.detect.sigma.atoms import Atom

Node = list[Any]
KEYWORDS = "*"
"""The name under which the atoms of keywords stand among the columns of a table."""
SUPPRESSED_SUFFIX = "#suppressed"
"""Ends the id of the rule that finds what filters took out of a rule."""
FORMAT = 1
"""Raised whenever the stored form changes."""


@dataclass(frozen=True)
class CompiledRule:
    """What a finding needs to know of its rule.

    Args:
        id, title, path: see :class:`casemate.detect.sigma.load.LoadedRule`.
        version: the rule's ``modified`` date, else its ``date``, else the beginning of its hash.
        severity: Sigma's level; ``informational`` where the rule has none.
        techniques, tactics: from its tags, sorted.
        confidence: from its status and level.
        finding: whether a match is a finding (not so for a rule that only feeds correlations).
        log_source: ``product/category/service`` as written, for lists of what could not run.
    """

    id: str
    title: str
    path: str
    hash: str
    version: str
    severity: str
    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    confidence: str
    finding: bool
    log_source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A rule that will not run, or not on everything it was written for, and why."""

    id: str | None
    title: str | None
    path: str
    reason: str


@dataclass(frozen=True)
class CompiledSource:
    """An event source as the matcher needs it: see :class:`casemate.detect.sigma.logsources.EventSource`."""

    name: str
    where: tuple[tuple[str, tuple[str, ...], bool], ...]
    one_of: tuple[str, ...]
    fields: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """One rule on one event source.

    Args:
        rule: position in :attr:`CompiledRules.rules`.
        source: position in :attr:`TablePlans.sources`.
        needed: atoms of which one must hold for some value, or the condition cannot; None if there
            are no such atoms.
        condition: the tree described above, as JSON text: most conditions are never looked at.
        unanswered: fields the rule rules things out by that these events do not hold.
    """

    rule: int
    source: int
    needed: tuple[int, ...] | None
    condition: str
    unanswered: tuple[str, ...] = ()


@dataclass
class TablePlans:
    """All plans on one native table.

    Args:
        sources: event sources; `asks` gives for each the columns (lower case) its plans ask atoms of.
        plans: rules on event sources.
        atoms: column (lower case) -> atom id -> atom; keywords stand under :data:`KEYWORDS`.
        reads: all columns (lower case) the conditions and sources name.
    """

    sources: list[CompiledSource] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    atoms: dict[str, dict[int, Atom]] = field(default_factory=dict)
    asks: list[list[str]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)


@dataclass
class CompiledRules:
    """A whole rule set, ready to match.

    Args:
        rules: every rule that runs somewhere.
        tables: native table -> plans.
        refused: rules that could not be parsed or compiled, with the reason.
        unread: rules whose log source Casemate has no reader for, with the reason.
    """

    rules: list[CompiledRule] = field(default_factory=list)
    tables: dict[str, TablePlans] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    unread: list[Refused] = field(default_factory=list)


def column_of(field_name: str, fields: Mapping[str, str]) -> str:
    """Where a rule's field stands in the records of a source: by its exact name, then ignoring case."""
    return fields.get(field_name) or fields.get(field_name.lower(), field_name)


def rules_as_plain(rules: CompiledRules) -> dict[str, Any]:
    """Everything but the tables, as values that JSON knows."""
    return {
        "format": FORMAT,
        "rules": [list(vars(rule).values()) for rule in rules.rules],
        "refused": [list(vars(refused).values()) for refused in rules.refused],
        "unread": [list(vars(unread).values()) for unread in rules.unread],
    }


def table_as_plain(table: TablePlans) -> dict[str, Any]:
    """The plans of one table as values that JSON knows."""
    return {
        "format": FORMAT,
        "sources": [list(vars(source).values()) for source in table.sources],
        "asks": table.asks,
        "reads": table.reads,
        "plans": [list(vars(plan).values()) for plan in table.plans],
        "atoms": {column: [[number, *atom] for number, atom in atoms.items()] for column, atoms in table.atoms.items()},
    }


def rules_from_plain(plain: dict[str, Any]) -> CompiledRules:
    """The inverse of :func:`rules_as_plain`.

    Raises:
        ValueError, KeyError, TypeError: not what that function writes today.
    """
    _check(plain)
    rules = CompiledRules()
    for identity, title, path, digest, version, severity, *others in plain["rules"]:
        techniques, tactics, confidence, finding, log_source, notes = others
        rules.rules.append(
            CompiledRule(
                id=identity,
                title=title,
                path=path,
                hash=digest,
                version=version,
                severity=severity,
                techniques=tuple(techniques),
                tactics=tuple(tactics),
                confidence=confidence,
                finding=finding,
                log_source=log_source,
                notes=tuple(notes),
            )
        )
    rules.refused = [Refused(*refused) for refused in plain["refused"]]
    rules.unread = [Refused(*unread) for unread in plain["unread"]]
    return rules


def table_from_plain(plain: dict[str, Any]) -> TablePlans:
    """The inverse of :func:`table_as_plain`; raises like :func:`rules_from_plain`."""
    _check(plain)
    return TablePlans(
        [
            CompiledSource(
                name, tuple((column, tuple(values), absent) for column, values, absent in where), tuple(one_of), fields
            )
            for name, where, one_of, fields in plain["sources"]
        ],
        [
            Plan(rule, source, None if needed is None else tuple(needed), condition, tuple(missing))
            for rule, source, needed, condition, missing in plain["plans"]
        ],
        {column: {number: atom for number, *atom in atoms} for column, atoms in plain["atoms"].items()},
        plain["asks"],
        plain["reads"],
    )


def _check(plain: dict[str, Any]) -> None:
    if plain["format"] != FORMAT:
        raise ValueError("compiled by another version")
