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


def fed_classes(filled: Collection[str], classes: Collection[EventClass] = EVENT_CLASSES) -> tuple[EventClass, ...]:
    """Those of `classes` that some view makes of the native tables in `filled`."""
    return tuple(kind for kind in classes if any(v.event_class == kind and v.native in filled for v in VIEWS))


def ocsf_tables(
    read: Callable[[str], ibis.Table],
    filled: Collection[str],
    classes: Collection[EventClass] = EVENT_CLASSES,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, ibis.Table]:
    """One table per OCSF event class.

    Args:
        read: gives a native table by name.
        filled: native tables that hold rows; views of others are left out.
        classes: the event classes to make.
        columns: only these columns, by the name of an event class; all when None.
    """
    views = [view for view in VIEWS if view.event_class in classes and view.native in filled]
    natives = {name: read(name) for name in dict.fromkeys(view.native for view in views)}
    return {
        kind.name: union(
            [view.rows(natives[view.native]) for view in views if view.event_class == kind],
            kind,
            None if columns is None else columns[kind.name],
        )
        for kind in classes
    }
