"""Where the fields of records with one list of keys go; what a JSON reader says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from casemate.evidence.readers.json_texts import Fields

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Arrangement:
    """Where the fields of records with one list of keys go.

    Args:
        table: name of the native table.
        targets: for each key the declared column it fills, or None: it goes into ``rest`` under its
            own name.  No column twice.
        times: positions of the keys that may hold the time, best first; the first that is not null
            is read and becomes ``time_raw`` (and, where it has no column, is not repeated in ``rest``).
        names: names in ``rest``, one for each key; the keys themselves if empty.
        rewrite: records with these keys must be rewritten first (flattened, unwrapped); what it
            returns is arranged by its own keys, and must hold no objects.
    """

    table: str
    targets: tuple[str | None, ...] = ()
    times: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    rewrite: Callable[[Fields], Fields] | None = None


Arrange = Callable[[Keys], Arrangement]
