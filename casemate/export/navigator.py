"""ATT&CK Navigator: one layer, format 4.5.

https://github.com/mitre-attack/attack-navigator/blob/master/layers/spec/v4.5/layerformat.md.  The
score of a technique is its number of findings; its metadata names the findings.  ATLAS techniques
have no place in a layer of ATT&CK Enterprise: they are counted in the layer's description.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from casemate.export.content import ExportedFinding
from casemate.intel.attack import ATTACK_ID, Knowledge
from casemate.schema.findings import SEVERITIES

LAYER_VERSION, NAVIGATOR_VERSION, DOMAIN = "4.5", "5.1.0", "enterprise-attack"
FINDINGS_LISTED = 50
"""Most ids of findings named with one technique; the score says how many there are."""
COLOURS: dict[str, str] = {
    "informational": "#d9d9d9",
    "low": "#c6dbef",
    "medium": "#fee391",
    "high": "#fc9272",
    "critical": "#cb181d",
}


@dataclass
class _Seen:
    findings: int = 0
    succeeded: int = 0
    severity: int = 0
    ids: list[str] = field(default_factory=list)
    titles: dict[str, None] = field(default_factory=dict)


def layer(findings: Iterable[ExportedFinding], name: str, attack: Knowledge | None) -> tuple[dict[str, Any], int]:
    """The layer of these findings, and how many findings there were.

    Args:
        findings: read once, one by one.
        name: of the case.
        attack: ATT&CK as installed, which names the version; revoked ids are replaced by their successors.
    """
    seen: dict[str, _Seen] = {}
    total = without = atlas = 0
    for found in findings:
        total += 1
        named = {_current(one, attack) for one in found.techniques if ATTACK_ID.fullmatch(one)}
        atlas += any(one.startswith("AML.") for one in found.techniques)
        without += not named
        for technique in named:
            one = seen.setdefault(technique, _Seen())
            one.findings += 1
            one.succeeded += found.outcome == "succeeded"
            one.severity = max(one.severity, SEVERITIES.index(found.severity) if found.severity in SEVERITIES else 0)
            if len(one.ids) < FINDINGS_LISTED:
                one.ids.append(found.id)
            if len(one.titles) < 5:
                one.titles[found.title] = None
    description = f"{total} findings; {without} name no technique of ATT&CK Enterprise, {atlas} name one of ATLAS"
    versions = {"navigator": NAVIGATOR_VERSION, "layer": LAYER_VERSION}
    if attack is not None and attack.version:
        versions["attack"] = attack.version.partition(".")[0]
    return {
        "name": name,
        "versions": versions,
        "domain": DOMAIN,
        "description": description,
        "sorting": 3,
        "hideDisabled": False,
        "techniques": [_technique(identity, one) for identity, one in sorted(seen.items())],
        "gradient": {
            "colors": ["#ffffff", "#cb181d"],
            "minValue": 0,
            "maxValue": max((one.findings for one in seen.values()), default=1),
        },
        "legendItems": [{"label": name, "color": colour} for name, colour in COLOURS.items()],
        "showTacticRowBackground": False,
        "selectTechniquesAcrossTactics": True,
        "selectSubtechniquesWithParent": False,
        "metadata": [{"name": "made by", "value": "Casemate"}],
    }, total


def _technique(identity: str, seen: _Seen) -> dict[str, Any]:
    severity = SEVERITIES[seen.severity]
    more = (
        [{"name": "more findings", "value": str(seen.findings - len(seen.ids))}]
        if seen.findings > len(seen.ids)
        else []
    )
    return {
        "techniqueID": identity,
        "score": seen.findings,
        "color": COLOURS[severity],
        "comment": "; ".join(seen.titles),
        "enabled": True,
        "showSubtechniques": "." in identity,
        "metadata": [
            {"name": "highest severity", "value": severity},
            {"name": "succeeded", "value": str(seen.succeeded)},
            *({"name": "finding", "value": one} for one in seen.ids),
            *more,
        ],
    }


def _current(technique: str, attack: Knowledge | None) -> str:
    known = attack.technique(technique) if attack is not None else None
    return known.revoked_by if known is not None and known.revoked_by else technique
