"""What analytics read: OCSF tables, executed once, and the own networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.operations as ops

from casemate.detect.behaviour.networks import (
    OwnNetworks,
    busy_addresses,
    may_be_public,
    own_networks,
    public_responders,
    talking_pairs,
)
from casemate.detect.behaviour.run import Batches, Hold, how_many
from casemate.schema.ocsf import EVENT_CLASSES, EventClass

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
    "ssh_activity": (
        *_PLACE,
        *("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port", "client_hassh_fingerprint", "unmapped_client"),
    ),
    "tls_activity": (
        *_PLACE,
        *("src_endpoint_ip", "dst_endpoint_ip", "dst_endpoint_port", "ja4_fingerprint_list", "tls_ja3_hash"),
    ),
    "dns_activity": (
        *_PLACE,
        *("src_endpoint_ip", "dst_endpoint_ip", "query_hostname", "query_type", "rcode", "answers"),
    ),
}
"""The columns of OCSF tables that analytics look at."""


READ_CLASSES: tuple[EventClass, ...] = tuple(kind for kind in EVENT_CLASSES if kind.name in COLUMNS_READ)
"""The OCSF event classes that analytics look at."""


LARGE = 500_000
"""Rows of a stored table that are dearer to copy than to read again where they lie."""


@dataclass(frozen=True)
class Read:
    """OCSF tables read once: by name, with :data:`COLUMNS_READ`, and how many rows each has."""

    tables: Mapping[str, ibis.Table]
    rows: Mapping[str, int]

    def filled(self, name: str) -> bool:
        """Whether a table has rows."""
        return self.rows.get(name, 0) > 0


def read_once(ocsf: Mapping[str, ibis.Table], batches: Batches, hold: Hold) -> Read:
    """Execute the views once: a view over many logs is dear, and analytics look at some columns only.

    A large table that is stored as it is given is not copied.

    Args:
        ocsf: OCSF tables by name; one that is not given has no rows.
        batches: executes an expression, in batches, times as UTC.
        hold: executes an expression once and keeps its rows.
    """
    tables, rows = {}, {}
    for name, columns in COLUMNS_READ.items():
        if name not in ocsf:
            continue
        table = ocsf[name].select(*columns)
        there = how_many(table, batches) if _is_stored(ocsf[name]) else 0
        tables[name] = table if there >= LARGE else hold(table)
        rows[name] = there or how_many(tables[name], batches)
    some = next(iter(tables.values()), None)
    for kind in READ_CLASSES:
        if kind.name not in tables and some is not None:
            nothing = {name: ibis.null(kind.schema[name]) for name in COLUMNS_READ[kind.name]}
            tables[kind.name] = some.limit(0).select(**nothing)
    return Read(tables, rows)


def _is_stored(table: ibis.Table) -> bool:
    """Whether a table is one of the engine's own, and nothing is worked out in reading it."""
    return isinstance(table.op(), ops.PhysicalTable)


def infer_own(given: Sequence[str], read: Read, batches: Batches, hold: Hold) -> OwnNetworks:
    """The own networks as given, or inferred from ``network_activity``; the statement says which."""
    if given:
        return own_networks(given)
    if not read.filled("network_activity"):
        return own_networks(())
    pairs = hold(talking_pairs(read.tables["network_activity"]))
    busy = batches(busy_addresses(pairs)).read_all().column("address").to_pylist()
    if not any(may_be_public(address) for address in busy):
        return own_networks(())
    found_hosts = batches(public_responders(pairs).order_by("address")).read_all()
    return own_networks((), found_hosts.column("address").to_pylist())
