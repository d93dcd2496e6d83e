"""The traffic of a case as analytics and measures count it: once, whatever number of sources tell of it."""

from __future__ import annotations

from collections.abc import Mapping

import ibis

from casemate.engine.protocol import Engine
from casemate.explore.tables import StoredTables
from casemate.views.once import counted_once

EVIDENCE = "evidence"


def traffic_once(engine: Engine, stored: StoredTables, ocsf: Mapping[str, ibis.Table]) -> dict[str, ibis.Table]:
    """OCSF tables without what another source in the case tells more of (see :mod:`casemate.views.once`)."""
    if EVIDENCE not in stored.filled():
        return dict(ocsf)
    evidence = engine.read(EVIDENCE).select("evidence", "format")
    formats = engine.collect(evidence.select("format").distinct()).column("format").to_pylist()
    return counted_once(ocsf, evidence, formats)
