"""After an intake: stages of one Kubernetes request that lie in several pieces of evidence are one request.

The reader marks a row ``superseded`` whose request has a later stage in the same file.  A log that was
rotated or grew has them in two: its early rows are marked here, with a note, so that rules look at
the latest stage alone wherever it lies.  The order in which the files came makes no difference.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.engine.store import Store
from casemate.evidence.continuing import add_notes
from casemate.evidence.readers.kubernetes_audit import (
    EARLY,
    KUBERNETES_AUDIT,
    MOST_OPEN_REQUESTS,
    REQUEST,
    STAGES,
    Request,
)

LAST_STAGE = max(STAGES.values())
NOTE = "requests of which another piece of evidence holds a later stage: {count:,}; rules look at that one"


def supersede_early_stages(store: Store) -> None:
    """Mark the rows whose request has a row of a later stage in other evidence.

    Raises:
        CannotFinish: the disk is full.
    """
    early = _open_requests(store)
    if not early:
        return
    latest = _latest(store, early)
    stage = store.stage()
    removed = []
    counts: dict[str, int] = {}
    table = KUBERNETES_AUDIT.name
    for part, path in zip(store.live_parts(table), store.part_paths(table), strict=True):
        marked = [
            open_still and latest.get(request, -1) > STAGES.get(said or "", LAST_STAGE)
            for request, said, open_still in _requests(pq.read_table(path, columns=[*REQUEST, "stage", "superseded"]))
        ]
        if not any(marked):
            continue
        rows = pq.read_table(path)
        for name, now in zip(rows["evidence"].to_pylist(), marked, strict=True):
            if now:
                counts[name] = counts.get(name, 0) + 1
        column = pc.if_else(pa.array(marked), pa.scalar("true"), rows["superseded"].cast(pa.string()))
        rows = rows.set_column(rows.schema.get_field_index("superseded"), "superseded", column)
        stage.write(table, part.schema, rows.cast(part.schema).to_batches())
        removed.append(part)
    if not removed:
        store.discard(stage)
        return
    removed += add_notes(store, stage, {name: [NOTE.format(count=count)] for name, count in counts.items()})
    store.commit(stage, remove=removed, facts={"phase": "ingest", "superseded": sum(counts.values())})


def _open_requests(store: Store) -> set[Request]:
    """Requests of which some row says an early stage, and none that it is superseded."""
    found: set[Request] = set()
    for path in store.part_paths(KUBERNETES_AUDIT.name):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[*REQUEST, "stage", "superseded"]):
                early = pc.is_in(batch["stage"], value_set=pa.array(sorted(EARLY)))
                batch = batch.filter(pc.and_(early, pc.is_null(batch["superseded"])))
                found.update(request for request, _, _ in _requests(batch) if request[0] is not None)
                if len(found) > MOST_OPEN_REQUESTS:
                    return found
    return found


def _latest(store: Store, wanted: set[Request]) -> dict[Request, int]:
    ids = pa.array(sorted({request[0] for request in wanted if request[0] is not None}), pa.string())
    latest: dict[Request, int] = {}
    for path in store.part_paths(KUBERNETES_AUDIT.name):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[*REQUEST, "stage", "superseded"]):
                for request, said, _ in _requests(batch.filter(pc.is_in(batch["auditID"], value_set=ids))):
                    if request in wanted:
                        latest[request] = max(latest.get(request, -1), STAGES.get(said or "", LAST_STAGE))
    return latest


def _requests(rows: pa.RecordBatch | pa.Table) -> Iterator[tuple[Request, str | None, bool]]:
    """Each row's request, its stage, and whether no later one is known."""
    columns = (rows[name].to_pylist() for name in (*REQUEST, "stage", "superseded"))
    for *request, said, superseded in zip(*columns, strict=True):
        yield tuple(request), said, request[0] is not None and superseded is None
