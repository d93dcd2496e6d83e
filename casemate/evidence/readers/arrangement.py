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


MOST_ARRANGEMENTS = 8_192
"""Lists of keys remembered."""


class Arrangements:
    """Remembers what `arrange` said of lists of keys.

    An object of its own, not a method of whoever asks: readers share it without knowing each other, so that the
    buffers of a file are given back when it is read and not when the next cycle of garbage is found.
    """

    def __init__(self, arrange: Arrange) -> None:
        self._arrange = arrange
        self._known: dict[Keys, Arrangement] = {}

    def __call__(self, keys: Keys) -> Arrangement:
        arrangement = self._known.get(keys)
        if arrangement is None:
            if len(self._known) >= MOST_ARRANGEMENTS:
                self._known.clear()
            arrangement = self._known[keys] = self._arrange(keys)
        return arrangement
