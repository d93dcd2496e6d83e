"""Views: functions from native tables to OCSF event classes, one file per source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import ibis

from casemate.schema.ocsf import EVENT_CLASSES, EventClass
from casemate.views import cloudtrail, kubernetes, linux, suricata, web_access, windows, zeek
from casemate.views.base import View, union

VIEWS: tuple[View, ...] = (
    *windows.VIEWS,
    *zeek.VIEWS,
    *suricata.VIEWS,
    *web_access.VIEWS,
    *linux.VIEWS,
    *cloudtrail.VIEWS,
    *kubernetes.VIEWS,
)
"""Every view there is."""
SEVERAL_CLASSES: frozenset[str] = frozenset({"zeek_ssh", "suricata_event", "linux_audit", "cloudtrail"})
"""Native tables of which one record may be events of several classes; of all others it is of one at most."""


def fed_classes(
    filled: Collection[str],
    classes: Collection[EventClass] = EVENT_CLASSES,
    events: Mapping[str, Collection[str]] | None = None,
) -> tuple[EventClass, ...]:
    """Those of `classes` that some view makes of the native tables in `filled`; `events` as for :func:`ocsf_tables`."""
    there = events or {}
    fed = {view.event_class.name for view in VIEWS if view.native in filled and view.takes(there.get(view.native))}
    return tuple(kind for kind in classes if kind.name in fed)


def ocsf_tables(
    read: Callable[[str], ibis.Table],
    filled: Collection[str],
    classes: Collection[EventClass] = EVENT_CLASSES,
    columns: Mapping[str, Sequence[str]] | None = None,
    events: Mapping[str, Collection[str]] | None = None,
) -> dict[str, ibis.Table]:
    """One table per OCSF event class.

    Args:
        read: gives a native table by name.
        filled: native tables that hold rows; views of others are left out.
        classes: the event classes to make.
        columns: only these columns, by the name of an event class; all when None.
        events: by native table, all values of its column in :data:`casemate.views.base.EVENT_COLUMNS`, where known:
            what no record of the case can be is not asked for.
    """
    events = events or {}
    views = [view for view in VIEWS if view.event_class in classes and view.native in filled]
    natives = {name: read(name) for name in dict.fromkeys(view.native for view in views)}
    made = [(view.event_class, view.rows(natives[view.native], events.get(view.native))) for view in views]
    return {
        kind.name: union(
            [rows for of_class, rows in made if of_class == kind and rows is not None],
            kind,
            None if columns is None else columns[kind.name],
        )
        for kind in classes
    }
