"""Templates of NetFlow v9 and IPFIX, and records read after them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from casemate.evidence.readers.flows.elements import Read, element

V9, IPFIX = 9, 10
VARIABLE = 0xFFFF
MOST_FIELDS = 1_000
"""Fields of one template; exporters use some dozen."""
LONG_TIMES = (
    ("flowStartMilliseconds", "flowEndMilliseconds", 1_000),
    ("flowStartSeconds", "flowEndSeconds", 1_000_000),
)
NTP_TIMES = (("flowStartMicroseconds", "flowEndMicroseconds"), ("flowStartNanoseconds", "flowEndNanoseconds"))
TIMES = frozenset(
    (
        *(name for start, end, _ in LONG_TIMES for name in (start, end)),
        *(name for pair in NTP_TIMES for name in pair),
        *("observationTimeMilliseconds", "systemInitTimeMilliseconds"),
    )
)
_PAIR = struct.Struct(">HH")


@dataclass(frozen=True)
class Template:
    """Fields of records: name, length (:data:`VARIABLE`), how bytes become text; how many of them are scope."""

    number: int
    fields: tuple[tuple[str, int, Read], ...]
    scopes: int
    shortest: int


def read_template(
    version: int, number: int, count: int, body: bytes, place: int, options: bool
) -> tuple[Template, int] | str:
    """A template and where the next one begins, or why it is none."""
    scopes = 0
    if options:
        if len(body) - place < 2 + 2 * (version == V9):
            return f"template {number} is cut"
        if version == V9:  # bytes of scope fields, bytes of the others
            scope_bytes = count
            others = int.from_bytes(body[place : place + 2], "big")
            place += 2
            scopes, count = scope_bytes // 4, (scope_bytes + others) // 4
        else:
            scopes = int.from_bytes(body[place : place + 2], "big")
            place += 2
        if not 0 < scopes <= count:
            return f"options template {number} has no scope that can be"
    if not 0 < count <= MOST_FIELDS:
        return f"template {number} has {count:,} fields; at most {MOST_FIELDS:,} are read"
    fields: list[tuple[str, int, Read]] = []
    names: set[str] = set()
    shortest = 0
    for index in range(count):
        if len(body) - place < 4:
            return f"template {number} is cut"
        kind, length = _PAIR.unpack_from(body, place)
        place += 4
        enterprise = 0
        if version == IPFIX and kind & 0x8000:
            if len(body) - place < 4:
                return f"template {number} is cut"
            kind, enterprise = kind & 0x7FFF, int.from_bytes(body[place : place + 4], "big")
            place += 4
        name, read = element(kind, enterprise)
        if version == V9 and index < scopes:
            name, read = f"scope.{kind}", element(1, 0)[1]
        if name in names:
            name = f"{name}.{index}"
        names.add(name)
        fields.append((name, length, read))
        shortest += 1 if length == VARIABLE and version == IPFIX else length
    if shortest == 0:
        return f"template {number} describes records without bytes"
    return Template(number, tuple(fields), scopes, shortest), place


def read_values(
    template: Template, body: bytes, place: int
) -> tuple[dict[str, str | None], dict[str, int], int] | None:
    """Values as text, the numbers times and sampling are made of, and where the record ends; None if it is cut."""
    values: dict[str, str | None] = {}
    raw: dict[str, int] = {}
    size = len(body)
    for name, length, read in template.fields:
        if length == VARIABLE:
            if place >= size:
                return None
            length = body[place]
            place += 1
            if length == 255:
                length = int.from_bytes(body[place : place + 2], "big")
                place += 2
        if place + length > size:
            return None
        data = body[place : place + length]
        place += length
        values[name] = read(data)
        if length <= 8 and (name in TIMES or "ampling" in name):
            raw[name] = int.from_bytes(data, "big")
    return values, raw, place
