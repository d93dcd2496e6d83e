"""The parts of the answer of ``casemate why``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casemate.explore.why_rule import RuleText
from casemate.triage import Annotation

if TYPE_CHECKING:
    from casemate.explore.why_series import Series


@dataclass(frozen=True)
class Value:
    """One test of the rule that held.

    Args:
        selection: the part of the rule.
        field, column: as the rule calls it, and the column of the record where that has another name.
        patterns: what fitted.
        value: the very value, whole.
        decoded: the text that was decoded from it and fitted in its place, with the steps; None if the value
            itself fitted.
    """

    selection: str | None
    field: str | None
    column: str | None
    patterns: tuple[str, ...]
    value: str | None
    decoded: Decoded | None = None


@dataclass(frozen=True)
class Decoded:
    """Decoded text: the steps in order (``base64``, ``utf-16le``), and what a limit left undone."""

    steps: tuple[str, ...]
    text: str
    limit_hit: str | None = None


@dataclass(frozen=True)
class Neighbour:
    """A record beside one of the finding's: address, time as recorded, beginning of its text, and its findings."""

    id: str
    time: str | None
    text: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownRecord:
    """A record of the finding: where it stands, its original text (None: binary), its fields as read."""

    id: str
    table: str
    time: str | None
    path: str
    member_path: str | None
    format: str
    offset: int
    length: int
    sha256: str
    content: str | None
    fields: Mapping[str, str]
    before: tuple[Neighbour, ...] = ()
    after: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Also:
    """Another finding on the same records, and on how many of them (of the first thousand)."""

    id: str
    rule_id: str
    title: str
    severity: str
    detector: str
    records: int


@dataclass(frozen=True)
class GroupEvent:
    """One event of a correlation's group: when, where, and which of its rules matched it."""

    time: str | None
    id: str
    matched: tuple[str, ...]


@dataclass(frozen=True)
class Why:
    """The whole answer; parts that do not apply are None or empty."""

    finding: Mapping[str, Any]
    because: Any
    annotation: Annotation | None
    rule: RuleText
    values: tuple[Value, ...]
    records: tuple[ShownRecord, ...]
    addresses: tuple[str, ...]
    record_count: int
    also: tuple[Also, ...]
    nearly: tuple[Any, ...]
    events: tuple[GroupEvent, ...]
    series: Series | None
    otherwise: tuple[str, ...]
    notes: tuple[str, ...] = ()
