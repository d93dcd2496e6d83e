"""What the sections of the page are put together from: tables, notes, and how numbers, times and names are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from casemate.masking import mask
from casemate.report.elements import Element, Node, element
from casemate.schema.findings import SEVERITIES


def table(head: Sequence[str], rows: Sequence[Sequence[Node]], ids: Sequence[str] | None = None) -> Element:
    """A table; columns whose name ends with ``#`` are numbers."""
    kinds = ["n" if name.endswith("#") else None for name in head]
    top = element(
        "tr",
        [element("th", name.rstrip("#"), class_=kind, scope="col") for name, kind in zip(head, kinds, strict=True)],
    )
    body = [
        element(
            "tr",
            [element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)],
            id=ids[place] if ids else None,
        )
        for place, row in enumerate(rows)
    ]
    return element("table", element("thead", top), element("tbody", body))


def note(text: str) -> Element:
    """A sentence beside the matter."""
    return element("p", text, class_="note")


def severity(name: str) -> Element:
    """A severity in its colour."""
    return element("span", name, class_=f"sev {name}" if name in SEVERITIES else "sev")


def outcome(name: str) -> str:
    """An outcome as the style knows it."""
    return name if name in ("succeeded", "failed", "blocked") else "unknown"


def anchor(address: str) -> str:
    """The id of a record on the page."""
    return "r-" + address.replace(":", "-")


def end(value: dict[str, Any] | None) -> str:
    """What an endpoint is called; secrets masked."""
    return mask(str(value["value"])) if value and value.get("value") else "unknown"


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def count(number: int) -> str:
    """A number of things."""
    return f"{number:,}"


def time(time: datetime | None) -> Node:
    """A moment to the minute."""
    return element("span", minute(time), class_="t")


def minute(time: datetime | None) -> str:
    """A moment to the minute, as text."""
    if time is None:
        return "no time"
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)).strftime("%Y-%m-%d %H:%MZ")


def length(seconds: int) -> str:
    """A length of time in its two largest units."""
    length = timedelta(seconds=seconds)
    return (
        f"{length.days} d {length.seconds // 3600} h"
        if length.days
        else f"{seconds // 3600} h {seconds % 3600 // 60} min"
    )
