"""Technique and tactic names across the split of Defense Evasion (ATT&CK v19, 28 April 2026).

v19 renamed Defense Evasion (TA0005) to Stealth, moved part of it to the new tactic Defense
Impairment (TA0112), and gave the techniques below new ids.  Rules tagged with one version meet a
bundle of another; this table joins them.  What it does not hold is shown as unmapped, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from casemate.intel.attack import Knowledge, Technique

SOURCE = (
    "MITRE ATT&CK v19.0 of 28 April 2026, attack.mitre.org/resources/updates; the 'revoked-by' relationships of "
    "enterprise-attack 19.x in mitre-attack/attack-stix-data, as public projects restate them in agreement"
)
REPLACED_IN_19: Mapping[str, str] = {
    # id up to v18 -> id from v19
    "T1562": "T1685",
    "T1562.001": "T1685",
    "T1562.002": "T1685.001",
    "T1562.003": "T1690",
    "T1562.004": "T1686",
    "T1562.006": "T1685",
    "T1562.007": "T1686.001",
    "T1562.008": "T1685.002",
    "T1562.009": "T1688",
    "T1562.010": "T1689",
    "T1562.011": "T1685.003",
    "T1562.012": "T1685.004",
    "T1562.013": "T1686.002",
    "T1070.001": "T1685.005",
    "T1070.002": "T1685.006",
    "T1656": "T1684.001",
    "T1672": "T1684.002",
}
NAMES_IN_19: Mapping[str, str] = {
    "T1685": "Disable or Modify Tools",
    "T1685.001": "Disable or Modify Windows Event Log",
    "T1685.002": "Disable or Modify Cloud Log",
    "T1685.003": "Modify or Spoof Tool UI",
    "T1685.004": "Disable or Modify Linux Audit System Log",
    "T1685.005": "Clear Windows Event Logs",
    "T1685.006": "Clear Linux or Mac System Logs",
    "T1686": "Disable or Modify System Firewall",
    "T1686.001": "Cloud Firewall",
    "T1686.002": "Network Device Firewall",
    "T1686.003": "Windows Host Firewall",
    "T1687": "Exploitation for Defense Impairment",
    "T1688": "Safe Mode Boot",
    "T1689": "Downgrade Attack",
    "T1690": "Prevent Command History Logging",
}
"""Names of ids that a bundle before v19 cannot name."""
TACTICS_IN_19: Mapping[str, tuple[str, ...]] = {"defense-evasion": ("stealth", "defense-impairment")}
"""Tactic up to v18 -> the tactics its techniques are in from v19; which one depends on the technique."""
TACTICS_BEFORE_19: Mapping[str, str] = {"stealth": "defense-evasion", "defense-impairment": "defense-evasion"}

STATUSES: Mapping[str, str] = {
    "known": "the installed release has it",
    "deprecated": "the installed release has it and no longer recommends it",
    "revoked": "the installed release has replaced it",
    "newer": "the installed release is older than this id and has its predecessors",
    "unmapped": "neither the installed release nor the crosswalk knows a counterpart",
}


@dataclass(frozen=True)
class Located:
    """Where an id stands in an installed release.

    Args:
        id: as the rule writes it, upper case.
        status: one of :data:`STATUSES`.
        name: its name, if anything knows it.
        technique: the installed technique of this very id.
        counterparts: ids of the installed release that stand for it: what replaced a revoked one,
            the predecessors of a newer one.  Several when the split joined them; none is picked.
        source: where the counterparts come from.
    """

    id: str
    status: str
    name: str | None
    technique: Technique | None = None
    counterparts: tuple[str, ...] = ()
    source: str | None = None


def predecessors(technique_id: str) -> tuple[str, ...]:
    """Ids up to v18 that an id of v19 replaced, sorted."""
    return tuple(sorted(old for old, new in REPLACED_IN_19.items() if new == technique_id.upper()))


def locate(technique_id: str, installed: Knowledge | None) -> Located:
    """Find an id of a rule's tag in an installed release, through the crosswalk where needed."""
    wanted = technique_id.upper()
    technique = installed.technique(wanted) if installed is not None else None
    if technique is not None and installed is not None:
        if technique.revoked:
            counterparts = (technique.revoked_by,) if technique.revoked_by else ()
            source = f"{installed.framework} {installed.version or installed.dated or ''}".strip()
            return Located(wanted, "revoked", technique.name, technique, counterparts, source if counterparts else None)
        return Located(wanted, "deprecated" if technique.deprecated else "known", technique.name, technique)
    name = NAMES_IN_19.get(wanted)
    old = tuple(one for one in predecessors(wanted) if installed is not None and installed.technique(one))
    if old:
        return Located(wanted, "newer", name, None, old, SOURCE)
    new = REPLACED_IN_19.get(wanted)
    if new is not None and installed is not None and installed.technique(new):
        return Located(wanted, "revoked", None, None, (new,), SOURCE)
    return Located(wanted, "unmapped", name)
