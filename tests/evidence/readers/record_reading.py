"""Run a reader over bytes, and check what every reader promises."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

import pyarrow as pa

from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Tally
from casemate.limits import Limits

DATED = datetime(2024, 6, 30, 12, 0, tzinfo=UTC)
SMALL = Limits(line_bytes=4096, json_depth=8, fields_per_record=64)


class Bytes:
    """A source of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def size(self) -> int:
        return len(self.content)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)


@dataclass
class Reading:
    """What came out: kept records by record number, rejects, the tally, batches."""

    rows: list[dict[str, Any]]
    rejects: list[Reject]
    tally: Tally
    batches: list[tuple[str, pa.RecordBatch]]


def read(spec: ReaderSpec, content: bytes, *, dated: datetime = DATED, limits: Limits | None = None) -> Reading:
    """Everything `spec` reads from `content`; nothing lost, places inside the content, schema kept."""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    tallies: list[Tally] = []
    batches: list[tuple[str, pa.RecordBatch]] = []
    tables = {table.name: table for table in spec.tables}
    for item in spec.read(Bytes(content), ReadContext("x", dated, limits or Limits())):
        assert not tallies, "something came after the tally"
        if isinstance(item, Rows):
            schema = tables[item.table].schema
            assert set(item.batch.schema.names) <= set(schema.names)
            for field in item.batch.schema:
                assert field.type == schema.field(field.name).type
            batches.append((item.table, item.batch))
            rows.extend({"_table": item.table, **row} for row in item.batch.to_pylist())
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            tallies.append(item)
    assert len(tallies) == 1
    assert tallies[0].records == len(rows) + len(rejects)
    numbers = [row["record"] for row in rows] + [reject.record for reject in rejects]
    assert len(set(numbers)) == len(numbers)
    for place in rejects:
        assert place.reason
        assert 0 <= place.offset <= place.offset + place.length <= len(content)
    rows.sort(key=lambda row: row["record"])
    for row in rows:
        assert 0 <= row["offset"] <= row["offset"] + row["length"] <= len(content)
    return Reading(rows, rejects, tallies[0], batches)


def filled(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that are not null."""
    return {name: value for name, value in row.items() if value is not None}
