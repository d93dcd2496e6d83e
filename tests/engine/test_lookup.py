"""Rows found without an engine are the rows a plain search finds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as some

from casemate.engine.lookup import among, beginning, rows_at, rows_where, runs_of
from casemate.engine.parts import write_parts

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("evidence", pa.string()), pa.field("record", pa.int64())])
ROWS = some.lists(
    some.fixed_dictionaries(
        {
            "id": some.one_of(some.none(), some.text("ab\u00e9\U0001f600", max_size=4)),
            "evidence": some.sampled_from(["e1", "e2", "e3"]),
            "record": some.integers(-3, 40),
        }
    ),
    max_size=60,
)


def parts(folder: str, rows: list[dict]) -> list[Path]:
    half = len(rows) // 2
    pieces = (rows[:half], rows[half:])
    written = [
        one
        for piece in pieces
        for one in write_parts(folder, "t", SCHEMA, pa.Table.from_pylist(piece, SCHEMA).to_batches())
    ]
    return [Path(one.file) for one in written]


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    wanted=some.lists(some.text("ab\u00e9\U0001f600", max_size=4), max_size=4),
    start=some.text("ab", max_size=2),
)
def test_rows_by_text(rows: list[dict], wanted: list[str], start: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = parts(folder, rows)
        found = [row for batch in rows_where(paths, "id", among(wanted), SCHEMA.names) for row in batch.to_pylist()]
        assert found == [row for row in rows if row["id"] in wanted and row["id"] is not None]
        found = [row for batch in rows_where(paths, "id", beginning(start), ["id"]) for row in batch.to_pylist()]
        assert found == [{"id": row["id"]} for row in rows if row["id"] is not None and row["id"].startswith(start)]


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS, wanted=some.dictionaries(some.sampled_from(["e1", "e2"]), some.sets(some.integers(0, 40), min_size=1))
)
def test_rows_by_address(rows: list[dict], wanted: dict[str, set[int]]) -> None:
    ranges = {evidence: runs_of(numbers) for evidence, numbers in wanted.items()}
    for evidence, numbers in wanted.items():
        assert {number for first, last in ranges[evidence] for number in range(first, last + 1)} == numbers
    with tempfile.TemporaryDirectory() as folder:
        found = [row for batch in rows_at(parts(folder, rows), ranges, SCHEMA.names) for row in batch.to_pylist()]
    assert found == [row for row in rows if row["record"] in wanted.get(row["evidence"], ())]
