"""What a view is, and the few expressions all views need.

A view is a function from one native table to one OCSF event class.  It is written with the Ibis
operations that give equal rows on DuckDB and Spark (see docs/decisions), executes nothing, and
never raises on odd values: text that is not a number becomes null.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from casemate.schema.ocsf import EventClass


@dataclass(frozen=True)
class Part:
    """A part of a view: the rows it makes of records with one of these `events` (values of :data:`EVENT_COLUMNS`)."""

    events: tuple[str, ...]
    build: Callable[[ibis.Table], ibis.Table]


EVENT_COLUMNS: dict[str, str] = {"windows_event": "EventID"}
"""Native table -> the column by which its views are in parts: most logs hold few of the events that views know."""


@dataclass(frozen=True)
class View:
    """One view: reads `native` (a native table's name), gives rows of `event_class`.

    A view in `parts` is their union.  `reads` names the columns that `build` gets, of a native table with very many:
    each step of a plan repeats them all.  It gets every column when None.
    """

    native: str
    event_class: EventClass
    build: Callable[[ibis.Table], ibis.Table]
    reads: tuple[str, ...] | None = None
    parts: tuple[Part, ...] = ()

    def takes(self, events: Collection[str] | None) -> bool:
        """Whether it may have rows of records with these events (None: not known)."""
        return events is None or not self.parts or any(not set(events).isdisjoint(part.events) for part in self.parts)

    def rows(self, native: ibis.Table, events: Collection[str] | None = None) -> ibis.Table | None:
        """What `build` makes of the columns it reads.

        Args:
            events: all events there are in `native`, if known; parts that take none of them are left out.

        Returns:
            None where every part is left out.
        """
        native = native if self.reads is None else native.select(*self.reads)
        if events is None or not self.parts:
            return self.build(native)
        made = [part.build(native) for part in self.parts if not set(events).isdisjoint(part.events)]
        return union(made, self.event_class) if made else None


def parted(native: str, event_class: EventClass, parts: Sequence[Part], reads: tuple[str, ...] | None = None) -> View:
    """A view that is the union of its parts."""
    whole = tuple(parts)
    return View(
        native, event_class, lambda table: union([part.build(table) for part in whole], event_class), reads, whole
    )


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


def conform(table: ibis.Table, event_class: EventClass, columns: Sequence[str] | None = None) -> ibis.Table:
    """These columns of `event_class` (all in its order when None) by type; those `table` lacks are null."""
    present = set(table.columns)
    kinds = event_class.schema
    made = {
        name: (table[name].cast(kinds[name]) if name in present else ibis.null(kinds[name]))
        for name in (kinds if columns is None else columns)
    }
    return table.select(**made)


def union(tables: Sequence[ibis.Table], event_class: EventClass, columns: Sequence[str] | None = None) -> ibis.Table:
    """All rows of several views of one event class; an empty table where there is none.

    Args:
        columns: only these of the class; all when None.
    """
    conformed = [conform(table, event_class, columns) for table in tables]
    if not conformed:
        kinds = event_class.schema
        empty = {name: ibis.null(kinds[name]) for name in (kinds if columns is None else columns)}
        return ibis.literal(0, type="int64").name("_").as_table().select(**empty).limit(0)
    first, *others = conformed
    for other in others:
        first = first.union(other, distinct=False)
    return first
