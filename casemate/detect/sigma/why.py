"""Why a rule matched a record: the parts of its condition that held, with the values that fitted.

The tree is JSON: ``{"all": [...]}``, ``{"any": [...]}`` (only the branches that held), ``{"selection":
name, "because": ...}``, ``{"field", "column", "pattern", "value"}``, ``{"not": text}`` for what was ruled
out and did not hold, ``{"field", "is": "null"}``.  A value longer than 400 characters is cut, and says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from casemate.detect.sigma.atoms import Atom, pattern_text
from casemate.detect.sigma.columns import combine
from casemate.detect.sigma.compiled import KEYWORDS, Node, Plan
from casemate.detect.sigma.evaluation import refers
from casemate.detect.sigma.match import BatchMatches

VALUE_CHARACTERS = 400
PATTERNS = 5
"""Most patterns shown for one field of one selection; more are counted."""


class Reasons:
    """Writes reasons for the matches of one batch."""

    def __init__(self, found: BatchMatches, atoms: dict[str, dict[int, Atom]], sources: list[str]) -> None:
        self._found = found
        self._atoms = atoms
        self._sources = sources

    def of(self, plan: Plan, condition: Node, rows: npt.NDArray[np.int64]) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The distinct reasons for the given rows, as JSON, and for each row which one is its."""
        names, keyword = _columns_of(condition)
        columns = [column for name in sorted(names) if (column := self._found.columns.get(name)) is not None]
        if keyword or not columns:
            first = np.arange(len(rows)) if keyword else np.zeros(1, np.int64)
            inverse = np.arange(len(rows)) if keyword else np.zeros(len(rows), np.int64)
        else:
            combined = combine([(column.codes[rows], column.count + 1) for column in columns])
            _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
            inverse = inverse.reshape(-1)
        texts = [self._text(plan, condition, int(rows[place])) for place in first.tolist()]
        return texts, inverse

    def _text(self, plan: Plan, condition: Node, row: int) -> str:
        reason: dict[str, Any] = {"events": self._sources[plan.source], "because": self._explain(condition, row)}
        if plan.unanswered:
            reason["not_recorded"] = list(plan.unanswered)
        return orjson.dumps(reason).decode()

    def _explain(self, node: Node, row: int) -> Any:
        """The reason why a node holds for a row; None if it does not."""
        kind = node[0]
        if kind == "and":
            parts = [self._explain(part, row) for part in node[1]]
            return None if any(part is None for part in parts) else {"all": parts}
        if kind == "or":
            parts = [reason for part in node[1] if (reason := self._explain(part, row)) is not None]
            return None if not parts else parts[0] if len(parts) == 1 else {"any": parts}
        if kind == "not":
            return {"not": _summary(node[1])} if self._explain(node[1], row) is None else None
        if kind == "selection":
            reason = self._explain(node[2], row)
            return None if reason is None else {"selection": node[1], "because": reason}
        if kind == "field":
            return self._field(node, row)
        if kind == "keyword":
            return self._keyword(node, row)
        column = self._found.columns.get(node[2])
        value = None if column is None else column.text(row)
        if kind == "null":
            return {"field": node[1], "is": "null"} if value is None else None
        if kind == "exists":
            return {"field": node[1], "is": "there", "value": shortened(value)} if value is not None else None
        other = self._found.columns.get(node[4])
        other_value = None if other is None else other.text(row)
        if not refers(value, other_value, node[5]):
            return None
        return {"field": node[1], node[5]: f"field {node[3]}", "value": shortened(value)}

    def _field(self, node: Node, row: int) -> Any:
        _, field, name, atoms = node
        hits = self._found.hits.get(name)
        if hits is None or hits.column is None:
            return None
        code = int(hits.column.codes[row])
        wanted = set(atoms)
        held = [atom for atom in hits.atoms.get(code, ()) if atom in wanted]
        if not held:
            return None
        patterns = [_shown(self._atoms[name][atom]) for atom in held[:PATTERNS]]
        reason: dict[str, Any] = {"field": field, "value": shortened(hits.column.value(code))}
        reason["pattern"] = patterns[0] if len(patterns) == 1 else patterns
        if len(held) > PATTERNS:
            reason["more_patterns"] = len(held) - PATTERNS
        if name != field.lower():
            reason["column"] = name
        return reason

    def _keyword(self, node: Node, row: int) -> Any:
        if self._found.keywords is None:
            return None
        places = self._found.keywords.places(frozenset(node[1]), row)
        if not places:
            return None
        name, atom, value = places[0]
        return {"keyword": _shown(self._atoms[KEYWORDS][atom]), "column": name, "value": shortened(value)}


def shortened(value: str | None) -> str | None:
    """A value as shown in a reason."""
    if value is None or len(value) <= VALUE_CHARACTERS:
        return value
    return f"{value[:VALUE_CHARACTERS]}... ({len(value)} characters in all)"


def _shown(atom: Atom) -> str:
    text = pattern_text(atom)
    prefix = {"regex": "re: ", "network": "cidr: ", "compare": "", "clock": ""}.get(atom[0], "")
    shown = shortened(prefix + text)
    return shown if shown is not None else ""


def _summary(node: Node) -> str:
    """The names of what was ruled out."""
    kind = node[0]
    if kind == "selection":
        return node[1]
    if kind in ("and", "or"):
        return f" {kind} ".join(dict.fromkeys(_summary(part) for part in node[1]))
    if kind == "not":
        return f"not {_summary(node[1])}"
    return "keywords" if kind == "keyword" else str(node[1])


def _columns_of(node: Node) -> tuple[set[str], bool]:
    """Columns a condition looks at, and whether it asks keywords."""
    kind = node[0]
    if kind in ("and", "or"):
        parts = [_columns_of(part) for part in node[1]]
        return set().union(*(names for names, _ in parts)), any(keyword for _, keyword in parts)
    if kind in ("not", "selection"):
        return _columns_of(node[-1])
    if kind == "keyword":
        return set(), True
    return ({node[2], node[4]} if kind == "reference" else {node[2]}), False
