"""Drawings of the report: the timeline and what each log source saw.  Plain SVG, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from casemate.detect.coverage import SourceCoverage
from casemate.explore.summary import Timeline
from casemate.report.elements import Element, element

WIDTH, LEFT, RIGHT = 1124, 210, 14
LANES = 40
"""Most log sources drawn; those with an unusual silence and those with most records first."""
TICKS = 6


def timeline(given: Timeline) -> Element:
    """Findings above, records beneath, in equal steps; steps without any record are marked."""
    steps = len(given.records)
    left, height, base, strip = 64, 150, 96, 104
    width = (WIDTH - left - RIGHT) / max(steps, 1)
    most_findings, most_records = max(given.findings, default=0), max(given.records, default=0)
    drawn: list[Element] = []
    for place, (records, findings) in enumerate(zip(given.records, given.findings, strict=True)):
        x, end = left + place * width, given.start + given.step * (place + 1)
        span = f"{_minute(given.start + given.step * place)} to {_minute(end)}"
        told = f"{span}: {findings:,} findings, {records:,} records"
        if findings:
            # square root: one finding stays visible beside thousands
            tall = max(3.0, 84 * (findings / most_findings) ** 0.5)
            drawn.append(_bar("f", x + 0.5, base - tall, width - 1, tall, told))
        if records:
            tall = max(2.0, 20 * (records / most_records) ** 0.5)
            drawn.append(_bar("r", x + 0.5, strip + 20 - tall, width - 1, tall, told))
        else:
            drawn.append(_bar("none", x, strip, width, 20, f"{span}: no record"))
    label = f"Timeline: findings and records in {steps} steps of {_length(given.step)}"
    return element(
        "svg",
        drawn,
        element("line", x1=left, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis"),
        element("text", f"{most_findings:,}", x=left - 6, y=20, text_anchor="end"),
        element("text", "findings", x=left - 6, y=base, text_anchor="end"),
        element("text", "records", x=left - 6, y=strip + 16, text_anchor="end"),
        _ticks(given.start, given.start + given.step * steps, left, height - 8),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=label,
    )


def coverage(sources: Sequence[SourceCoverage]) -> tuple[Element | None, int]:
    """One lane per log source: when it has records, and its longest silence; and how many lanes were left out."""
    dated = [one for one in sources if one.first and one.last]
    if not dated:
        return None, 0
    ranked = sorted(dated, key=lambda one: (not one.silence_is_unusual, -one.records, one.table, one.host or ""))
    shown = sorted(ranked[:LANES], key=lambda one: (one.table, one.host or ""))
    start, end = min(one.first for one in dated if one.first), max(one.last for one in dated if one.last)
    whole = max((end - start).total_seconds(), 1.0)
    lane = 17

    def at(time: datetime) -> float:
        return LEFT + (time - start).total_seconds() / whole * (WIDTH - LEFT - RIGHT)

    drawn: list[Element] = []
    for place, one in enumerate(shown):
        y = 4 + place * lane
        name = f"{one.table} of {one.host}" if one.host else one.table
        drawn.append(element("text", name if len(name) < 34 else name[:33] + "…", x=0, y=y + 11, class_="name"))
        if one.first and one.last:
            told = f"{name}: {one.records:,} records, {_minute(one.first)} to {_minute(one.last)}"
            drawn.append(_bar("seen", at(one.first), y + 2, max(at(one.last) - at(one.first), 2.0), 10, told))
        if one.silence_from and one.silence_to and one.longest_silence_seconds >= 3600:
            kind = "gap" if one.silence_is_unusual else "usual"
            told = f"{name}: longest silence {_minute(one.silence_from)} to {_minute(one.silence_to)}"
            x = at(one.silence_from)
            drawn.append(_bar(kind, x, y + 2, max(at(one.silence_to) - x, 1.0), 10, told))
    height = 4 + len(shown) * lane + 24
    return (
        element(
            "svg",
            drawn,
            _ticks(start, end, LEFT, height - 6),
            viewBox=f"0 0 {WIDTH} {height}",
            role="img",
            aria_label="Log sources: when each has records, and its longest silence",
        ),
        len(dated) - len(shown),
    )


def _bar(kind: str, x: float, y: float, width: float, height: float, told: str) -> Element:
    return element(
        "rect",
        element("title", told),
        class_=kind,
        x=round(x, 2),
        y=round(y, 2),
        width=round(width, 2),
        height=round(height, 2),
    )


def _ticks(start: datetime, end: datetime, left: float, y: float) -> Element:
    words = "%Y-%m-%d" if end - start > timedelta(days=TICKS) else "%m-%d %H:%MZ"
    marks = []
    for place in range(TICKS + 1):
        x = left + (WIDTH - left - RIGHT) * place / TICKS
        anchor = "start" if place == 0 else "end" if place == TICKS else "middle"
        time = start + (end - start) * place / TICKS
        marks.append(element("text", time.astimezone(UTC).strftime(words), x=round(x, 1), y=y, text_anchor=anchor))
    return element("g", marks)


def _minute(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _length(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} min"
