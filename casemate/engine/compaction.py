"""Compaction: many small parts of one table become few, in one commit that adds and removes.

10,000 small pieces of evidence as 10,000 parts cost a query seconds for opening files alone.  Joining parts
reads and writes all their rows, so the larger they are, the more of them may be: rows of a long intake are
rewritten once or twice, never again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.engine.files import inside
from casemate.engine.parts import Part, plain_columns
from casemate.engine.store import Store

MIB = 1024 * 1024
MOST_PARTS: Mapping[int, int] = {MIB: 32, 32 * MIB: 512}
"""How many parts shorter than so many bytes a table may have."""


def compact(store: Store, table: str, *, most: Mapping[int, int] = MOST_PARTS) -> bool:
    """Join the small parts of a table when there are more of them than `most` allows.

    Rows, their order and the table's schema stay the same.

    Returns:
        Whether there was something to do.

    Raises:
        CannotFinish: the disk is full; nothing changed.
    """
    small = _too_many(store.live_parts(table), most)
    schema = store.schema(table)
    if not small or schema is None:
        return False
    stage = store.stage()
    try:
        stage.write(table, schema, _rows(store.root, small))
        store.commit(stage, remove=small, facts={"phase": "compaction", "table": table})
    except BaseException:
        store.discard(stage)
        raise
    return True


def _too_many(parts: Iterable[Part], most: Mapping[int, int]) -> list[Part]:
    held = list(parts)
    for length, number in sorted(most.items()):
        shorter = [part for part in held if part.bytes < length]
        if len(shorter) > number:
            return shorter
    return []


def _rows(root: Path, parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        path = inside(root, part.path)
        plain = plain_columns(pq.read_metadata(path))
        text = [field.name for field in part.schema if pa.types.is_string(field.type) and field.name not in plain]
        with pq.ParquetFile(path, read_dictionary=text) as file:
            yield from file.iter_batches(32 * 1024)
