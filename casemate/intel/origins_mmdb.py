"""MMDB files (MaxMind DB format 2.0, https://maxmind.github.io/MaxMind-DB/) as blocks of addresses.

Read here rather than by a library, because all that is wanted is every network of the file at once,
and the file is not trusted: the tree must be a tree, and values are bounded in depth, size and number.

Layouts understood (by the names of their fields): MaxMind Country, City, ASN, ISP, Anonymous-IP,
Connection-Type and their GeoLite2 forms; DB-IP (the same names); IPinfo (``country``, ``asn``,
``as_name``, ``vpn``, ...).  A ``country`` is where addresses are *located*; only
``registered_country`` says to which country they are registered.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from casemate.errors import BadInput, LimitReached
from casemate.intel.origins_blocks import MOST_BLOCKS, BlockBuilder, Facts

MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_BYTES = 128 * 1024
SEPARATOR = 16
"""Zero bytes between the tree and the data."""
DEEPEST_VALUE = 32
MOST_MEMBERS = 200_000
"""Most values decoded for one record."""
POINTER, TEXT, DOUBLE, BYTES, UINT16, UINT32, MAP, INT32, UINT64, UINT128, ARRAY, BOOL, FLOAT = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15,
)  # fmt: skip

SERVICES: tuple[tuple[str, str], ...] = (
    # field that is true (or "true") -> category
    ("is_anonymous_vpn", "vpn"),
    ("vpn", "vpn"),
    ("is_tor_exit_node", "tor"),
    ("tor", "tor"),
    ("is_public_proxy", "proxy"),
    ("is_residential_proxy", "proxy"),
    ("proxy", "proxy"),
    ("relay", "proxy"),
    ("is_hosting_provider", "hosting"),
    ("hosting", "hosting"),
)
ACCESS = frozenset({"Cable/DSL", "Cellular", "Dialup", "Satellite", "residential", "cellular", "isp"})
"""Values of ``connection_type``, ``user_type`` and ``type`` that mean an access network."""
KINDS_OF_AS: Mapping[str, str] = {"hosting": "hosting", "isp": "access network"}
"""IPinfo's ``type`` of an AS."""


@dataclass(frozen=True)
class Database:
    """What an MMDB file says of itself: its type, and the day it was built (None if that cannot be)."""

    kind: str
    built: str | None


def is_mmdb(content: bytes) -> bool:
    """Whether the metadata marker stands where it must."""
    return content.rfind(MARKER, max(0, len(content) - METADATA_BYTES)) >= 0


def read_mmdb(content: bytes, builder: BlockBuilder) -> Database:
    """Put every network of the file into `builder`; networks without any known field are left out.

    Raises:
        BadInput: not an MMDB file, or a damaged one.
        LimitReached: more networks than are read.
    """
    place = content.rfind(MARKER, max(0, len(content) - METADATA_BYTES))
    if place < 0:
        raise BadInput("not an MMDB file")
    try:
        metadata, _ = _Values(content[place + len(MARKER) :]).read(0)
        return _read(content[:place], metadata, builder)
    except (struct.error, IndexError, UnicodeDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"a damaged MMDB file: {error!r:.120}") from error


def _read(content: bytes, metadata: Mapping[str, Any], builder: BlockBuilder) -> Database:
    nodes, bits = int(metadata["node_count"]), int(metadata["record_size"])
    version = int(metadata["ip_version"])
    if metadata["binary_format_major_version"] != 2 or bits not in (24, 28, 32) or version not in (4, 6):
        raise BadInput("an MMDB file of an unknown version")
    tree_bytes = nodes * bits // 4
    if not 0 < tree_bytes <= len(content) - SEPARATOR:
        raise BadInput("a damaged MMDB file: the tree does not fit into it")
    children = _children(content, nodes, bits)
    data = content[tree_bytes + SEPARATOR :]
    places, highs, lows, depths = _leaves(children, nodes, 32 if version == 4 else 128)
    distinct, value_of = np.unique(places, return_inverse=True)
    values = _Values(data)
    facts = [facts_of(values.read(int(one) - nodes - SEPARATOR)[0]) for one in distinct]
    numbers = [builder.value(one) if one != Facts() else -1 for one in facts]
    rows = zip(highs.tolist(), lows.tolist(), depths.tolist(), value_of.tolist(), strict=True)
    v4: list[tuple[int, int, int]] = []
    v6: list[tuple[int, int, int]] = []
    for high, low, depth, position in rows:
        number = numbers[position]
        if number < 0:
            continue
        first = (high << 64) | low
        if version == 4:
            v4.append((first, first + (1 << (32 - depth)) - 1, number))
        elif first >> 32 == 0 and depth >= 96:
            v4.append((first, first + (1 << (128 - depth)) - 1, number))
        else:
            v6.append((first, first + (1 << (128 - depth)) - 1, number))
    builder.v4 += _joined(v4)
    builder.v6 += _joined(v6)
    return Database(str(metadata.get("database_type", "unknown"))[:100], _day(metadata.get("build_epoch")))


def _children(content: bytes, nodes: int, bits: int) -> np.ndarray:
    """The two records of every node: array of shape (nodes, 2)."""
    raw = np.frombuffer(content, dtype=np.uint8, count=nodes * bits // 4).reshape(nodes, bits // 4).astype(np.int64)
    if bits == 24:
        left = (raw[:, 0] << 16) | (raw[:, 1] << 8) | raw[:, 2]
        right = (raw[:, 3] << 16) | (raw[:, 4] << 8) | raw[:, 5]
    elif bits == 28:
        left = ((raw[:, 3] >> 4) << 24) | (raw[:, 0] << 16) | (raw[:, 1] << 8) | raw[:, 2]
        right = ((raw[:, 3] & 15) << 24) | (raw[:, 4] << 16) | (raw[:, 5] << 8) | raw[:, 6]
    else:
        left = (raw[:, 0] << 24) | (raw[:, 1] << 16) | (raw[:, 2] << 8) | raw[:, 3]
        right = (raw[:, 4] << 24) | (raw[:, 5] << 16) | (raw[:, 6] << 8) | raw[:, 7]
    return np.stack([left, right], axis=1)


def _leaves(children: np.ndarray, nodes: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Record, high and low half of the first address, and prefix length of every network, level by level."""
    start = _ipv4_start(children, nodes) if bits == 128 else -1
    node = np.zeros(1, dtype=np.int64)
    high, low = np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint64)
    found: list[tuple[np.ndarray, ...]] = []
    visited = total = 0
    for depth in range(bits):
        visited += len(node)
        if visited > nodes:
            raise BadInput("a damaged MMDB file: its tree is not a tree")
        place = bits - 1 - depth
        bit_high, bit_low = (1 << (place - 64), 0) if place >= 64 else (0, 1 << place)
        target = children[node].reshape(-1)
        high = np.stack([high, high | np.uint64(bit_high)], axis=1).reshape(-1)
        low = np.stack([low, low | np.uint64(bit_low)], axis=1).reshape(-1)
        leaf = target > nodes
        total += int(leaf.sum())
        if total > MOST_BLOCKS:
            raise LimitReached(f"more than {MOST_BLOCKS:,} networks")
        found.append((target[leaf], high[leaf], low[leaf], np.full(int(leaf.sum()), depth + 1)))
        inner = target < nodes
        # other ways to the IPv4 addresses (::ffff:0:0/96, 2002::/16, ...) are links into the same subtree
        inner &= ~((target == start) & ((depth != 95) | (high != 0) | (low != 0)))
        node, high, low = target[inner], high[inner], low[inner]
        if not len(node):
            break
    else:
        if len(node):
            raise BadInput("a damaged MMDB file: its tree is deeper than an address")
    places, highs, lows, depths = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((lows, highs))
    return places[order], highs[order], lows[order], depths[order]


def _ipv4_start(children: np.ndarray, nodes: int) -> int:
    node = 0
    for _ in range(96):
        node = int(children[node, 0])
        if node >= nodes:
            return -1
    if node == 0:
        raise BadInput("a damaged MMDB file: its tree is not a tree")
    return node


def _joined(blocks: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Neighbours that say the same as one block."""
    out: list[tuple[int, int, int]] = []
    for first, last, value in blocks:
        if out and out[-1][2] == value and out[-1][1] + 1 == first:
            out[-1] = (out[-1][0], last, value)
        else:
            out.append((first, last, value))
    return out


def facts_of(record: Any) -> Facts:
    """What a record of a known layout says."""
    if not isinstance(record, dict):
        return Facts()
    traits = record.get("traits")
    both = {**traits, **record} if isinstance(traits, dict) else record
    categories = [category for name, category in SERVICES if both.get(name) in (True, "true", "1")]
    for name in ("connection_type", "user_type", "type", "as_type"):
        said = both.get(name)
        if said in ACCESS:
            categories.append("access network")
        elif isinstance(said, str) and said in KINDS_OF_AS:
            categories.append(KINDS_OF_AS[said])
    if both.get("user_type") == "hosting":
        categories.append("hosting")
    return Facts(
        country=_country(record.get("registered_country")),
        located=_country(record.get("country")) or _country(record.get("country_code")),
        holder=_text(both.get("organization")),
        operator=_text(
            both.get("autonomous_system_organization") or both.get("as_name") or both.get("isp") or both.get("service")
        ),
        asn=asn_of(both.get("autonomous_system_number") or both.get("asn")),
        categories=tuple(dict.fromkeys(categories)),
    )


def asn_of(value: object) -> int | None:
    """An AS number from 64496, "64496" or "AS64496"."""
    text = str(value).upper().removeprefix("AS") if isinstance(value, (int, str)) else ""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 32 else None


def _country(value: object) -> str | None:
    code = value.get("iso_code") if isinstance(value, dict) else value
    return code.upper() if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha() else None


def _text(value: object) -> str | None:
    return " ".join(value.split())[:200] or None if isinstance(value, str) else None


def _day(epoch: object) -> str | None:
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, OSError):
        return None


class _Values:
    """Decodes values of a data section; what pointers lead to is decoded once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pointed: dict[int, Any] = {}

    def read(self, place: int, depth: int = 0) -> tuple[Any, int]:
        """The value at `place`, and the place after it."""
        if depth > DEEPEST_VALUE:
            raise BadInput(f"an MMDB value nested more than {DEEPEST_VALUE} deep")
        if not 0 <= place < len(self._data):
            raise BadInput("a damaged MMDB file: a value lies outside it")
        control = self._data[place]
        place += 1
        kind = control >> 5
        if kind == POINTER:
            target, place = self._pointer(control, place)
            if target not in self._pointed:
                self._pointed[target] = self.read(target, depth + 1)[0]
            return self._pointed[target], place
        if kind == 0:
            kind = 7 + self._data[place]
            place += 1
        size, place = self._size(control & 31, place)
        if kind in (MAP, ARRAY):
            return self._members(kind, size, place, depth)
        if kind == BOOL:
            return bool(size), place
        if place + size > len(self._data):
            raise BadInput("a damaged MMDB file: a value is cut short")
        raw = self._data[place : place + size]
        place += size
        if kind == TEXT:
            return raw.decode("utf-8"), place
        if kind in (UINT16, UINT32, UINT64, UINT128):
            return int.from_bytes(raw, "big"), place
        if kind == INT32:
            return int.from_bytes(raw.rjust(4, b"\0"), "big", signed=True), place
        if kind == DOUBLE:
            return struct.unpack(">d", raw)[0], place
        if kind == FLOAT:
            return struct.unpack(">f", raw)[0], place
        if kind == BYTES:
            return raw, place
        raise BadInput(f"a damaged MMDB file: no such type {kind}")

    def _members(self, kind: int, size: int, place: int, depth: int) -> tuple[Any, int]:
        if size > MOST_MEMBERS:
            raise BadInput("a damaged MMDB file: too many members")
        if kind == ARRAY:
            items = []
            for _ in range(size):
                item, place = self.read(place, depth + 1)
                items.append(item)
            return items, place
        members = {}
        for _ in range(size):
            name, place = self.read(place, depth + 1)
            members[str(name)], place = self.read(place, depth + 1)
        return members, place

    def _pointer(self, control: int, place: int) -> tuple[int, int]:
        length = (control >> 3) & 3
        raw = self._data[place : place + length + 1]
        number = int.from_bytes(raw, "big")
        if length < 3:
            number |= (control & 7) << (8 * (length + 1))
        return number + (0, 2048, 526336, 0)[length], place + length + 1

    def _size(self, size: int, place: int) -> tuple[int, int]:
        if size < 29:
            return size, place
        extra = size - 28
        base = (29, 285, 65821)[extra - 1]
        return base + int.from_bytes(self._data[place : place + extra], "big"), place + extra
