"""Tables that every case has, whatever was read: evidence, registrations, rejects."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

EVIDENCE = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),  # SHA-256 of the content, hex
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("records", pa.int64(), nullable=False),  # kept + rejected
        pa.field("kept", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),
        pa.field("structure", pa.int64(), nullable=False),  # lines that carry no record: blank, headers, comments
        pa.field("reader_version", pa.int64(), nullable=False),
        pa.field("continues", pa.string()),  # SHA-256 of the evidence whose content is this one's beginning
        pa.field("notes", pa.list_(pa.string())),  # what the reader or a limit had to say, sorted
    ]
)
"""One row per content.  Containers (archives) have a row with records = 0."""

REGISTRATIONS = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("parent", pa.string()),  # SHA-256 of the archive it came out of
        pa.field("member_path", pa.string()),
        pa.field("registered_at", UTC_MICROSECONDS, nullable=False),
        pa.field("registered_by", pa.string(), nullable=False),
        pa.field("dated", UTC_MICROSECONDS),  # the file's or member's own date, from which missing years are inferred
    ]
)
"""That a content was received; many per content; outside the canonical row hashes."""

REJECTS = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""Records that could not be kept, with position and reason; the bytes stay in the evidence."""
