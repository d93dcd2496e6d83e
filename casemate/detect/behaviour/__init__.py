"""Behaviour analytics: what many records say together that no single one does.

:data:`ANALYTICS` lists all of them; :func:`run_all` runs them over a case's OCSF tables, which
:func:`read_once` reads.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Iterator, Sequence

import ibis

from casemate.detect.behaviour.analytics import ANALYTICS, CHOSEN, DERIVED, FEW, LOOKED_AT, PAIRS, Analytic, Source
from casemate.detect.behaviour.long_connections import every_row
from casemate.detect.behaviour.networks import OwnNetworks
from casemate.detect.behaviour.pairs import of_any
from casemate.detect.behaviour.reading import COLUMNS_READ, READ_CLASSES, Read, infer_own, read_once
from casemate.detect.behaviour.run import Batches, Found, Hold, found, has_rows, how_many

__all__ = [
    "ANALYTICS",
    "COLUMNS_READ",
    "READ_CLASSES",
    "Analytic",
    "Read",
    "infer_own",
    "read_once",
    "run_all",
]


def run_all(read: Read, own: OwnNetworks, batches: Batches, hold: Hold) -> Iterator[Found]:
    """Run every analytic that has anything to look at.

    Args:
        read: from :func:`read_once`.
        own: from :func:`infer_own`.
        batches, hold: as for :func:`read_once`.
    """
    read = _derive(read, own, batches, hold)
    looked_at: dict[tuple[Source, ...], ibis.Table | None] = {}
    for analytic in ANALYTICS:
        if analytic.sources not in looked_at:
            looked_at[analytic.sources] = _rows(analytic.sources, read, own, batches, hold)
        rows = looked_at[analytic.sources]
        if rows is None:
            continue
        if analytic.narrow is not every_row:
            rows = hold(analytic.narrow(rows, analytic.settings))
        if has_rows(rows, batches):
            statements = analytic.judge(rows, analytic.settings)
            yield found(analytic.name, analytic.rules, statements, analytic.settings, batches, hold)


def _derive(read: Read, own: OwnNetworks, batches: Batches, hold: Hold) -> Read:
    """The tables of a case with those of :data:`DERIVED`."""
    tables, rows = dict(read.tables), dict(read.rows)
    possible: dict[str, int] = {}
    for derived in DERIVED:
        first = derived.reads[0]
        given = [tables[name] for name in derived.reads if name in tables]
        if rows.get(first, 0) and possible.get(derived.name, 1) and derived.wanted(own):
            tables[derived.name] = hold(derived.build(*given, own))
            counted = _possible(tables[derived.name], derived.name, batches)
            rows[derived.name] = counted.pop(derived.name)
            possible |= counted
        elif derived.name == PAIRS and given:  # what other logs are held against
            tables[PAIRS] = derived.build(*given, own)
    chosen = [tables[name] for name in CHOSEN if rows.get(name)]
    if chosen:
        network = tables["network_activity"]
        tables[LOOKED_AT] = network if rows["network_activity"] < FEW else hold(of_any(network, chosen))
    return Read(tables, rows)


def _possible(table: ibis.Table, name: str, batches: Batches) -> dict[str, int]:
    """How many rows a table has, and how many of them may matter to each of :data:`DERIVED`, in one query."""
    counts = {one.name: one.possible(table).cast("int64").sum().fill_null(0) for one in DERIVED
              if one.possible is not None and one.reads[0] == name}  # fmt: skip
    [row] = batches(table.agg(**{name: table.count()}, **counts)).read_all().to_pylist()
    return row


def _rows(sources: Sequence[Source], read: Read, own: OwnNetworks, batches: Batches, hold: Hold) -> ibis.Table | None:
    """The rows of several sources; None where there can be none."""
    built = [
        source.build(*(read.tables[name] for name in source.reads), own.networks, source.settings)
        for source in sources
        if _worth(source, read, batches)
    ]
    if not built:
        return None
    first, *others = built
    for other in others:
        first = first.union(other)
    return hold(first)


def _worth(source: Source, read: Read, batches: Batches) -> bool:
    first = source.reads[0]
    if read.rows.get(first, 0) < source.fewest:
        return False
    if source.possible is None:
        return True
    return how_many(read.tables[first].filter(source.possible(read.tables[first])), batches) >= source.fewest
