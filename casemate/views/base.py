"""What a view is, and the few expressions all views need.

A view is a function from one native table to one OCSF event class.  It is written with the Ibis
operations that give equal rows on DuckDB and Spark (see docs/decisions), executes nothing, and
never raises on odd values: text that is not a number becomes null.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.schema.ocsf import EventClass


@dataclass(frozen=True)
class View:
    """One view: reads `native` (a native table's name), gives rows of `event_class`."""

    native: str
    event_class: EventClass
    build: Callable[[ibis.Table], ibis.Table]


def integer(text: ir.StringValue) -> ir.IntegerValue:
    """Decimal text as int64; null where it is not one (18 digits at most, so it cannot overflow)."""
    return ibis.ifelse(text.re_search(r"^-?[0-9]{1,18}$"), text, ibis.null("string")).cast("int64")


def number(text: ir.StringValue) -> ir.FloatingValue:
    """Decimal text with an optional fraction or exponent as float64; null where it is not one."""
    pattern = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,2})?$"
    return ibis.ifelse(text.re_search(pattern), text, ibis.null("string")).cast("float64")


def known(text: ir.StringValue) -> ir.StringValue:
    """Text, or null where the log writes that it knows nothing (``-``, empty)."""
    return ibis.ifelse(text.isin(["-", ""]), ibis.null("string"), text)


def conform(table: ibis.Table, event_class: EventClass) -> ibis.Table:
    """The columns of `event_class` in order and type; those `table` lacks are null."""
    present = set(table.columns)
    columns = {
        name: (table[name].cast(kind) if name in present else ibis.null(kind))
        for name, kind in event_class.schema.items()
    }
    return table.select(**columns)


def union(tables: Sequence[ibis.Table], event_class: EventClass) -> ibis.Table:
    """All rows of several views of one event class; an empty table where there is none."""
    conformed = [conform(table, event_class) for table in tables]
    if not conformed:
        empty = {name: ibis.null(kind) for name, kind in event_class.schema.items()}
        return ibis.memtable({"_": [0]}).select(**empty).limit(0)
    first, *others = conformed
    for other in others:
        first = first.union(other, distinct=False)
    return first
