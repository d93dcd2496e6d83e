"""Measures of origins: the share of malicious traffic by registered country, by category, and of cloud and VPN.

*Malicious traffic* are attempts with a source address, the connections that these addresses began while their
attempts went on, the bytes of those connections, and the addresses themselves.  Categories overlap: an address
that is in a cloud and a VPN exit counts under both, so shares by category may sum to more than the whole.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable

import ibis

from casemate.engine.measures import Measure, Tables
from casemate.origins.traffic import KINDS_WITH_ADDRESS

UNITS: dict[str, str] = {
    "attempts": "attempts with a source address",
    "connections": "connections that source addresses of attempts began while their attempts went on",
    "bytes": "bytes, of both directions, of the connections that source addresses of attempts began while their "
    "attempts went on",
    "addresses": "distinct source addresses of attempts",
}
"""What shares are taken of."""

SHARE_DEFINITION = (
    "{unit}, by whether the address, as of that day, lies in a range that a cloud provider publishes or origin data "
    "calls cloud, or in one that origin data calls VPN; else neither; own and private addresses are "
    "inside; unknown where no source names a category"
)
LABELS: dict[str, tuple[str, str, str]] = {
    # grouping -> table, column, how it is said
    "country": (
        "origins",
        "registered_to",
        "the country its block is registered to as of that day; own, private, documentation or bogon where it is that",
    ),
    "category": ("origin_categories", "category", "category of its block as of that day; one may have several"),
    "holder": ("origins", "holder", "whom its block is registered to as of that day"),
    "operator": ("origins", "operator", "who uses its block as of that day"),
}


def _rows(table: str, column: str, unit: str) -> Callable[[Tables], ibis.Table]:
    if unit == "addresses":
        return lambda tables: tables[table].select("address", column).distinct()
    return lambda tables: tables[table]


def _measure(name: str, unit: str, title: str, definition: str, table: str, column: str) -> Measure:
    add = None if unit == "addresses" else unit
    return Measure(name, 1, title, definition, (table,), _rows(table, column, unit), by=column, add=add)


MEASURES: tuple[Measure, ...] = (
    *(
        _measure(
            f"origins.{unit}_by_{group}",
            unit,
            f"{unit} by {group}",
            f"{said}, by {how}; unknown where nobody says",
            table,
            column,
        )
        for unit, said in UNITS.items()
        for group, (table, column, how) in LABELS.items()
    ),
    *(
        _measure(
            f"origins.cloud_or_vpn_{unit}",
            unit,
            f"{unit} from clouds and VPNs",
            SHARE_DEFINITION.format(unit=said),
            "origins",
            "cloud_or_vpn",
        )
        for unit, said in UNITS.items()
    ),
    Measure(
        "origins.attempts_without_address",
        1,
        "attempts without a source address",
        "attempts whose source is no address or network: they have no origin, and are in no share",
        ("attempts",),
        lambda tables: tables["attempts"].filter(
            ~tables["attempts"].source["kind"].fill_null("unknown").isin(list(KINDS_WITH_ADDRESS))
        ),
    ),
)
