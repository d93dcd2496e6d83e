"""From pySigma's objects to trees of conditions whose leaves hold atoms.

Everything is taken from pySigma's objects (the parse tree of the condition, detection items with
their modifiers applied, typed values), nothing from text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector
from sigma.rule import SigmaRule
from sigma.rule.detection import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    Placeholder,
    SigmaCasedString,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaRegularExpression,
    SigmaString,
    SigmaType,
)

from casemate.detect.sigma.atoms import Atom
from casemate.detect.sigma.compiled import Node
from casemate.detect.sigma.placeholders import Placeholders
from casemate.detect.sigma.values import UncompilableError, atom_of

NODES = 100_000
"""Most nodes of one condition once its values are spelled out."""


class ConditionReader:
    """Reads one rule's conditions into a tree whose leaves hold atoms instead of atom numbers."""

    def __init__(self, rule: SigmaRule, placeholders: Placeholders) -> None:
        self._rule = rule
        self._placeholders = placeholders
        self._nodes = 0
        self._missing: dict[str, None] = {}

    def condition(self) -> Node:
        """All conditions of the rule; a record must fulfil one of them.

        Raises:
            UncompilableError: a part of it cannot be answered, or a placeholder has no values.
        """
        found = [self._tree(condition.parse(postprocess=False)) for condition in self._rule.detection.parsed_condition]
        if self._missing:
            raise UncompilableError(_missing_reason(list(self._missing)))
        return found[0] if len(found) == 1 else ["or", found]

    def _tree(self, node: Any) -> Node:
        if isinstance(node, ConditionNOT):
            return ["not", self._tree(node.args[0])]
        if isinstance(node, (ConditionAND, ConditionOR)):
            return _join("and" if isinstance(node, ConditionAND) else "or", [self._tree(arg) for arg in node.args])
        if isinstance(node, ConditionSelector):
            named = node.resolve_referenced_detections(self._rule.detection)
            if not named:
                raise UncompilableError(f"'{node.args[0]} of {node.pattern}' fits no part of the detection")
            return _join("and" if node.cond_class is ConditionAND else "or", [self._tree(name) for name in named])
        if isinstance(node, ConditionIdentifier):
            detection = self._rule.detection.detections.get(node.identifier)
            if detection is None:
                raise UncompilableError(f"the condition names '{node.identifier}', which the detection does not have")
            return ["selection", node.identifier, self._detection(detection)]
        raise UncompilableError(f"unknown part of a condition: {type(node).__name__}")

    def _detection(self, detection: SigmaDetection) -> Node:
        parts = [
            self._detection(item) if isinstance(item, SigmaDetection) else self._item(item)
            for item in detection.detection_items
        ]
        return _join("and" if detection.item_linking is ConditionAND else "or", parts)

    def _item(self, item: SigmaDetectionItem) -> Node:
        self._nodes += 1 + len(item.value)
        if self._nodes > NODES:
            raise UncompilableError(f"more than {NODES} values")
        values = item.value or [SigmaNull()]
        if item.value_linking is ConditionAND:
            node = _join("and", [self._any_of(item.field, [value]) for value in values])
        else:
            node = self._any_of(item.field, values)
        return ["not", node] if item.negated else node

    def _any_of(self, field: str | None, values: list[SigmaType]) -> Node:
        """One of the values; those that are atoms of the same field become one leaf."""
        atoms: list[Atom] = []
        others: list[Node] = []
        for value in self._expanded(values):
            if isinstance(value, SigmaNull):
                others.append(["null", _field(field, "null")])
            elif isinstance(value, SigmaExists):
                there: Node = ["exists", _field(field, "exists")]
                others.append(there if value.exists else ["not", there])
            elif isinstance(value, SigmaFieldReference):
                form = ("equals", "startswith", "endswith", "contains")[value.starts_with + 2 * value.ends_with]
                others.append(["reference", _field(field, "fieldref"), value.field, form])
            else:
                atoms.append(atom_of(value, keyword=field is None))
        if atoms:
            unique = list({orjson.dumps(atom): atom for atom in atoms}.values())
            others.append(["keyword", unique] if field is None else ["field", field, unique])
        return _join("or", others)

    def _expanded(self, values: list[SigmaType]) -> Iterator[SigmaType]:
        for value in values:
            if isinstance(value, SigmaExpansion):
                yield from self._expanded(value.values)
            elif isinstance(value, (SigmaString, SigmaRegularExpression)) and value.contains_placeholder():
                yield from self._filled(value)
            else:
                yield value

    def _filled(self, value: SigmaString | SigmaRegularExpression) -> Iterator[SigmaType]:
        """A value with each combination of its placeholders' values; none while one of them has no values."""
        text = value.regexp if isinstance(value, SigmaRegularExpression) else value
        names = [part.name for part in text.s if isinstance(part, Placeholder)]
        missing = [name for name in names if not self._placeholders.get(name)]
        if missing:
            self._missing.update(dict.fromkeys(missing))
            return
        combinations = math.prod(len(self._placeholders[name]) for name in names)
        self._nodes += combinations
        if combinations > NODES or self._nodes > NODES:
            raise UncompilableError(f"more than {NODES} values once its placeholders are filled in")
        for filled in value.replace_placeholders(self._values_of):
            if isinstance(value, SigmaCasedString) and isinstance(filled, SigmaString):
                yield SigmaCasedString.from_sigma_string(filled)  # pySigma forgets that case counts
            else:
                yield filled

    def _values_of(self, placeholder: Placeholder) -> Iterator[SigmaString]:
        """As pySigma's ``value_placeholders``: a value may hold wildcards, and escapes as in a rule."""
        return (SigmaString(value) for value in self._placeholders[placeholder.name])


def _missing_reason(names: list[str]) -> str:
    listed = ", ".join(f"%{name}%" for name in names)
    noun = "placeholder" if len(names) == 1 else "placeholders"
    how = f"[sigma.placeholders] in case.toml or --placeholder {names[0]}=VALUE"
    return f"no values are given for the {noun} {listed}: give them with {how}"


def _field(field: str | None, modifier: str) -> str:
    if field is None:
        raise UncompilableError(f"{modifier} needs a field")
    return field


def _join(kind: str, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else [kind, parts]
