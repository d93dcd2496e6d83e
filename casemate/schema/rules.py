"""Rules of the last run: which ran, which did not and why; and the matches that filters took out."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

STATES: dict[str, str] = {
    "ran": "it was held against records of its log source",
    "no_records": "the case holds no record of its log source",
    "no_reader": "its log source has no reader yet",
    "not_compiled": "it could not be compiled",
    "not_read": "its file could not be read as a rule",
}

RULES = pa.schema(
    [
        pa.field("rule_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("path", pa.string(), nullable=False),
        pa.field("severity", pa.string()),
        pa.field("log_source", pa.string()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
"""One row per rule of the rule set in use; ``reason`` of a rule that ran is null, or names a fault of its
metadata (a tag, a date, an id, a status that says its authors gave it up)."""

SUPPRESSED = pa.schema(
    [
        pa.field("rule_id", pa.string(), nullable=False),
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("time", UTC_MICROSECONDS),
    ]
)
"""Matches that a filter took out of a rule: no findings, but counted and listed."""

RULE_TEXTS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # "rule" or "filter"
        pa.field("text", pa.string()),  # YAML as it was read; null where it was too long to keep
    ]
)
"""Files of the rules that have findings or suppressed matches, of correlations and what they refer to, and of
filters."""

MATCHED = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("rule_set", pa.string(), nullable=False),
        pa.field("kept", pa.int64(), nullable=False),
    ]
)
"""Evidence whose records were held against a rule set (its hash), and how many it had: done once for
these rows, never twice."""
