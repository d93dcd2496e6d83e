"""The matcher: which records of a batch fulfil which rules.

Distinct values are asked once per column (:mod:`.atoms`); a rule is looked at only if records of its
event source are in the batch and an atom it cannot do without holds for some value; its condition is
then evaluated on arrays of rows, the rare part first, so that few rows are touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.detect.sigma.atoms import ColumnMatcher
from casemate.detect.sigma.columns import Column, Columns, RestKeys, combine
from casemate.detect.sigma.compiled import KEYWORDS, CompiledRules, CompiledSource, Node, Plan
from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.detect.sigma.keywords import KeywordMatcher

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
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


class Hits:
    """For one column of one batch: atom -> codes of the values it holds for."""

    def __init__(self, column: Column | None) -> None:
        self.column = column
        self.codes: dict[int, list[int]] = {}
        self.atoms: dict[int, tuple[int, ...]] = {}
        """code -> atoms, for those with any."""

    def add(self, matcher: ColumnMatcher, rows: list[Rows]) -> None:
        """Ask the values that stand in `rows`."""
        column = self.column
        if column is None:
            return
        used = column.used(rows)
        values = (
            column.values
            if 2 * len(used) > column.count
            else column.dictionary.take(pa.array(used, pa.int64())).to_pylist()
        )
        texts = values if len(values) == len(used) else map(values.__getitem__, used)
        codes, atoms, ask = self.codes, self.atoms, matcher.hits
        for code, value in zip(used, texts, strict=True):
            found = ask(value)
            if found:
                atoms[code] = found
                for atom in found:
                    codes.setdefault(atom, []).append(code)


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
        evaluation = _Evaluation(columns, hits, keywords, held)
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


class _Evaluation:
    """Evaluates conditions on rows of one batch."""

    def __init__(self, columns: Columns, hits: dict[str, Hits], keywords: Any, held: set[int]) -> None:
        self._columns = columns
        self._hits = hits
        self._keywords = keywords
        self._held = held

    def possible(self, node: Node) -> bool:
        """False only if the condition holds for no row, judged by which atoms hold anywhere."""
        kind = node[0]
        if kind == "field":
            return not self._held.isdisjoint(node[3])
        if kind == "and":
            return all(self.possible(part) for part in node[1])
        if kind == "or":
            return any(self.possible(part) for part in node[1])
        if kind == "selection":
            return self.possible(node[2])
        if kind == "keyword":
            return not self._held.isdisjoint(node[1])
        return True

    def holds(self, node: Node, rows: Rows) -> Mask:
        """For each of `rows`, whether the condition holds."""
        kind = node[0]
        if kind == "field":
            return self._field(node[2], node[3], rows)
        if kind == "and":
            return self._and(node[1], rows)
        if kind == "or":
            mask = self.holds(node[1][0], rows)
            for part in node[1][1:]:
                mask = mask | self.holds(part, rows)
            return mask
        if kind == "not":
            return ~self.holds(node[1], rows)
        if kind == "selection":
            return self.holds(node[2], rows)
        if kind == "null":
            return self._null(node[2], rows)
        if kind == "exists":
            return ~self._null(node[2], rows)
        if kind == "reference":
            return self._reference(node[2], node[4], node[5], rows)
        return self._keywords.holds(node[1], rows) if self._keywords is not None else np.zeros(len(rows), np.bool_)

    def _and(self, parts: list[Node], rows: Rows) -> Mask:
        alive, places = rows, None
        for part in parts:
            mask = self.holds(part, alive)
            if mask.all():
                continue
            alive = alive[mask]
            places = np.flatnonzero(mask) if places is None else places[mask]
            if not len(alive):
                break
        if places is None:
            return np.ones(len(rows), np.bool_)
        result = np.zeros(len(rows), np.bool_)
        result[places] = True
        return result

    def _field(self, name: str, atoms: list[int], rows: Rows) -> Mask:
        hits = self._hits.get(name)
        if hits is None or hits.column is None:
            return np.zeros(len(rows), np.bool_)
        lookup = None
        for atom in atoms:
            codes = hits.codes.get(atom)
            if codes is not None:
                if lookup is None:
                    lookup = np.zeros(hits.column.count + 1, np.bool_)
                lookup[codes] = True
        if lookup is None:
            return np.zeros(len(rows), np.bool_)
        return lookup[hits.column.codes[rows]]

    def _null(self, name: str, rows: Rows) -> Mask:
        column = self._columns.get(name)
        if column is None:
            return np.ones(len(rows), np.bool_)
        return column.codes[rows] == column.count

    def _reference(self, name: str, other: str, form: str, rows: Rows) -> Mask:
        left, right = self._columns.get(name), self._columns.get(other)
        if left is None or right is None:
            return np.zeros(len(rows), np.bool_)
        return np.fromiter(
            (refers(left.text(row), right.text(row), form) for row in rows.tolist()), np.bool_, len(rows)
        )


def keywords_in(node: Node) -> set[int]:
    """The keyword atoms of a condition."""
    kind = node[0]
    if kind in ("and", "or"):
        return {atom for part in node[1] for atom in keywords_in(part)}
    if kind in ("not", "selection"):
        return keywords_in(node[-1])
    return set(node[1]) if kind == "keyword" else set()


def refers(value: str | None, other: str | None, form: str) -> bool:
    """Whether a value equals, begins with, ends with or contains another field's value, ignoring case."""
    if value is None or other is None:
        return False
    value, other = value.lower(), other.lower()
    if form == "equals":
        return value == other
    if form == "startswith":
        return value.startswith(other)
    return value.endswith(other) if form == "endswith" else other in value


def list_form(table: str, column: str) -> str | None:
    """How several values stand in one text: ``json`` arrays, ``lines`` (unnamed event data), or not at all."""
    if column == KEYWORDS:  # anywhere in the text is anywhere in one of its parts
        return None
    if table != "windows_event":
        return "json"
    return "lines" if column == "data" else None
