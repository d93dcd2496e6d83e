"""Rejected records: where they are and why they were not kept.  Their bytes stay in the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from casemate.engine.store import Store
from casemate.evidence.reading import REJECTS_TABLE
from casemate.evidence.records import RecordPlace

ROWS_AT_ONCE = 50_000
COLUMNS = ["evidence", "record", "offset", "length", "reason"]


@dataclass(frozen=True)
class ReasonCount:
    """How many records of one evidence were rejected for one reason, and the first of them."""

    evidence: str
    reason: str
    count: int
    first_record: int


def rejected(store: Store, evidence: str | None = None) -> Iterator[RecordPlace]:
    """Rejected records in the order in which they were committed, of one evidence (full hash) or all."""
    for part in store.part_paths(REJECTS_TABLE):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=COLUMNS):
                for row in batch.to_pylist():
                    if evidence is not None and row["evidence"] != evidence:
                        continue
                    yield RecordPlace(
                        row["evidence"], row["record"], REJECTS_TABLE, row["offset"], row["length"], row["reason"]
                    )


def reasons(store: Store) -> list[ReasonCount]:
    """Rejected records counted by evidence and reason, most frequent first."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for place in rejected(store):
        key = place.evidence, place.reason or ""
        count, first = counts.get(key, (0, place.record))
        counts[key] = count + 1, min(first, place.record)
    listed = [ReasonCount(*key, *value) for key, value in counts.items()]
    return sorted(listed, key=lambda item: (-item.count, item.evidence, item.reason))
