"""Phase: signatures of exploit tools over captures, and alerts of Suricata; their findings are replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ibis

from casemate.case import Case
from casemate.detect import signatures
from casemate.detect.signatures import COLUMNS, TABLE, events, suricata
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
    filled = {TABLE, suricata.TABLE} & set(native_filled(stored))
    inputs = digest([code_of(signatures), *fingerprint(case, TABLE, suricata.TABLE)])
    if before.inputs == inputs or (not filled and not before.parts):
        return sum(part.rows for part in before.parts if part.table == "findings")
    stage = case.stage()
    count = 0
    if filled:
        engine.use(stored)
        messages = _rows(engine, engine.read(TABLE).select(*COLUMNS)) if TABLE in filled else ()
        alerts: Iterable[Mapping[str, Any]] = ()
        if suricata.TABLE in filled:
            table = engine.read(suricata.TABLE)
            alerts = _rows(engine, table.filter(table.event_type == "alert").select(*suricata.COLUMNS))
        found, records = findings(events(messages), suricata.bursts(alerts))
        count = found.num_rows
        if count:
            stage.write("findings", FINDINGS, found.to_batches())
            stage.write("finding_records", FINDING_RECORDS, records.to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})
    return count


def _rows(engine: Engine, table: ibis.Table) -> Iterator[Mapping[str, Any]]:
    for batch in engine.batches(table):
        yield from batch.to_pylist()
