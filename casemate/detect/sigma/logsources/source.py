"""What a log source means to the matcher: a native table, conditions on its records, and field names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from casemate.detect.sigma.derived import DERIVED_PREFIX

LogSource = tuple[str | None, str | None, str | None]
"""Product, category, service."""


@dataclass(frozen=True)
class Where:
    """A condition on one column: its value (ignoring case) is one of `values`.

    ``absent`` says whether a record without the column passes; with no values only such records do.
    """

    column: str
    values: frozenset[str]
    absent: bool = False


@dataclass(frozen=True)
class EventSource:
    """Records of one native table that a log source means.

    Args:
        name: shown in ``why``: which events these are.
        table: the native table.
        where: conditions, all of which must hold.
        one_of: at least one of these columns must be there.
        fields: Sigma field (lower case, or as written where only that spelling is meant) -> column,
            or derived value (:mod:`casemate.detect.sigma.derived`).
        recorded: Sigma fields (lower case) that these events can hold, where they are only an
            equivalent of what the rule was written for; empty when they are the real thing.
        strict: do not run rules that rule something out by a field that is not recorded.
    """

    name: str
    table: str
    where: tuple[Where, ...] = ()
    one_of: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    strict: bool = False


def having(column: str, *values: str, absent: bool = False) -> Where:
    """A condition; see :class:`Where`."""
    return Where(column, frozenset(value.lower() for value in values), absent)


def event_ids(*numbers: int) -> Where:
    """The records of some Windows event numbers."""
    return having("EventID", *(str(number) for number in numbers))


def fields_of(mapping: Mapping[str, str]) -> dict[str, str]:
    """Field names in lower case, as :class:`EventSource` wants them."""
    return {name.lower(): column for name, column in mapping.items()}


def derived(name: str) -> str:
    """The column name of a derived value."""
    return DERIVED_PREFIX + name
