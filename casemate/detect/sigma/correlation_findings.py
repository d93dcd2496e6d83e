"""Runs of correlations as findings.

Source and target come from the group-by values where a field's name says what it holds; nothing
is guessed from values.  ``why`` is one JSON tree: condition, group, window, the measure at its
peak, and per rule how many of its matches took part.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from casemate.detect.sigma.correlation import Evaluated
from casemate.schema.findings import FINDINGS, FINDINGS_WITH_RECORDS, RECORD, finding_id

DETECTOR = "sigma_correlation"
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


def findings(
    evaluated: Sequence[Evaluated],
    evidences: Sequence[str],
    *,
    silent: Collection[str] = (),
    vectors: Mapping[str, str] | None = None,
) -> pa.Table:
    """The findings of evaluated correlations.

    Args:
        evaluated, evidences: from :func:`casemate.detect.sigma.correlation.evaluate`.
        silent: ids of correlations that only feed others
            (:func:`casemate.detect.sigma.correlation_rules.silent_rules`).
        vectors: id of a base rule to its vector; a correlation whose base rules share one has it.

    Returns:
        rows of :data:`casemate.schema.findings.FINDINGS_WITH_RECORDS`, ordered by rule as given,
        then group, then time.
    """
    by_key = {one.correlation.key: one for one in evaluated}
    tables = [
        _table(one, evidences, _vector(one, by_key, vectors or {}))
        for one in evaluated
        if len(one) and one.correlation.key not in silent
    ]
    return pa.concat_tables(tables) if tables else FINDINGS_WITH_RECORDS.empty_table()


def _vector(one: Evaluated, by_key: Mapping[str, Evaluated], vectors: Mapping[str, str]) -> str:
    found = {
        _vector(by_key[reference.key], by_key, vectors)
        if reference.correlation
        else vectors.get(reference.key, "unknown")
        for reference in one.correlation.references
    }
    return found.pop() if len(found) == 1 else "unknown"


def _table(one: Evaluated, evidences: Sequence[str], vector: str) -> pa.Table:
    rows = list(_rows(one, evidences, vector))
    plain = pa.Table.from_pylist(rows, FINDINGS)
    records = pa.ListArray.from_arrays(
        pa.array(one.records.offsets, pa.int32()),
        pa.StructArray.from_arrays(
            [
                pa.DictionaryArray.from_arrays(
                    pa.array(one.records.evidence, pa.int32()), pa.array(evidences, pa.string())
                ).cast(pa.string()),
                pa.array(one.records.record, pa.int64()),
            ],
            fields=list(RECORD),
        ),
    )
    return plain.append_column(FINDINGS_WITH_RECORDS.field("records"), records).cast(FINDINGS_WITH_RECORDS)


def _rows(one: Evaluated, evidences: Sequence[str], vector: str) -> Iterator[dict[str, Any]]:
    correlation, events = one.correlation, one.events
    for index in range(len(one)):
        first, end = int(one.first[index]), int(one.end[index])
        group = dict(zip(correlation.group_by, events.groups[int(events.group[first])], strict=True))
        span = slice(int(one.records.offsets[index]), int(one.records.offsets[index + 1]))
        numbers: list[int] = one.records.record[span].tolist()
        named = [str(evidences[evidence]) for evidence in one.records.evidence[span].tolist()]
        records = list(zip(named, numbers, strict=True))
        source, target = endpoints(group)
        yield {
            "id": finding_id(correlation.key, records),
            "time": _time(one.began[index]),
            "time_end": _time(events.time[end - 1]),
            "detector": DETECTOR,
            "rule_id": correlation.key,
            "rule_version": correlation.version,
            "title": correlation.title,
            "severity": correlation.severity,
            "techniques": list(correlation.techniques),
            "tactics": list(correlation.tactics),
            "source": source,
            "target": target,
            "vector": vector,
            "outcome": "unknown",
            "confidence": correlation.confidence,
            "why": orjson.dumps(_why(one, index, group, len(records))).decode(),
        }


def _why(one: Evaluated, index: int, group: Mapping[str, str], records: int) -> dict[str, Any]:
    correlation, events = one.correlation, one.events
    first, end, trigger = int(one.first[index]), int(one.end[index]), int(one.trigger[index])
    condition = correlation.expression or " and ".join(str(bound) for bound in correlation.bounds)
    distinct = list({reference.key: reference for reference in correlation.references}.values())
    counts = np.bincount(events.position[first:end], minlength=len(distinct)).tolist()
    matches = [
        len(np.unique(events.subject[first:end][events.position[first:end] == position]))
        if reference.correlation
        else counts[position]
        for position, reference in enumerate(distinct)
    ]
    tree: dict[str, Any] = {
        "correlation": correlation.kind,
        "condition": condition,
        "success": True,
        "group": dict(group),
        "timespan": correlation.timespan_text,
        "from": _text(one.began[index]),
        "to": _text(events.time[end - 1]),
        "held_at": _text(events.time[trigger]),
        "value": one.measured.peak(first, end),
        "records": records,
        "labels_from": dict(correlation.labels_from),
        "children": [
            {"rule": reference.key, "title": reference.title, "matches": count, "success": count > 0}
            for reference, count in zip(distinct, matches, strict=True)
        ],
    }
    if correlation.percentile is not None:
        tree["percentile"] = correlation.percentile
    if any(reference.value_fields for reference in correlation.references):
        tree["field"] = sorted({name for reference in distinct for name in reference.value_fields})
    return tree


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


def _time(microseconds: int | np.int64) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))


def _text(microseconds: int | np.int64) -> str:
    return _time(microseconds).isoformat().replace("+00:00", "Z")
