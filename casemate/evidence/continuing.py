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

import codecs
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset

from casemate.engine.parts import Part
from casemate.engine.store import Stage, Store
from casemate.evidence.lines import LineBlock, read_lines
from casemate.evidence.readers.base import Source
from casemate.schema.case_tables import EVIDENCE

HASH_BYTES = 4 * 1024 * 1024
UNFINISHED = "its last line was unfinished"
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
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
    """Records of `evidence` from `record` on are held by `by` now."""

    evidence: str
    record: int
    by: str


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
        encoding = None if head == codecs.BOM_UTF32_LE else UTF16.get(head[:2])
        if encoding is not None:
            return _line_start_utf16(older, encoding, line_bytes)
        stream.seek(0)
        lines, offset, last_end = 0, 0, 0
        while data := stream.read(HASH_BYTES):
            count = data.count(b"\n")
            if count:
                lines += count
                last_end = offset + data.rfind(b"\n") + 1
            offset += len(data)
    return LineStart(last_end, lines + 1, last_end < offset)


def _line_start_utf16(older: Source, encoding: str, line_bytes: int) -> LineStart:
    record, offset = 1, 2
    with older.open() as stream:
        for item in read_lines(stream, line_bytes=line_bytes):
            if isinstance(item, LineBlock):
                record, offset = item.first_record + len(item.lines) - 1, int(item.offsets[-1])
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
    from_record = {item.evidence: item.record for item in superseded}
    removed: list[Part] = []
    taken: dict[str, dict[str, int]] = {item.evidence: {"kept": 0, "rejected": 0} for item in superseded}
    for table in store.tables():
        schema = store.schema(table)
        if schema is None or not set(schema.names) >= ADDRESSED:
            continue
        counted = "rejected" if table == "rejects" else "kept"
        for part, path in zip(store.live_parts(table), store.part_paths(table), strict=True):
            hit = _count_superseded(path, from_record)
            if not hit:
                continue
            for evidence, count in hit.items():
                taken[evidence][counted] += count
            stage.write(table, part.schema, _left(path, from_record))
            removed.append(part)
    removed.extend(_correct_rows(store, stage, superseded, taken))
    return removed


def _count_superseded(path: Any, from_record: Mapping[str, int]) -> dict[str, int]:
    filters = [[("evidence", "=", evidence), ("record", ">=", record)] for evidence, record in from_record.items()]
    found = pq.read_table(path, columns=["evidence", "record"], filters=filters)
    return {item["values"]: item["counts"] for item in found["evidence"].value_counts().to_pylist()}


def _left(path: Any, from_record: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    gone = [
        (dataset.field("evidence") == evidence) & (dataset.field("record") >= record)
        for evidence, record in from_record.items()
    ]
    yield from dataset.dataset(path, format="parquet").to_batches(filter=~reduce(or_, gone))


def _correct_rows(
    store: Store, stage: Stage, superseded: Sequence[Superseded], taken: Mapping[str, Mapping[str, int]]
) -> list[Part]:
    by = {item.evidence: item for item in superseded}
    removed: list[Part] = []
    for part, path in zip(store.live_parts("evidence"), store.part_paths("evidence"), strict=True):
        rows = pq.read_table(path, schema=None).to_pylist()
        if not any(row["evidence"] in by for row in rows):
            continue
        for row in rows:
            item = by.get(row["evidence"])
            if item is None:
                continue
            kept, rejected = taken[item.evidence]["kept"], taken[item.evidence]["rejected"]
            row["kept"] -= kept
            row["rejected"] -= rejected
            row["records"] -= kept + rejected
            again = any(UNFINISHED in note for note in row["notes"] or ())  # another content continues it too
            if not kept + rejected and row["structure"] and not again:
                row["structure"] -= 1  # the unfinished line held no record
            whole = item.record <= 1
            said = "all its records" if whole else f"{UNFINISHED}; that record"
            verb = "are" if whole else "is"
            row["notes"] = sorted({*(row["notes"] or ()), f"{said} {verb} counted in {item.by}, which continues it"})
        stage.write("evidence", EVIDENCE, [pa.RecordBatch.from_pylist(rows, schema=EVIDENCE)])
        removed.append(part)
    return removed
