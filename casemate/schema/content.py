"""What content rules (YARA) were held against."""

from __future__ import annotations

import pyarrow as pa

CONTENT_LOOKS = pa.schema(
    [
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("rule_set", pa.string(), nullable=False),  # hash of rules and engine
        pa.field("contents", pa.int64(), nullable=False),  # streams, transferred files, or the evidence itself
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("notes", pa.list_(pa.string())),  # what a limit kept from being looked at
    ]
)
"""Evidence whose content was held against a set of content rules, so that it is done once."""
