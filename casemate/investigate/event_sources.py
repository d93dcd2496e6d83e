"""Which event sources of the rules a case holds a record of: the matcher's own conditions, asked of whole tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import ibis
import ibis.expr.types as ir
import orjson

from casemate.detect.sigma.compiled import CompiledSource
from casemate.engine.protocol import Engine

REST = "rest"

Kind = Mapping[str, str | None]
"""Values (lower case) of the stored columns (lower case) that sources ask for; null where a record has none."""


def occurring(engine: Engine, table: str, names: Collection[str], sources: Sequence[CompiledSource]) -> set[int]:
    """Numbers of the event sources that some record of `table` belongs to.

    Args:
        names: the table's stored columns; what is not among them stands in ``rest``.
        sources: event sources of this table.
    """
    stored = {name.lower(): name for name in names}
    tested = sorted({column for source in sources for column in _columns(source)} & stored.keys())
    kinds: list[Kind] = [{}]
    if tested:
        rows = engine.collect(engine.read(table).select(*(stored[name] for name in tested)).distinct())
        kinds = [
            {
                name: None if value is None else str(value).lower()
                for name, value in zip(tested, row.values(), strict=True)
            }
            for row in rows.to_pylist()
        ]
    found: set[int] = set()
    for number, source in enumerate(sources):
        if not any(fits(source, kind) for kind in kinds):
            continue
        if _columns(source) <= stored.keys() or REST not in stored or _stands_in_rest(engine, table, source, stored):
            found.add(number)
    return found


def fits(source: CompiledSource, kind: Kind) -> bool:
    """Whether records with these values belong to `source`, so far as the columns of `kind` can tell."""
    for column, values, absent in source.where:
        if column.lower() in kind:
            value = kind[column.lower()]
            if not (absent if value is None else value in values):
                return False
    return not source.one_of or any(kind.get(column.lower(), "") is not None for column in source.one_of)


def _columns(source: CompiledSource) -> set[str]:
    return {column.lower() for column in (*(test[0] for test in source.where), *source.one_of)}


def _stands_in_rest(engine: Engine, table: str, source: CompiledSource, stored: Mapping[str, str]) -> bool:
    """Whether a record that fits by its stored columns fits by what its ``rest`` says, too."""
    rows = engine.read(table)
    for column, values, absent in source.where:
        if column.lower() in stored:
            kept = cast("ir.StringColumn", rows[stored[column.lower()]])
            there = [kept.lower().isin([ibis.literal(value) for value in values])] if values else []
            rows = rows.filter(ibis.or_(*there, *([kept.isnull()] if absent else [])))
    asked = sorted(_columns(source) & stored.keys())
    for batch in engine.batches(rows.select(stored[REST], *(stored[name] for name in asked)).distinct()):
        for row in batch.to_pylist():
            kind = {name: None if row[stored[name]] is None else str(row[stored[name]]).lower() for name in asked}
            inside = _fields(row[stored[REST]])
            kind |= {name: inside.get(name) for name in _columns(source) - stored.keys()}
            if fits(source, kind):
                return True
    return False


def _fields(rest: str | None) -> dict[str, str]:
    """Texts (lower case) of ``rest`` by name (lower case), of two names that differ by case the first."""
    try:
        fields = orjson.loads(rest or "{}")
    except orjson.JSONDecodeError:
        return {}
    found: dict[str, str] = {}
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if value is not None:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            found.setdefault(name.lower(), text.lower())
    return found
