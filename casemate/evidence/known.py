"""What a case already holds, as ingest needs it: hashes, sizes, and what was last seen under a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from casemate.engine.store import Store

EVIDENCE_TABLE = "evidence"
REGISTRATIONS_TABLE = "registrations"
ROWS_AT_ONCE = 50_000

Place = tuple[str, str | None]
"""Where content was received: path, and member path inside the container that lies there."""


@dataclass(frozen=True)
class KnownEvidence:
    """One row of the ``evidence`` table, as far as ingest needs it."""

    sha256: str
    bytes: int
    format: str
    records: int
    continues: str | None


@dataclass
class Known:
    """Evidence that is in the case or on its way into it.

    Args:
        evidence: rows of the case when the run began.
        hashes: everything in the case and everything this run has taken so far.
        sizes: lengths of all of these.
        last: the newest evidence at each place, with the container it came out of, when the run began.
        registrations: all registrations when the run began.
    """

    evidence: dict[str, KnownEvidence] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    sizes: set[int] = field(default_factory=set)
    last: dict[Place, tuple[str, str | None]] = field(default_factory=dict)
    registrations: set[tuple[str, str, str | None, str | None]] = field(default_factory=set)

    def add(self, sha256: str, size: int) -> None:
        """Remember content that this run takes."""
        self.hashes.add(sha256)
        self.sizes.add(size)

    def before(self, place: Place, parent: str | None, size: int) -> KnownEvidence | None:
        """Older, shorter evidence at the same place that content of `size` bytes there may continue.

        Two members of one name in one container do not continue each other.
        """
        sha256, old_parent = self.last.get(place, (None, None))
        older = self.evidence.get(sha256) if sha256 is not None else None
        if older is None or not 0 < older.bytes < size or (parent is not None and parent == old_parent):
            return None
        return older


def known_evidence(store: Store) -> Known:
    """What the case of `store` holds now."""
    known = Known()
    for row in rows(store, EVIDENCE_TABLE, ["evidence", "bytes", "format", "records", "continues"]):
        sha256, size, form, records, continues = row
        known.evidence[sha256] = KnownEvidence(sha256, size, form, records, continues)
        known.add(sha256, size)
    for sha256, path, parent, member_path in rows(
        store, REGISTRATIONS_TABLE, ["evidence", "path", "parent", "member_path"]
    ):
        known.last[path, member_path] = sha256, parent
        known.registrations.add((sha256, path, parent, member_path))
    return known


def rows(store: Store, table: str, columns: list[str]) -> Iterator[tuple]:
    """The rows of a small table in the order in which they were committed."""
    for part in store.part_paths(table):
        yield from part_rows(part, columns)


def part_rows(part: Path, columns: list[str]) -> Iterator[tuple]:
    """The rows of one part."""
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
