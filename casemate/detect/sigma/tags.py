"""ATT&CK and ATLAS in the tags of rules.

Sigma's namespaces ``car``, ``cve``, ``d3fend``, ``detection``, ``stp`` and ``tlp`` say nothing of either.
"""

from __future__ import annotations

import re
from typing import Any

NAMESPACES = frozenset({"attack", "atlas", "aml", "mitre_atlas", "mitre-atlas"})
TECHNIQUE = re.compile(r"t\d{4}(?:\.\d{3})?", re.ASCII)
ATLAS_MARK = "aml."
"""Begins the ids of ATLAS; so does the namespace ``aml`` itself."""
NOT_TACTIC = re.compile(r"(?:[tgscm]|ta|ds|dc|det|an|cs)\d{4}.*", re.ASCII)
"""Ids of other objects: groups, software, campaigns, mitigations, tactics, data sources, detections, case studies."""
TACTIC_IDS: dict[str, str] = {
    "ta0043": "reconnaissance",
    "ta0042": "resource-development",
    "ta0001": "initial-access",
    "ta0002": "execution",
    "ta0003": "persistence",
    "ta0004": "privilege-escalation",
    "ta0005": "defense-evasion",
    "ta0006": "credential-access",
    "ta0007": "discovery",
    "ta0008": "lateral-movement",
    "ta0009": "collection",
    "ta0011": "command-and-control",
    "ta0010": "exfiltration",
    "ta0040": "impact",
}
"""Tactics that a tag names by number; ATT&CK Enterprise, as of version 18."""


def attack_of(parsed: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Techniques (``T1059.001``, ``AML.T0024``) and tactics (``credential-access``) of a rule's tags, sorted."""
    techniques: set[str] = set()
    tactics: set[str] = set()
    for tag in parsed.tags or ():
        namespace, name = tag.namespace.lower(), tag.name.lower()
        if namespace not in NAMESPACES:
            continue
        atlas = namespace != "attack" or name.startswith(ATLAS_MARK)
        name = name.removeprefix(ATLAS_MARK)
        if TECHNIQUE.fullmatch(name):
            techniques.add("AML." + name.upper() if atlas else name.upper())
        elif name in TACTIC_IDS and not atlas:
            tactics.add(TACTIC_IDS[name])
        elif not NOT_TACTIC.fullmatch(name):
            tactics.add(name.replace("_", "-"))
    return tuple(sorted(techniques)), tuple(sorted(tactics))
