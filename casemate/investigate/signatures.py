"""Phase: signatures of exploit tools over what captures hold; their findings are replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from casemate.case import Case
from casemate.detect import signatures
from casemate.detect.signatures import COLUMNS, TABLE, events
from casemate.detect.signatures.findings import findings
from casemate.engine.protocol import Engine
from casemate.explore.tables import native_filled, stored_tables
from casemate.investigate.phases import code_of, digest, fingerprint, phase_state
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

PHASE = "signatures"


def detect_signatures(case: Case, engine: Engine) -> int:
    """Look for known tools unless nothing has changed since the last time; gives the number of findings."""
    stored = stored_tables(case)
    before = phase_state(case, PHASE)
    filled = TABLE in native_filled(stored)
    inputs = digest([code_of(signatures), *fingerprint(case, TABLE)])
    if before.inputs == inputs or (not filled and not before.parts):
        return sum(part.rows for part in before.parts if part.table == "findings")
    stage = case.stage()
    count = 0
    if filled:
        engine.use(stored)
        found, records = findings(events(_rows(engine)))
        count = found.num_rows
        if count:
            stage.write("findings", FINDINGS, found.to_batches())
            stage.write("finding_records", FINDING_RECORDS, records.to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})
    return count


def _rows(engine: Engine) -> Iterator[Mapping[str, Any]]:
    for batch in engine.batches(engine.read(TABLE).select(*COLUMNS)):
        yield from batch.to_pylist()
