"""What to search for elsewhere: addresses, domains, hashes, accounts, processes, with how rare each is."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping, Sequence

import ibis

from casemate.explore.timeline import WHO, Looking, first_known, narrowed

FIELDS: dict[str, tuple[str, ...]] = {
    "address": ("src_endpoint_ip", "dst_endpoint_ip"),
    "domain": ("query_hostname", "http_request_url_hostname"),
    "account": ("user_name", "actor_user_name"),
    "process": ("process_file_path", "process_parent_process_file_path", "actor_process_file_path"),
    "hash": ("file_hashes",),
}
"""Columns of the OCSF tables that hold each kind."""
HASHES = (r"SHA256=([0-9A-Fa-f]{64})", r"SHA1=([0-9A-Fa-f]{40})", r"MD5=([0-9A-Fa-f]{32})")
"""The strongest hash of ``file_hashes`` is taken."""


def pivots(
    tables: Mapping[str, ibis.Table], shared: Mapping[str, ibis.Table], findings: ibis.Table, looking: Looking
) -> ibis.Table:
    """Columns: ``kind, value, findings`` (with it as source or target), ``hosts`` (that wrote records with it),
    ``records``, ``first``, ``last`` (UTC).

    Args:
        tables: OCSF tables by class, of native tables whose records are events of one class each.
        shared: those of the others (:data:`casemate.views.SEVERAL_CLASSES`).
        findings: table of :data:`casemate.schema.findings.FINDINGS`.
        looking: which records.
    """
    columns = ("kind", "value", "host", "time")
    rows = _stacked([_rows(narrowed(table, looking)).select(*columns) for table in tables.values() if _held(table)])
    if shared:
        places = _stacked([_rows(narrowed(table, looking)) for table in shared.values() if _held(table)])
        # a record that is in two classes counts once
        once = places.group_by("kind", "value", "evidence", "record")
        once = once.aggregate(host=places.host.min(), time=places.time.min())
        rows = rows.union(once.select(*columns), distinct=False)
    counted = rows.group_by("kind", "value").aggregate(
        hosts=rows.host.nunique(), records=rows.count(), first=rows.time.min(), last=rows.time.max()
    )
    named = _named(findings)
    joined = counted.left_join(named, counted.value.lower() == named.endpoint)
    return joined.select(
        "kind",
        "value",
        joined.findings.coalesce(ibis.literal(0, "int64")).name("findings"),
        "hosts",
        "records",
        "first",
        "last",
    )


def in_order(found: ibis.Table) -> ibis.Table:
    """Those in most findings first, then the rarest."""
    return found.order_by(ibis.desc(found.findings), found.hosts, found.records, found.kind, found.value)


def _held(table: ibis.Table) -> list[tuple[str, str]]:
    """Kinds and fields that a table has."""
    return [(kind, field) for kind, fields in FIELDS.items() for field in fields if field in table.columns]


def _rows(table: ibis.Table) -> ibis.Table:
    """One row per value of a record: ``kind, value, host, time, evidence, record``.

    A record that holds a value twice, as source and as target, gives one row.  A table is read once for all its
    fields, since reading it is what costs.
    """
    values: dict[str, tuple[str, ibis.Value]] = {}
    for kind, field in _held(table):
        value = _value(kind, table[field])
        for before_kind, before in list(values.values()):
            if before_kind == kind:
                value = ibis.ifelse((value == before).fill_null(False), ibis.null("string"), value)
        values[f"value_{len(values)}"] = (kind, value)
    wide = table.select(
        host=first_known(table, WHO["host"]),
        time=table.time,
        evidence=table.evidence,
        record=table.record,
        **{name: value for name, (_kind, value) in values.items()},
    )
    rows = _stacked(
        [
            wide.select("host", "time", "evidence", "record", kind=ibis.literal(kind), value=wide[name])
            for name, (kind, _value) in values.items()
        ]
    )
    return rows.filter(rows.value.notnull())


def _stacked(parts: Sequence[ibis.Table]) -> ibis.Table:
    first, *others = parts
    for other in others:
        first = first.union(other, distinct=False)
    return first


def _value(kind: str, text):
    if kind == "hash":
        found = [text.re_extract(pattern, 1) for pattern in HASHES]
        text = ibis.coalesce(*[ibis.ifelse(part == "", ibis.null("string"), part) for part in found])
    return text.lower() if kind in ("hash", "domain") else text


def _named(findings: ibis.Table) -> ibis.Table:
    """How many findings name each endpoint (lower case); one that is source and target of a finding counts once."""
    source, target = (findings[side]["value"] for side in ("source", "target"))
    once = ~(source.lower() == target.lower()).fill_null(False)
    ends = (findings.select(endpoint=source), findings.filter(once).select(endpoint=target))
    # counted as written before it is lowered: endpoints are far fewer than findings
    sides = [side.group_by("endpoint").aggregate(findings=side.count()) for side in ends]
    both = sides[0].union(sides[1], distinct=False)
    both = both.filter(both.endpoint.notnull()).select("findings", endpoint=both.endpoint.lower())
    return both.group_by("endpoint").aggregate(findings=both.findings.sum())
