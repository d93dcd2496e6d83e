"""What tunings did: findings they took out, with their records, and how many each touched."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.findings import FINDING_RECORDS, FINDINGS

SUPPRESSED_FINDINGS = pa.schema(
    [
        *FINDINGS,
        pa.field("tuning", pa.string(), nullable=False),  # id of the tuning that took it out
        pa.field("reason", pa.string(), nullable=False),  # that tuning's reason
    ]
)
"""Findings that a tuning took out, as they were made; they return when it expires or is removed."""

SUPPRESSED_RECORDS = FINDING_RECORDS
"""The records that suppressed findings rest on."""

EFFECTS: dict[str, str] = {
    "suppress": "findings a tuning took out",
    "severity": "findings whose severity a tuning set",
    "core_asset": "findings raised by one step because they name a core asset",
    "changed": "findings whose severity is not the one their detector gave",
}

TUNING_EFFECTS = pa.schema(
    [
        pa.field("effect", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),  # id of the tuning, or name of the core asset, or "all"
        pa.field("findings", pa.int64(), nullable=False),
    ]
)
"""Per tuning and core asset the findings it touched; those that touched none are not listed."""
