"""Conditions of compiled rules on rows of one batch, the rare part first, so that few rows are touched.

Which values an atom holds for was asked before (:class:`Hits`); here are arrays of rows only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casemate.detect.sigma.atoms import ColumnMatcher
from casemate.detect.sigma.columns import Column, Columns
from casemate.detect.sigma.compiled import Node

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


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


class Evaluation:
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
