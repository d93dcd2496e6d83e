"""Behaviour analytics: what many records say together that no single one does.

:data:`ANALYTICS` lists all of them; :func:`run_all` runs them over a case's OCSF tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis

from casemate.detect.behaviour.guessing import RULES as GUESSING_RULES
from casemate.detect.behaviour.guessing import GuessingSettings, guessing
from casemate.detect.behaviour.networks import OwnNetworks, own_networks, public_responders
from casemate.detect.behaviour.rules import BehaviourRule, Statements
from casemate.detect.behaviour.run import Batches, Found, Hold, found
from casemate.detect.behaviour.scans import RULES as SCAN_RULES
from casemate.detect.behaviour.scans import ScanSettings, scans
from casemate.detect.behaviour.web import RULES as WEB_RULES
from casemate.detect.behaviour.web import WebSettings, web_searches


@dataclass(frozen=True)
class Analytic:
    """One analytic: its name, rules, OCSF tables, thresholds, and how it is called with them.

    ``build(*tables, own, settings)`` takes the tables named in `reads` in that order.
    """

    name: str
    rules: tuple[BehaviourRule, ...]
    reads: tuple[str, ...]
    build: Callable[..., Statements]
    settings: Any = field(default=None)


ANALYTICS: tuple[Analytic, ...] = (
    Analytic("scans", SCAN_RULES, ("network_activity",), scans, ScanSettings()),
    Analytic(
        "guessing",
        GUESSING_RULES,
        ("authentication", "network_activity", "http_activity"),
        guessing,
        GuessingSettings(),
    ),
    Analytic("web_searches", WEB_RULES, ("http_activity",), web_searches, WebSettings()),
)


def infer_own(given: Sequence[str], ocsf: Mapping[str, ibis.Table], batches: Batches) -> OwnNetworks:
    """The own networks as given, or inferred from ``network_activity``; the statement says which."""
    if given:
        return own_networks(given)
    found_hosts = batches(public_responders(ocsf["network_activity"]).order_by("address")).read_all()
    return own_networks((), found_hosts.column("address").to_pylist())


def run_all(
    ocsf: Mapping[str, ibis.Table], own: OwnNetworks, batches: Batches, hold: Hold = lambda rows: rows.cache()
) -> Iterator[Found]:
    """Run every analytic.

    Args:
        ocsf: OCSF tables by name (all those that :data:`ANALYTICS` read; empty ones where there is nothing).
        own: from :func:`infer_own`.
        batches: executes an expression, in batches, times as UTC.
        hold: executes an expression once and keeps its rows.
    """
    for analytic in ANALYTICS:
        statements = analytic.build(*(ocsf[name] for name in analytic.reads), own.networks, analytic.settings)
        yield found(analytic.name, analytic.rules, statements, analytic.settings, batches, hold)
