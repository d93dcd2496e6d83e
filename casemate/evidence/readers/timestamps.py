"""Times as logs write them -> microseconds since 1970 in UTC, with the flags of what was assumed.

Fractions beyond microseconds are cut off, never rounded (rounding could move a record into the next
second).  A leap second (``:60``) is read as the first moment of the next minute.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = 631_152_000_000_000  # 1990-01-01, see the flag time_out_of_range
LATEST = 7_258_118_400_000_000  # 2200-01-01

ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\d*\s*"
    r"(Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?\Z",
    re.ASCII,
)

Reading = tuple[int | None, tuple[str, ...]]
"""Microseconds (None if there is no possible time) and flags of :data:`casemate.schema.native.FLAGS`."""


def believed(microseconds: int) -> Reading:
    """The time if it lies in the range that is believed."""
    if EARLIEST <= microseconds < LATEST:
        return microseconds, ()
    return None, ("time_out_of_range",)


def civil(year: int, month: int, day: int, hour: int, minute: int, second: int, microsecond: int = 0) -> int | None:
    """Microseconds of a date and time in UTC, None if the calendar has no such moment."""
    extra = 0
    if second == 60:
        second, extra = 59, 1
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    except ValueError:
        return None
    return (moment - EPOCH) // timedelta(microseconds=1) + extra * 1_000_000


def read_iso(text: str) -> Reading:
    """ISO 8601 date and time; without a zone UTC is assumed and flagged."""
    match = ISO.match(text.strip())
    if match is None:
        return None, ("time_unreadable",)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    moment = civil(int(year), int(month), int(day), int(hour), int(minute), int(second), micro)
    if moment is None:
        return None, ("time_unreadable",) if int(year) else ("time_out_of_range",)
    if zone is None:
        value, flags = believed(moment)
        return value, (*flags, "zone_assumed_utc")
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
        if hours > 15 or minutes > 59:
            return None, ("time_unreadable",)
        shift = (hours * 3600 + minutes * 60) * 1_000_000
        moment -= shift if zone[0] == "+" else -shift
    return believed(moment)


def read_epoch(text: str, unit: int) -> Reading:
    """Decimal seconds (`unit` 1_000_000), milliseconds (1_000) or microseconds (1) since 1970."""
    match = re.match(r"(\d{1,19})(?:\.(\d{1,9}))?\Z", text.strip(), re.ASCII)
    if match is None:
        return None, ("time_unreadable",)
    micro = int(match.group(1)) * unit
    if match.group(2):
        micro += int(match.group(2).ljust(9, "0")) * unit // 1_000_000_000
    return believed(micro)
