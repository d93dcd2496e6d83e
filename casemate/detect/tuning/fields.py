"""The fields of findings that a tuning may name, as the matcher reads them."""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Collection, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from casemate.errors import BadInput

FINDING_FIELDS: dict[str, str] = {
    "source": "who: an address, network, host, user or process",
    "source_kind": "what the source is",
    "target": "against what",
    "target_kind": "what the target is",
    "service": "the service of the target",
    "account": "accounts the finding names: a source or target that is a user, or the one a behaviour counts",
    "detector": "sigma, sigma_decoded, sigma_correlation, signature, suricata or behaviour.<analytic>",
    "title": "the finding's title",
    "severity": "as the detector gave it",
    "technique": "ATT&CK and ATLAS techniques",
    "tactic": "tactics",
    "vector": "by which way",
    "outcome": "how it ended",
    "confidence": "how sure",
}
"""What ``finding.NAME`` may be; besides, ``counts.NAME`` is a number that a behaviour states in its why."""
PREFIX = "finding."
COUNTS = "counts."
AS_THEY_ARE = ("detector", "title", "severity", "vector", "outcome", "confidence")
Endpoint = Mapping[str, Any] | None


def is_finding_field(field: str) -> bool:
    """Whether a field, as written, is one of a finding by its prefix."""
    return field.split("|")[0].lower().startswith((PREFIX, COUNTS))


def plain_field(field: str) -> str:
    """A field of a finding without the prefix, modifiers kept.

    Raises:
        BadInput: findings have no such field.
    """
    name, *modifiers = field.split("|")
    short = name.removeprefix(PREFIX)
    if short.lower() not in FINDING_FIELDS and not short.lower().startswith(COUNTS):
        raise BadInput(
            f"findings have no field '{name}'", hint="known are " + ", ".join([*FINDING_FIELDS, "counts.NAME"])
        )
    return "|".join([short, *modifiers])


def as_records(findings: pa.RecordBatch, columns: Collection[str]) -> pa.RecordBatch:
    """Findings as records of the table ``finding``: the id stands for the evidence.

    Args:
        findings: rows of :data:`casemate.schema.findings.FINDINGS` as detectors gave them.
        columns: names (lower case) that are asked for.
    """
    source, target = findings.column("source"), findings.column("target")
    texts: dict[str, pa.Array] = {
        "source": pc.struct_field(source, "value"),
        "source_kind": pc.struct_field(source, "kind"),
        "target": pc.struct_field(target, "value"),
        "target_kind": pc.struct_field(target, "kind"),
        "service": pc.struct_field(target, "service"),
        **{
            name: findings.column(name) for name in ("detector", "title", "severity", "vector", "outcome", "confidence")
        },
    }
    lists = {"technique": "techniques", "tactic": "tactics"}
    texts |= {name: _listed(findings.column(column).to_pylist()) for name, column in lists.items() if name in columns}
    if "account" in columns or any(name.startswith(COUNTS) for name in columns):
        counts = [_counts(why) for why in findings.column("why").to_pylist()]
        texts["account"] = _listed(list(map(_accounts, source.to_pylist(), target.to_pylist(), counts)))
        for name in columns:
            if name.startswith(COUNTS):
                wanted = name.removeprefix(COUNTS)
                texts[name] = pa.array([_text(one.get(wanted)) for one in counts], pa.string())
    arrays = [findings.column("id"), pa.array([0] * findings.num_rows, pa.int64()), findings.column("time")]
    chosen = [name for name in texts if name in columns]
    return pa.RecordBatch.from_arrays(
        [*arrays, *(texts[name].cast(pa.string()) for name in chosen)], ["evidence", "record", "time", *chosen]
    )


def _listed(values: list[list[str]]) -> pa.Array:
    return pa.array([orjson.dumps(value).decode() if value else None for value in values], pa.string())


def _counts(why: str) -> Mapping[str, Any]:
    """The counts of a behaviour's why, names in lower case; none for other findings."""
    if '"counts"' not in why:
        return {}
    told = orjson.loads(why)
    counts = told.get("counts") if "analytic" in told else None
    return {name.lower(): value for name, value in counts.items()} if isinstance(counts, dict) else {}


def _accounts(
    source: Mapping[str, Any] | None, target: Mapping[str, Any] | None, counts: Mapping[str, Any]
) -> list[str]:
    named = [end["value"] for end in (source, target) if end is not None and end["kind"] == "user" and end["value"]]
    counted = counts.get("account")
    return list(dict.fromkeys([*named, *([counted] if isinstance(counted, str) and counted else [])]))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
