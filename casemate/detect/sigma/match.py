"""The matcher: which records of a batch fulfil which rules.

Distinct values are asked once per column (:mod:`.atoms`); a rule is looked at only if records of its
event source are in the batch and an atom it cannot do without holds for some value; its condition is
then evaluated on arrays of rows (:mod:`.evaluation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa

from casemate.detect.sigma.atoms import ColumnMatcher
from casemate.detect.sigma.columns import Columns, RestKeys, combine
from casemate.detect.sigma.compiled import KEYWORDS, CompiledRules, CompiledSource, Node, Plan
from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.detect.sigma.evaluation import Evaluation, Hits, Rows, keywords_in
from casemate.detect.sigma.keywords import KeywordMatcher

COMBINATIONS_REMEMBERED = 20_000


@dataclass(frozen=True)
class Match:
    """One plan and the rows of the batch that fulfil it, ascending."""

    plan: int
    rows: Rows


class Times(Protocol):
    """Books how long what took."""

    clock: Callable[[], float]

    def add(self, kind: str, name: str, since: float, asked: int = 1, matches: int = 0) -> float:
        """Book the time since a moment under a kind and a name; the moment it is now."""
        ...


class BatchMatches:
    """What was found in one batch, with what is needed to say why."""

    def __init__(self, columns: Columns, matches: list[Match], hits: dict[str, Hits], keywords: Any) -> None:
        self.columns = columns
        self.matches = matches
        self.hits = hits
        self.keywords = keywords


class TableMatcher:
    """Matches batches of one native table.

    Args:
        rules: the compiled rule set.
        table: name of the table.
        databases: serialized pattern databases by ``column/kind`` (see :mod:`.cache`); compiled
            here when None.
    """

    def __init__(self, rules: CompiledRules, table: str, databases: dict[str, bytes] | None = None) -> None:
        self.rules = rules
        self.table = table
        plans = rules.tables[table]
        self.plans: list[Plan] = plans.plans
        self.sources: list[CompiledSource] = plans.sources
        self.atoms = plans.atoms
        self.conditions: dict[int, Node] = {}
        self._needed = [None if plan.needed is None else frozenset(plan.needed) for plan in self.plans]
        self._plans_of: list[list[int]] = [[] for _ in self.sources]
        for number, plan in enumerate(self.plans):
            self._plans_of[plan.source].append(number)
        self._matchers: dict[str, ColumnMatcher] = {}
        self._keywords: KeywordMatcher | None = None
        for column, atoms in plans.atoms.items():
            own = None
            if databases is not None:
                own = {
                    key.rsplit("/", 1)[1]: data for key, data in databases.items() if key.rsplit("/", 1)[0] == column
                }
            matcher = ColumnMatcher(atoms, lists=list_form(table, column), databases=own)
            if column == KEYWORDS:
                self._keywords = KeywordMatcher(matcher, atoms, self._keywords_of_sources())
            else:
                self._matchers[column] = matcher
        self._columns_of = plans.asks
        self._tested = sorted({column for source in self.sources for column, _, _ in source.where})
        self._tests = [
            [(self._tested.index(column), frozenset(values), absent) for column, values, absent in source.where]
            for source in self.sources
        ]
        self._sources_of: dict[tuple[str | None, ...], tuple[int, ...]] = {}
        self._rest_keys: dict[frozenset[str], RestKeys] = {}

    # --- what is needed -----------------------------------------------------------------------------

    def databases(self) -> dict[str, bytes]:
        """The pattern databases, serialized, by ``column/kind``."""
        matchers = dict(self._matchers)
        if self._keywords is not None:
            matchers[KEYWORDS] = self._keywords.matcher
        return {
            f"{column}/{kind}": data
            for column, matcher in matchers.items()
            for kind, data in matcher.databases().items()
        }

    def column_names(self) -> set[str]:
        """Lower-case names of all columns (declared or in ``rest``) that rules and sources read."""
        names = set(self.rules.tables[self.table].reads)
        for name in [name for name in names if name.startswith(DERIVED_PREFIX)]:
            names.discard(name)
            names.update(column.lower() for column in DERIVED[name[len(DERIVED_PREFIX) :]].columns)
        return names

    @property
    def reads_everything(self) -> bool:
        """Whether keywords are asked, so that every column is needed."""
        return self._keywords is not None

    def rest_keys(self, declared: set[str], others: frozenset[str] = frozenset()) -> RestKeys:
        """The names (and `others` that are wanted) that can only stand in ``rest``.

        Args:
            declared: a batch's columns, lower case.
        """
        wanted = frozenset((self.column_names() | others) - declared)
        if wanted not in self._rest_keys:
            self._rest_keys = {wanted: RestKeys(name for name in wanted if not name.startswith(DERIVED_PREFIX))}
        return self._rest_keys[wanted]

    # --- matching -----------------------------------------------------------------------------------

    def match(
        self, batch: pa.RecordBatch, rest_keys: RestKeys | None = None, times: Times | None = None
    ) -> BatchMatches:
        """All matches in a batch of this table, ordered by plan.

        Args:
            times: books how long what took (:mod:`.times`).
        """
        if rest_keys is None:
            rest_keys = self.rest_keys({name.lower() for name in batch.schema.names})
        columns = Columns(batch, rest_keys)
        rows_of = self._rows_of_sources(columns)
        hits = self._ask(columns, rows_of, times)
        held: set[int] = set()
        for found in hits.values():
            held.update(found.codes)
        keywords = None
        if self._keywords is not None:
            begun = times.clock() if times is not None else 0.0
            keywords = self._keywords.ask(columns, rows_of)
            if keywords is not None:
                held.update(keywords.atoms())
                if times is not None:
                    times.add("keywords", "", begun)
        evaluation = Evaluation(columns, hits, keywords, held)
        matches: list[Match] = []
        for source, rows in rows_of.items():
            for number in self._plans_of[source]:
                needed = self._needed[number]
                if needed is not None and held.isdisjoint(needed):
                    continue
                begun = times.clock() if times is not None else 0.0
                condition = self.condition(number)
                found_rows = rows[evaluation.holds(condition, rows)] if evaluation.possible(condition) else rows[:0]
                if len(found_rows):
                    matches.append(Match(number, found_rows))
                if times is not None:
                    times.add("rule", self.rules.rules[self.plans[number].rule].id, begun, 1, len(found_rows))
        matches.sort(key=lambda match: match.plan)
        return BatchMatches(columns, matches, hits, keywords)

    def condition(self, number: int) -> Node:
        """The condition of a plan."""
        condition = self.conditions.get(number)
        if condition is None:
            condition = self.conditions[number] = orjson.loads(self.plans[number].condition)
        return condition

    def _keywords_of_sources(self) -> dict[int, frozenset[int]]:
        """For each event source the keywords that its rules ask for."""
        found: dict[int, set[int]] = {}
        for plan in self.plans:
            if '"keyword"' in plan.condition:
                found.setdefault(plan.source, set()).update(keywords_in(orjson.loads(plan.condition)))
        return {source: frozenset(atoms) for source, atoms in found.items()}

    def _rows_of_sources(self, columns: Columns) -> dict[int, Rows]:
        """For each event source that occurs: its rows."""
        tested = [columns.get(name.lower()) for name in self._tested]
        present = [(column.codes, column.count + 1) for column in tested if column is not None]
        if not present:
            combined = np.zeros(columns.rows, np.int64)
        else:
            combined = combine(present)
        _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        held: dict[int, list[int]] = {}
        for place, row in enumerate(first.tolist()):
            values = tuple(
                None if column is None or (text := column.text(row)) is None else text.lower() for column in tested
            )
            sources = self._sources_of.get(values)
            if sources is None:
                if len(self._sources_of) >= COMBINATIONS_REMEMBERED:
                    self._sources_of.clear()
                sources = self._sources_of[values] = self._sources_for(values)
            for source in sources:
                held.setdefault(source, []).append(place)
        found: dict[int, Rows] = {}
        for source in sorted(held):
            chosen = np.zeros(len(first), np.bool_)
            chosen[held[source]] = True
            found[source] = np.flatnonzero(chosen[inverse])
        return found

    def _sources_for(self, values: tuple[str | None, ...]) -> tuple[int, ...]:
        value_of = dict(zip(self._tested, values, strict=True))
        return tuple(
            number
            for number, tests in enumerate(self._tests)
            if all(absent if values[place] is None else values[place] in wanted for place, wanted, absent in tests)
            and (
                not self.sources[number].one_of
                or any(value_of.get(column) is not None for column in self.sources[number].one_of)
            )
        )

    def _ask(self, columns: Columns, rows_of: dict[int, Rows], times: Times | None) -> dict[str, Hits]:
        wanted: dict[str, list[Rows]] = {}
        for source, rows in rows_of.items():
            for column in self._columns_of[source]:
                wanted.setdefault(column, []).append(rows)
        hits: dict[str, Hits] = {}
        for name, rows in wanted.items():
            begun = times.clock() if times is not None else 0.0
            hits[name] = Hits(columns.get(name))
            hits[name].add(self._matchers[name], rows)
            if times is not None:
                column = hits[name].column
                times.add("field", name, begun, 0 if column is None else column.count)
        return hits


def list_form(table: str, column: str) -> str | None:
    """How several values stand in one text: ``json`` arrays, ``lines`` (unnamed event data), or not at all."""
    if column == KEYWORDS:  # anywhere in the text is anywhere in one of its parts
        return None
    if table != "windows_event":
        return "json"
    return "lines" if column == "data" else None
