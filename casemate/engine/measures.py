"""Measures: named, versioned queries; the only way a number gets into a summary or report.

A measure is defined by its **rows**; the number is their count (or the sum of one column), given
as a whole or per label.  So a number and the rows behind it cannot disagree, and every number can be
asked for its rows.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ibis
import pyarrow as pa

from casemate.errors import BadInput

Tables = Mapping[str, ibis.Table]
Collect = Callable[[ibis.Table], pa.Table]
Value = int | dict[str, int] | None


@dataclass(frozen=True)
class Measure:
    """One measure.

    Args:
        name: stable name, ``room.what``, for example ``attempts.by_intent``.
        version: raised whenever the same tables would give another number.
        title: a few words for people.
        definition: one sentence that says what is counted.
        needs: names of the case's tables it reads.
        rows: from these tables to the rows behind the number.
        by: column of the rows whose values are the labels; None for one number.
        add: column whose sum is the number; None counts rows.
    """

    name: str
    version: int
    title: str
    definition: str
    needs: tuple[str, ...]
    rows: Callable[[Tables], ibis.Table]
    by: str | None = None
    add: str | None = None

    def build(self, tables: Tables) -> ibis.Table:
        """The number as a table: column ``value`` (int64), and ``label`` (text) if counted per label."""
        rows = self.rows(tables)
        number = rows.count() if self.add is None else rows[self.add].sum().fill_null(0)
        if self.by is None:
            return rows.aggregate(value=number.cast("int64"))
        labelled = rows.mutate(label=rows[self.by].cast("string").fill_null("unknown"))
        value = labelled.count() if self.add is None else labelled[self.add].sum().fill_null(0)
        return labelled.group_by("label").agg(value=value.cast("int64"))


def value(measure: Measure, tables: Tables, collect: Collect) -> Value:
    """Run one measure: a number, numbers per label (sorted by label), or None if a needed table is absent."""
    if any(name not in tables for name in measure.needs):
        return None
    rows = collect(measure.build(tables)).to_pylist()
    if measure.by is None:
        return int(rows[0]["value"]) if rows else 0
    return {row["label"]: int(row["value"]) for row in sorted(rows, key=lambda row: row["label"])}


def values(measures: Sequence[Measure], tables: Tables, collect: Collect) -> dict[str, Value]:
    """Run several measures; keys are their names, in the order given."""
    return {measure.name: value(measure, tables, collect) for measure in measures}


def rows_behind(measure: Measure, tables: Tables, label: str | None = None) -> ibis.Table:
    """The rows a number counts, of one label where it is counted per label.

    Raises:
        BadInput: a label was given for a measure that has none.
    """
    rows = measure.rows(tables)
    if label is None:
        return rows
    if measure.by is None:
        raise BadInput(f"measure '{measure.name}' is one number and has no labels")
    return rows.filter(rows[measure.by].cast("string").fill_null("unknown") == label)


def listing(measures: Sequence[Measure]) -> str:
    """All measures as a Markdown table, for ``docs/measures.md``."""
    lines = ["| measure | version | what is counted | per |", "|---|---|---|---|"]
    for measure in sorted(measures, key=lambda measure: measure.name):
        lines.append(f"| `{measure.name}` | {measure.version} | {measure.definition} | {measure.by or ''} |")
    return "\n".join(lines) + "\n"
