"""All behaviour analytics: what each reads, what must hold before it is worth planning, and its two steps."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.assets import RULES as ASSET_RULES
from casemate.detect.behaviour.assets import (
    AssetSettings,
    asset_connections,
    asset_pairs,
    left_after_reading,
    sent_after_reading,
)
from casemate.detect.behaviour.beacons import RULES as BEACON_RULES
from casemate.detect.behaviour.beacons import (
    BeaconSettings,
    asked_hosts,
    beacons,
    clocked_pairs,
    contacts,
    likely_pairs,
    named_contacts,
    often,
    regular_pairs,
)
from casemate.detect.behaviour.coordination import RULES as COORDINATION_RULES
from casemate.detect.behaviour.coordination import (
    CoordinationSettings,
    coordinated_connections,
    coordinated_requests,
    coordination,
    missing_paths,
    mostly_failed,
    shared_orders,
)
from casemate.detect.behaviour.credentials import RULES as CREDENTIAL_RULES
from casemate.detect.behaviour.credentials import CredentialSettings, explicit_spraying, explicit_uses
from casemate.detect.behaviour.distributed import RULES as DISTRIBUTED_RULES
from casemate.detect.behaviour.distributed import DistributedSettings, distributed_guessing, shared_failures
from casemate.detect.behaviour.dns_tunnels import RULES as TUNNEL_RULES
from casemate.detect.behaviour.dns_tunnels import (
    TunnelSettings,
    asked_by_known,
    dns_tunnels,
    questions,
    suspicious_questions,
)
from casemate.detect.behaviour.exfiltration import RULES as EXFILTRATION_RULES
from casemate.detect.behaviour.exfiltration import (
    ExfiltrationSettings,
    exfiltration,
    leaving,
    leaving_pairs,
    sent_enough,
    suspicious_days,
)
from casemate.detect.behaviour.guessing import RULES as GUESSING_RULES
from casemate.detect.behaviour.guessing import GuessingSettings, failing_scopes, guessing
from casemate.detect.behaviour.lateral import RULES as LATERAL_RULES
from casemate.detect.behaviour.lateral import LateralSettings, answered_inside, first_contacts, lateral, new_pairs
from casemate.detect.behaviour.logons import login_connections, login_pairs, logons, web_logons
from casemate.detect.behaviour.long_connections import RULES as LONG_RULES
from casemate.detect.behaviour.long_connections import (
    LongSettings,
    every_row,
    lasting,
    lasting_pairs,
    long_connections,
    may_last,
)
from casemate.detect.behaviour.networks import OwnNetworks
from casemate.detect.behaviour.pairs import pairs
from casemate.detect.behaviour.relays import RULES as RELAY_RULES
from casemate.detect.behaviour.relays import (
    RelaySettings,
    may_be_session,
    relayed,
    relayed_pairs,
    relaying,
    relays,
)
from casemate.detect.behaviour.rules import BehaviourRule, Statements
from casemate.detect.behaviour.scans import RULES as SCAN_RULES
from casemate.detect.behaviour.scans import ScanSettings, connections, failing_enough, probed_pairs, scans
from casemate.detect.behaviour.shared_fingerprints import RULES as FINGERPRINT_RULES
from casemate.detect.behaviour.shared_fingerprints import (
    FingerprintSettings,
    shared_fingerprints,
    ssh_clients,
    tls_clients,
    user_agents,
)
from casemate.detect.behaviour.spread_guessing import RULES as SPREAD_RULES
from casemate.detect.behaviour.spread_guessing import SpreadSettings, spread_failures, spread_guessing
from casemate.detect.behaviour.web import RULES as WEB_RULES
from casemate.detect.behaviour.web import WebSettings, requests, searched_enough, web_searches

Possible = Callable[[ibis.Table], ir.BooleanValue]
"""Whether a row may matter; it is never wrong about one that does."""


@dataclass(frozen=True)
class Source:
    """Where rows of an analytic come from.

    ``build(*tables, own, settings)`` takes the tables named in `reads` in that order.  It is not built where fewer than
    `fewest` rows of the first of them are `possible`: planning a query is dearer than running it over nothing.
    """

    reads: tuple[str, ...]
    build: Callable[..., ibis.Table]
    settings: Any = None
    possible: Possible | None = None
    fewest: int = 1


@dataclass(frozen=True)
class Derived:
    """A table that several sources read, or that decides whether one is worth building.

    ``build(*tables, own)`` takes the tables named in `reads`; it is executed once, where a row of the first of them is
    `possible`, and only if it is `wanted`.
    """

    name: str
    reads: tuple[str, ...]
    build: Callable[..., ibis.Table]
    possible: Possible | None = None
    wanted: Callable[[OwnNetworks], bool] = lambda _own: True


@dataclass(frozen=True)
class Analytic:
    """One analytic: its name, rules, what it reads, thresholds, and its two steps.

    Args:
        name: the detector of its findings is ``behaviour.<name>``.
        rules: what it can say.
        sources: their rows together are what it looks at (rows of the same columns).
        narrow: ``(rows, settings)`` to those rows that can end in a finding; when none is left, all is done.
        judge: ``(rows, settings)`` to what is said of them.
        settings: thresholds.
    """

    name: str
    rules: tuple[BehaviourRule, ...]
    sources: tuple[Source, ...]
    narrow: Callable[[ibis.Table, Any], ibis.Table]
    judge: Callable[[ibis.Table, Any], Statements]
    settings: Any


PAIRS = "pairs"
_BEACONS, _SCANS, _LONG, _TUNNELS = BeaconSettings(), ScanSettings(), LongSettings(), TunnelSettings()
_RELAYS, _ASSETS = RelaySettings(), AssetSettings()
_LEAVING, _LATERAL, _COORDINATION = ExfiltrationSettings(), LateralSettings(), CoordinationSettings()
_FINGERPRINTS = FingerprintSettings()
DERIVED: tuple[Derived, ...] = (
    Derived(PAIRS, ("network_activity",), lambda network, own: pairs(network, own.networks)),
    Derived(
        "probed_pairs", (PAIRS,), lambda table, _own: probed_pairs(table, _SCANS), lambda t: t.to_own & (t.quiet > 0)
    ),
    Derived("likely_pairs", (PAIRS,), lambda table, _own: likely_pairs(table, _BEACONS), lambda t: often(t, _BEACONS)),
    Derived("clocked_pairs", ("likely_pairs", "network_activity"), lambda *given: clocked_pairs(*given[:2], _BEACONS)),
    Derived("lasting_pairs", (PAIRS,), lambda table, _own: lasting_pairs(table, _LONG), lambda t: may_last(t, _LONG)),
    Derived(
        "leaving_pairs",
        (PAIRS, "dns_activity", "http_activity"),
        lambda table, dns, http, _own: leaving_pairs(table, dns, http, _LEAVING),
        lambda t: sent_enough(t, _LEAVING),
    ),
    Derived(
        "asset_pairs",
        (PAIRS,),
        lambda table, own: asset_pairs(table, own.core, _ASSETS),
        lambda t: sent_enough(t, _LEAVING),
        lambda own: bool(own.core),
    ),
    Derived("new_pairs", (PAIRS,), lambda table, _own: new_pairs(table, _LATERAL), answered_inside),
    Derived(
        "relayed_pairs",
        (PAIRS,),
        lambda table, _own: relayed_pairs(table, _RELAYS),
        lambda t: may_be_session(t, _RELAYS),
    ),
    Derived("login_pairs", (PAIRS,), lambda table, _own: login_pairs(table)),
    Derived("shared_orders", (PAIRS,), lambda table, _own: shared_orders(table, _COORDINATION), mostly_failed),
    Derived("missing_paths", ("http_activity",), lambda http, _own: missing_paths(http, _COORDINATION)),
    Derived("asked_hosts", ("http_activity",), lambda http, _own: asked_hosts(http, _BEACONS)),
)
"""In the order in which they are made."""

LOOKED_AT = "looked_at"
"""Those rows of ``network_activity`` that any analytic wants one by one: its pairs stand in one of :data:`CHOSEN`."""
CHOSEN = (
    "probed_pairs",
    "clocked_pairs",
    "lasting_pairs",
    "leaving_pairs",
    "asset_pairs",
    "new_pairs",
    "relayed_pairs",
    "shared_orders",
)
FEW = 500_000
"""Connections that are quicker looked through several times than chosen from once."""

_GUESSING = GuessingSettings()
LOGONS: tuple[Source, ...] = (
    Source(("authentication", "network_activity"), logons, _GUESSING.logons),
    Source(("login_pairs", "network_activity", "authentication"), login_connections, _GUESSING.logons),
    Source(("http_activity",), web_logons, _GUESSING.logons),
)
"""Everything that looks like trying to log on."""

ANALYTICS: tuple[Analytic, ...] = (
    Analytic(
        "scans",
        SCAN_RULES,
        (Source(("probed_pairs", LOOKED_AT), connections, _SCANS),),
        failing_enough,
        scans,
        _SCANS,
    ),
    Analytic("guessing", GUESSING_RULES, LOGONS, failing_scopes, guessing, _GUESSING),
    Analytic("explicit_spraying", CREDENTIAL_RULES, LOGONS, explicit_uses, explicit_spraying, CredentialSettings()),
    Analytic(
        "distributed_guessing",
        DISTRIBUTED_RULES,
        LOGONS,
        shared_failures,
        distributed_guessing,
        DistributedSettings(),
    ),
    Analytic("spread_guessing", SPREAD_RULES, LOGONS, spread_failures, spread_guessing, SpreadSettings()),
    Analytic(
        "web_searches", WEB_RULES, (Source(("http_activity",), requests),), searched_enough, web_searches, WebSettings()
    ),
    Analytic(
        "beacons",
        BEACON_RULES,
        (
            Source(("clocked_pairs", LOOKED_AT, "dns_activity", "http_activity"), contacts, _BEACONS),
            Source(("asked_hosts", "http_activity", PAIRS, "dns_activity"), named_contacts, _BEACONS),
        ),
        regular_pairs,
        beacons,
        _BEACONS,
    ),
    Analytic(
        "long_connections",
        LONG_RULES,
        (Source(("lasting_pairs", LOOKED_AT), lasting, _LONG),),
        every_row,
        long_connections,
        _LONG,
    ),
    Analytic(
        "dns_tunnels",
        TUNNEL_RULES,
        (Source(("dns_activity",), questions, _TUNNELS, asked_by_known, _TUNNELS.failing_zones),),
        suspicious_questions,
        dns_tunnels,
        _TUNNELS,
    ),
    Analytic(
        "exfiltration",
        EXFILTRATION_RULES,
        (Source(("leaving_pairs", LOOKED_AT), leaving, _LEAVING),),
        suspicious_days,
        exfiltration,
        _LEAVING,
    ),
    Analytic(
        "assets",
        ASSET_RULES,
        (Source(("asset_pairs", LOOKED_AT), asset_connections, _ASSETS),),
        left_after_reading,
        sent_after_reading,
        _ASSETS,
    ),
    Analytic(
        "lateral",
        LATERAL_RULES,
        (Source(("new_pairs", LOOKED_AT), first_contacts, _LATERAL),),
        every_row,
        lateral,
        _LATERAL,
    ),
    Analytic(
        "relays", RELAY_RULES, (Source(("relayed_pairs", LOOKED_AT), relayed, _RELAYS),), relaying, relays, _RELAYS
    ),
    Analytic(
        "coordination",
        COORDINATION_RULES,
        (
            Source(("shared_orders", LOOKED_AT), coordinated_connections, _COORDINATION),
            Source(("missing_paths", "http_activity"), coordinated_requests, _COORDINATION),
        ),
        every_row,
        coordination,
        _COORDINATION,
    ),
    Analytic(
        "shared_fingerprints",
        FINGERPRINT_RULES,
        (
            Source(("ssh_activity", "authentication", "network_activity"), ssh_clients, _FINGERPRINTS),
            Source(("tls_activity", PAIRS), tls_clients, _FINGERPRINTS),
            Source(("http_activity",), user_agents, _FINGERPRINTS),
        ),
        every_row,
        shared_fingerprints,
        _FINGERPRINTS,
    ),
)
