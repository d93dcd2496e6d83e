"""Logs that grew: how new content continues older evidence, and how nothing of it counts twice.

New content at the place of older evidence that begins with all of its bytes continues it, and so it does
at any other place (a rotated log) if the reader of its format can go on in the middle.  Only
the appended bytes are stored.  A reader that can (``ReaderSpec.continues``) reads from the first
new line on, and the records of the prefix keep their addresses.  Two things would count twice and
are taken out of the older evidence in the same commit that brings the new one in:

* when the older content ended inside a line, that line's record: it was half of one that the new
  evidence holds whole under the same record number,
* when the reader cannot go on in the middle, or the grown content turns out to be another format,
  every record of the older evidence: the new one holds them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.engine.parts import Part
from casemate.engine.store import Stage, Store
from casemate.evidence.lines import LineBlock, read_lines, utf16_of
from casemate.evidence.readers.base import Source
from casemate.schema.case_tables import EVIDENCE

HASH_BYTES = 4 * 1024 * 1024
UNFINISHED = "its last line was unfinished"
LAST_BYTE = (1 << 63) - 1
ADDRESSED = {"evidence", "record", "offset", "length"}
"""Columns of every table whose rows are records of evidence (findings are not among them)."""


@dataclass(frozen=True)
class Hashed:
    """Hashes of a content: of its first bytes, and of all; `digest` is the state after the first bytes."""

    first: str
    whole: str
    digest: Any


@dataclass(frozen=True)
class LineStart:
    """Where the lines that older content does not hold whole begin."""

    offset: int
    record: int
    unfinished: bool


@dataclass(frozen=True)
class Superseded:
    """Records of `evidence` that are held by `by` now.

    Args:
        evidence, by: SHA-256 of both.
        record: from this record on.
        begin, end: only those that begin at these bytes (`end` excluded).
        note: what `evidence` says of it; None for the usual words about a log that is continued.
    """

    evidence: str
    record: int
    by: str
    begin: int = 0
    end: int = LAST_BYTE
    note: str | None = None


def hash_with_beginnings(source: Source, firsts: Sequence[int], *, whole: bool = True) -> list[Hashed]:
    """Hash the content and its first ``firsts[0]``, ``firsts[1]``, ... bytes (ascending) in one pass.

    With `whole` false reading ends at the last of them, and ``whole`` is the hash up to there.
    """
    digest = hashlib.sha256()
    states: list[Any] = []
    with source.open() as stream:
        done = 0
        for first in firsts:
            while done < first and (data := stream.read(min(HASH_BYTES, first - done))):
                digest.update(data)
                done += len(data)
            states.append(digest.copy())
        while whole and (data := stream.read(HASH_BYTES)):
            digest.update(data)
    return [Hashed(state.hexdigest(), digest.hexdigest(), state) for state in states]


def line_start(older: Source, line_bytes: int) -> LineStart:
    """Where reading goes on after `older`: behind its last line, or at the start of an unfinished one."""
    with older.open() as stream:
        head = stream.read(4)
        wide = utf16_of(head)
        if wide is not None:
            return _line_start_utf16(older, *wide, line_bytes)
        stream.seek(0)
        lines, offset, last_end = 0, 0, 0
        while data := stream.read(HASH_BYTES):
            count = data.count(b"\n")
            if count:
                lines += count
                last_end = offset + data.rfind(b"\n") + 1
            offset += len(data)
    return LineStart(last_end, lines + 1, last_end < offset)


def _line_start_utf16(older: Source, encoding: str, begin: int, line_bytes: int) -> LineStart:
    record, offset = 1, begin
    with older.open() as stream:
        for item in read_lines(stream, line_bytes=line_bytes):
            if isinstance(item, LineBlock):
                record, offset = item.first_record + len(item) - 1, int(item.offsets[-1])
            else:
                record, offset = item.record, item.offset
        newline = "\n".encode(encoding)
        stream.seek(max(0, older.size - 2))
        if older.size % 2 == 0 and stream.read(2) == newline:
            return LineStart(older.size, record + 1, False)
    return LineStart(offset, record, True)


def take_out(store: Store, stage: Stage, superseded: Sequence[Superseded]) -> list[Part]:
    """Write the parts that hold superseded records again without them, into `stage`.

    The rows of their evidence count what is left, and say which evidence holds the rest.

    Returns:
        The live parts to remove in the same commit.
    """
    if not superseded:
        return []
    gone = _any_of(superseded)
    removed: list[Part] = []
    taken: dict[str, dict[str, int]] = {item.evidence: {"kept": 0, "rejected": 0} for item in superseded}
    for table in store.tables():
        schema = store.schema(table)
        if schema is None or not set(schema.names) >= ADDRESSED:
            continue
        counted = "rejected" if table == "rejects" else "kept"
        for part, path in zip(store.live_parts(table), store.part_paths(table), strict=True):
            hit = _count_superseded(path, gone)
            if not hit:
                continue
            for evidence, count in hit.items():
                taken[evidence][counted] += count
            stage.write(table, part.schema, _left(path, gone))
            removed.append(part)
    if removed or any(item.note is None for item in superseded):
        removed.extend(_correct_rows(store, stage, superseded, taken))
    return removed


def add_notes(store: Store, stage: Stage, notes: Mapping[str, Collection[str]]) -> list[Part]:
    """Write the rows of evidence again with more notes; the parts to remove, none if all were there."""
    removed: list[Part] = []
    for part, path in zip(store.live_parts("evidence"), store.part_paths("evidence"), strict=True):
        rows = pq.read_table(path, schema=None).to_pylist()
        changed = False
        for row in rows:
            before = set(row["notes"] or ())
            after = before | set(notes.get(row["evidence"], ()))
            changed = changed or after != before
            row["notes"] = sorted(after)
        if changed:
            stage.write("evidence", EVIDENCE, [pa.RecordBatch.from_pylist(rows, schema=EVIDENCE)])
            removed.append(part)
    return removed


def _any_of(superseded: Sequence[Superseded]) -> pc.Expression:
    by_evidence: dict[str, list[pc.Expression]] = {}
    for item in superseded:
        where = pc.field("record") >= item.record
        if item.begin > 0:
            where &= pc.field("offset") >= item.begin
        if item.end != LAST_BYTE:
            where &= pc.field("offset") < item.end
        by_evidence.setdefault(item.evidence, []).append(where)
    return reduce(or_, ((pc.field("evidence") == name) & reduce(or_, wheres) for name, wheres in by_evidence.items()))


def _count_superseded(path: Any, gone: pc.Expression) -> dict[str, int]:
    found = pq.read_table(path, columns=["evidence"], filters=gone)
    return {item["values"]: item["counts"] for item in found["evidence"].value_counts().to_pylist()}


def _left(path: Any, gone: pc.Expression) -> Iterator[pa.RecordBatch]:
    from pyarrow import dataset  # takes longer to import than most commands to answer

    yield from dataset.dataset(path, format="parquet").to_batches(filter=~gone)


def _correct_rows(
    store: Store, stage: Stage, superseded: Sequence[Superseded], taken: Mapping[str, Mapping[str, int]]
) -> list[Part]:
    by: dict[str, list[Superseded]] = {}
    for item in superseded:
        by.setdefault(item.evidence, []).append(item)
    removed: list[Part] = []
    for part, path in zip(store.live_parts("evidence"), store.part_paths("evidence"), strict=True):
        rows = pq.read_table(path, schema=None).to_pylist()
        if not any(row["evidence"] in by for row in rows):
            continue
        for row in rows:
            items = by.get(row["evidence"])
            if items is None:
                continue
            kept, rejected = taken[row["evidence"]]["kept"], taken[row["evidence"]]["rejected"]
            row["kept"] -= kept
            row["rejected"] -= rejected
            row["records"] -= kept + rejected
            for item in items:
                again = any(UNFINISHED in note for note in row["notes"] or ())  # another content continues it too
                if item.note is None and not kept + rejected and row["structure"] and not again:
                    row["structure"] -= 1  # the unfinished line held no record
                row["notes"] = sorted({*(row["notes"] or ()), _said(item)})
        stage.write("evidence", EVIDENCE, [pa.RecordBatch.from_pylist(rows, schema=EVIDENCE)])
        removed.append(part)
    return removed


def _said(item: Superseded) -> str:
    if item.note is not None:
        return item.note
    said, verb = ("all its records", "are") if item.record <= 1 else (f"{UNFINISHED}; that record", "is")
    return f"{said} {verb} counted in {item.by}, which continues it"
