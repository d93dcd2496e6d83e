"""DuckDB and Spark give the same rows: intake, rules, behaviour, attempts, on a real local cluster."""

from __future__ import annotations

# pyright: reportOperatorIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from pathlib import Path

import ibis
import pytest

from casemate.case import Case
from casemate.demo.generate import Demo
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine

OUTSIDE_THE_HASHES = {"registrations"}


def row_hashes(path: Path) -> dict[str, str]:
    with Case.open(path) as case:
        return {table: case.row_hash(table) for table in case.tables() if table not in OUTSIDE_THE_HASHES}


@pytest.mark.spark
def test_a_case_built_on_a_cluster_equals_one_built_here(demo: Demo, investigator, spark: Engine) -> None:
    days = [demo.evidence / "zeek" / f"2026-05-0{day}" for day in (2, 3, 4)]
    windows = sorted((demo.evidence / "winlogbeat").iterdir())[:5]
    evidence = [*days, *windows, demo.evidence / "notebook01", demo.evidence / "bastion01", demo.evidence / "cluster"]
    here, report = investigator(*evidence, name="here")
    there, other = investigator(*evidence, name="there", engine=spark)
    assert report.rules.findings > 0
    assert report.behaviour_findings > 0
    assert report.attempts > 0
    assert row_hashes(there) == row_hashes(here)
    assert (other.rules.findings, other.behaviour_findings, other.attempts) == (
        report.rules.findings,
        report.behaviour_findings,
        report.attempts,
    )


@pytest.mark.spark
def test_held_rows_are_as_the_expression_says_whether_few_many_or_none(spark: Engine) -> None:
    numbers = ibis.range(0, 12_000).unnest().name("n").as_table()
    placed = numbers.mutate(place=ibis.row_number().over(order_by="n"), text=ibis._.n.cast("string"))
    engine = DuckDBEngine()
    for most in (0, 3, 12_000):
        some = placed.filter(placed.n < most)
        here, there = (one.collect(one.hold(some).order_by("n")) for one in (engine, spark))
        assert there.num_rows == most
        assert there.equals(here)
        # what was held with and without rows must fit together
        both = spark.hold(some).union(spark.hold(placed.filter(placed.n < 0)))
        assert spark.collect(both.count().name("rows").as_table())["rows"].to_pylist() == [most]
    engine.close()
