"""Guesses of how often a part of a condition holds, so that the rare part is asked first.

Only speed depends on them.
"""

from __future__ import annotations

from casemate.detect.sigma.atoms import Atom
from casemate.detect.sigma.compiled import KEYWORDS, Node

COMMON_COLUMNS = frozenset(
    {"eventid", "channel", "provider_name", "logontype", "initiated", "protocol", "level", "operationtype", "type"}
)
"""Columns with few distinct values, of which one is in every batch."""
KIND_COST: dict[str, float] = {"any": 50, "regex": 0.5, "number": 2, "network": 3, "compare": 20, "clock": 20}
UNKNOWN_COST = 1000.0

Atoms = dict[str, dict[int, Atom]]


def atom_cost(column: str, atom: Atom) -> float:
    """A rough relative frequency."""
    kind = atom[0]
    if column in COMMON_COLUMNS:
        return 10.0
    if kind in ("text", "cased"):
        return 1.0 / (1 + len(atom[1]))
    if kind in ("like", "likecased"):
        longest = max((len(part) for part in atom[1] if isinstance(part, str)), default=0)
        return 8.0 / (1 + longest) ** 1.5
    return KIND_COST.get(kind, 5.0)


def needed_atoms(node: Node, atoms: Atoms) -> tuple[float, frozenset[int]] | None:
    """The cheapest set of atoms of which one must hold if `node` does, with its cost."""
    kind = node[0]
    if kind == "field":
        column = atoms[node[2]]
        return sum(atom_cost(node[2], column[number]) for number in node[3]), frozenset(node[3])
    if kind == "keyword":
        column = atoms[KEYWORDS]
        return sum(atom_cost(KEYWORDS, column[number]) for number in node[1]), frozenset(node[1])
    if kind == "selection":
        return needed_atoms(node[2], atoms)
    if kind == "and":
        found = [needed for part in node[1] if (needed := needed_atoms(part, atoms)) is not None]
        return min(found, key=lambda needed: needed[0], default=None)
    if kind == "or":
        parts = [needed_atoms(part, atoms) for part in node[1]]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return sum(cost for cost, _ in known), frozenset().union(*(numbers for _, numbers in known))
    return None


def in_order(node: Node, atoms: Atoms) -> Node:
    """The same condition with the parts of every ``and`` in order of cost."""
    kind = node[0]
    if kind == "and":
        parts = [in_order(part, atoms) for part in node[1]]
        return [kind, sorted(parts, key=lambda part: _cost(part, atoms))]
    if kind == "or":
        return [kind, [in_order(part, atoms) for part in node[1]]]
    if kind == "not":
        return [kind, in_order(node[1], atoms)]
    if kind == "selection":
        return [kind, node[1], in_order(node[2], atoms)]
    return node


def _cost(node: Node, atoms: Atoms) -> float:
    needed = needed_atoms(node, atoms)
    return UNKNOWN_COST if needed is None else needed[0]
