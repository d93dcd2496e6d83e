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
from operator import itemgetter

import ibis
import pyarrow as pa

from casemate.errors import BadInput

Tables = Mapping[str, ibis.Table]
Collect = Callable[[ibis.Table], pa.Table]
Rows = Callable[[Tables], ibis.Table]
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
    rows: Rows
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
    """Run several measures; keys are their names, in the order given.

    Those that count the same rows are asked in one question, and give what :func:`value` gives of each.
    """
    together: dict[Rows, list[Measure]] = {}
    for measure in measures:
        if all(name in tables for name in measure.needs):
            together.setdefault(measure.rows, []).append(measure)
    found: dict[str, Value] = {}
    for rows, some in together.items():
        asked = (
            {some[0].name: value(some[0], tables, collect)} if len(some) == 1 else _asked(rows, some, tables, collect)
        )
        found.update(asked)
    return {measure.name: found.get(measure.name) for measure in measures}


def _asked(make: Rows, measures: Sequence[Measure], tables: Tables, collect: Collect) -> dict[str, Value]:
    """Several measures of the same rows: counted by all their labels at once, added up per label here."""
    rows = make(tables)
    by = list(dict.fromkeys(measure.by for measure in measures if measure.by is not None))
    added = list(dict.fromkeys(measure.add for measure in measures if measure.add is not None))
    sums = {f"sum_{place}": rows[name].sum().fill_null(0).cast("int64") for place, name in enumerate(added)}
    numbers = {"number": rows.count().cast("int64"), **sums}
    labels = {f"label_{place}": rows[name].cast("string").fill_null("unknown") for place, name in enumerate(by)}
    counted = collect(rows.group_by(**labels).agg(**numbers) if by else rows.agg(**numbers)).to_pylist()
    found: dict[str, Value] = {}
    for measure in measures:
        column = "number" if measure.add is None else f"sum_{added.index(measure.add)}"
        if measure.by is None:
            found[measure.name] = sum(row[column] for row in counted)
            continue
        label = f"label_{by.index(measure.by)}"
        number: dict[str, int] = {}
        for row in sorted(counted, key=itemgetter(label)):
            number[row[label]] = number.get(row[label], 0) + row[column]
        found[measure.name] = number
    return found


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
