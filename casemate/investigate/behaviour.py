"""Phase: behaviour analytics over the OCSF views; their findings are replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

from casemate import views as ocsf_views
from casemate.case import Case
from casemate.detect import behaviour
from casemate.detect.behaviour import ANALYTICS, COLUMNS_READ, READ_CLASSES, infer_own, read_once, run_all
from casemate.detect.behaviour.networks import PRIVATE, OwnNetworks, is_address
from casemate.engine.parts import Part
from casemate.engine.protocol import Engine
from casemate.explore.tables import events_there, native_filled, stored_tables
from casemate.explore.traffic import traffic_once
from casemate.investigate.phases import code_of, digest, fingerprint, phase_state
from casemate.schema.findings import FINDING_RECORDS, FINDINGS
from casemate.settings import PRIVATE_NETWORKS, Settings
from casemate.views import fed_classes, ocsf_tables

PHASE = "behaviour"


@dataclass(frozen=True)
class BehaviourRun:
    """How many findings the analytics made, the sentence on the own networks they worked with, and inferred ones."""

    findings: int
    own_networks: str
    inferred: tuple[str, ...] = ()


def detect_behaviour(case: Case, engine: Engine) -> BehaviourRun:
    """Run every behaviour analytic unless nothing has changed since the last time."""
    stored = stored_tables(case)
    engine.use(stored)
    given = () if case.settings.own == PRIVATE_NETWORKS else case.settings.own
    filled = native_filled(stored)
    events = events_there(engine, filled)
    ocsf = ocsf_tables(engine.read, filled, fed_classes(filled, READ_CLASSES, events), COLUMNS_READ, events)
    read = read_once(traffic_once(engine, stored, ocsf), engine.batches, engine.hold)
    own = replace(infer_own(given, read, engine.batches, engine.hold), core=_core_addresses(case.settings))
    before = phase_state(case, PHASE)
    settings = [repr(analytic.settings) for analytic in ANALYTICS]
    inputs = digest([code_of(behaviour, ocsf_views), own, *settings, *fingerprint(case, *filled)])
    if before.inputs == inputs:
        return BehaviourRun(_rows(before.parts, "findings"), own.statement, _inferred(own))
    stage = case.stage()
    count = 0
    for found in run_all(read, own, engine.batches, engine.hold):
        if found.findings.num_rows:
            count += found.findings.num_rows
            stage.write("findings", FINDINGS, found.findings.to_batches())
            stage.write("finding_records", FINDING_RECORDS, found.records())
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})
    return BehaviourRun(count, own.statement, _inferred(own))


def _inferred(own: OwnNetworks) -> tuple[str, ...]:
    """Addresses inferred to be the own ones, without the private ranges."""
    return tuple(network for network in own.networks if network not in PRIVATE) if own.inferred else ()


def _core_addresses(settings: Settings) -> tuple[str, ...]:
    """The core assets that are named by an address."""
    return tuple(sorted({text for asset in settings.core for text in asset.match if is_address(text)}))


def _rows(parts: tuple[Part, ...], table: str) -> int:
    return sum(part.rows for part in parts if part.table == table)
