"""Phase: origins of the sources of attempts; looked up again when attempts, traffic or origin data changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from casemate.case import Case
from casemate.engine.protocol import Engine
from casemate.explore.origins import (
    CATEGORIES_TABLE,
    FILES_TABLE,
    ORIGINS_TABLE,
    PHASE,
    OriginData,
    file_rows,
    has_origin_data,
    version_json,
)
from casemate.explore.tables import stored_tables
from casemate.intel.origins_update import read_sources
from casemate.investigate.phases import digest, phase_state
from casemate.schema.origins import ORIGIN_CATEGORIES, ORIGIN_FILES, ORIGINS

FILES_PHASE = "origin_files"


def keep_origin_files(case: Case, paths: Sequence[Path], now: datetime) -> None:
    """Store origin data that speaks for this case alone; it takes the place of what was given before.

    Raises:
        BadInput: there is none at a path.
    """
    if not paths:
        return
    sources = {source.version.source: source for path in paths for source in read_sources(path, now=now)}
    before = phase_state(case, FILES_PHASE)
    inputs = digest(sorted((name, source.version.sha256) for name, source in sources.items()))
    if before.inputs == inputs:
        return
    rows = [row for source in sources.values() for row in file_rows(source)]
    stage = case.stage()
    stage.write(FILES_TABLE, ORIGIN_FILES, pa.Table.from_pylist(rows, schema=ORIGIN_FILES).to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": FILES_PHASE, "inputs": inputs})


def find_case_origins(case: Case, engine: Engine, root: Path | None, inferred: Sequence[str]) -> int:
    """Look up where the attempts came from; how many addresses there are.  Without origin data nothing is done.

    Args:
        root: Casemate's data folder; the user's when None.
        inferred: own addresses that were inferred, where the case's settings name none.
    """
    before = phase_state(case, PHASE) if has_origin_data(case, root) else None
    if before is None:
        return 0
    data = OriginData.of(case, engine, root, inferred)
    if before.inputs == data.inputs:
        return sum(part.rows for part in before.parts if part.table == ORIGINS_TABLE)
    rows = data.rows(case, engine)
    stage = case.stage()
    stage.write(ORIGINS_TABLE, ORIGINS, rows.origins.to_batches())
    stage.write(CATEGORIES_TABLE, ORIGIN_CATEGORIES, rows.categories.to_batches())
    asked = [version_json(*one) for one in rows.versions]
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": data.inputs, "versions": asked})
    engine.use(stored_tables(case))
    return rows.origins.num_rows
