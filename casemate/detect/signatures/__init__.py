"""Signatures of exploit tools by what their protocol cannot do without; :data:`SIGNATURES` lists all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from casemate.detect.signatures import doublepulsar, eternalblue, pipe_confusion
from casemate.detect.signatures.model import Event, Signature
from casemate.detect.signatures.transactions import COLUMNS, Pair, pairs

TABLE = "smb1_message"
SIGNATURES: tuple[Signature, ...] = (
    eternalblue.ETERNALBLUE,
    pipe_confusion.ROMANCE,
    pipe_confusion.SYNERGY,
    pipe_confusion.CHAMPION,
    doublepulsar.DOUBLEPULSAR,
)
EXAMINERS: tuple[Callable[[Pair], Iterator[Event]], ...] = (
    eternalblue.examine,
    pipe_confusion.examine,
    doublepulsar.examine,
)

__all__ = ["COLUMNS", "EXAMINERS", "SIGNATURES", "TABLE", "Event", "events"]


def events(rows: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    """Every use of a known tool or its weakness in rows of ``smb1_message`` (columns :data:`COLUMNS`)."""
    for pair in pairs(rows):
        for examine in EXAMINERS:
            yield from examine(pair)
