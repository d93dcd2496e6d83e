"""How Ibis writes SQL for DuckDB, where DuckDB has a quicker way to say the same."""

from __future__ import annotations

from typing import Any

import sqlglot.expressions as sge
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler


class QuickTimes(DuckDBCompiler):
    """Takes times apart by subtracting microseconds.

    ``date_diff`` of times with a zone asks a calendar about each row and takes a hundred times as long; what lies
    between two moments needs none.
    """

    def visit_TimestampDelta(self, op: Any, *, part: Any, left: Any, right: Any) -> Any:  # noqa: N802 - Ibis' name
        """Microseconds from `right` to `left`; other units as Ibis writes them."""
        if op.part.value != "microsecond":
            return super().visit_TimestampDelta(op, part=part, left=left, right=right)
        return sge.paren(self.f.epoch_us(left) - self.f.epoch_us(right), copy=False)
