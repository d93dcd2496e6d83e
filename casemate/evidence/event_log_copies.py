"""Copies of one Windows event log taken at different times, which hold the same records and are no prefix.

A running machine rewrites the header and the last chunk of an EVTX file, but a record that was written
stays as it is: number, time and binary XML.  Copies are looked for among the logs that begin with the
same record, and compared record by record.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import defaultdict
from dataclasses import dataclass

from casemate.engine.store import Store
from casemate.errors import CaseDamaged, UnreadableEvidence
from casemate.evidence.beginnings import HEAD_BYTES, Beginning
from casemate.evidence.blobs import source_of
from casemate.evidence.known import Known
from casemate.evidence.readers.base import Source
from casemate.evidence.readers.evtx_chunks import FILE_HEADER_BYTES, read_chunks, read_file_header

EVTX = "evtx"
MOST_COMPARED = 16
"""Logs with the same first record that one log is compared with, newest first."""


@dataclass(frozen=True)
class Copies:
    """What other copies of a log hold of it.

    Args:
        held_by: a copy with all its records.
        holds: the copy with the most records that it holds all of.
        shared: copies that hold some of its records, and how many.
    """

    held_by: Beginning | None = None
    holds: Beginning | None = None
    shared: tuple[tuple[Beginning, int], ...] = ()


class EventLogCopies:
    """The event logs of a case and of a run by their first record."""

    def __init__(self, store: Store, known: Known) -> None:
        self._store, self._known = store, known
        self._by_first: dict[bytes, list[Beginning]] = defaultdict(list)
        self._loaded = False

    def add(self, head: bytes, log: Beginning) -> None:
        """Remember a log that begins with `head`."""
        first = _first_record(head)
        if first is not None:
            self._by_first[first].append(log)

    def forget(self, head: bytes, log: Beginning) -> None:
        """Its records count elsewhere now."""
        first = _first_record(head)
        if first is not None:
            self._by_first[first].remove(log)

    def of(self, head: bytes, source: Source) -> Copies:
        """Compare a new log with what is known."""
        first = _first_record(head)
        if first is None:
            return Copies()
        if not self._loaded:
            self._load()
        others = self._by_first.get(first, [])[: -MOST_COMPARED - 1 : -1]
        if not others:
            return Copies()
        mine, mine_whole = _records(source)
        held: list[tuple[int, Beginning]] = []
        shared: list[tuple[Beginning, int]] = []
        for other in others:
            with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                theirs, theirs_whole = _records(self._content(other))
                other.hashed()
                if mine_whole and mine <= theirs:
                    return Copies(held_by=other)
                if theirs_whole and theirs <= mine:
                    held.append((len(theirs), other))
                else:
                    shared.append((other, len(mine & theirs)))
        held.sort(key=lambda one: -one[0])
        shared.extend((other, count) for count, other in held[1:])
        return Copies(None, held[0][1] if held else None, tuple(shared))

    def _load(self) -> None:
        self._loaded = True
        for known in self._known.evidence.values():
            if known.format == EVTX and known.records and known.sha256 in self._store.state.blobs:
                with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                    source = source_of(self._store.root, self._store.state.blobs, known.sha256)
                    with source.open() as stream:
                        head = stream.read(HEAD_BYTES + FILE_HEADER_BYTES)
                    first = _first_record(head)
                    if first is not None:  # before what this run brings
                        self._by_first[first].insert(0, Beginning(known.bytes, source, known.sha256, known))

    def _content(self, log: Beginning) -> Source:
        if log.sha256 is not None and log.sha256 in self._store.state.blobs:
            return source_of(self._store.root, self._store.state.blobs, log.sha256)
        return log.source


def _first_record(head: bytes) -> bytes | None:
    for chunk in read_chunks(io.BytesIO(head[: HEAD_BYTES + FILE_HEADER_BYTES])):
        for record in chunk.records:
            begin = record.offset - chunk.offset
            return hashlib.blake2b(chunk.data[begin : begin + record.length], digest_size=16).digest()
    return None


def _records(source: Source) -> tuple[set[bytes], bool]:
    """Hashes of all records (number, time, content), and whether each stands once and nothing is damaged."""
    found: set[bytes] = set()
    count, damaged = 0, False
    with source.open() as stream:
        header = read_file_header(stream.read(FILE_HEADER_BYTES))
        for chunk in read_chunks(stream, dirty=header is not None and header.dirty):
            damaged = damaged or bool(chunk.damage) or chunk.cut
            for record in chunk.records:
                begin = record.offset - chunk.offset
                content = chunk.data[begin : begin + record.length]
                found.add(hashlib.blake2b(content, digest_size=16).digest())
                count += 1
    return found, not damaged and count == len(found)
