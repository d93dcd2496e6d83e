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


_PLACE = ("evidence", "record", "time")
COLUMNS_READ: dict[str, tuple[str, ...]] = {
    "network_activity": (
        *_PLACE,
        *("src_endpoint_ip", "src_endpoint_port", "dst_endpoint_ip", "dst_endpoint_port"),
        *("connection_info_protocol_name", "connection_info_uid", "unmapped_conn_state", "disposition", "status"),
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
    ),
}
"""The columns of OCSF tables that analytics look at."""


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
    # a view over many logs is dear: it is read once, and only what analytics look at
    tables = {name: hold(ocsf[name].select(*columns)) for name, columns in COLUMNS_READ.items()}
    for analytic in ANALYTICS:
        statements = analytic.build(*(tables[name] for name in analytic.reads), own.networks, analytic.settings)
        yield found(analytic.name, analytic.rules, statements, analytic.settings, batches, hold)
