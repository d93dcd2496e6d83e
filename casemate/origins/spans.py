"""Which versions of the origin data hold at which time.

Versions are dated by the day.  An event is looked up in the version nearest before it; an event from
before the first version of a source in that first version, which is then *later* than the event and
said to be.  Between two days on which any source has a new version nothing changes: that is a span.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from casemate.intel.origins_store import Version


@dataclass(frozen=True)
class Spans:
    """Spans of time by the days on which they begin, and the versions of each source, oldest first."""

    days: tuple[str, ...]
    sources: tuple[tuple[Version, ...], ...]

    def number(self, day: str | None) -> int:
        """The span of a day; the last one where the day is not known."""
        return len(self.days) if day is None else bisect_right(self.days, day)

    def begins(self, span: int) -> datetime | None:
        """When a span begins (UTC); None for the first."""
        return _midnight(self.days[span - 1]) if span else None

    def ends(self, span: int) -> datetime | None:
        """When a span ends (UTC); None for the last."""
        return _midnight(self.days[span]) if span < len(self.days) else None

    def versions(self, span: int) -> list[tuple[Version, bool]]:
        """One version of each source, and whether it is later than the span."""
        begins = self.days[span - 1] if span else ""
        found = []
        for kept in self.sources:
            before = [one for one in kept if one.dated <= begins]
            found.append((before[-1], False) if before else (kept[0], True))
        return found


def spans(versions: Mapping[str, Sequence[Version]]) -> Spans:
    """The spans of these versions (by source, oldest first).

    The oldest version of a source also holds for all time before it, but is *later* there: its day is a
    border too.
    """
    days = sorted({one.dated for kept in versions.values() for one in kept})
    return Spans(tuple(days), tuple(tuple(kept) for _, kept in sorted(versions.items()) if kept))


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), UTC)
