"""CSV and Parquet: one row per finding or record, the same columns in both; what is written reads back equal.

CSV (RFC 4180, UTF-8, every text quoted, null an empty field without quotes) is safe against formula
injection: a text that a spreadsheet could take for a formula gets ``'`` in front, and so does a text
that begins with ``'`` itself, so that :func:`read_csv` can take exactly one away.  Lists are JSON.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from casemate.export.content import ExportedEvent, ExportedFinding, Said
from casemate.schema.native import UTC_MICROSECONDS

BATCH_ROWS = 8_192
_TEXTS = pa.list_(pa.string())

SAID_COLUMNS = (
    pa.field("verdict", pa.string()),
    pa.field("duplicate_of", pa.string()),
    pa.field("note", pa.string()),
    pa.field("tags", _TEXTS),
    pa.field("marked_by", pa.string()),
    pa.field("marked_at", UTC_MICROSECONDS),
    pa.field("inherited_from", pa.string()),
)
"""What people said; null where nobody did."""

FINDING_COLUMNS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("time", UTC_MICROSECONDS),
        pa.field("time_end", UTC_MICROSECONDS),
        pa.field("detector", pa.string()),
        pa.field("rule_id", pa.string()),
        pa.field("rule_version", pa.string()),
        pa.field("title", pa.string()),
        pa.field("severity", pa.string()),
        pa.field("techniques", _TEXTS),
        pa.field("tactics", _TEXTS),
        pa.field("source_kind", pa.string()),
        pa.field("source_value", pa.string()),
        pa.field("target_kind", pa.string()),
        pa.field("target_value", pa.string()),
        pa.field("target_service", pa.string()),
        pa.field("vector", pa.string()),
        pa.field("outcome", pa.string()),
        pa.field("confidence", pa.string()),
        pa.field("why", pa.string()),  # JSON
        pa.field("records", _TEXTS),
        pa.field("record_count", pa.int64()),
        *SAID_COLUMNS,
    ]
)
EVENT_COLUMNS = pa.schema(
    [
        pa.field("time", UTC_MICROSECONDS),
        pa.field("time_raw", pa.string()),
        pa.field("table", pa.string()),
        pa.field("host", pa.string()),
        pa.field("evidence", pa.string()),
        pa.field("record", pa.int64()),
        pa.field("fields", pa.string()),  # JSON
        pa.field("findings", _TEXTS),
        *SAID_COLUMNS,
    ]
)
FORMULA_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠'")
"""What a spreadsheet may take for the beginning of a formula, also full-width, and the mark itself."""


def finding_row(found: ExportedFinding) -> dict[str, Any]:
    """A finding as a row of :data:`FINDING_COLUMNS`."""
    source, target = found.source, found.target
    return {
        **{name: getattr(found, name) for name in FINDING_COLUMNS.names if hasattr(found, name)},
        "techniques": list(found.techniques),
        "tactics": list(found.tactics),
        "source_kind": source.kind if source else None,
        "source_value": source.value if source else None,
        "target_kind": target.kind if target else None,
        "target_value": target.value if target else None,
        "target_service": target.service if target else None,
        "why": orjson.dumps(found.why).decode(),
        "records": list(found.records),
        **_said(found.said),
    }


def event_row(record: ExportedEvent) -> dict[str, Any]:
    """A record as a row of :data:`EVENT_COLUMNS`."""
    return {
        **{name: getattr(record, name) for name in ("time", "time_raw", "table", "host", "evidence", "record")},
        "fields": orjson.dumps(record.fields).decode(),
        "findings": list(record.findings),
        **_said(record.said),
    }


def _said(said: Said | None) -> dict[str, Any]:
    row = {field.name: getattr(said, field.name, None) for field in SAID_COLUMNS}
    return row if said is None else row | {"tags": list(said.tags)}


def write_parquet(out: BinaryIO, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write the rows as one Parquet file; returns how many."""
    count = 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in _batches(schema, rows):
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_csv(out: BinaryIO, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write the rows as CSV with a header; returns how many."""
    out.write((",".join(f'"{name}"' for name in schema.names) + "\r\n").encode())
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        out.write((",".join(_cell(row[name]) for name in schema.names) + "\r\n").encode("utf-8", "backslashreplace"))
    return count


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Read back what :func:`write_csv` wrote, with the types of `schema`."""
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        read_options=pyarrow.csv.ReadOptions(block_size=64 << 20),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(schema.names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    columns = [_column(field, table.column(field.name).to_pylist()) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(field: pa.Field, texts: list[str | None]) -> pa.Array:
    plain = [text[1:] if text is not None and text.startswith("'") else text for text in texts]
    if field.type == _TEXTS:
        return pa.array([None if text is None else orjson.loads(text) for text in plain], field.type)
    if pa.types.is_timestamp(field.type):
        return (
            pa.array([None if text is None else text.rstrip("Z") for text in plain], pa.string())
            .cast(pa.timestamp("us"))
            .cast(field.type)
        )
    return pa.array(plain, pa.string()).cast(field.type)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        text = orjson.dumps(value).decode()
    elif isinstance(value, str):
        text = value
    else:
        text = value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    mark = "'" if text.startswith(FORMULA_BEGINNINGS) else ""
    return f'"{mark}{text.replace(chr(34), chr(34) * 2)}"'


def _batches(schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    left = iter(rows)
    while held := list(islice(left, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(held, schema=schema)
