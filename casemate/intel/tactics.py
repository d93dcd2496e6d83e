"""From tactics to intent: the one table of the project.

A tactic is in the table only where it says by itself what somebody is after.  Execution,
persistence, privilege escalation, stealth, defense impairment and command and control serve any
aim, so they say nothing: `unspecified` is an answer, and the one for about two thirds of the
public Sigma rules.

Sources: the tactics of ATT&CK Enterprise v18 and v19 and of ATLAS 5.6, by their short names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RANKED_INTENTS: tuple[str, ...] = (
    "disruption",
    "exfiltration",
    "lateral_movement",
    "infiltration",
    "reconnaissance",
    "unspecified",
)
"""Furthest first: of several intents the one nearest to the harm counts."""

TACTIC_INTENTS: Mapping[str, str] = {
    "reconnaissance": "reconnaissance",
    "discovery": "reconnaissance",
    "initial-access": "infiltration",
    "credential-access": "infiltration",
    "ai-model-access": "infiltration",
    "lateral-movement": "lateral_movement",
    "collection": "exfiltration",
    "exfiltration": "exfiltration",
    "impact": "disruption",
}
SILENT_TACTICS: frozenset[str] = frozenset(
    {
        "resource-development",
        "execution",
        "persistence",
        "privilege-escalation",
        "defense-evasion",
        "stealth",
        "defense-impairment",
        "command-and-control",
        "ai-attack-staging",
    }
)
"""Known tactics that say no intent."""


def intent_of(tactics: Sequence[str]) -> str:
    """The furthest intent among the tactics of a finding, ``unspecified`` if none says one."""
    found = {TACTIC_INTENTS.get(tactic.lower().replace("_", "-"), "unspecified") for tactic in tactics}
    return next((intent for intent in RANKED_INTENTS if intent in found), "unspecified")
