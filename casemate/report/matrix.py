"""The ATT&CK matrix of a case: tactics in the order of the framework, the techniques that findings name."""

from __future__ import annotations

from collections.abc import Mapping

from casemate.intel.attack import Knowledge
from casemate.intel.crosswalk import locate
from casemate.report.elements import Element, element
from casemate.report.gather import ReportInput, TechniqueRow
from casemate.schema.findings import SEVERITIES

TACTIC_ORDER: tuple[str, ...] = (
    "reconnaissance",
    "resource-development",
    "ai-model-access",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "stealth",
    "defense-impairment",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "ai-attack-staging",
    "command-and-control",
    "exfiltration",
    "impact",
)
"""Short names of the tactics of ATT&CK Enterprise and ATLAS; others stand after them."""
COLUMNS = 8
"""Tactics in one row of the matrix; more begin another row."""


def matrix(given: ReportInput, first_finding: Mapping[str, str]) -> list[Element]:
    """The matrix; `first_finding` is the finding in detail that a technique leads to."""
    placed = _placed(given)
    tactics = [*(one for one in TACTIC_ORDER if one in placed), *sorted(set(placed) - {*TACTIC_ORDER, ""})]
    tactics += [""] if "" in placed else []
    parts = [tactics[begin : begin + COLUMNS] for begin in range(0, len(tactics), COLUMNS)]
    return [_table(part, placed, given, first_finding) for part in parts]


def _table(
    tactics: list[str],
    placed: Mapping[str, Mapping[str, TechniqueRow]],
    given: ReportInput,
    first_finding: Mapping[str, str],
) -> Element:
    head = [element("th", tactic.replace("-", " ") or "no tactic named", scope="col") for tactic in tactics]
    cells = []
    for tactic in tactics:
        rows = sorted(placed[tactic].values(), key=lambda row: (-row.severity, -row.findings, row.technique))
        cells.append(element("td", [_cell(row, given, first_finding) for row in rows]))
    body = element("tbody", element("tr", cells))
    return element("table", element("thead", element("tr", head)), body, class_="matrix")


def _cell(row: TechniqueRow, given: ReportInput, first_finding: Mapping[str, str]) -> Element:
    name = technique_name(row.technique, given)
    finding = first_finding.get(row.technique)
    number = f"{row.findings:,} finding{'s' * (row.findings != 1)}"
    said = [element("b", row.technique), f" {name}" if name else "", element("small", number)]
    kind = f"cell s-{SEVERITIES[row.severity]}"
    return element("a", said, class_=kind, href=f"#f-{finding}") if finding else element("span", said, class_=kind)


def technique_name(technique: str, given: ReportInput) -> str | None:
    """The published name of a technique, with its parent's, None where the framework is not installed.

    An id that the installed release lacks is named by the crosswalk, or said to be unknown.
    """
    known: Knowledge | None = given.atlas if technique.startswith("AML.") else given.attack
    found = known.technique(technique) if known is not None else None
    if known is None:
        return None
    if found is None:
        return locate(technique, known).name or "(not in the installed release)"
    parent = known.technique(found.parent) if found.parent else None
    return f"{parent.name}: {found.name}" if parent is not None else found.name


def _placed(given: ReportInput) -> dict[str, dict[str, TechniqueRow]]:
    """Techniques by tactic: by the framework where it is installed, else by what the findings themselves say."""
    placed: dict[str, dict[str, TechniqueRow]] = {}
    published: dict[str, TechniqueRow] = {}
    for row in given.techniques:
        known = given.atlas if row.technique.startswith("AML.") else given.attack
        found = known.technique(row.technique) if known is not None else None
        if found is not None and found.tactics:
            # the rows of one technique count a finding once per tactic it names: the largest is the surest
            best = published.get(row.technique)
            published[row.technique] = row if best is None or row.findings > best.findings else best
            for tactic in found.tactics:
                placed.setdefault(tactic, {})[row.technique] = published[row.technique]
        else:
            placed.setdefault(row.tactic or "", {})[row.technique] = row
    return placed
