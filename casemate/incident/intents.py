"""From the tactics of findings to the intent of an attempt, as an Ibis expression.

The table of tactics (ATT&CK Enterprise and ATLAS) is one place for the whole project; this file
only ranks intents.  An attempt has the furthest intent any of its findings shows: a source that
scans and then copies data out has come for the data.
"""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

RANKED_INTENTS: tuple[str, ...] = (
    "disruption",
    "exfiltration",
    "lateral_movement",
    "infiltration",
    "reconnaissance",
    "unspecified",
)
"""Furthest first."""

TACTIC_INTENTS: Mapping[str, str] = {
    "reconnaissance": "reconnaissance",
    "resource-development": "reconnaissance",
    "discovery": "reconnaissance",
    "initial-access": "infiltration",
    "execution": "infiltration",
    "persistence": "infiltration",
    "privilege-escalation": "infiltration",
    "credential-access": "infiltration",
    "command-and-control": "infiltration",
    "lateral-movement": "lateral_movement",
    "collection": "exfiltration",
    "exfiltration": "exfiltration",
    "impact": "disruption",
}


def intent_rank(tactics: ir.ArrayValue) -> ir.IntegerValue:
    """Index into :data:`RANKED_INTENTS` of the furthest intent among an array of tactic names."""
    named = tactics.fill_null(ibis.literal([], type="array<string>"))
    branches = []
    for rank, intent in enumerate(RANKED_INTENTS[:-1]):
        for tactic in sorted(name for name, meaning in TACTIC_INTENTS.items() if meaning == intent):
            branches.append((named.contains(tactic), rank))
    return ibis.cases(*branches, else_=len(RANKED_INTENTS) - 1).cast("int64")
