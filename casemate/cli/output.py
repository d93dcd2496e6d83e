"""What every command prints with: JSON lines for machines, safe text for people, one-line errors."""

from __future__ import annotations

import datetime as dt
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from casemate.explore.escape import visible as plainly

PIPE_WIDTH = 240
WHOLE = frozenset({"id", "time", "started", "ended", "severity", "outcome", "records", "findings", "rules", "version"})
"""Columns that are never folded."""


def console(*, stderr: bool = False) -> Console:
    """A console for people; colour only on a terminal."""
    screen = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = PIPE_WIDTH  # a file or a pipe has no width to fold to
    return screen


def visible(text: object) -> str:
    """Evidence text made harmless for a terminal and for rich: hidden characters as codes, no markup."""
    return escape(plainly(str(text)))


def jsonable(value: Any) -> Any:
    """Plain JSON data: times as ISO 8601 UTC with Z, bytes as text, NaN as null."""
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, (dt.date, dt.time, dt.timedelta)):
        return str(value)
    return value


def json_line(value: Any) -> bytes:
    """One line of JSON."""
    return orjson.dumps(jsonable(value), default=str, option=orjson.OPT_APPEND_NEWLINE)


def write_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.buffer.write(json_line(value))
    sys.stdout.buffer.flush()


def write_json_lines(rows: Iterable[Any]) -> int:
    """Print one JSON document per line; returns how many."""
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        sys.stdout.buffer.write(json_line(row))
    sys.stdout.buffer.flush()
    return count


def write_table(columns: Iterable[str], rows: Iterable[Iterable[Any]], *, title: str | None = None) -> None:
    """Print rows for a person."""
    table = Table(title=title, box=None, header_style="bold", pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(visible(column), overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        table.add_row(*["" if cell is None else visible(jsonable(cell)) for cell in row])
    console().print(table)
