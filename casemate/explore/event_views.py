"""The OCSF tables as SQL text, for ``casemate query``.

A class is compiled only where the query names it: compiling all of them takes longer than most answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from casemate.case import Case
from casemate.explore.query_child import LISTS_TABLES


@dataclass(frozen=True)
class EventViews:
    """What :func:`casemate.explore.query.query` takes to know the OCSF tables."""

    views: Mapping[str, str]
    """SQL over native tables, by class; classes of which the case has rows."""
    empty: Mapping[str, pa.Schema]
    """Classes of which it has none."""


NONE = EventViews({}, {})


def event_views(case: Case, sql: str) -> EventViews:
    """The OCSF tables that `sql` may read: those it names, all of them where it asks what tables there are."""
    # Ibis is slow to import, and most questions are about findings
    from casemate.schema.ocsf import EVENT_CLASSES

    text = sql.lower()
    wanted = [kind for kind in EVENT_CLASSES if kind.name in text or LISTS_TABLES.search(sql)]
    if not wanted:
        return NONE
    import ibis

    from casemate.explore.query import completed
    from casemate.explore.tables import NATIVE
    from casemate.views import VIEWS, ocsf_tables

    filled = {name: schema for name in case.tables() if (schema := case.schema(name)) is not None}
    natives = {view.native for view in VIEWS if view.event_class in wanted and view.native in filled}
    schemas = {name: completed(filled[name], NATIVE.get(name)) for name in natives}
    unbound = {name: ibis.table(ibis.Schema.from_pyarrow(schema), name=name) for name, schema in schemas.items()}
    made = {view.event_class.name for view in VIEWS if view.native in natives}
    tables = ocsf_tables(unbound.__getitem__, natives, [kind for kind in wanted if kind.name in made])
    return EventViews(
        views={name: str(ibis.to_sql(table, dialect="duckdb")) for name, table in tables.items()},
        # a native table may lack columns that this version's view reads
        empty={kind.name: kind.schema.to_pyarrow() for kind in wanted if kind.name not in made}
        | {name: NATIVE[name] for name in natives if name in NATIVE},
    )
