"""Native tables: the records of one log source as stored, all fields as text.

Every native table has the fixed columns below, then the columns its reader declares (text, in
the reader's order), then ``rest``: a JSON object (text) of everything else the record held, or
null.  The schema of a table depends on nothing but the reader's declaration.

``time`` is UTC with microseconds, null if the record has no possible time; ``time_raw`` is the
text it was read from.  ``flags`` is null or a ``;``-separated list of words from :data:`FLAGS`
that say what was assumed or replaced in this record.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

LEADING_FIELDS: tuple[pa.Field, ...] = (
    pa.field("evidence", pa.string(), nullable=False),
    pa.field("record", pa.int64(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("length", pa.int64(), nullable=False),
    pa.field("time", UTC_MICROSECONDS),
    pa.field("time_raw", pa.string()),
    pa.field("flags", pa.string()),
)
FIXED_NAMES: tuple[str, ...] = tuple(field.name for field in LEADING_FIELDS)

FLAGS: dict[str, str] = {
    "zone_assumed_utc": "the time carries no zone; UTC was assumed",
    "year_inferred": "the time carries no year; it was inferred from the file's date and the order of lines",
    "time_out_of_range": "the time lies before 1990 or after 2200 and was not believed",
    "time_unreadable": "the time could not be read",
    "encoding_replaced": "bytes that are not valid text were written as \\xNN",
    "nul_bytes": "the record holds NUL bytes, written as \\x00",
    "number_rewritten": "a number is written in a form that parsers change; its text was kept as recorded",
    "address_invalid": "an address in the record is not a valid address; its text was kept as recorded",
}


@dataclass(frozen=True)
class NativeTable:
    """One native table.

    Args:
        name: the table's name, for example ``zeek_conn``.
        columns: declared columns after the fixed ones, unique ignoring case.
        description: one sentence for ``docs/tables.md``.
    """

    name: str
    columns: tuple[str, ...]
    description: str = ""

    def __post_init__(self) -> None:
        lowered = [column.lower() for column in (*FIXED_NAMES, *self.columns, "rest")]
        doubled = {name for name in lowered if lowered.count(name) > 1}
        if doubled:
            raise ValueError(f"{self.name}: columns not unique ignoring case: {sorted(doubled)}")

    @property
    def schema(self) -> pa.Schema:
        """The stored schema: fixed columns, declared columns as text, ``rest``."""
        declared = [pa.field(name, pa.string()) for name in self.columns]
        return pa.schema([*LEADING_FIELDS, *declared, pa.field("rest", pa.string())])
