"""Which pieces of evidence may hold the same records: those whose rows agree in time and length.

A log that begins inside another one has its first records there; two copies of an event log that
lives in a ring of chunks have the first record of some chunk in common.  So a few rows of each
evidence are looked up among all rows, by columns alone.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.engine.store import Store
from casemate.evidence.readers.evtx_chunks import CHUNK_BYTES, FILE_HEADER_BYTES

ROWS_AT_ONCE = 131_072
PROBES = 9
"""Rows of one log that are looked for in others: the first that are left of it (its first line may be cut)."""
FEWEST_ALIKE = 3
"""So many of these rows, one after the other, must be alike, or all but one (which may be cut): mails and other texts
share their usual lines with hundreds of others, here and there."""
FEW_LOGS = 4
"""A row that no more logs hold is enough by itself."""
MOST_HITS = 1_000
"""A row that so many others are like says nothing."""
MOST_SHIFTS = 4
SAID_BY: dict[str, str] = {"lines": "text"}
"""The column by which rows of a table are alike; ``time_raw`` in all others."""

Shift = int
"""Byte of one content at which another begins."""


def line_pairs(store: Store, table: str, family: Mapping[str, str]) -> dict[tuple[str, str], list[Shift]]:
    """Logs of one table that may begin inside others.

    Args:
        store: the case's store.
        table: a native table.
        family: evidence to the log it is a part of.

    Returns:
        (log that begins earlier, log that begins inside it) -> where it may, the likeliest first.
    """
    said = SAID_BY.get(table, "time_raw")
    probes: dict[tuple[str, int], list[tuple[str, int, int]]] = defaultdict(list)
    rows_of: dict[str, int] = {}
    for root, rows in _first_rows(store, table, said, family).items():
        rows_of[root] = len(rows)
        for place, (text, length, offset) in enumerate(rows):
            probes[text, length].append((root, place, offset))
    texts = pa.array(sorted({text for text, _ in probes}), pa.string())
    lengths = pa.array(sorted({length for _, length in probes}), pa.int64())
    hits: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for batch in _batches(store, table, ["evidence", "offset", "length", said], said):
        alike = _holds(batch[said], texts) & pc.is_in(batch["length"], value_set=lengths).to_numpy(zero_copy_only=False)
        if not alike.any():
            continue
        batch = batch.filter(pa.array(alike))
        for name, offset, length, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            found = hits[text, length]
            if (text, length) in probes and len(found) <= MOST_HITS and name in family:
                found.append((family[name], offset))
    alike: dict[tuple[str, str], dict[Shift, set[int]]] = defaultdict(lambda: defaultdict(set))
    silent: dict[str, set[int]] = defaultdict(set)
    telling: dict[tuple[str, str], set[Shift]] = defaultdict(set)
    for key, found in hits.items():
        rare = len({name for name, _ in found}) <= FEW_LOGS
        for later, place, at in probes.get(key, ()):
            if len(found) > MOST_HITS:
                silent[later].add(place)
                continue
            for earlier, offset in found:
                if earlier != later and offset > at:
                    alike[earlier, later][offset - at].add(place)
                    if rare:
                        telling[earlier, later].add(offset - at)
    likely = {pair: _likely(shifts, rows_of[pair[1]], silent[pair[1]], telling[pair]) for pair, shifts in alike.items()}
    return {pair: shifts for pair, shifts in likely.items() if shifts}


def _likely(alike: Mapping[Shift, Set[int]], rows: int, silent: Set[int], telling: Set[Shift]) -> list[Shift]:
    """Where a telling row is alike, or enough of the first rows one after the other; most of them first.

    Args:
        alike: place of the other log -> which of the rows are alike there.
        rows: how many rows were looked for.
        silent: those of them that say nothing.
        telling: places where a row is alike that few logs hold (the others may be taken out already).
    """
    fewest = min(FEWEST_ALIKE, max(rows - len(silent) - 1, 1))
    counted = {shift: _one_after_the_other(places, rows, silent) for shift, places in alike.items()}
    likely = (shift for shift, number in counted.items() if number >= fewest or shift in telling)
    return sorted(likely, key=lambda shift: (-counted[shift], shift))[:MOST_SHIFTS]


def _one_after_the_other(places: Set[int], rows: int, silent: Set[int]) -> int:
    """How many rows are alike from the first on, or from the second: the first may be cut."""
    number = 0
    for place in range(0 if 0 in places or 0 in silent else 1, rows):
        if place in places:
            number += 1
        elif place not in silent:
            break
    return number


def _first_rows(
    store: Store, table: str, said: str, family: Mapping[str, str]
) -> dict[str, list[tuple[str, int, int]]]:
    """The first rows that are left of each log: what they say, length, offset."""
    first: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for batch in _batches(store, table, ["evidence", "length", "offset", said], said):
        names = batch["evidence"]
        codes = names.indices.to_numpy(zero_copy_only=False)
        usable = pc.is_valid(batch[said]).to_numpy(zero_copy_only=False)
        for code in np.unique(codes).tolist():
            root = family.get(names.dictionary[code].as_py())
            if root is None or len(first[root]) >= PROBES:
                continue
            places = np.flatnonzero((codes == code) & usable)[:PROBES]
            chosen = batch.take(pa.array(places))
            columns = (chosen[said], chosen["length"], chosen["offset"])
            first[root].extend(zip(*(column.to_pylist() for column in columns), strict=True))
    return {root: rows[:PROBES] for root, rows in first.items()}


def event_log_pairs(store: Store, logs: Set[str]) -> list[tuple[str, str]]:
    """Event logs in which the first record of some chunk that is left is the same, by number, time and length."""
    wanted = pa.array(sorted(logs), pa.string())
    first: dict[tuple[int, object, int], list[str]] = defaultdict(list)
    for batch in _batches(store, "windows_event", ["evidence", "record", "offset", "length", "time"]):
        batch = batch.filter(pc.is_in(batch["evidence"].cast(pa.string()), value_set=wanted))
        chunk = (batch["offset"].to_numpy() - FILE_HEADER_BYTES) // CHUNK_BYTES
        name = batch["evidence"].indices.to_numpy()
        begins = np.append(True, (chunk[1:] != chunk[:-1]) | (name[1:] != name[:-1]))
        batch = batch.filter(pa.array(begins[: batch.num_rows]))
        values = (batch[name].to_pylist() for name in ("record", "time", "length", "evidence"))
        for record, time, length, name in zip(*values, strict=True):
            first[record, time, length].append(name)
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for names in first.values():
        if 1 < len(names) <= MOST_HITS:
            for pair in combinations(sorted(set(names)), 2):
                shared[pair] += 1
    return sorted(shared, key=lambda pair: (-shared[pair], pair))


def _holds(texts: pa.DictionaryArray, wanted: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows hold one of the texts that are wanted; each distinct text is looked up once."""
    there = np.append(pc.is_in(texts.dictionary, value_set=wanted).to_numpy(zero_copy_only=False), False)
    return there[texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _batches(store: Store, table: str, columns: list[str], *texts: str) -> Iterator[pa.RecordBatch]:
    for path in store.part_paths(table):
        with pq.ParquetFile(path, read_dictionary=["evidence", *texts]) as file:
            yield from file.iter_batches(ROWS_AT_ONCE, columns=columns)
