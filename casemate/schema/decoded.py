"""Texts that were decoded from fields of records."""

from __future__ import annotations

import pyarrow as pa

DECODED_TEXT = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("field", pa.string(), nullable=False),  # the column of the native table it was decoded from
        pa.field("depth", pa.int64(), nullable=False),  # layers that were opened; 0 where only a limit is told
        pa.field("steps", pa.list_(pa.string()), nullable=False),  # "base64", "utf-16le", ..., in order
        pa.field("text", pa.string()),  # null where nothing came out before a limit was reached
        pa.field("limit_hit", pa.string()),  # why there may be more; null if this is all
    ]
)
"""One row per record, field and text that came out of it; what is recorded stays in the native table."""
