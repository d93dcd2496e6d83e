"""safetensors: a length, a JSON header that names tensors, then their bytes.

Definition: the format section of safetensors' README and ``safetensors/src/tensor.rs`` (header of at most 100 MB,
offsets that begin at 0, touch and end at the end; no duplicate keys).  Loaders in other languages check less.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.hub_config import inspect_values
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import look_for_encoded

MOST_HEADER = 100_000_000
MOST_TEXT = 1 << 20
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16,  # noqa: E501
    "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

HEADER = Rule("safetensors.header", "unscannable", CORRUPT_MODEL, "raises an error, or reads the header otherwise")
LENGTH = Rule("safetensors.header_length", "suspicious", CORRUPT_MODEL, "reads beyond the file, or takes memory for it")
OVERLAP = Rule("safetensors.overlap", "suspicious", CORRUPT_MODEL, "reads the same bytes as two tensors")
HOLE = Rule("safetensors.hole", "suspicious", EMBED_MALWARE, "passes over bytes that belong to no tensor")
OUTSIDE = Rule("safetensors.out_of_range", "suspicious", CORRUPT_MODEL, "reads beyond the file")
SIZE = Rule(
    "safetensors.size", "suspicious", CORRUPT_MODEL, "reads a tensor of another size than its type and shape say"
)
DUPLICATE = Rule("safetensors.duplicate", "suspicious", CORRUPT_MODEL, "takes the first or the last of the two")
METADATA = Rule("safetensors.metadata", "suspicious", CORRUPT_MODEL, "expects text for every key")
LARGE_TEXT = Rule("safetensors.large_metadata", "suspicious", EMBED_MALWARE, "carries much more than a description")
DTYPE = Rule("safetensors.dtype", "suspicious", CORRUPT_MODEL, "does not know the type, or takes it for another")
NAME = Rule("safetensors.name", "suspicious", CORRUPT_MODEL, "uses the name as a path")


def recognise(content: Content) -> bool:
    """Whether a length and a JSON object begin it, or its name says so and nothing else fits."""
    head = content.head(4096)
    if len(head) < 10:
        return content.name.lower().endswith(".safetensors")
    length = int.from_bytes(head[:8], "little")
    named = content.name.lower().endswith(".safetensors")
    start = head[8:].lstrip(b" \t\r\n")
    if start[:1] == b"{" and start[1:].lstrip(b" \t\r\n")[:1] in (b'"', b"}", b""):
        return named or length <= min(MOST_HEADER, content.size - 8) or b'"data_offsets"' in head
    return named and length > content.size


def inspect(content: Content, inspection: Inspection) -> None:
    """Check the header against the bytes."""
    length = int.from_bytes(content.read(0, 8), "little")
    if length > MOST_HEADER or length > content.size - 8:
        inspection.report(LENGTH, f"a header of {length} bytes in a file of {content.size}", 0)
        return
    inspection.own(0, 8 + length)
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in found]
        twice.extend(key for key in set(keys) if keys.count(key) > 1) if len(set(keys)) != len(keys) else None
        return dict(found)

    raw = content.read(8, length)
    try:
        text = raw.decode("utf-8")
        header, end = json.JSONDecoder(object_pairs_hook=pairs, strict=False).raw_decode(text.lstrip())
        if not text.startswith("{"):
            inspection.report(HEADER, "the header does not begin with its object", 8)
        if text.lstrip()[end:].strip(" "):
            inspection.report(HEADER, "text after the header's object", 8)
    except (ValueError, RecursionError) as error:
        inspection.report(HEADER, f"the header cannot be parsed: {error}"[:200], 8)
        return
    if not isinstance(header, dict):
        inspection.report(HEADER, "the header is no object", 8)
        return
    for key in twice[:5]:
        inspection.report(DUPLICATE, f"the name {key[:120]!r} stands twice", 8)
    _metadata(header.pop("__metadata__", None), inspection)
    _tensors(header, content, 8 + length, inspection)
    look_for_encoded(text, inspection)


def _metadata(value: Any, inspection: Inspection) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        inspection.report(METADATA, "__metadata__ is no table of text", 8)
    elif sum(len(part) for part in value.values()) > MOST_TEXT * 16:
        inspection.report(LARGE_TEXT, f"{sum(len(part) for part in value.values())} characters of metadata", 8)
    if isinstance(value, dict):
        for part in value.values():
            if isinstance(part, str) and part.lstrip().startswith(("{", "[")):
                try:
                    inspect_values(json.loads(part), inspection)
                except (ValueError, RecursionError):
                    continue
        inspect_values(value, inspection)


def _tensors(header: dict[str, Any], content: Content, start: int, inspection: Inspection) -> None:
    room = content.size - start
    spans: list[tuple[int, int, str]] = []
    for name, tensor in header.items():
        if ".." in name.split("/") or name.startswith("/"):
            inspection.report(NAME, f"a tensor called {name[:120]!r}", 8)
        if not isinstance(tensor, dict):
            inspection.report(HEADER, f"{name[:80]!r} is no object", 8)
            continue
        offsets, shape, kind = _numbers(tensor.get("data_offsets")), _numbers(tensor.get("shape")), tensor.get("dtype")
        if offsets is None or shape is None or len(offsets) != 2:
            inspection.report(
                OUTSIDE,
                f"{name[:80]!r} has offsets {tensor.get('data_offsets')!r}, shape {tensor.get('shape')!r}"[:200],
                8,
            )
            continue
        begin, end = offsets
        if end < begin or end > room:
            inspection.report(OUTSIDE, f"{name[:80]!r} lies at {begin}-{end}, there are {room} bytes", 8)
            continue
        bits = BITS.get(kind) if isinstance(kind, str) else None
        if bits is None:
            inspection.report(DTYPE, f"{name[:80]!r} is of type {kind!r}"[:200], 8)
        elif (prod(shape) * bits + 7) // 8 != end - begin:
            inspection.report(
                SIZE, f"{name[:80]!r} has {end - begin} bytes, {kind} {shape} needs {prod(shape) * bits // 8}"[:200], 8
            )
        spans.append((begin, end, name))
    reached, last = 0, ""
    holes: list[tuple[int, int]] = []
    for begin, end, name in sorted(spans):
        if begin < reached and end > begin:
            inspection.report(
                OVERLAP, f"{name[:80]!r} at {begin} begins inside {last[:80]!r}, which ends at {reached}", start + begin
            )
        elif begin > reached:
            holes.append((reached, begin))
        if end >= reached:
            reached, last = end, name
    if reached < room:
        holes.append((reached, room))
    for begin, end in holes[:10]:
        inspection.report(HOLE, f"{end - begin} bytes at {begin} belong to no tensor", start + begin)
    hunt(content, [(start + begin, start + end) for begin, end in holes], inspection)
    if inspection.options.full:
        hunt(content, [(start, content.size)], inspection)
    else:
        inspection.skip(sum(end - begin for begin, end, _ in spans) if not holes else 0)
    inspection.own(start, content.size)


def _numbers(value: Any) -> list[int] | None:
    """The list of numbers that it is; None if it is none."""
    if not isinstance(value, list):
        return None
    numbers = [part for part in value if isinstance(part, int) and not isinstance(part, bool) and 0 <= part < 1 << 63]
    return numbers if len(numbers) == len(value) else None


FORMAT = Format("safetensors", recognise, inspect, (".safetensors",))
