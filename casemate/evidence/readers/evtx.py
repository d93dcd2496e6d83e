"""Windows event logs in their binary form (EVTX), into ``windows_event``.

The framing is walked by :mod:`evtx_chunks`, which finds every record, what is cut and what is damaged;
binary XML is decoded by the ``evtx`` package, chunk by chunk, and both accounts must agree: a record that
was walked is kept or rejected.  The package alone is silent about a file that was cut.

A record's number is its EVTX record identifier.  Where that says nothing unique (it stands twice in the
file, is zero or over 10^15, or is lost in damage) the number is 10^18 plus the record's offset.  ``offset``
and ``length`` are those of the binary record.  ``EventRecordID`` is the number inside the event, which
exports keep while they number records anew.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import evtx as evtx_package
import numpy as np

from casemate.evidence.lines import LineBlock
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.evtx_chunks import (
    CHUNK_BYTES,
    FILE_HEADER_BYTES,
    FILE_MAGIC,
    Chunk,
    FileHeader,
    WalkedRecord,
    decodable,
    read_chunks,
    read_file_header,
)
from casemate.evidence.readers.json_rows import JsonRows
from casemate.evidence.readers.number_runs import SHOWN, NumberRuns, ranges
from casemate.evidence.readers.windows_fields import WINDOWS_EVENT
from casemate.evidence.readers.windows_json import arrange

BY_PLACE = 10**18
HIGHEST_IDENTIFIER = 10**15


def recognise(head: bytes) -> int:
    """100 for the signature of the file header."""
    return 100 if head.startswith(FILE_MAGIC) else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every record of the file; see the head of this file."""
    account = _Account()
    rows = JsonRows((WINDOWS_EVENT,), arrange, context.limits)
    with source.open() as stream:
        header = read_file_header(stream.read(FILE_HEADER_BYTES))
        for chunk in read_chunks(stream, dirty=header is not None and header.dirty):
            account.add_chunk(chunk)
            decoded, rejects = _decode(chunk, account)
            yield from rejects
            if decoded:
                numbers, records, texts = zip(*decoded, strict=True)
                block = LineBlock(
                    numbers[0],
                    list(texts),
                    np.array([record.offset for record in records], np.int64),
                    np.array([record.length for record in records], np.int64),
                )
                yield from rows.add(block, np.array(numbers, np.int64))
    yield from rows.take()
    yield Tally(account.records, account.chunks + 1, tuple(account.notes(header, source.size)))


Decoded = list[tuple[int, WalkedRecord, bytes]]


def _decode(chunk: Chunk, account: _Account) -> tuple[Decoded, list[Reject]]:
    """Number, place and JSON of the chunk's records, and the rejected ones."""
    decoded: Decoded = []
    rejects: list[Reject] = []
    texts, failures = decode_chunk(chunk) if chunk.records else ({}, [])
    for record in chunk.records:
        number = account.number(record.record_id, record.offset)
        waiting = texts.get(record.record_id)
        if waiting:
            decoded.append((number, record, waiting.pop(0)))
        else:
            why = failures.pop(0) if failures else "the decoder passed it over"
            rejects.append(Reject(number, record.offset, record.length, f"could not be decoded: {why}"))
    for damage in chunk.damage:
        number = account.number(damage.record_id or 0, damage.offset)
        rejects.append(Reject(number, damage.offset, damage.length, damage.reason))
    return decoded, rejects


def decode_chunk(chunk: Chunk) -> tuple[dict[int, list[bytes]], list[str]]:
    """JSON of the records by identifier, and why others failed."""
    best: tuple[dict[int, list[bytes]], list[str]] = ({}, [])
    kept = -1
    for forget_strings in (False, True):
        texts, failures = _run_decoder(decodable(chunk, forget_strings=forget_strings), len(chunk.records))
        found = sum(map(len, texts.values()))
        if found > kept:
            best, kept = (texts, failures), found
        if kept >= len(chunk.records):
            break
    return best


def _run_decoder(log: bytes, records: int) -> tuple[dict[int, list[bytes]], list[str]]:
    texts: dict[int, list[bytes]] = defaultdict(list)
    failures: list[str] = []
    try:
        decoder = evtx_package.PyEvtxParser(io.BytesIO(log), number_of_threads=1).records_json()
    except (RuntimeError, OSError, ValueError) as error:
        return texts, [str(error)]
    for _ in range(2 * records + 2):  # a decoder that fails without moving on must not hold us
        try:
            record = next(decoder, None)
        except (RuntimeError, OSError, ValueError) as error:
            failures.append(str(error).split("\n")[0][:300])
            continue
        if record is None:
            break
        if record["event_record_id"] or record["data"]:
            texts[record["event_record_id"]].append(record["data"].encode())
    return texts, failures


@dataclass
class _Account:
    """What was seen in the file as a whole."""

    chunks: int = 0
    records: int = 0
    uncommitted: int = 0
    seen: NumberRuns = field(default_factory=NumberRuns)
    by_place: int = 0
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add_chunk(self, chunk: Chunk) -> None:
        self.chunks += 1
        self.records += len(chunk.records) + len(chunk.damage)
        self.uncommitted += chunk.uncommitted
        if chunk.problems:
            self.problems.append(f"chunk {chunk.number} at byte {chunk.offset}: {', '.join(chunk.problems)}")
        if chunk.cut and chunk.data.strip(b"\x00"):
            self.missing.append(_missing(chunk))

    def number(self, record_id: int, offset: int) -> int:
        """The number a record is addressed by."""
        if 0 < record_id <= HIGHEST_IDENTIFIER and self.seen.add(record_id):
            return record_id
        self.by_place += 1
        return BY_PLACE + offset

    def notes(self, header: FileHeader | None, size: int) -> Iterator[str]:
        """What a person should know about this file."""
        if header is None:
            yield "The file header is damaged or cut; chunks were read at their usual places."
        else:
            if not header.intact:
                yield "The checksum of the file header is wrong."
            if header.dirty:
                yield "The log was not closed properly (dirty): its header may be older than its records."
            present = max(0, size - FILE_HEADER_BYTES + CHUNK_BYTES - 1) // CHUNK_BYTES
            if header.chunks > present:
                yield (
                    f"The file header counts {header.chunks} chunks, {present} are in the file: "
                    f"{header.chunks - present} are missing at its end."
                )
            runs = self.seen.runs()
            if runs and not header.dirty and 0 < runs[-1][1] + 1 < header.next_record_id <= HIGHEST_IDENTIFIER:
                yield (
                    f"The next record would be {header.next_record_id}, the last one here is {runs[-1][1]}: "
                    f"records {ranges([(runs[-1][1] + 1, header.next_record_id - 1)])} are missing."
                )
        yield from self.missing
        if self.problems:
            more = f" and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
            yield f"Damaged chunks: {'; '.join(self.problems[:SHOWN])}{more}."
        holes = self.seen.holes()
        if holes:
            absent = sum(last - first + 1 for first, last in holes)
            yield f"{absent} record numbers between the first and the last are absent: {ranges(holes)}."
        if self.by_place:
            yield (
                f"{self.by_place} records without a number of their own (repeated or lost) are numbered 10^18 plus "
                "their byte offset."
            )
        if self.uncommitted:
            yield f"{self.uncommitted} records that the chunk headers do not count yet were read all the same."


def _missing(chunk: Chunk) -> str:
    lost = f"The file ends in chunk {chunk.number}, {CHUNK_BYTES - len(chunk.data)} of its 65536 bytes are missing"
    if chunk.last_id is None:
        return f"{lost}; how many records that were is not known."
    last = chunk.records[-1].record_id if chunk.records else (chunk.first_id or 1) - 1
    if chunk.last_id <= last:
        return f"{lost}; all its records are in the file."
    return f"{lost}: records {ranges([(last + 1, chunk.last_id)])} ({chunk.last_id - last}) are cut off."


EVTX_READER = ReaderSpec("evtx", 1, (WINDOWS_EVENT,), recognise, read)
