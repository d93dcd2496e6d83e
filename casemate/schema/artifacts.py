"""Artefacts of a case: models, data, notebooks and packages in its evidence, and what the scanner says of them.

An artefact is one record: number 0 of its evidence, which is the whole content (records of logs count from 1).
"""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

WHOLE = 0
"""Number of the record that is a whole content."""

REASON = pa.struct(
    [
        pa.field("code", pa.string()),
        pa.field("text", pa.string()),
        pa.field("severity", pa.string()),  # note, unscannable, suspicious, malicious
        pa.field("path_inside", pa.string()),  # members from the outermost inwards, joined by "!"
        pa.field("offset", pa.int64()),  # byte in the innermost content
        pa.field("technique", pa.string()),  # of ATLAS
        pa.field("loader_effect", pa.string()),
    ]
)

ARTIFACTS = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # where it was received first: file, then "!/" and member
        pa.field("dated", UTC_MICROSECONDS),  # its own date in the file system or archive
        pa.field("format", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(REASON), nullable=False),  # the gravest first
        pa.field("reasons_left_off", pa.int64(), nullable=False),
        pa.field("bytes_skipped", pa.int64(), nullable=False),
    ]
)

ARTIFACT_LOOKS = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("artifact", pa.bool_(), nullable=False),  # false for what turned out to be none
        pa.field("marked", pa.bool_(), nullable=False),  # it was only looked at for marks in its text
    ]
)
"""Evidence that was looked at, so that it is done once."""
