"""The values that a rule matched: walked out of the tree of what matched, and found again in the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from casemate.case import Case
from casemate.engine.lookup import rows_at
from casemate.explore.why_model import Decoded, Value
from casemate.explore.why_records import fields_of, ranges_of

VALUE_DEPTH = 40


def variant_of(case: Case, tree: Any, addresses: Sequence[str]) -> tuple[str, Decoded] | None:
    """The column a decoded text was put in the place of, and that text, whole where the case keeps it."""
    said = tree.get("variant") if isinstance(tree, Mapping) else None
    if not isinstance(said, Mapping) or not isinstance(said.get("text"), str):
        return None
    field, text = str(said.get("field")), said["text"]
    steps = tuple(map(str, said.get("steps") or ()))
    if text.endswith((" in all)", " characters in all)")):
        start = text.rsplit("... (", 1)[0]
        columns = ["evidence", "record", "field", "text"]
        ranges = ranges_of(addresses)
        for batch in rows_at(case.part_paths("decoded_text"), ranges, columns) if ranges else ():
            kept = (row["text"] for row in batch.to_pylist() if row["field"] == field and row["text"])
            text = next((one for one in kept if one.startswith(start)), text)
    limit = said.get("limit_hit")
    return field, Decoded(steps, text, None if limit is None else str(limit))


def decoded_row(row: pa.RecordBatch | None, variant: tuple[str, Decoded] | None) -> pa.RecordBatch | None:
    """The record with the decoded text in its place, as the matcher saw it."""
    if row is None or variant is None or variant[0] not in row.schema.names:
        return row
    place = row.schema.get_field_index(variant[0])
    return row.set_column(place, pa.field(variant[0], pa.string()), pa.array([variant[1].text], pa.string()))


def values_of(tree: Any, row: pa.RecordBatch | None, variant: tuple[str, Decoded] | None) -> Iterator[Value]:
    whole = {name.lower(): value for name, value in fields_of(row).items()} if row is not None else {}
    for selection, leaf in _walk(tree, None, 0):
        yield _value(leaf, selection, whole, variant)


def _walk(tree: Any, selection: str | None, depth: int) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """The tests that held, with the part of the rule they belong to."""
    if depth > VALUE_DEPTH:
        return
    if isinstance(tree, list):
        for item in tree:
            yield from _walk(item, selection, depth + 1)
        return
    if not isinstance(tree, Mapping):
        return
    if "field" in tree or "keyword" in tree:
        yield selection, tree
        return
    name = tree.get("selection")
    below = name if isinstance(name, str) else selection
    for key in ("all", "any", "because"):
        if key in tree:
            yield from _walk(tree[key], below, depth + 1)


def _value(
    leaf: Mapping[str, Any], selection: str | None, whole: Mapping[str, str], variant: tuple[str, Decoded] | None
) -> Value:
    field, column = leaf.get("field"), leaf.get("column")
    pattern = leaf.get("pattern", leaf.get("keyword", leaf.get("is")))
    patterns = (pattern,) if isinstance(pattern, str) else tuple(map(str, pattern or ()))
    if not patterns:  # another field's value was asked for
        patterns = tuple(f"{name} {item}" for name, item in leaf.items() if str(item).startswith("field "))
    value = None if leaf.get("value") is None else str(leaf["value"])
    stands = str(column or field or "").lower()
    known = whole.get(stands)
    decoded = None
    if variant is not None and stands == variant[0].lower():
        decoded = variant[1]
        value = known if known is not None else value
    elif value is not None and known is not None and value.endswith(" characters in all)"):
        value = known  # the tree keeps the beginning of long values only
    return Value(selection, field, column if column != field else None, patterns, value, decoded)
