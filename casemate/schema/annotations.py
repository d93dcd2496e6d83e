"""What people say of findings, attempts and records: verdict, note and tags."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

VERDICTS: dict[str, str] = {
    "true": "it is what the finding says",
    "false": "it is not what the finding says",
    "benign": "it is what the finding says, and allowed",
    "duplicate": "another one says the same",
}
SUBJECT_KINDS: tuple[str, ...] = ("finding", "attempt", "record")

ANNOTATIONS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # one of SUBJECT_KINDS
        pa.field("subject", pa.string(), nullable=False),  # id of the finding or attempt, or evidence:record
        pa.field("verdict", pa.string()),  # one of VERDICTS
        pa.field("duplicate_of", pa.string()),
        pa.field("note", pa.string()),
        pa.field("tags", pa.list_(pa.string()), nullable=False),  # sorted
        pa.field("marked_by", pa.string(), nullable=False),
        pa.field("marked_at", UTC_MICROSECONDS, nullable=False),
        pa.field("line", pa.int64(), nullable=False),  # sequence number of the custody line that said so last
        pa.field("inherited_from", pa.string()),  # the marked subject this one follows; null where it was marked itself
        pa.field("present", pa.bool_(), nullable=False),  # whether the case has the subject now
    ]
)
"""One row per subject.  Derived from the custody log alone; outside the canonical row hashes."""
