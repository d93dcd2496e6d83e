"""Blocks of addresses and what a source says of each, flattened to intervals that do not overlap.

Inside one source the innermost block answers (the smaller; of two equal ones the later in the file).
What the blocks around it say is not lost: their categories are added, and their holders are kept as
``within``, since a range that is leased or assigned further has two names that must not be mixed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from casemate.errors import BadInput, LimitReached

DEEPEST_OVERLAP = 256
"""Most blocks of one source around one address (nested prefixes cannot be more than 129)."""
MOST_BLOCKS = 20_000_000
LAST_V4, LAST_V6 = (1 << 32) - 1, (1 << 128) - 1
LOW = (1 << 64) - 1


@dataclass(frozen=True)
class Facts:
    """What one source says of one block; None and empty mean that it does not say.

    Args:
        registry: ``afrinic``, ``apnic``, ``arin``, ``lacnic``, ``ripencc``.
        country: two letters, the country the block is *registered* to.
        located: two letters, the country a geolocation database or a geofeed places it in.
        holder: whom the block is registered to.
        operator: who uses it: a provider that publishes it as its own, the name of its AS, a VPN service.
        asn: number of the AS that announces it.
        categories: cloud, vpn, proxy, tor, hosting, access network, bogon, ...
        lists: names of warning lists that hold it.
        within: holders of the blocks around it in the same source, innermost first.
        named: for each category the name that goes with it (operator or holder of the block that says it), or
            ``""``; empty where that is the block's own operator or holder.
    """

    registry: str | None = None
    country: str | None = None
    located: str | None = None
    holder: str | None = None
    operator: str | None = None
    asn: int | None = None
    categories: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    def names(self) -> dict[str, str]:
        """The name that goes with each category."""
        own = self.operator or self.holder or ""
        return dict(zip(self.categories, self.named or (own,) * len(self.categories), strict=True))


@dataclass(frozen=True)
class Blocks:
    """Intervals of one source, sorted, none overlapping another; both ends belong to them.

    IPv4 ends are uint32; IPv6 ends are arrays of shape (n, 2) of uint64, high half first.  Values are
    places in `facts`.
    """

    v4_first: np.ndarray
    v4_last: np.ndarray
    v4_value: np.ndarray
    v6_first: np.ndarray
    v6_last: np.ndarray
    v6_value: np.ndarray
    facts: tuple[Facts, ...]

    def __len__(self) -> int:
        return len(self.v4_first) + len(self.v6_first)


Block = tuple[int, int, int]
"""First address, last address, place in the facts."""


@dataclass
class BlockBuilder:
    """Collects blocks as a file is read."""

    v4: list[Block] = field(default_factory=list)
    v6: list[Block] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)
    _known: dict[Facts, int] = field(default_factory=dict)

    def value(self, facts: Facts) -> int:
        """The place of `facts`."""
        place = self._known.setdefault(facts, len(self.facts))
        if place == len(self.facts):
            self.facts.append(facts)
        return place

    def add(self, block: tuple[int, int, int], facts: Facts) -> None:
        """Add a block: IP version, first and last address."""
        version, first, last = block
        (self.v4 if version == 4 else self.v6).append((first, last, self.value(facts)))
        if len(self.v4) + len(self.v6) > MOST_BLOCKS:
            raise LimitReached(f"more than {MOST_BLOCKS:,} blocks")

    def build(self) -> Blocks:
        """The intervals."""
        v4, v6 = (flatten(blocks, self) for blocks in (self.v4, self.v6))
        return Blocks(*_arrays_v4(v4), *_arrays_v6(v6), tuple(self.facts))


def flatten(blocks: Sequence[Block], builder: BlockBuilder) -> list[Block]:
    """Disjoint intervals from blocks that may overlap; facts of overlaps are added to `builder`.

    Raises:
        BadInput: more than :data:`DEEPEST_OVERLAP` blocks around one address.
    """
    # stable: of equal blocks the later one comes later, and lies inside
    ordered = sorted(blocks, key=lambda block: (block[0], -block[1]))
    ordered = [block for place, block in enumerate(ordered) if not place or block != ordered[place - 1]]
    if all(after[0] > before[1] for before, after in pairwise(ordered)):
        return ordered
    together: list[Block] = []
    out: list[Block] = []
    reached = -1
    for block in ordered:  # clusters of blocks that touch each other's space are swept one by one
        if block[0] > reached and together:
            out.extend(_swept(together, builder))
            together = []
        together.append(block)
        reached = max(reached, block[1])
    out.extend(_swept(together, builder))
    return out


def _swept(blocks: list[Block], builder: BlockBuilder) -> list[Block]:
    if len(blocks) == 1:
        return blocks
    points = sorted({block[0] for block in blocks} | {block[1] + 1 for block in blocks})
    out: list[Block] = []
    active: list[tuple[int, int, int, int]] = []  # size, -order, last, value
    coming = 0
    composed: dict[tuple[int, ...], int] = {}
    for point, following in pairwise(points):
        active = [one for one in active if one[2] >= point]
        while coming < len(blocks) and blocks[coming][0] == point:
            first, last, value = blocks[coming]
            active.append((last - first, -coming, last, value))
            coming += 1
        if len(active) > DEEPEST_OVERLAP:
            raise BadInput(f"more than {DEEPEST_OVERLAP} blocks overlap at one address")
        if active:
            active.sort()
            key = tuple(dict.fromkeys(one[3] for one in active))
            if key not in composed:
                composed[key] = builder.value(_nested([builder.facts[value] for value in key]))
            out.append((point, following - 1, composed[key]))
    return out


def _nested(facts: list[Facts]) -> Facts:
    """The innermost facts, completed by what lies around them."""
    inner, *around = facts
    holders = [one.holder for one in around if one.holder and one.holder != inner.holder]
    names: dict[str, str] = {}
    for one in facts:
        names = one.names() | names  # the inner name stays
    categories = tuple(dict.fromkeys(category for one in facts for category in one.categories))
    return replace(
        inner,
        categories=categories,
        named=tuple(names[category] for category in categories),
        lists=tuple(dict.fromkeys(name for one in facts for name in one.lists)),
        within=tuple(dict.fromkeys([*inner.within, *holders])),
    )


def parse_block(text: str) -> tuple[int, int, int]:
    """IP version, first and last address of ``192.0.2.0/24``, ``2001:db8::/32``, an address, or ``first-last``.

    Raises:
        ValueError: it is none.
    """
    address, slash, length = text.partition("/")
    if not slash and "-" in address:
        begin, _, end = address.partition("-")
        low, high = parse_block(begin.strip()), parse_block(end.strip())
        return range_of(low, high)
    try:
        if ":" in address:
            version, bits, number = 6, 128, int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
        else:
            version, bits, number = 4, 32, int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except (OSError, UnicodeEncodeError) as error:
        raise ValueError(f"not an address: {text[:60]!r}") from error
    if slash:
        if not (length.isascii() and length.isdigit()) or int(length) > bits:
            raise ValueError(f"not a prefix length: {text[:60]!r}")
        size = 1 << (bits - int(length))
        number &= ~(size - 1)
    else:
        size = 1
    if version == 6 and number >> 32 == 0xFFFF and size <= 1 << 32:  # ::ffff:a.b.c.d is the IPv4 address
        return 4, number & LAST_V4, (number & LAST_V4) + size - 1
    return version, number, number + size - 1


def range_of(low: tuple[int, int, int], high: tuple[int, int, int]) -> tuple[int, int, int]:
    """The block from the first of `low` to the last of `high`.

    Raises:
        ValueError: of two IP versions, or backwards.
    """
    if low[0] != high[0] or low[1] > high[2]:
        raise ValueError("not a range of addresses")
    return low[0], low[1], high[2]


def block_text(version: int, first: int, last: int) -> str:
    """A block as people write it: a prefix where it is one, else ``first-last``."""
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    size = last - first + 1
    if size & (size - 1) == 0 and first % size == 0:
        return f"{kind(first)}/{(32 if version == 4 else 128) - size.bit_length() + 1}"
    return f"{kind(first)}-{kind(last)}"


def _arrays_v4(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(blocks, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].astype(np.uint32), table[:, 1].astype(np.uint32), table[:, 2].astype(np.int32)


def _arrays_v6(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    firsts = np.array([(first >> 64, first & LOW) for first, _, _ in blocks], dtype=np.uint64).reshape(-1, 2)
    lasts = np.array([(last >> 64, last & LOW) for _, last, _ in blocks], dtype=np.uint64).reshape(-1, 2)
    return firsts, lasts, np.array([value for _, _, value in blocks], dtype=np.int32)
