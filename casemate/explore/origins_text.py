"""Origins for people: tables of shares, the sentence with its definition, and the sources that were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from casemate.explore.origins import percent
from casemate.origins.measures import UNITS

SHOWN = 25
HEADS = {
    "country": "registered country",
    "category": "category",
    "holder": "holder",
    "operator": "operator",
}


def share_rows(document: Mapping[str, Any], group: str, most: int = SHOWN) -> list[tuple[str, ...]]:
    """One row per label: its name, then number and share of every unit; the largest by attempts first."""
    by = document["by"]
    labels = list(dict.fromkeys(label for unit in UNITS for label in by[unit][group]))
    rows = []
    for label in labels[:most]:
        cells = [_cell(by[unit][group].get(label, {"number": 0, "share": 0.0})) for unit in UNITS]
        rows.append((label, *cells))
    if len(labels) > most:
        rows.append((f"and {len(labels) - most:,} more (--json)", *[""] * len(UNITS)))
    rows.append(("all", *(f"{by[unit]['total']:,}" for unit in UNITS)))
    return rows


def _cell(found: Mapping[str, Any]) -> str:
    return f"{found['number']:,} ({percent(found['share'])} %)"


def sentences(document: Mapping[str, Any]) -> list[str]:
    """The share of cloud providers and VPN endpoints by every unit, each followed by its definition."""
    told = document["cloud_or_vpn"]
    lines = []
    for unit in UNITS:
        one = told[unit]
        inside = f" ({percent(one['share_of_outside'])} % of what came from outside)" if one["inside"] else ""
        unknown = percent(_part(one["unknown"], one["total"]))
        lines.append(f"{one['sentence']}{inside}; of {unknown} % no source says the category")
        lines.append(f"  = {one['measure']}: {one['definition']}")
    if told["cloud_providers"]:
        lines.append("cloud providers: " + ", ".join(told["cloud_providers"]))
    return lines


def _part(number: int, total: int) -> float | None:
    return number / total if total else None


def notes(document: Mapping[str, Any]) -> list[str]:
    """What the shares leave out."""
    lines = [document["definition"]]
    if without := document["attempts_without_address"]:
        lines.append(f"{without:,} attempts have no source address: they are in no share")
    if without := document["connections_without_bytes"]:
        lines.append(f"of {without:,} connections no record says the bytes")
    return lines


def source_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The versions that were asked: source, day, and whether it is later than some of the events."""
    return [
        (one["source"], one["dated"], "later than events: no version from before" if one["later"] else "")
        for one in document["sources"]
    ]


def summary_line(document: Mapping[str, Any], most: int = 4) -> str:
    """Origins in one line: the largest registered countries and the share of clouds and VPNs, by attempts."""
    countries: Mapping[str, Any] = document["by"]["attempts"]["country"]
    known = [(name, one) for name, one in countries.items() if name != "unknown"]
    parts = [f"{name} {percent(one['share'])} %" for name, one in known[:most]]
    if len(known) > most:
        parts.append(f"{len(known) - most} more")
    if "unknown" in countries:
        parts.append(f"unknown {percent(countries['unknown']['share'])} %")
    cloud = document["cloud_or_vpn"]["attempts"]
    return (
        f"registered: {', '.join(parts) or 'no source address'}; cloud or VPN {percent(cloud['share'])} % of attempts"
    )


def address_lines(report: Mapping[str, Any]) -> list[str]:
    """What is said of one address, with the blocks."""
    lines = [
        f"{one['source']} ({one['dated']}): {one['block']} "
        + ", ".join(f"{name} {_words(value)}" for name, value in one["says"].items())
        for one in report["blocks"]
    ]
    return lines or ["no source says anything of it"]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
