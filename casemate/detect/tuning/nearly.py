"""Tunings on findings that nearly took a finding out: all but one part of their condition held.

A tuning's condition is asked of the finding as the filter it is, by the compiler and matcher that judge findings
(:mod:`casemate.detect.tuning.judge`), so that what is told is what would have been done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from casemate.detect.sigma.logsources.findings import FINDING_TABLE
from casemate.detect.sigma.nearly import NearMiss, near_misses
from casemate.detect.sigma.rule_files import RuleFile
from casemate.detect.tuning.fields import FINDING_FIELDS, as_records
from casemate.detect.tuning.judge import as_detected
from casemate.detect.tuning.tunings import FINDING_LOG_SOURCE, Tuning, as_yaml


def near_tunings(tunings: Sequence[Tuning], finding: pa.RecordBatch) -> tuple[NearMiss, ...]:
    """What would have made tunings take this finding out.

    Args:
        tunings: those of the case; only those on findings that suppress and are for the finding's rule are asked.
        finding: one row of :data:`casemate.schema.findings.FINDINGS`.
    """
    rule = str(finding.column("rule_id")[0].as_py()).lower()
    found: list[NearMiss] = []
    for tuning in tunings:
        detection = tuning.detection
        if tuning.kind != "suppress" or tuning.about != "finding" or detection is None:
            continue
        if tuning.rules and rule not in tuning.rules:
            continue
        asked = {"title": tuning.short, "id": tuning.id, "logsource": dict(FINDING_LOG_SOURCE), "detection": detection}
        columns = {*FINDING_FIELDS, *(field.split("|")[0].lower() for field in _fields(detection))}
        record = as_records(as_detected(finding), columns)
        files = [RuleFile(f"{tuning.short}.yml", as_yaml(asked).encode())]
        misses = near_misses(files, tuning.id, FINDING_TABLE, record)
        found += [replace(miss, filter=f"tuning {tuning.short}") for miss in misses]
    return tuple(found)


def _fields(value: Any) -> Iterator[str]:
    """The names of fields that a detection asks for."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield str(name)
            yield from _fields(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _fields(below)
