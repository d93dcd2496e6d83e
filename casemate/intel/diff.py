"""What a rule update adds, changes and removes, told from the rules' documents alone.

Rules are known by their id; one without an id by its title.  A rule has *changed* if its detection, log source or
level has (of a correlation or a filter: that part); everything else is metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MATCHING: tuple[str, ...] = ("detection", "logsource", "level", "correlation", "filter")
"""Keys that decide what a rule finds and how severe it is."""
KINDS: tuple[str, ...] = ("correlation", "filter", "detection")
"""What a document is, by the first of these keys it has."""


@dataclass(frozen=True)
class RuleText:
    """One document of a rule set: its id, title, kind (one of :data:`KINDS`), file and content."""

    id: str
    title: str
    kind: str
    path: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One rule that is another now.

    Args:
        change: ``added``, ``removed``, ``changed`` or ``metadata``.
        parts: keys whose content differs.
        level_before, level: Sigma's level on both sides; None where there is none.
    """

    id: str
    title: str
    kind: str
    path: str
    change: str
    parts: tuple[str, ...] = ()
    level_before: str | None = None
    level: str | None = None


def rule_texts(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, RuleText]:
    """The rules among documents (each with its file), by id; of two with one id the first counts, as in a run."""
    found: dict[str, RuleText] = {}
    for path, document in documents:
        kind = next((name for name in KINDS if name in document), None)
        if kind is None:
            continue
        title = str(document.get("title", ""))
        given = document.get("id")
        identity = str(given).lower() if given is not None else f"title:{title}"
        found.setdefault(identity, RuleText(identity, title, kind, path, document))
    return found


def compare_rules(old: Mapping[str, RuleText], new: Mapping[str, RuleText]) -> list[Difference]:
    """Every rule that is not the same in both sets, by id."""
    found: list[Difference] = []
    for identity in sorted({*old, *new}):
        before, after = old.get(identity), new.get(identity)
        if before is None and after is not None:
            found.append(_difference(after, "added", (), None, _level(after)))
        elif after is None and before is not None:
            found.append(_difference(before, "removed", (), _level(before), None))
        elif before is not None and after is not None:
            names = sorted({*before.document, *after.document})
            parts = tuple(name for name in names if before.document.get(name) != after.document.get(name))
            if parts:
                change = "changed" if set(parts) & set(MATCHING) else "metadata"
                found.append(_difference(after, change, parts, _level(before), _level(after)))
    return found


def _difference(
    rule: RuleText, change: str, parts: tuple[str, ...], before: str | None, after: str | None
) -> Difference:
    return Difference(rule.id, rule.title, rule.kind, rule.path, change, parts, before, after)


def _level(rule: RuleText) -> str | None:
    level = rule.document.get("level")
    return None if level is None else str(level)
