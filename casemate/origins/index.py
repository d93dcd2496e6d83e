"""Lookups of many addresses in many sources at once.

Every source is a sorted array of intervals that do not overlap.  For a few addresses each source is
searched by itself; for many (and for the kernel) all sources are first merged into one array of
intervals, each with the number of its answer, so that a lookup is one binary search.  Keys are searched
in sorted order, which keeps the search inside the processor's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from casemate.intel.origins_blocks import Blocks, Facts
from casemate.intel.origins_store import Source
from casemate.origins.addresses import Addresses
from casemate.origins.answers import Answer, Said, compose
from casemate.origins.special import special_blocks

MERGE_FROM = 200_000
"""Addresses from which on merging all sources first is worth its time."""
SORT_FROM = 2_048
"""Keys from which on sorting them first is worth its time."""
ONE = np.uint64(1)
LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Layer:
    """The intervals of one source, ready to be searched; halves of IPv6 ends apart."""

    blocks: Blocks
    said: Said | None

    def places4(self, keys: np.ndarray) -> np.ndarray:
        """Place of each address's facts, -1 where the source does not know it."""
        blocks = self.blocks
        if not len(blocks.v4_first):
            return np.full(len(keys), -1, np.int32)
        at = np.searchsorted(blocks.v4_first, keys, "right") - 1
        inside = (at >= 0) & (blocks.v4_last[at] >= keys)
        return np.where(inside, blocks.v4_value[at], -1).astype(np.int32)

    def places6(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        """The same for IPv6."""
        blocks = self.blocks
        if not len(blocks.v6_first):
            return np.full(len(high), -1, np.int32)
        at = Wide.of(blocks.v6_first).rank(high, low)
        last_high, last_low = blocks.v6_last[at, 0], blocks.v6_last[at, 1]
        inside = (at >= 0) & ((high < last_high) | ((high == last_high) & (low <= last_low)))
        return np.where(inside, blocks.v6_value[at], -1).astype(np.int32)


@dataclass(frozen=True)
class Wide:
    """Sorted distinct 128-bit numbers: their distinct high halves, and where each one's low halves lie."""

    highs: np.ndarray
    begins: np.ndarray
    lows: np.ndarray
    longest: int

    @classmethod
    def of(cls, numbers: np.ndarray) -> Wide:
        """From an array of shape (n, 2), sorted, without duplicates."""
        highs, begins = np.unique(numbers[:, 0], return_index=True)
        begins = np.append(begins, len(numbers)).astype(np.int64)
        longest = int(np.diff(begins).max()) if len(highs) else 0
        return cls(highs, begins, np.ascontiguousarray(numbers[:, 1]), longest)

    def rank(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        """Place of the last number that is not larger; -1 where all are."""
        # in order, neighbours find what they look for near to each other
        order = np.argsort(high) if len(high) >= SORT_FROM else None
        keys = high if order is None else high[order]
        group = np.searchsorted(self.highs, keys, "right") - 1
        known = group >= 0
        safe = np.maximum(group, 0)
        place = np.where(known, self.begins[safe + 1] - 1, -1)
        same = np.flatnonzero(known & (self.highs[safe] == keys))
        if len(same):
            first, beyond = self.begins[safe[same]], self.begins[safe[same] + 1]
            wanted = low[same if order is None else order[same]]
            # a binary search of all at once, each between its own ends
            for _ in range(self.longest.bit_length()):
                middle = (first + beyond) >> 1
                open_ = first < beyond
                smaller = open_ & (self.lows[np.minimum(middle, len(self.lows) - 1)] <= wanted)
                first = np.where(smaller, middle + 1, first)
                beyond = np.where(open_ & ~smaller, middle, beyond)
            place[same] = first - 1
        if order is None:
            return place
        out = np.empty(len(high), np.int64)
        out[order] = place
        return out


def sorted_search(bounds: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Place of the last bound that is not larger than each key; -1 where all are."""
    if len(keys) < SORT_FROM:
        return np.searchsorted(bounds, keys, "right") - 1
    order = np.argsort(keys)
    out = np.empty(len(keys), np.int64)
    out[order] = np.searchsorted(bounds, keys[order], "right") - 1
    return out


@dataclass
class OriginIndex:
    """Sources as of one moment; :meth:`lookup` numbers answers, which stand in :attr:`answers`.

    Args:
        sources: with whether each is from after the moment.
        own: intervals of the own address space, and by what they are.
    """

    sources: Sequence[tuple[Source, bool]]
    own: Blocks | None = None
    own_by: str = "case.toml"
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _merged: tuple[np.ndarray, np.ndarray, Wide, np.ndarray] | None = None

    def __post_init__(self) -> None:
        layers = [Layer(special_blocks(), None)]
        if self.own is not None:
            layers.append(Layer(self.own, None))
        self._first_source = len(layers)
        for source, later in self.sources:
            version = source.version
            layers.append(Layer(source.blocks, Said(version.source, version.kind, version.dated, later, Facts())))
        self._layers = layers
        self._systems: list[tuple[Said, Mapping[int, Facts]]] = [
            (Said(source.version.source, source.version.kind, source.version.dated, later, Facts()), source.systems)
            for source, later in self.sources
            if source.systems
        ]

    def lookup(self, addresses: Addresses) -> np.ndarray:
        """The number of each address's answer (int32); 0, the empty answer, for what is no address."""
        out = np.zeros(len(addresses.version), np.int32)
        is4 = addresses.version == 4
        everything = bool(is4.all())
        keys4 = addresses.v4 if everything else addresses.v4[is4]
        if len(keys4) + len(addresses.rows6) >= MERGE_FROM:
            self.merge()
        found4 = self._find4(keys4)
        if everything:
            return found4
        out[is4] = found4
        if len(addresses.rows6):
            out[addresses.rows6] = self._find6(addresses.high, addresses.low)
        return out

    def merge(self) -> None:
        """Make one array of intervals of all sources."""
        if self._merged is None:
            bounds4 = self._bounds4()
            answers4 = self._answered([layer.places4(bounds4) for layer in self._layers])
            bounds6 = self._bounds6()
            answers6 = self._answered([layer.places6(bounds6[:, 0], bounds6[:, 1]) for layer in self._layers])
            # neighbours with the same answer are one interval
            kept4 = np.append(True, answers4[1:] != answers4[:-1])
            kept6 = np.append(True, answers6[1:] != answers6[:-1])
            self._merged = (bounds4[kept4], answers4[kept4], Wide.of(bounds6[kept6]), answers6[kept6])

    def _find4(self, keys: np.ndarray) -> np.ndarray:
        if self._merged is not None:
            bounds, answers, _, _ = self._merged
            return answers[sorted_search(bounds, keys)]
        return self._answered([layer.places4(keys) for layer in self._layers])

    def _find6(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        if self._merged is not None:
            _, _, bounds, answers = self._merged
            return answers[bounds.rank(high, low)]
        return self._answered([layer.places6(high, low) for layer in self._layers])

    def _bounds4(self) -> np.ndarray:
        ends = [np.zeros(1, np.uint64)]
        for layer in self._layers:
            ends += [layer.blocks.v4_first.astype(np.uint64), layer.blocks.v4_last.astype(np.uint64) + ONE]
        bounds = np.unique(np.concatenate(ends))
        return bounds[bounds < 1 << 32].astype(np.uint32)

    def _bounds6(self) -> np.ndarray:
        ends = [np.zeros((1, 2), np.uint64)]
        for layer in self._layers:
            last = layer.blocks.v6_last
            carry = last[:, 1] == LAST
            after = np.stack([last[:, 0] + carry.astype(np.uint64), last[:, 1] + ONE], axis=1)
            inside = ~(carry & (last[:, 0] == LAST))
            ends += [layer.blocks.v6_first, after[inside]]
        together = np.concatenate(ends)
        order = np.lexsort((together[:, 1], together[:, 0]))
        together = together[order]
        new = np.append(True, (together[1:] != together[:-1]).any(axis=1))
        return together[new]

    def _answered(self, places: Sequence[np.ndarray]) -> np.ndarray:
        """Numbers of the answers for rows of places, one array per layer."""
        rows = len(places[0])
        if not rows:
            return np.zeros(0, np.int32)
        # equal rows get equal numbers, one layer after another; a layer that says nothing changes nothing
        group = np.zeros(rows, np.int64)
        for layer in places:
            if (layer != layer[0]).any():
                _, group = np.unique(group * (int(layer.max()) + 2) + layer + 1, return_inverse=True)
        _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
        table = np.stack([layer[first] for layer in places], axis=1)
        numbers = np.array([self._number(row) for row in table], np.int32)
        return numbers[inverse]

    def _number(self, row: np.ndarray) -> int:
        key = row.tobytes()
        if key not in self._numbers:
            self._numbers[key] = self._place(self._composed(row.tolist()))
        return self._numbers[key]

    def _place(self, answer: Answer) -> int:
        if answer == self.answers[0]:
            return 0
        self.answers.append(answer)
        return len(self.answers) - 1

    def _composed(self, row: Sequence[int]) -> Answer:
        special = self._layers[0].blocks.facts[row[0]] if row[0] >= 0 else None
        own = self.own_by if self._first_source == 2 and row[1] >= 0 else None
        said = []
        for layer, place in zip(self._layers[self._first_source :], row[self._first_source :], strict=True):
            if place >= 0 and layer.said is not None:
                one = layer.said
                said.append(Said(one.source, one.kind, one.dated, one.later, layer.blocks.facts[place]))
        return compose(own, special, said, self._systems)
