"""Runs of correlations as findings.

``why`` is one JSON tree: condition, group, window, the measure at its
peak, and per rule how many of its matches took part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from casemate.detect.sigma.correlation import Evaluated
from casemate.detect.sigma.correlation_endpoints import Agreed, agreed
from casemate.schema.findings import FINDINGS, FINDINGS_WITH_RECORDS, RECORD, finding_id

DETECTOR = "sigma_correlation"


def findings(
    evaluated: Sequence[Evaluated],
    evidences: Sequence[str],
    *,
    silent: Collection[str] = (),
) -> pa.Table:
    """The findings of evaluated correlations.

    Args:
        evaluated, evidences: from :func:`casemate.detect.sigma.correlation.evaluate`.
        silent: ids of correlations that only feed others
            (:func:`casemate.detect.sigma.correlation_rules.silent_rules`).

    Returns:
        rows of :data:`casemate.schema.findings.FINDINGS_WITH_RECORDS`, ordered by rule as given,
        then group, then time.
    """
    tables = [_table(one, evidences) for one in evaluated if len(one) and one.correlation.key not in silent]
    return pa.concat_tables(tables) if tables else FINDINGS_WITH_RECORDS.empty_table()


def _table(one: Evaluated, evidences: Sequence[str]) -> pa.Table:
    rows = list(_rows(one, evidences))
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


def _rows(one: Evaluated, evidences: Sequence[str]) -> Iterator[dict[str, Any]]:
    correlation, events = one.correlation, one.events
    for index in range(len(one)):
        first, end = int(one.first[index]), int(one.end[index])
        group = dict(zip(correlation.group_by, events.groups[int(events.group[first])], strict=True))
        span = slice(int(one.records.offsets[index]), int(one.records.offsets[index + 1]))
        numbers: list[int] = one.records.record[span].tolist()
        named = [str(evidences[evidence]) for evidence in one.records.evidence[span].tolist()]
        records = list(zip(named, numbers, strict=True))
        says = _agreed(one, first, end, group)
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
            "source": says.source,
            "target": says.target,
            "vector": says.vector,
            "outcome": says.outcome,
            "confidence": correlation.confidence,
            "why": orjson.dumps(_why(one, index, group, len(records))).decode(),
        }


def _agreed(one: Evaluated, first: int, end: int, group: Mapping[str, str]) -> Agreed:
    """What the records agree on; where order matters the last step decides the outcome."""
    events = one.events
    codes = events.endpoint[first:end]
    decisive = np.ones(end - first, bool)
    if one.correlation.kind == "temporal_ordered" and not one.correlation.alternatives:
        distinct = list({reference.key: None for reference in one.correlation.references})
        decisive = events.position[first:end] == distinct.index(one.correlation.references[-1].key)

    def texts(numbers: np.ndarray) -> list[str]:
        return [events.endpoints[number] for number in np.unique(numbers).tolist() if number >= 0]

    return agreed(group, texts(codes), texts(codes[decisive]))


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


def _time(microseconds: int | np.int64) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))


def _text(microseconds: int | np.int64) -> str:
    return _time(microseconds).isoformat().replace("+00:00", "Z")
