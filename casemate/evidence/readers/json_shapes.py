"""What the head of a file says about JSON: records on lines, or documents that span them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import orjson

from casemate.evidence.lines import LineBlock, as_utf8, read_lines
from casemate.evidence.readers.json_elements import JsonElement, read_elements

LINES_LOOKED_AT = 20
DEPTH = 64


def head_lines(head: bytes) -> list[bytes]:
    """The first lines that are not blank; the last one, which may be cut, only if there is no other."""
    lines: list[bytes] = []
    for item in read_lines(io.BytesIO(head), line_bytes=len(head) + 1):
        if isinstance(item, LineBlock):
            lines.extend(line for line in item.lines if line.strip())
        if len(lines) > LINES_LOOKED_AT:
            break
    if len(lines) > 1 and not head.rstrip(b"\x00").endswith(b"\n"):
        lines.pop()
    return lines[:LINES_LOOKED_AT]


def objects_on_lines(head: bytes) -> list[dict[str, Any]]:
    """The lines that are JSON objects, parsed."""
    return [record for line in head_lines(head) if (record := _object(line)) is not None]


def is_lines(head: bytes, envelope_keys: tuple[str, ...] = ()) -> bool:
    """Whether most of the first lines are JSON objects, and not envelopes around arrays of records."""
    lines = head_lines(head)
    objects = [record for line in lines if (record := _object(line)) is not None]
    if any(_is_envelope(record, envelope_keys) for record in objects):
        return False
    return bool(lines) and 2 * len(objects) >= len(lines)


def _is_envelope(record: dict[str, Any], envelope_keys: tuple[str, ...]) -> bool:
    arrays = (record.get(key) for key in envelope_keys)
    return any(isinstance(array, list) and array and isinstance(array[0], dict) for array in arrays)


def is_documents(head: bytes, envelope_keys: tuple[str, ...] = ()) -> bool:
    """Whether the head begins a JSON array or object and its lines are not records themselves."""
    head = as_utf8(head)
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return begin in (b"[", b"{") and not is_lines(head, envelope_keys)


def first_objects(head: bytes, most: int, envelope_keys: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The first records, however they are framed; none if the first does not fit into the head."""
    if is_lines(head, envelope_keys):
        return objects_on_lines(head)[:most]
    found: list[dict[str, Any]] = []
    for data in _elements(as_utf8(head), envelope_keys):
        record = _object(data)
        if record is not None:
            found.append(record)
        if len(found) >= most:
            break
    return found


def _elements(head: bytes, envelope_keys: tuple[str, ...]) -> Iterator[bytes]:
    for item in read_elements(io.BytesIO(head), element_bytes=len(head), depth=DEPTH, envelope_keys=envelope_keys):
        if not isinstance(item, JsonElement):
            return
        yield item.data


def _object(data: bytes) -> dict[str, Any] | None:
    if data.lstrip()[:1] != b"{":
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
