"""Progress of long work on the terminal: what, how much, how fast, how long still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from casemate.cli.output import console, visible


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A bar over bytes; gives a function of (bytes done, bytes in all, what is at hand).

    Nothing is shown unless standard error is a terminal.
    """
    screen = console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=quiet or not screen.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)

        def update(done: int, total: int, current: str = "") -> None:
            tail = f" {visible(current[-28:])}" if current else ""
            bar.update(task, completed=done, total=total or None, description=f"{what}{tail}")

        yield update


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A line per stage of the work; gives a function of (stage, done, in all)."""
    screen = console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=quiet or not screen.is_terminal,
    )
    with bar:
        known: dict[str, int] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = int(bar.add_task(visible(stage), total=total or None))
            bar.update(known[stage], completed=done, total=total or None)  # type: ignore[arg-type]

        yield update
