"""Source, target, vector and outcome of a correlation's finding.

A group-by field whose name says what it holds comes first.  Beyond that a finding has what all of
its records agree on (:mod:`.endpoints` says it per record); where they differ it says nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa

from casemate.detect.sigma.correlation_events import ENDPOINTS
from casemate.detect.sigma.endpoints import Endpoints, endpoints_of

SOURCE_FIELDS: tuple[tuple[str, str], ...] = (
    # (group-by field or alias, kind), the first that holds a value names the source
    ("SourceIp", "address"),
    ("SourceAddress", "address"),
    ("IpAddress", "address"),
    ("ClientAddress", "address"),
    ("ClientIP", "address"),
    ("src_ip", "address"),
    ("source_ip", "address"),
    ("src", "address"),
    ("src_endpoint_ip", "address"),
    ("source.ip", "address"),
    ("id.orig_h", "address"),
    ("id_orig_h", "address"),
    ("c-ip", "address"),
    ("rhost", "address"),
    ("remote_ip", "address"),
    ("remote_addr", "address"),
    ("sourceIPAddress", "address"),
    ("sourceIPs", "address"),
    ("SourceHostname", "host"),
    ("Workstation", "host"),
    ("WorkstationName", "host"),
    ("src_host", "host"),
    ("SubjectUserName", "user"),
    ("SubjectUserSid", "user"),
    ("SourceUser", "user"),
    ("userIdentity.arn", "user"),
    ("userIdentity.userName", "user"),
    ("userIdentity.principalId", "user"),
    ("user.username", "user"),
    ("cs-username", "user"),
    ("User", "user"),
    ("UserName", "user"),
)
TARGET_FIELDS: tuple[tuple[str, str], ...] = (
    ("DestinationIp", "address"),
    ("DestAddress", "address"),
    ("dst_ip", "address"),
    ("dest_ip", "address"),
    ("destination_ip", "address"),
    ("dst", "address"),
    ("dst_endpoint_ip", "address"),
    ("destination.ip", "address"),
    ("id.resp_h", "address"),
    ("id_resp_h", "address"),
    ("DestinationHostname", "host"),
    ("Computer", "host"),
    ("ComputerName", "host"),
    ("Hostname", "host"),
    ("host", "host"),
    ("host.name", "host"),
    ("cs-host", "host"),
    ("TargetServerName", "host"),
    ("TargetUserName", "user"),
    ("TargetUserSid", "user"),
    ("TargetUser", "user"),
    ("AccountName", "user"),
)
ABSENT_VALUES = frozenset({"", "-", "::", "0.0.0.0", "(empty)", "n/a"})  # noqa: S104 - a value, not a bind


@dataclass(frozen=True)
class Agreed:
    """What a finding says; None and ``unknown`` where its records do not agree."""

    source: dict[str, str] | None
    target: dict[str, str | None] | None
    vector: str
    outcome: str


def with_endpoints(matches: pa.Table, table: str) -> pa.Table:
    """Add to matches in one native table what each record says of itself, for :func:`agreed`.

    Args:
        matches: holds (some of) the columns ``endpoints_of(table).columns``, asked for like
            fields of a rule; those that are missing are taken as absent from the records.
        table: name of the native table.
    """
    wanted = endpoints_of(table)
    columns = [
        matches[name].combine_chunks().cast(pa.string()).dictionary_encode() if name in matches.column_names else None
        for name in wanted.columns
    ]
    code = np.zeros(matches.num_rows, np.int64)
    for column in columns:
        if column is not None:
            own = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
            _, code = np.unique(code * (len(column.dictionary) + 1) + own, return_inverse=True)
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    texts = [
        _written(wanted.find(*(None if column is None else column[row].as_py() for column in columns)))
        for row in first.tolist()
    ]
    return matches.append_column(ENDPOINTS, pa.array(texts, pa.string()).take(pa.array(place)))


def agreed(group: Mapping[str, str], said: Sequence[str], last: Sequence[str]) -> Agreed:
    """What the group's name and the records agree on.

    Args:
        group: group-by fields and values.
        said: what the records say (distinct, as :func:`with_endpoints` writes it).
        last: the same of those records that decide the outcome.
    """
    read = [orjson.loads(text) for text in said]
    source, target = endpoints(group)
    sources = {tuple(one["source"]) if one["source"] else None for one in read}
    targets = {tuple(one["target"][:2]) if one["target"] else None for one in read}
    services = {one["target"][2] if one["target"] else None for one in read}
    vectors = {one["vector"] for one in read}
    if source is None and len(sources) == 1 and (only := sources.pop()) is not None:
        source = {"kind": only[0], "value": only[1]}
    # a success of somebody else is not the outcome of what came before it
    outcomes = {orjson.loads(text)["outcome"] for text in (last if source is not None else said)}
    if len(targets) == 1 and (only := targets.pop()) is not None:
        service = services.pop() if len(services) == 1 else None
        if target is None or (target["kind"], target["value"]) == only:
            target = {"kind": only[0], "value": only[1], "service": service}
    return Agreed(
        source,
        target,
        vectors.pop() if len(vectors) == 1 else "unknown",
        outcomes.pop() if len(outcomes) == 1 else "unknown",
    )


def _written(one: Endpoints) -> str:
    return orjson.dumps(
        {"source": one.source, "target": one.target, "vector": one.vector, "outcome": one.outcome}
    ).decode()


def endpoints(group: Mapping[str, str]) -> tuple[dict[str, str] | None, dict[str, str | None] | None]:
    """Source and target named by group-by values, each None where no field says it."""
    source = _endpoint(group, SOURCE_FIELDS)
    target = _endpoint(group, TARGET_FIELDS)
    return source, ({**target, "service": None} if target is not None else None)


def _endpoint(group: Mapping[str, str], table: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    values = {name.lower(): value for name, value in group.items()}
    for name, kind in table:
        value = values.get(name.lower(), "")
        if value.lower() in ABSENT_VALUES:
            continue
        if kind == "address":
            address = _address(value)
            if address is None:
                continue
            value = address
        return {"kind": kind, "value": value}
    return None


def _address(value: str) -> str | None:
    """An address in canonical form; an IPv4 address written as IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
