"""An export is the same however it is cut into stretches of time, and one stretch is all it holds at once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.export import stretches
from casemate.export.content import Content, Window
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

START = datetime(2026, 3, 2, tzinfo=UTC)
EVIDENCE = "cd" * 32
MINUTES = [*range(0, 40, 2), 7, 7, 7, 7, 7, 7, 7, None, None, 300]


def finding(number: int, minute: int | None) -> dict:
    time = None if minute is None else START + timedelta(minutes=minute)
    plain = dict.fromkeys(("rule_id", "rule_version", "title", "detector"), "x")
    ends = {"source": None, "target": None, "techniques": [], "tactics": []}
    said = {"severity": "low", "vector": "host", "outcome": "unknown", "confidence": "low", "why": "{}"}
    return {"id": f"{number:032x}", "time": time, "time_end": time, **plain, **ends, **said}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    made = Case.create(tmp_path_factory.mktemp("stretches") / "case")
    stage = made.stage()
    rows = [finding(number, minute) for number, minute in enumerate(MINUTES)]
    records = [
        {"finding": row["id"], "evidence": EVIDENCE, "record": 10 * number + more}
        for number, row in enumerate(rows)
        for more in range(number % 4)
    ]
    stage.write("findings", FINDINGS, pa.Table.from_pylist(rows, schema=FINDINGS).to_batches())
    stage.write("finding_records", FINDING_RECORDS, pa.Table.from_pylist(records, schema=FINDING_RECORDS).to_batches())
    made.commit(stage)
    made.close()
    return Case.open(made.path)


@pytest.mark.parametrize("rows", [3, 7])
def test_findings_and_their_records_are_the_same_however_they_are_cut(
    case: Case, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(Content(case).findings())
    assert len(whole) == len(MINUTES)
    monkeypatch.setattr(stretches, "STRETCH_ROWS", rows)
    assert list(Content(case).findings()) == whole
    window = Window(START + timedelta(minutes=5), START + timedelta(minutes=9))
    assert {one.time for one in Content(case, window).findings()} == {
        START + timedelta(minutes=minute) for minute in (6, 7, 8)
    }


def test_without_the_rest_the_same_findings_come_in_the_same_order(case: Case) -> None:
    assert [one.id for one in Content(case).findings(whole=False)] == [one.id for one in Content(case).findings()]


@settings(max_examples=15, deadline=None)
@given(
    minutes=st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=60),
    rows=st.integers(1, 20),
    most=st.integers(1, 9),
)
def test_every_row_lies_in_exactly_one_stretch(minutes: list[int | None], rows: int, most: int) -> None:
    import ibis

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "STRETCH_ROWS", rows)
        patch.setattr(stretches, "MOST_STRETCHES", most)
        times = [None if minute is None else START + timedelta(minutes=minute) for minute in minutes]
        table = pa.table({"time": pa.array(times, pa.timestamp("us", "UTC"))})
        engine = DuckDBEngine()
        memory = ibis.memtable(table)
        found = list(stretches.stretches(engine, memory))
        engine.close()
    assert len([one for one in found if not one.undated]) <= most + 1

    def inside(one: stretches.Stretch, time: datetime | None) -> bool:
        if one.undated or time is None:
            return one.undated and time is None
        return (one.start is None or one.start <= time) and (one.until is None or time < one.until)

    assert all(sum(inside(one, time) for one in found) == 1 for time in times)
    largest = max(Counter(times).values(), default=0)
    held = max(rows, -(-len(times) // most)) + largest
    assert all(sum(inside(one, time) for time in times) <= max(held, largest) for one in found if not one.undated)
