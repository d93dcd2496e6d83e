"""Copies of one Windows event log taken at different times, which hold the same records and are no prefix.

A running machine rewrites the header and the last chunk of an EVTX file, but a record that was written
stays as it is: number, time and binary XML.  Copies are looked for among the logs that begin with the
same record, and compared record by record.  A log that wrapped around begins with another record than
its older copy: what such copies share is found after the intake (:mod:`.counting_once`) and told here.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
import contextlib
import hashlib
import io
from array import array
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casemate.engine.store import Store
from casemate.errors import CaseDamaged, UnreadableEvidence
from casemate.evidence.beginnings import HEAD_BYTES, Beginning
from casemate.evidence.blobs import source_of
from casemate.evidence.known import Known
from casemate.evidence.readers.base import Source
from casemate.evidence.readers.evtx_chunks import FILE_HEADER_BYTES, read_chunks, read_file_header
from casemate.evidence.readers.number_runs import NumberRuns, ranges

EVTX = "evtx"
DIGEST_BYTES = 16
MOST_COMPARED = 16
"""Logs with the same first record that one log is compared with, newest first."""


@dataclass(frozen=True)
class Copies:
    """What other copies of a log hold of it.

    Args:
        held_by: a copy with all its records.
        holds: the copy with the most records that it holds all of.
    """

    held_by: Beginning | None = None
    holds: Beginning | None = None


@dataclass(frozen=True)
class SameRecords:
    """Records of a log that another one holds byte for byte.

    Args:
        stretches: where they stand, as begin and end (excluded) of neighbouring ones.
        records: how many they are.
        numbers: their record identifiers, as text.
    """

    stretches: tuple[tuple[int, int], ...]
    records: int
    numbers: str


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
        for other in others:
            with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                theirs, theirs_whole = _records(self._content(other))
                other.hashed()
                if mine_whole and mine <= theirs:
                    return Copies(held_by=other)
                if theirs_whole and theirs <= mine:
                    held.append((len(theirs), other))
        return Copies(None, max(held, key=lambda one: one[0])[1] if held else None)

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


def same_records(first: Source, second: Source, kept_at: pa.Array) -> SameRecords:
    """The records of `second` that `first` holds too.

    Args:
        first, second: two event logs.
        kept_at: offsets of the records of `first` that have rows.
    """
    theirs, places, _, _ = _walked(first)
    held = theirs.filter(pc.and_(_stands_once(theirs), pc.is_in(places, value_set=kept_at)))
    ours, places, lengths, numbers = _walked(second)
    same = pc.and_(_stands_once(ours), pc.is_in(ours, value_set=held))
    begins = places.filter(same).to_numpy()
    ends = begins + lengths.filter(same).to_numpy()
    runs = NumberRuns()
    for number in numbers.filter(same).to_pylist():
        runs.add(number)
    apart = np.flatnonzero(begins[1:] != ends[:-1])
    first_of, last_of = np.append(0, apart + 1), np.append(apart, len(begins) - 1)
    stretches = zip(begins[first_of].tolist(), ends[last_of].tolist(), strict=True) if len(begins) else ()
    return SameRecords(tuple(stretches), len(begins), ranges(runs.runs()))


def _stands_once(digests: pa.Array) -> pa.Array:
    counts = digests.value_counts()
    once = counts.field("values").filter(pc.equal(counts.field("counts"), 1))
    return pc.is_in(digests, value_set=once)


def _walked(source: Source) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """Of every record: hash of all its bytes, offset, length, identifier."""
    digests = bytearray()
    places, lengths, numbers = array("q"), array("q"), array("Q")
    with source.open() as stream:
        header = read_file_header(stream.read(FILE_HEADER_BYTES))
        for chunk in read_chunks(stream, dirty=header is not None and header.dirty):
            for record in chunk.records:
                begin = record.offset - chunk.offset
                content = chunk.data[begin : begin + record.length]
                digests += hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
                places.append(record.offset)
                lengths.append(record.length)
                numbers.append(record.record_id)
    hashes = pa.Array.from_buffers(pa.binary(DIGEST_BYTES), len(places), [None, pa.py_buffer(bytes(digests))])
    return hashes, pa.array(places, pa.int64()), pa.array(lengths, pa.int64()), pa.array(numbers, pa.uint64())


def _first_record(head: bytes) -> bytes | None:
    for chunk in read_chunks(io.BytesIO(head[: HEAD_BYTES + FILE_HEADER_BYTES])):
        for record in chunk.records:
            begin = record.offset - chunk.offset
            return hashlib.blake2b(chunk.data[begin : begin + record.length], digest_size=DIGEST_BYTES).digest()
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
                found.add(hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest())
                count += 1
    return found, not damaged and count == len(found)
