"""A small case to take evidence into, and its tables as plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from casemate.case import Case
from casemate.evidence.ingest import IngestReport, ingest
from casemate.limits import Limits

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def opened(path: Path) -> Iterator[Case]:
    """The case at `path`, made when it is not there."""
    case = Case.open(path, write=True) if (path / "custody.jsonl").exists() else Case.create(path)
    with case:
        yield case


def take(case: Case, *named: Path | str, limits: Limits | None = None, **more: Any) -> IngestReport:
    """Take evidence in, with a fixed clock."""
    return ingest(case.store, named, registered_by="tester", clock=lambda: NOW, limits=limits, **more)


def rows_of(case: Case, table: str) -> list[dict[str, Any]]:
    """All rows of a table in a fixed order."""
    found = [row for part in case.part_paths(table) for row in pq.read_table(part).to_pylist()]
    return sorted(found, key=lambda row: repr(sorted(row.items(), key=lambda item: item[0])))


def evidence_of(case: Case, form: str) -> dict[str, Any]:
    """The only evidence of one format."""
    (row,) = [row for row in rows_of(case, "evidence") if row["format"] == form]
    return row


def texts(case: Case) -> list[str]:
    """What the ``lines`` table holds, sorted."""
    return sorted(row["text"] for row in rows_of(case, "lines")) if "lines" in case.tables() else []


def canonical(case: Case) -> dict[str, list[dict[str, Any]]]:
    """All tables but the registrations, whatever parts their rows lie in."""
    return {table: rows_of(case, table) for table in case.tables() if table != "registrations"}
