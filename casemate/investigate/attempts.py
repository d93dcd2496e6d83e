"""Phase: attempts from all findings; rebuilt when a finding came, went or changed."""

from __future__ import annotations

from casemate import incident
from casemate.case import Case
from casemate.engine.protocol import Engine
from casemate.explore.tables import stored_tables
from casemate.incident.attempts import attempts
from casemate.intel import tactics
from casemate.investigate.phases import code_of, digest, fingerprint, phase_state
from casemate.schema.attempts import ATTEMPT_FINDINGS, ATTEMPTS

PHASE = "attempts"


def build_attempts(case: Case, engine: Engine) -> int:
    """Build the attempts; how many there are now."""
    before = phase_state(case, PHASE)
    gap_seconds = case.settings.gap_minutes * 60
    inputs = digest([code_of(incident, tactics), gap_seconds, *fingerprint(case, "findings")])
    if before.inputs == inputs:
        return sum(part.rows for part in before.parts if part.table == "attempts")
    engine.use(stored_tables(case))
    built = attempts(engine.read("findings"), gap_seconds)
    stage = case.stage()
    stage.write("attempts", ATTEMPTS, engine.batches(built.attempts.order_by("id")))
    stage.write("attempt_findings", ATTEMPT_FINDINGS, engine.batches(built.attempt_findings.order_by("finding")))
    added = case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})
    return sum(part.rows for part in added if part.table == "attempts")
