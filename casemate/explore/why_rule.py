"""The rule as written, with the parts marked that matched and those that were ruled out.

A part is marked where the tree of reasons names it: the selection, its field, and the value as written whose
pattern fitted.  Where a modifier changed the value (an encoding, a placeholder) so that it cannot be told which
one it was, the field alone is marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MARKED_CHARACTERS = 256 * 1024
"""Longest text that is looked into; a longer one is told unmarked."""
DEEPEST = 60
"""Deeper YAML is told unmarked: libyaml recurses in C."""
HELD, RULED_OUT = "held", "ruled_out"


@dataclass(frozen=True)
class Mark:
    """A piece of a line of the rule: from column `begin` to before `end`; `state` is held or ruled_out."""

    line: int
    begin: int
    end: int
    state: str


@dataclass(frozen=True)
class RuleText:
    """A rule's file as kept with the case.

    Args:
        path: the file's name in its rule set.
        text: YAML of the rule alone, where the file has several; None if it was not kept.
        marks: what matched, by line (from 0) and column.
        detection: first line of the part that says what is looked for, and the line after its end.
    """

    path: str | None
    text: str | None
    marks: tuple[Mark, ...] = ()
    detection: tuple[int, int] | None = None


@dataclass(frozen=True)
class Leaf:
    """One test that held, as the tree of reasons tells it: selection, field (None: any), patterns."""

    selection: str | None
    field: str | None
    patterns: tuple[str, ...]


def leaves(tree: Any, selection: str | None = None) -> Iterator[Leaf]:
    """The tests that held, in the order of the tree."""
    if isinstance(tree, list):
        for item in tree:
            yield from leaves(item, selection)
        return
    if not isinstance(tree, Mapping):
        return
    if "field" in tree or "keyword" in tree:
        pattern = tree.get("pattern", tree.get("keyword", ()))
        patterns = (pattern,) if isinstance(pattern, str) else tuple(str(item) for item in pattern or ())
        field = tree.get("field")
        yield Leaf(selection, field if isinstance(field, str) else None, patterns)
        return
    name = tree.get("selection")
    below = name if isinstance(name, str) else selection
    for key in ("all", "any", "because"):
        if key in tree:
            yield from leaves(tree[key], below)


def ruled_out(tree: Any) -> set[str]:
    """Names of selections that were ruled out and did not hold."""
    if isinstance(tree, list):
        return {name for item in tree for name in ruled_out(item)}
    if not isinstance(tree, Mapping):
        return set()
    said = tree.get("not")
    names = set(re.split(r" (?:and|or|not) |^not ", said)) if isinstance(said, str) else set()
    return names.union(*(ruled_out(tree[key]) for key in ("all", "any", "because") if key in tree)) - {""}


def rule_text(path: str | None, text: str | None, rule_id: str, title: str, tree: Any) -> RuleText:
    """The text of one rule with the parts marked that `tree` (a finding's reason) names."""
    if text is None or len(text) > MARKED_CHARACTERS or not _shallow(text):
        return RuleText(path, text)
    text = _document_of(text, rule_id, title)
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return RuleText(path, text)
    detection = _member(node, "detection") or _member(node, "correlation")
    if detection is None:
        return RuleText(path, text)
    lines = text.split("\n")
    held = list(leaves(tree))
    marks = sorted(
        set(_marks(detection, held, ruled_out(tree), lines)), key=lambda mark: (mark.line, mark.begin, mark.end)
    )
    first, last = detection.start_mark.line, detection.end_mark
    end = last.line + (1 if last.column else 0)
    return RuleText(path, text, tuple(marks), (max(first - 1, 0), min(end, len(lines))))


def _shallow(text: str) -> bool:
    """Whether brackets and indentation leave no room for deep nesting."""
    indentation = max((len(line) - len(line.lstrip(" -?\t")) for line in text.splitlines()), default=0)
    return text.count("[") + text.count("{") + indentation <= 4 * DEEPEST


def _document_of(text: str, rule_id: str, title: str) -> str:
    """The document of a file that is about this rule: by its id, else by its title, else the first."""
    documents = re.split(r"(?m)^---[ \t]*\r?$\n?", text)
    if len(documents) == 1:
        return text
    for wanted in (rule_id, title):
        for document in documents:
            if re.search(rf"(?mi)^(?:id|title|name)[ \t]*:[ \t]*['\"]?{re.escape(wanted)}['\"]?[ \t]*\r?$", document):
                return document.strip("\r\n")
    return next((document for document in documents if document.strip()), text).strip("\r\n")


def _member(node: Any, name: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if getattr(key, "value", None) == name:
                return value
    return None


def _marks(detection: Any, held: Sequence[Leaf], out: set[str], lines: Sequence[str]) -> Iterator[Mark]:
    if not isinstance(detection, yaml.MappingNode):
        return
    for key, value in detection.value:
        name = str(key.value)
        if name == "condition":
            yield from _condition(value, {leaf.selection for leaf in held if leaf.selection}, out, lines)
            continue
        mine = [leaf for leaf in held if leaf.selection == name]
        if mine:
            yield from _span(key, HELD, lines)
            yield from _selection(value, mine, lines, 0)
        elif name in out:
            yield from _span(key, RULED_OUT, lines)


def _selection(node: Any, held: Sequence[Leaf], lines: Sequence[str], depth: int) -> Iterator[Mark]:
    if depth > DEEPEST:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = str(key.value).split("|")[0]
            mine = [leaf for leaf in held if leaf.field == field or (leaf.field is None and not field)]
            fitting = [one for one in _values(value) if _is_written(one.value, mine)]
            # of several alternatives about one field, those are marked whose values fitted
            if mine and (fitting or not any(_tests(node, value, mine))):
                yield from _span(key, HELD, lines)
                for one in fitting:
                    yield from _span(one, HELD, lines)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.ScalarNode):
                if _is_written(item.value, [leaf for leaf in held if leaf.field is None]):
                    yield from _span(item, HELD, lines)
            else:
                yield from _selection(item, held, lines, depth + 1)


def _tests(mapping: Any, value: Any, held: Sequence[Leaf]) -> Iterator[bool]:
    """For the other members of a mapping: whether one of their values is the one that fitted."""
    for _, other in mapping.value:
        if other is not value:
            yield any(_is_written(one.value, held) for one in _values(other))


def _values(node: Any) -> list[Any]:
    if isinstance(node, yaml.ScalarNode):
        return [node]
    return (
        [item for item in node.value if isinstance(item, yaml.ScalarNode)]
        if isinstance(node, yaml.SequenceNode)
        else []
    )


def _is_written(value: str, held: Sequence[Leaf]) -> bool:
    wanted = _bare(value)
    return any(_bare(pattern) == wanted for leaf in held for pattern in leaf.patterns)


def _bare(pattern: str) -> str:
    """A pattern or a written value without what its modifier adds: the marks in front, wildcards at the ends."""
    text = re.sub(r"^(?:re|cidr): ", "", pattern)
    text = re.sub(r"^(?:lt|lte|gt|gte|neq|minute|hour|day|week|month|year) ", "", text)
    return text.strip("*").replace("\\\\", "\\").lower()


def _condition(node: Any, names: set[str], out: set[str], lines: Sequence[str]) -> Iterator[Mark]:
    """Names in the condition, and patterns of names, that held or were ruled out."""
    for value in _values(node):
        for number in range(value.start_mark.line, min(value.end_mark.line + 1, len(lines))):
            begin = value.start_mark.column if number == value.start_mark.line else 0
            for word in re.finditer(r"[\w*]+", lines[number]):
                state = _state(word.group(), names, out)
                if state is not None and word.start() >= begin:
                    yield Mark(number, word.start(), word.end(), state)


def _state(word: str, names: set[str], out: set[str]) -> str | None:
    pattern = re.compile(re.escape(word).replace(r"\*", ".*"))
    if word in ("and", "or", "not", "of", "them", "1", "all", "any", "*"):
        return None
    if any(pattern.fullmatch(name) for name in names):
        return HELD
    return RULED_OUT if any(pattern.fullmatch(name) for name in out) else None


def _span(node: Any, state: str, lines: Sequence[str]) -> Iterator[Mark]:
    """The place of a scalar; of one over several lines, all of them."""
    first, last = node.start_mark, node.end_mark
    for number in range(first.line, min(last.line + 1, len(lines))):
        begin = first.column if number == first.line else 0
        end = last.column if number == last.line else len(lines[number].rstrip())
        if end > begin:
            yield Mark(number, begin, end, state)
