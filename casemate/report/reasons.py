"""The tree of a reason as nested lists: which part of the rule held, with which value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casemate.report.elements import Element, Node, element

DEEPEST, MOST_NODES, VALUE_CHARACTERS = 12, 80, 500
GROUPS = {"all": "all of", "any": "any of"}


def reason(why: Any) -> Element:
    """`why` as HTML; cut at :data:`MOST_NODES` parts, and then says so."""
    left = [MOST_NODES]
    made = _node(why, 0, left)
    cut = [element("p", f"(the first {MOST_NODES} parts; casemate show findings --id tells all)", class_="note")]
    return element("div", made, cut if left[0] < 0 else None, class_="why")


def _node(value: Any, depth: int, left: list[int]) -> list[Node]:
    left[0] -= 1
    if left[0] < 0 or depth > DEEPEST:
        return []
    if isinstance(value, Mapping):
        return _mapping(value, depth, left)
    if isinstance(value, list):
        if all(not isinstance(item, (Mapping, list)) for item in value):
            return [_value(", ".join(map(_text, value)))]
        return [element("ul", [element("li", _node(item, depth + 1, left)) for item in value[:MOST_NODES]])]
    return [_value(_text(value))]


def _mapping(value: Mapping[str, Any], depth: int, left: list[int]) -> list[Node]:
    if "field" in value and "value" in value:
        pattern = value.get("pattern")
        column = value.get("column")
        shown: list[Node] = [element("b", _text(value["field"])), " = ", _value(_text(value["value"]))]
        if pattern is not None and pattern != value["value"]:
            shown += [" fits ", _value(_text(pattern))]
        if column and column != value["field"]:
            shown += [element("span", f" (column {_text(column)})", class_="soft")]
        return shown
    if "not" in value and len(value) == 1:
        return ["not ", element("b", _text(value["not"]))]
    for key, words in GROUPS.items():
        if key in value and len(value) == 1 and isinstance(value[key], list):
            if len(value[key]) == 1:
                return _node(value[key][0], depth + 1, left)
            items = [element("li", _node(item, depth + 1, left)) for item in value[key][:MOST_NODES]]
            return [element("span", words, class_="soft"), element("ul", items)]
    if "selection" in value:
        return [element("b", _text(value["selection"])), ": ", *_node(value.get("because"), depth + 1, left)]
    if "because" in value and "events" in value:
        others = {key: item for key, item in value.items() if key not in ("because", "events")}
        told: list[Node] = [element("span", f"{_text(value['events'])}: ", class_="soft")]
        return [
            *told,
            *_node(value["because"], depth + 1, left),
            *(_mapping(others, depth + 1, left) if others else []),
        ]
    if all(not isinstance(item, (Mapping, list)) for item in value.values()):
        pairs = ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items())
        return [element("span", pairs[: 4 * VALUE_CHARACTERS])]
    items = []
    for key, item in list(value.items())[:MOST_NODES]:
        name = element("b", f"{str(key).replace('_', ' ')}: ")
        items.append(element("li", name, _node(item, depth + 1, left)))
    return [element("ul", items)]


def _value(text: str) -> Element:
    return element("code", text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…")


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
