"""Attempts: findings of one source against one scope by one vector, with no long gap between them."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.findings import SOURCE
from casemate.schema.native import UTC_MICROSECONDS

INTENTS: tuple[str, ...] = (
    "reconnaissance",
    "infiltration",
    "lateral_movement",
    "exfiltration",
    "disruption",
    "unspecified",
)
SCOPE = pa.struct([pa.field("kind", pa.string()), pa.field("value", pa.string())])

ATTEMPTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", SOURCE),
        pa.field("scope", SCOPE),
        pa.field("vector", pa.string(), nullable=False),
        pa.field("started", UTC_MICROSECONDS),
        pa.field("ended", UTC_MICROSECONDS),
        pa.field("intent", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("findings", pa.int64(), nullable=False),
        pa.field("gap_seconds", pa.int64(), nullable=False),
    ]
)

ATTEMPT_FINDINGS = pa.schema(
    [
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("apart", pa.int64()),
    ]
)
"""``apart``: microseconds from the latest end before to the finding's start, of its source, scope and vector; 0 where
they overlap or have no time, null where no finding came before.  It tells how many attempts another gap would give."""
