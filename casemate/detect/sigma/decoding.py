"""The decoded variants of a batch's fields: each distinct value is decoded once."""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casemate.decode import Decoding, Form, Variant, decode
from casemate.decode.columns import ENCODED, EncodedField
from casemate.detect.sigma.columns import is_text, read_column
from casemate.limits import Limits
from casemate.schema.decoded import DECODED_TEXT

REMEMBERED = 4_096
"""Decodings kept from one batch to the next, of texts that are not longer than this many characters each:"""
REMEMBERED_CHARACTERS = 32_768


@dataclass(frozen=True)
class DecodedField:
    """One variant of one field, and the rows of the batch whose value it was decoded from."""

    field: EncodedField
    recorded: str
    variant: Variant
    rows: tuple[int, ...]
    limit: str | None


def decoded_fields(batch: pa.RecordBatch, fields: Sequence[EncodedField], limits: Limits) -> Iterator[DecodedField]:
    """All variants of a batch, field by field; one with depth 0 and no text where only a limit is to be told."""
    places = {name.lower(): place for place, name in enumerate(batch.schema.names)}
    for field in fields:
        place = places.get((field.source or field.name).lower())
        if place is None or not is_text(batch.schema.field(place).type):
            continue
        column = read_column(batch.column(place))
        if column is None:
            continue
        chosen = _rows_of_events(batch, field, places)
        part = None if field.part is None else re.compile(field.part)
        rows_of: dict[int, list[int]] | None = None
        codes = range(column.count) if chosen is None else column.used([chosen])
        values = column.values if chosen is None else None
        for code in codes:
            text = recorded = column.value(code) if values is None else values[code]
            if part is not None:
                match = part.search(recorded)
                if match is None:
                    continue
                text = match[1]
            decoding = _decode(text, field.form, limits)
            if not decoding.variants and decoding.limit is None:
                continue
            if rows_of is None:
                rows_of = _by_code(column.codes, chosen)
            rows = tuple(rows_of.get(code, ()))
            if not rows:
                continue
            if not decoding.variants:
                yield DecodedField(field, recorded, Variant("", (), 0), rows, decoding.limit)
            for variant in decoding.variants:
                limit = "; ".join(filter(None, (variant.limit, decoding.limit))) or None
                yield DecodedField(field, recorded, variant, rows, limit)


def decoded_rows(batch: pa.RecordBatch, found: Sequence[DecodedField]) -> pa.RecordBatch:
    """The variants of a batch as rows of ``DECODED_TEXT``."""
    rows = np.fromiter((row for one in found for row in one.rows), np.int64)
    which = pa.array(np.repeat(np.arange(len(found)), [len(one.rows) for one in found]))
    taken = pa.array(rows)

    def of_variant(values: list[object], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(which)

    return pa.RecordBatch.from_arrays(
        [
            batch.column("evidence").cast(pa.string()).take(taken),
            batch.column("record").take(taken),
            of_variant([one.field.name for one in found], pa.string()),
            of_variant([one.variant.depth for one in found], pa.int64()),
            of_variant([list(one.variant.steps) for one in found], pa.list_(pa.string())),
            of_variant([one.variant.text if one.variant.depth else None for one in found], pa.string()),
            of_variant([one.limit for one in found], pa.string()),
        ],
        schema=DECODED_TEXT,
    )


def fields_read(table: str, declared: Sequence[str]) -> list[str]:
    """Those of a table's columns that decoding reads."""
    fields = ENCODED.get(table, ())
    wanted = {(field.source or field.name).lower() for field in fields}
    if any(field.events for field in fields):
        wanted.add("eventid")
    return [name for name in declared if name.lower() in wanted]


def _decode(text: str, form: Form, limits: Limits) -> Decoding:
    if len(text) > REMEMBERED_CHARACTERS:
        return decode(text, form, limits)
    return _remembered(text, form, limits)


@lru_cache(maxsize=REMEMBERED)
def _remembered(text: str, form: Form, limits: Limits) -> Decoding:
    return decode(text, form, limits)


def _rows_of_events(batch: pa.RecordBatch, field: EncodedField, places: dict[str, int]) -> np.ndarray | None:
    """The rows a field is limited to; None for all."""
    place = places.get("eventid")
    if not field.events or place is None:
        return None
    events = batch.column(place).cast(pa.string())
    return np.flatnonzero(
        pc.fill_null(pc.is_in(events, value_set=pa.array(field.events)), False).to_numpy(zero_copy_only=False)
    )


def _by_code(codes: np.ndarray, chosen: np.ndarray | None) -> dict[int, list[int]]:
    rows = np.arange(len(codes)) if chosen is None else chosen
    order = np.argsort(codes[rows], kind="stable")
    sorted_codes = codes[rows][order]
    found: dict[int, list[int]] = {}
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1)).tolist()
    ends = [*starts[1:], len(order)]
    for begin, end in zip(starts, ends, strict=True):
        found[int(sorted_codes[begin])] = rows[order[begin:end]].tolist()
    return found
