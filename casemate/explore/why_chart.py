"""A behaviour's series drawn in characters: counts as small bars, what was judged against its threshold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:  # it needs an engine, which takes longer to import than an answer without it
    from casemate.explore.why_series import Series

BARS = "▁▂▃▄▅▆▇█"
QUIET = "·"
ROWS = 6
LABEL = 12
MOST_CHARACTERS = 78
STYLES = {
    "failures": "red",
    "errors": "red",
    "successes": "green",
    "answered": "green",
    "undecided": "yellow",
    "unanswered": "red",
    "refused": "red",
    "empty": "yellow",
}


def chart(series: Series) -> Iterator[Text]:
    """The series as lines of at most :data:`MOST_CHARACTERS` for numbers below ten million."""
    most = max(max(values) for values in series.counts.values())
    for kind, values in series.counts.items():
        bars = "".join(_bar(value, most) for value in values)
        yield Text.assemble(
            (f"{kind[: LABEL - 1]:<{LABEL}}", "dim"), (bars, STYLES.get(kind, "cyan")), f" {sum(values):,}"
        )
    yield from _reached(series)
    yield _axis(series)
    drawn = f"{series.measure}, running count; " if series.threshold is not None else ""
    yield Text(f"{'':<{LABEL}}{drawn}a column is {span_of(series.bucket_seconds)}", "dim")
    for what, when in series.moments:
        place = int((when - series.begin).total_seconds() // series.bucket_seconds)
        said = f"{what} {when:{_form(series)}}"
        left = LABEL + place - len(said) - 1
        if LABEL + place + 2 + len(said) > MOST_CHARACTERS and left >= 0:  # on the side where there is room
            yield Text.assemble(" " * left, f"{said} ", ("^", "bold"))
        else:
            yield Text.assemble(" " * (LABEL + place), ("^ ", "bold"), said)


def _bar(value: int, most: int) -> str:
    return QUIET if not value else BARS[min(value * len(BARS) // max(most, 1), len(BARS) - 1)]


def _reached(series: Series) -> Iterator[Text]:
    """The running count as columns, with the threshold as a line."""
    threshold = series.threshold
    if threshold is None:
        return
    top = max(series.reached[-1], threshold)
    line = min(int((threshold - 1) * ROWS / top), ROWS - 1) if top else 0
    for row in range(ROWS - 1, -1, -1):
        label = f"{int(threshold):,} needed" if row == line else f"{series.reached[-1]:,}" if row == ROWS - 1 else ""
        drawn = Text()
        for value in series.reached:
            drawn.append(*_cell(value, row, top, row == line, value >= threshold))
        yield Text.assemble((f"{label[: LABEL - 1]:<{LABEL}}", "bold" if row == line else "dim"), drawn)


def _cell(value: int, row: int, top: float, on_line: bool, over: bool) -> tuple[str, str]:
    filled = value * ROWS / top - row
    if filled >= 1:
        return ("▓" if on_line else "█"), ("red" if over else "cyan")
    if filled > 0 and not on_line:
        return BARS[min(int(filled * len(BARS)), len(BARS) - 1)], "red" if over else "cyan"
    return ("─", "bold") if on_line else (" ", "")


def _axis(series: Series) -> Text:
    number = len(series.reached)
    end = series.begin + timedelta(seconds=series.bucket_seconds * number)
    form = _form(series)
    first, last = f"{series.begin:{form}}", f"{end:{form}}"
    room = number - len(first) - len(last)
    between = " " * room if room > 0 else " to "
    return Text(f"{'':<{LABEL}}{first}{between}{last}", "dim")


def _form(series: Series) -> str:
    """How times are written, by how long the series is."""
    days = series.bucket_seconds * len(series.reached) / 86_400
    return "%H:%M:%S" if days < 1 else "%m-%d %H:%M" if days < 60 else "%Y-%m-%d"


def span_of(seconds: int) -> str:
    """A width of a bucket as a person says it."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {name}"
    return f"{seconds / 86_400:.1f} d" if seconds > 86_400 else f"{seconds} s"
