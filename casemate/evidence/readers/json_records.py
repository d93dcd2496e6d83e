"""JSON evidence whose records are converted one at a time (clouds and clusters, journald).

A record is a line, or the exact slice of a document or of an element of an array
(:mod:`.json_elements`).  What a record says is found by a function that the reader brings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from casemate.evidence.lines import LineBlock, OverlongLine
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_framing import json_lines
from casemate.evidence.readers.json_shapes import first_objects, is_lines
from casemate.evidence.readers.json_values import JsonObject, read_object
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.limits import Limits
from casemate.schema.native import NativeTable

SAMPLED = 20
NESTED_TEXT = 4  # JSON inside a string of JSON, at most this often

_LIKE_ADDRESS = re.compile(r"(?:[0-9.]*\.[0-9.]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\Z", re.ASCII)


@dataclass(frozen=True)
class Converted:
    """One record as columns (see :meth:`RowBuilder.add`); `table` where it is not of the reader's own."""

    values: dict[str, str | None]
    time: int | None
    time_raw: str | None
    flags: tuple[str, ...] = ()
    table: NativeTable | None = None


Convert = Callable[[dict[str, Any], Limits], "Converted | str"]
"""A record to its columns, or the reason why it is rejected."""


def read_records(
    source: Source,
    context: ReadContext,
    table: NativeTable,
    convert: Convert,
    *,
    documents: bool,
    envelope_keys: Sequence[str] = (),
    notes: Callable[[], Sequence[str]] = tuple,
    finish: Callable[[RowBuilder, Converted], None] | None = None,
) -> Iterator[Rows | Reject | Tally]:
    """Read JSON evidence; a whole reader.

    Args:
        documents: False: one record a line.  True: arrays, envelopes, concatenated documents.
        envelope_keys: with `documents`, keys of a top-level object whose array holds the records.
        notes: asked for more notes when all is read.
        finish: called after each row was added, to correct earlier rows of the batch.
    """
    builders = {table.name: RowBuilder(table)}
    limits = context.limits
    records = structure = 0
    said: list[str] = []
    with source.open() as stream:
        for block in json_lines(stream, context, documents=documents, envelope_keys=envelope_keys, notes=said):
            if not isinstance(block, LineBlock):
                records += 1
                if isinstance(block, OverlongLine):
                    reason = f"line longer than {limits.line_bytes} bytes"
                    block = Reject(block.record, block.offset, block.length, reason)
                yield block
                continue
            places = zip(block.lines, block.offsets.tolist(), block.lengths.tolist(), strict=True)
            for record, (line, offset, length) in enumerate(places, start=block.first_record):
                if not line or line.isspace():
                    structure += 1
                    continue
                records += 1
                read = read_object(line, limits)
                converted = read if isinstance(read, str) else convert(read.fields, limits)
                if isinstance(converted, str):
                    yield Reject(record, offset, length, converted)
                    continue
                if len(converted.values) > limits.fields_per_record:
                    yield Reject(record, offset, length, f"more than {limits.fields_per_record} fields")
                    continue
                flags = converted.flags
                if isinstance(read, JsonObject) and read.flags:
                    flags = (*read.flags, *flags)
                into = converted.table or table
                rows = builders.get(into.name)
                if rows is None:
                    rows = builders[into.name] = RowBuilder(into)
                rows.add(
                    record,
                    offset,
                    length,
                    time=converted.time,
                    time_raw=converted.time_raw,
                    flags=flags,
                    values=converted.values,
                )
                if finish is not None:
                    finish(rows, converted)
                if rows.full:
                    yield rows.take()
    for rows in builders.values():
        if len(rows):
            yield rows.take()
    yield Tally(records, structure, (*said, *notes()))


def sample(head: bytes, envelope_keys: tuple[str, ...]) -> tuple[bool, list[dict[str, Any]]]:
    """Whether the records of this content are documents (not lines), and the first records."""
    if is_lines(head):
        found = first_objects(head, SAMPLED)
        if not any(isinstance(record.get(key), list) for record in found for key in envelope_keys):
            return False, found
        return True, _unpack(found, envelope_keys)
    return True, first_objects(head, SAMPLED, envelope_keys)


def _unpack(found: list[dict[str, Any]], envelope_keys: tuple[str, ...]) -> list[dict[str, Any]]:
    inside: list[dict[str, Any]] = []
    for record in found:
        held = [record[key] for key in envelope_keys if isinstance(record.get(key), list)]
        inside.extend(item for items in held for item in items if isinstance(item, dict))
        if not held:
            inside.append(record)
    return inside[:SAMPLED]


def unwrap(
    fields: dict[str, Any],
    limits: Limits,
    *,
    wanted: Callable[[dict[str, Any]], bool],
    text_keys: Sequence[str],
    object_keys: Sequence[str],
) -> tuple[dict[str, Any], tuple[str, ...]] | str | None:
    """The event inside the envelopes that log services put around it.

    Args:
        wanted: whether an object is the event itself.
        text_keys: dotted paths whose text may be the event as JSON.
        object_keys: dotted paths that may hold the event.

    Returns:
        The event and flags, a reason why what is inside is refused, or None if there is no event.
    """
    flags: tuple[str, ...] = ()
    for _ in range(NESTED_TEXT):
        if wanted(fields):
            return fields, flags
        inside = next((item for path in object_keys if isinstance(item := at(fields, path), dict)), None)
        if inside is not None:
            fields = inside
            continue
        text = next(
            (item for path in text_keys if isinstance(item := at(fields, path), str) and item.lstrip()[:1] == "{"), None
        )
        if text is None:
            return None
        read = read_object(text.strip().encode("utf-8", "surrogatepass"), limits)
        if isinstance(read, str):
            return f"the event inside is refused: {read}"
        fields, flags = read.fields, (*flags, *read.flags)
    return (fields, flags) if wanted(fields) else None


def at(fields: Any, path: str) -> Any:
    """The value at a dotted path, or at a key that is written like one; None if there is none."""
    if isinstance(fields, dict) and path in fields:
        return fields[path]
    for key in path.split("."):
        if not isinstance(fields, dict):
            return None
        fields = fields.get(key)
    return fields


@lru_cache(maxsize=16_384)
def invalid_address(text: str) -> bool:
    """Whether `text` is written like an address and is none (``035.249.253.232``)."""
    if not _LIKE_ADDRESS.match(text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return True
    return False
