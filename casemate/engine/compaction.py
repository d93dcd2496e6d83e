"""Compaction: many small parts of one table become few, in one commit that adds and removes.

10,000 small pieces of evidence as 10,000 parts cost a query seconds for opening files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.engine.files import inside
from casemate.engine.parts import Part
from casemate.engine.store import Store

SMALL_BYTES = 32 * 1024 * 1024
MOST_SMALL_PARTS = 32


def compact(store: Store, table: str, *, most: int = MOST_SMALL_PARTS) -> bool:
    """Join the small parts of a table when there are more than `most` of them.

    Rows, their order and the table's schema stay the same.

    Returns:
        Whether there was something to do.

    Raises:
        CannotFinish: the disk is full; nothing changed.
    """
    small = [part for part in store.live_parts(table) if part.bytes < SMALL_BYTES]
    schema = store.schema(table)
    if len(small) <= most or schema is None:
        return False
    stage = store.stage()
    try:
        stage.write(table, schema, _rows(store.root, small))
        store.commit(stage, remove=small, facts={"phase": "compaction", "table": table})
    except BaseException:
        store.discard(stage)
        raise
    return True


def _rows(root: Path, parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        text = [field.name for field in part.schema if pa.types.is_string(field.type)]
        with pq.ParquetFile(inside(root, part.path), read_dictionary=text) as file:
            yield from file.iter_batches(32 * 1024)
