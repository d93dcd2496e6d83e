"""Views: functions from native tables to OCSF event classes, one file per source."""

from __future__ import annotations

from collections.abc import Callable, Collection

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


def ocsf_tables(
    read: Callable[[str], ibis.Table], filled: Collection[str], classes: Collection[EventClass] = EVENT_CLASSES
) -> dict[str, ibis.Table]:
    """One table per OCSF event class.

    Args:
        read: gives a native table by name.
        filled: native tables that hold rows; views of others are left out.
        classes: the event classes to make.
    """
    return {
        kind.name: union(
            [view.build(read(view.native)) for view in VIEWS if view.event_class == kind and view.native in filled],
            kind,
        )
        for kind in classes
    }
