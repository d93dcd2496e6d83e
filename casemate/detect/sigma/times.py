"""Where matching spends its time.

All patterns of a field are asked at once, so the time of asking belongs to the field and cannot be split among its
rules.  What a rule costs by itself is the evaluation of its condition, where a pattern it needs has been found.
Reading of the table, and making findings of matches, are not counted.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from casemate.detect.sigma.cache import open_matcher
from casemate.detect.sigma.compiled import KEYWORDS
from casemate.detect.sigma.kernel import columns_read
from casemate.detect.sigma.match import TableMatcher
from casemate.engine.protocol import Kernel

KINDS: dict[str, str] = {
    "field": "asking the distinct values of a field for all patterns of all rules (`asked`: values)",
    "keywords": "asking all fields for keywords (`asked`: batches)",
    "rule": "evaluating the condition of one rule (`asked`: batches in which a pattern it needs was found)",
    "rest": "finding the records of each log source, and passing over rules that cannot hold (`asked`: batches)",
}
TIMES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),  # field (lower case), or id of the rule
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("asked", pa.int64(), nullable=False),
        pa.field("matches", pa.int64(), nullable=False),
    ]
)


@dataclass
class MatchTimes:
    """Seconds, things asked and matches by kind and name, of one batch.  `clock` gives seconds."""

    clock: Callable[[], float] = time.thread_time
    spent: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, kind: str, name: str, since: float, asked: int = 1, matches: int = 0) -> float:
        """Book the time since a moment; the moment it is now."""
        now = self.clock()
        entry = self.spent.setdefault((kind, name), [0.0, 0, 0])
        entry[0] += now - since
        entry[1] += asked
        entry[2] += matches
        return now

    def rows(self) -> pa.RecordBatch:
        """Rows of :data:`TIMES`."""
        rows = [
            {"kind": kind, "name": name, "seconds": seconds, "asked": int(asked), "matches": int(matches)}
            for (kind, name), (seconds, asked, matches) in self.spent.items()
        ]
        return pa.RecordBatch.from_pylist(rows, schema=TIMES)


@dataclass(frozen=True)
class SigmaTimes:
    """Kernel: matches batches of one table and returns only how long what took (:data:`TIMES`)."""

    folder: str
    table: str

    def build(self) -> Kernel:
        """Build the kernel; once in each worker."""
        matcher = open_matcher(Path(self.folder), self.table)
        gc.collect()  # what loading the rules left behind is not the first rule's fault
        return lambda batch: times_of(matcher, batch)

    def columns(self, declared: list[str]) -> list[str]:
        """Which of the table's columns the kernel reads."""
        return columns_read(open_matcher(Path(self.folder), self.table), declared, ())


def times_of(matcher: TableMatcher, batch: pa.RecordBatch) -> pa.RecordBatch:
    """How long matching one batch took, by field and rule."""
    times = MatchTimes()
    begun = times.clock()
    matcher.match(batch, times=times)
    spent = sum(entry[0] for entry in times.spent.values())
    times.add("rest", "", begun + spent)
    return times.rows()


def patterns_of(matcher: TableMatcher) -> dict[str, tuple[int, int]]:
    """Per field: how many patterns are asked, and how many rules ask some."""
    rules: dict[str, set[int]] = {}
    for number, plan in enumerate(matcher.plans):
        for name in _fields(matcher.condition(number)):
            rules.setdefault(name, set()).add(plan.rule)
    return {name: (len(atoms), len(rules.get(name, ()))) for name, atoms in matcher.atoms.items()}


def _fields(node: list) -> set[str]:
    kind = node[0]
    if kind in ("and", "or"):
        return {name for part in node[1] for name in _fields(part)}
    if kind in ("not", "selection"):
        return _fields(node[-1])
    if kind == "keyword":
        return {KEYWORDS}
    return {node[2]} if kind == "field" else set()
