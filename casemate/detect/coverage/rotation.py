"""Files of logs: rotated ones whose neighbours are absent, and ones that shrank.

``access.log.3`` without ``access.log.2`` is a piece that existed; ``access.log.1`` without ``access.log`` is a
log that was rotated and whose present file was not handed over (logrotate(8), savelog(8)).  A file received twice
at one place, the second time shorter or with another beginning, was truncated, replaced or rotated in between.
Names are read, nothing else; files of a day (``conn-2024-04-19.log``) are judged by the silences of their records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

ROTATED = re.compile(
    r"(?P<base>.+\.(?:log|json|ndjson|jsonl|txt|csv)|.*/?(?:messages|syslog|secure|auth|maillog|cron))"
    r"\.(?P<number>\d{1,3})(?:\.(?:gz|zst|bz2|xz))?\Z",
    re.IGNORECASE,
)
MOST = 200


@dataclass(frozen=True)
class FileGap:
    """`kind`: ``rotation_missing`` (numbers absent), ``present_missing`` or ``shrank``; `path` of the log."""

    kind: str
    path: str
    says: str


def file_gaps(registrations: Iterable[Mapping[str, Any]], sizes: Mapping[str, tuple[int, str | None]]) -> list[FileGap]:
    """What the names and sizes of received files tell, sorted by path.

    Args:
        registrations: rows with ``evidence, path, member_path, registered_at``, in order of reception.
        sizes: by evidence: its bytes, and the evidence it continues.
    """
    places: dict[str, list[str]] = {}
    for row in registrations:
        place = f"{row['path']}!{row['member_path']}" if row["member_path"] else row["path"]
        places.setdefault(place, []).append(row["evidence"])
    return sorted([*_rotations(places), *_shrunk(places, sizes)], key=lambda one: (one.path, one.kind))[:MOST]


def _rotations(places: Mapping[str, list[str]]) -> Iterable[FileGap]:
    families: dict[str, set[int]] = {}
    for place in places:
        found = ROTATED.match(place)
        if found:
            families.setdefault(found["base"], set()).add(int(found["number"]))
    for base, numbers in families.items():
        absent = sorted(set(range(min(numbers), max(numbers))) - numbers)
        if absent:
            named = ", ".join(str(number) for number in absent[:5]) + (" ..." if len(absent) > 5 else "")
            yield FileGap("rotation_missing", base, f"rotated files {named} are absent between those that are here")
        first = min(numbers)
        if first > 1:
            yield FileGap("rotation_missing", base, f"the oldest names here begin at .{first}: newer ones are absent")
        elif not any(place == base or place.startswith(base + ".gz") for place in places):
            yield FileGap("present_missing", base, "rotated files are here, the log they came from is not")


def _shrunk(places: Mapping[str, list[str]], sizes: Mapping[str, tuple[int, str | None]]) -> Iterable[FileGap]:
    for place, received in places.items():
        for before, after in pairwise(received):
            if before == after or before not in sizes or after not in sizes:
                continue
            size, continues = sizes[after]
            if continues != before and size < sizes[before][0]:
                says = f"received with {sizes[before][0]:,} bytes, later with {size:,} that do not continue them"
                yield FileGap("shrank", place, says)
