"""Time per rule and field, measured in a pass of its own over the records a case holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casemate.case import Case
from casemate.detect.sigma.cache import install_rules, open_matcher
from casemate.detect.sigma.compiled import SUPPRESSED_SUFFIX
from casemate.detect.sigma.times import TIMES, SigmaTimes, patterns_of
from casemate.engine.protocol import Engine
from casemate.explore.tables import native_filled, stored_tables

STATEMENT = (
    "measured in a pass of its own, in CPU seconds; all patterns of a field are asked at once, so that time is the "
    "field's and cannot be split among rules; a rule's own time is the evaluation of its condition; reading records "
    "and writing findings are not counted"
)


@dataclass(frozen=True)
class FieldTime:
    """The time of asking the values of one field of one table for all patterns."""

    table: str
    field: str
    seconds: float
    values: int
    patterns: int
    rules: int


@dataclass(frozen=True)
class RuleTime:
    """A rule's own time in all tables; `batches`: how often its condition was evaluated."""

    rule_id: str
    title: str
    seconds: float
    batches: int
    matches: int


@dataclass(frozen=True)
class RuleTimes:
    """All of it, the costliest first.

    Args:
        seconds: of the whole pass; `fields`, `keywords`, `rules` and `rest` add up to it.
    """

    seconds: float
    fields: tuple[FieldTime, ...]
    keywords: float
    rules: tuple[RuleTime, ...]
    rest: float

    def document(self, limit: int | None = None) -> dict[str, Any]:
        """As values that JSON knows; at most so many fields and rules."""
        return {
            "statement": STATEMENT,
            "seconds": self.seconds,
            "fields_seconds": sum(one.seconds for one in self.fields),
            "keywords_seconds": self.keywords,
            "rules_seconds": sum(one.seconds for one in self.rules),
            "rest_seconds": self.rest,
            "fields": [vars(one) for one in self.fields[:limit]],
            "rules": [vars(one) for one in self.rules[:limit]],
        }


def rule_times(
    case: Case,
    engine: Engine,
    paths: Sequence[Path],
    cache: Path,
    placeholders: Mapping[str, tuple[str, ...]],
    profile: str,
) -> RuleTimes:
    """Match every record of a case once more, and say where the time goes.  Changes nothing.

    Raises:
        BadInput: a path of rules cannot be read.
    """
    installed = install_rules(paths, cache, placeholders=placeholders, profile=profile)
    stored = stored_tables(case)
    engine.use(stored)
    titles = {rule.id.removesuffix(SUPPRESSED_SUFFIX): rule.title for rule in installed.rules.rules}
    fields: list[FieldTime] = []
    rules: dict[str, list[float]] = {}
    keywords = rest = 0.0
    for table in native_filled(stored):
        if table not in installed.tables:
            continue
        kernel = SigmaTimes(str(installed.folder), table)
        columns = kernel.columns(stored[table].schema.names)
        asked: dict[str, list[float]] = {}
        for batch in engine.map_batches(table, kernel, TIMES, columns=columns):
            for row in batch.to_pylist():
                if row["kind"] == "field":
                    _book(asked, row["name"], row)
                elif row["kind"] == "rule":
                    _book(rules, row["name"].removesuffix(SUPPRESSED_SUFFIX), row)
                elif row["kind"] == "keywords":
                    keywords += row["seconds"]
                else:
                    rest += row["seconds"]
        patterns = patterns_of(open_matcher(installed.folder, table))
        fields += [
            FieldTime(table, name, seconds, int(values), *patterns.get(name, (0, 0)))
            for name, (seconds, values, _) in asked.items()
        ]
    found = [
        RuleTime(name, titles.get(name, ""), entry[0], int(entry[1]), int(entry[2])) for name, entry in rules.items()
    ]
    whole = sum(one.seconds for one in fields) + sum(one.seconds for one in found) + keywords + rest
    return RuleTimes(
        whole,
        tuple(sorted(fields, key=lambda one: (-one.seconds, one.table, one.field))),
        keywords,
        tuple(sorted(found, key=lambda one: (-one.seconds, one.rule_id))),
        rest,
    )


def _book(entries: dict[str, list[float]], name: str, row: Mapping[str, Any]) -> None:
    entry = entries.setdefault(name, [0.0, 0, 0])
    for place, key in enumerate(("seconds", "asked", "matches")):
        entry[place] += row[key]
