"""Which records a Sigma log source means: native tables, conditions on them, and field names.

This is the one place that knows it.  A rule of a log source runs on the records of each
:class:`EventSource` found by :func:`sources_for`; a field of the rule is looked up in the source's
``fields`` first and is otherwise the column (or the key in ``rest``) of the same name, ignoring case.

Sources: Sigma's taxonomy appendix, and those named in the modules of this package.
"""

from __future__ import annotations

from casemate.detect.sigma.logsources.cloud import CLOUD
from casemate.detect.sigma.logsources.findings import FINDINGS
from casemate.detect.sigma.logsources.linux import LINUX
from casemate.detect.sigma.logsources.network import NETWORK, ZEEK_FIELDS
from casemate.detect.sigma.logsources.source import EventSource, LogSource, Where, having
from casemate.detect.sigma.logsources.windows import WINDOWS

__all__ = ["TABLE", "EventSource", "Where", "sources_for"]

TABLE: dict[LogSource, tuple[EventSource, ...]] = {**WINDOWS, **LINUX, **NETWORK, **CLOUD, **FINDINGS}


def sources_for(product: str | None, category: str | None, service: str | None) -> tuple[EventSource, ...]:
    """The records that a log source means; empty if Casemate has no reader for them yet.

    A source that names fewer of the three than the table means all that agree with it
    (``category: process_creation`` alone is Windows and Linux); one that names a category and a
    service means the category's events in the service's channel.
    """
    key = tuple(part.lower() if part else None for part in (product, category, service))
    exact = TABLE.get(key)  # type: ignore[arg-type]
    if exact is not None:
        return exact
    product, category, service = key
    if product == "zeek":
        if service is None:
            return ()
        name = service.removeprefix("zeek_").replace("-", "_")
        return (EventSource(f"Zeek {name}", f"zeek_{name}", fields=ZEEK_FIELDS.get(name, {})),)
    if product == "suricata":
        return (EventSource(f"Suricata {service}", "suricata_event", (having("event_type", service or ""),)),)
    if category is not None and service is not None:
        within = {where for source in TABLE.get((product, None, service), ()) for where in source.where}
        channels = {value for where in within if where.column == "Channel" for value in where.values}
        return tuple(
            source
            for source in TABLE.get((product, category, None), ())
            if any(where.column == "Channel" and where.values & channels for where in source.where)
        )
    found: list[EventSource] = []
    for entry, sources in TABLE.items():
        if all(wanted is None or wanted == had for wanted, had in zip(key, entry, strict=True)) and any(key):
            found.extend(source for source in sources if source not in found)
    return tuple(found)
