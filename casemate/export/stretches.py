"""Rows in order of time without sorting all of them at once: one stretch of time after the other."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from casemate.engine.protocol import Engine

STRETCH_ROWS = 24_576
"""Rows of one stretch of time, more only where they all have one time."""
MOST_STRETCHES = 48
"""Each stretch reads the addresses of all findings once, so there are no more than this many; larger ones spill."""


@dataclass(frozen=True)
class Stretch:
    """Rows from one time to before another (None is open), or (`undated`) those without a time."""

    start: datetime | None = None
    until: datetime | None = None
    undated: bool = False

    def of(self, table: ibis.Table) -> ibis.Table:
        """The rows of `table` that lie in it."""
        if self.undated:
            return table.filter(table.time.isnull())
        table = table.filter(table.time.notnull())
        if self.start is not None:
            table = table.filter(table.time >= moment(self.start))
        return table if self.until is None else table.filter(table.time < moment(self.until))


def stretches(engine: Engine, table: ibis.Table) -> Iterator[Stretch]:
    """Stretches of time that hold all rows of `table`, in order, those without a time last."""
    times = [np.zeros(0, np.int64)]
    undated = 0
    for batch in engine.batches(table.select("time")):
        column = batch.column(0)
        undated += column.null_count
        times.append(column.drop_null().cast(pa.timestamp("us")).cast(pa.int64()).to_numpy())
    known = np.sort(np.concatenate(times))
    rows = max(STRETCH_ROWS, -(-len(known) // MOST_STRETCHES))
    cuts = [_at(int(one)) for one in np.unique(known[rows::rows])]
    if len(known):
        for start, until in pairwise([None, *cuts, None]):
            yield Stretch(start, until)
    if undated:
        yield Stretch(undated=True)


def _at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def moment(time: datetime) -> Any:
    """A time as a value of a query."""
    return ibis.literal(time, type="timestamp('UTC', 6)")
