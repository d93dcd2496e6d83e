"""Behaviour analytics: what many records say together that no single one does.

:data:`ANALYTICS` lists all of them; :func:`run_all` runs them over a case's OCSF tables, which
:func:`read_once` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis

from casemate.detect.behaviour.beacons import RULES as BEACON_RULES
from casemate.detect.behaviour.beacons import (
    BeaconSettings,
    asked_hosts,
    beacons,
    contacts,
    likely_pairs,
    named_contacts,
    regular_pairs,
)
from casemate.detect.behaviour.coordination import RULES as COORDINATION_RULES
from casemate.detect.behaviour.coordination import (
    CoordinationSettings,
    coordinated_connections,
    coordinated_requests,
    coordination,
    missing_paths,
    shared_orders,
)
from casemate.detect.behaviour.credentials import RULES as CREDENTIAL_RULES
from casemate.detect.behaviour.credentials import CredentialSettings, explicit_spraying, explicit_uses
from casemate.detect.behaviour.distributed import RULES as DISTRIBUTED_RULES
from casemate.detect.behaviour.distributed import DistributedSettings, distributed_guessing, shared_failures
from casemate.detect.behaviour.dns_tunnels import RULES as TUNNEL_RULES
from casemate.detect.behaviour.dns_tunnels import TunnelSettings, dns_tunnels, questions, suspicious_questions
from casemate.detect.behaviour.exfiltration import RULES as EXFILTRATION_RULES
from casemate.detect.behaviour.exfiltration import (
    ExfiltrationSettings,
    exfiltration,
    leaving,
    leaving_pairs,
    suspicious_days,
)
from casemate.detect.behaviour.guessing import RULES as GUESSING_RULES
from casemate.detect.behaviour.guessing import GuessingSettings, failing_scopes, guessing
from casemate.detect.behaviour.lateral import RULES as LATERAL_RULES
from casemate.detect.behaviour.lateral import LateralSettings, first_contacts, lateral, new_pairs
from casemate.detect.behaviour.logons import login_connections, logons, web_logons
from casemate.detect.behaviour.long_connections import RULES as LONG_RULES
from casemate.detect.behaviour.long_connections import (
    LongSettings,
    every_row,
    lasting,
    lasting_pairs,
    long_connections,
)
from casemate.detect.behaviour.networks import (
    OwnNetworks,
    busy_addresses,
    may_be_public,
    own_networks,
    public_responders,
    talking_pairs,
)
from casemate.detect.behaviour.pairs import pairs
from casemate.detect.behaviour.rules import BehaviourRule, Statements
from casemate.detect.behaviour.run import Batches, Found, Hold, found, has_rows
from casemate.detect.behaviour.scans import RULES as SCAN_RULES
from casemate.detect.behaviour.scans import ScanSettings, connections, failing_enough, scans
from casemate.detect.behaviour.web import RULES as WEB_RULES
from casemate.detect.behaviour.web import WebSettings, requests, searched_enough, web_searches
from casemate.schema.ocsf import EVENT_CLASSES, EventClass


@dataclass(frozen=True)
class Source:
    """Where rows of an analytic come from.

    ``build(*tables, own, settings)`` takes the OCSF tables named in `reads` in that order.  Where the first of them
    has no rows, nor has the source, and it is not built: planning a query is dearer than running it over nothing.
    """

    reads: tuple[str, ...]
    build: Callable[..., ibis.Table]
    settings: Any = None


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
_BEACONS = BeaconSettings()
DERIVED: tuple[tuple[str, str, Callable[[ibis.Table, OwnNetworks], ibis.Table]], ...] = (
    (PAIRS, "network_activity", lambda network, own: pairs(network, own.networks)),
    ("likely_pairs", PAIRS, lambda table, _own: likely_pairs(table, _BEACONS)),
    ("lasting_pairs", PAIRS, lambda table, _own: lasting_pairs(table, LongSettings())),
    ("leaving_pairs", PAIRS, lambda table, _own: leaving_pairs(table, ExfiltrationSettings())),
    ("new_pairs", PAIRS, lambda table, _own: new_pairs(table, LateralSettings())),
    ("shared_orders", PAIRS, lambda table, _own: shared_orders(table, CoordinationSettings())),
    ("missing_paths", "http_activity", lambda http, _own: missing_paths(http, CoordinationSettings())),
    ("asked_hosts", "http_activity", lambda http, _own: asked_hosts(http, _BEACONS)),
)
"""Tables that several sources read, or that decide whether one is worth building: name, of which table, how.  Each is
executed once, where that table has rows."""

_GUESSING = GuessingSettings()
LOGONS: tuple[Source, ...] = (
    Source(("authentication", "network_activity"), logons, _GUESSING.logons),
    Source(("network_activity", "authentication"), login_connections, _GUESSING.logons),
    Source(("http_activity",), web_logons, _GUESSING.logons),
)
"""Everything that looks like trying to log on."""

ANALYTICS: tuple[Analytic, ...] = (
    Analytic("scans", SCAN_RULES, (Source(("network_activity",), connections),), failing_enough, scans, ScanSettings()),
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
    Analytic(
        "web_searches", WEB_RULES, (Source(("http_activity",), requests),), searched_enough, web_searches, WebSettings()
    ),
    Analytic(
        "beacons",
        BEACON_RULES,
        (
            Source(("likely_pairs", "network_activity", PAIRS, "dns_activity", "http_activity"), contacts, _BEACONS),
            Source(("asked_hosts", "http_activity", PAIRS, "dns_activity"), named_contacts, _BEACONS),
        ),
        regular_pairs,
        beacons,
        _BEACONS,
    ),
    Analytic(
        "long_connections",
        LONG_RULES,
        (Source(("lasting_pairs", "network_activity"), lasting, LongSettings()),),
        every_row,
        long_connections,
        LongSettings(),
    ),
    Analytic(
        "dns_tunnels",
        TUNNEL_RULES,
        (Source(("dns_activity",), questions, TunnelSettings()),),
        suspicious_questions,
        dns_tunnels,
        TunnelSettings(),
    ),
    Analytic(
        "exfiltration",
        EXFILTRATION_RULES,
        (
            Source(
                ("leaving_pairs", "network_activity", "dns_activity", "http_activity"), leaving, ExfiltrationSettings()
            ),
        ),
        suspicious_days,
        exfiltration,
        ExfiltrationSettings(),
    ),
    Analytic(
        "lateral",
        LATERAL_RULES,
        (Source(("new_pairs", "network_activity"), first_contacts, LateralSettings()),),
        every_row,
        lateral,
        LateralSettings(),
    ),
    Analytic(
        "coordination",
        COORDINATION_RULES,
        (
            Source(("shared_orders", "network_activity"), coordinated_connections, CoordinationSettings()),
            Source(("missing_paths", "http_activity"), coordinated_requests, CoordinationSettings()),
        ),
        every_row,
        coordination,
        CoordinationSettings(),
    ),
)


_PLACE = ("evidence", "record", "time")
COLUMNS_READ: dict[str, tuple[str, ...]] = {
    "network_activity": (
        *_PLACE,
        *("src_endpoint_ip", "src_endpoint_port", "dst_endpoint_ip", "dst_endpoint_port"),
        *("connection_info_protocol_name", "connection_info_uid", "unmapped_conn_state", "disposition", "status"),
        "unmapped_icmp_type",
        *("duration", "traffic_bytes_in", "traffic_bytes_out", "traffic_packets_in"),
    ),
    "authentication": (
        *_PLACE,
        *("src_endpoint_ip", "src_endpoint_hostname", "dst_endpoint_ip", "dst_endpoint_hostname", "dst_endpoint_port"),
        *("device_hostname", "service_name", "user_name", "status", "metadata_product_name"),
        *("activity_name", "status_detail", "connection_info_uid", "unmapped_attempts"),
    ),
    "http_activity": (
        *_PLACE,
        *("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port", "device_hostname", "actor_user_name"),
        *("http_request_http_method", "http_request_url_hostname", "http_request_url_path", "http_response_code"),
        *("http_request_user_agent", "traffic_bytes_out", "traffic_bytes_in"),
    ),
    "dns_activity": (
        *_PLACE,
        *("src_endpoint_ip", "dst_endpoint_ip", "query_hostname", "query_type", "rcode", "answers"),
    ),
}
"""The columns of OCSF tables that analytics look at."""


READ_CLASSES: tuple[EventClass, ...] = tuple(kind for kind in EVENT_CLASSES if kind.name in COLUMNS_READ)
"""The OCSF event classes that analytics look at."""


@dataclass(frozen=True)
class Read:
    """OCSF tables read once: by name, with :data:`COLUMNS_READ`, and the names of those that have rows."""

    tables: Mapping[str, ibis.Table]
    filled: frozenset[str]


def read_once(ocsf: Mapping[str, ibis.Table], batches: Batches, hold: Hold) -> Read:
    """Execute the views once: a view over many logs is dear, and analytics look at some columns only.

    Args:
        ocsf: OCSF tables by name; one that is not given has no rows.
        batches: executes an expression, in batches, times as UTC.
        hold: executes an expression once and keeps its rows.
    """
    tables = {name: hold(ocsf[name].select(*columns)) for name, columns in COLUMNS_READ.items() if name in ocsf}
    some = next(iter(tables.values()))
    for kind in READ_CLASSES:
        if kind.name not in tables:
            nothing = {name: ibis.null(kind.schema[name]) for name in COLUMNS_READ[kind.name]}
            tables[kind.name] = some.limit(0).select(**nothing)
    return Read(tables, frozenset(name for name, table in tables.items() if has_rows(table, batches)))


def infer_own(given: Sequence[str], read: Read, batches: Batches, hold: Hold) -> OwnNetworks:
    """The own networks as given, or inferred from ``network_activity``; the statement says which."""
    if given:
        return own_networks(given)
    if "network_activity" not in read.filled:
        return own_networks(())
    pairs = hold(talking_pairs(read.tables["network_activity"]))
    busy = batches(busy_addresses(pairs)).read_all().column("address").to_pylist()
    if not any(may_be_public(address) for address in busy):
        return own_networks(())
    found_hosts = batches(public_responders(pairs).order_by("address")).read_all()
    return own_networks((), found_hosts.column("address").to_pylist())


def run_all(read: Read, own: OwnNetworks, batches: Batches, hold: Hold) -> Iterator[Found]:
    """Run every analytic that has anything to look at.

    Args:
        read: from :func:`read_once`.
        own: from :func:`infer_own`.
        batches, hold: as for :func:`read_once`.
    """
    read = _derive(read, own, batches, hold)
    looked_at: dict[tuple[Source, ...], ibis.Table | None] = {}
    for analytic in ANALYTICS:
        if analytic.sources not in looked_at:
            looked_at[analytic.sources] = _rows(analytic.sources, read, own, hold)
        rows = looked_at[analytic.sources]
        if rows is None:
            continue
        rows = hold(analytic.narrow(rows, analytic.settings))
        if has_rows(rows, batches):
            statements = analytic.judge(rows, analytic.settings)
            yield found(analytic.name, analytic.rules, statements, analytic.settings, batches, hold)


def _derive(read: Read, own: OwnNetworks, batches: Batches, hold: Hold) -> Read:
    """The tables of a case with those of :data:`DERIVED`."""
    tables, filled = dict(read.tables), set(read.filled)
    for name, of, build in DERIVED:
        if of in filled:
            tables[name] = hold(build(tables[of], own))
            if has_rows(tables[name], batches):
                filled.add(name)
        elif name == PAIRS:  # what other logs are held against
            tables[name] = build(tables[of], own)
    return Read(tables, frozenset(filled))


def _rows(sources: Sequence[Source], read: Read, own: OwnNetworks, hold: Hold) -> ibis.Table | None:
    """The rows of several sources; None where there can be none."""
    built = [
        source.build(*(read.tables[name] for name in source.reads), own.networks, source.settings)
        for source in sources
        if source.reads[0] in read.filled
    ]
    if not built:
        return None
    first, *others = built
    for other in others:
        first = first.union(other)
    return hold(first)
