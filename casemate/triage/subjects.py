"""What can be marked: a finding, an attempt or a record, found by its id or address."""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from casemate.case import Case
from casemate.engine.lookup import Ranges, Wanted, among, beginning, rows_where, runs_of
from casemate.errors import BadInput
from casemate.evidence.records import find_place, parse_address

SHOWN_CANDIDATES = 5
FINDING_TABLES = ("findings", "suppressed_findings")
RECORD_TABLES = ("finding_records", "suppressed_records")
"""Findings that a tuning took out are findings still: a verdict may be why they were."""
RANGES_KEPT = 2_048
"""Most runs of record numbers kept of one subject; of more, the first and the last halves of that."""


@dataclass(frozen=True)
class Subject:
    """What is marked.

    Args:
        kind, id: of the subject; a record's id is its address.
        key: what later subjects must have in common with it: a finding's rule, an attempt's source, scope
            and vector; None for a record, whose address stays.
        records: the records it rests on, so that it can be told again when its id is gone.
        record_count: how many these are, also where `records` keeps only some.
    """

    kind: str
    id: str
    key: str | None = None
    records: Ranges = field(default_factory=dict)
    record_count: int = 0


def find_subject(case: Case, text: str) -> Subject:
    """The subject that `text` names: an address ``evidence:record``, or the beginning of an id.

    Raises:
        BadInput: nothing has that id or address, or more than one thing has.
    """
    if ":" in text:
        place = find_place(case.store, *parse_address(text))
        return Subject("record", f"{place.evidence}:{place.record}")
    wanted = text.strip().lower()
    if not wanted or not wanted.isascii() or not wanted.isalnum():
        raise BadInput(f"'{text[:80]}' is no id of a finding or attempt, and no address of a record")
    found = [
        (kind, name)
        for kind, tables in (("finding", FINDING_TABLES), ("attempt", ("attempts",)))
        for name in ids_beginning(case, tables, wanted)
    ]
    if not found:
        raise BadInput(f"no finding or attempt begins with '{wanted[:40]}'")
    if len(found) > 1:
        listed = ", ".join(f"{kind} {name[: len(wanted) + 8]}" for kind, name in found[:SHOWN_CANDIDATES])
        more = " and more" if len(found) > SHOWN_CANDIDATES else ""
        raise BadInput(f"'{wanted}' is the beginning of more than one id: {listed}{more}", hint="give more digits")
    kind, name = found[0]
    return _finding(case, name) if kind == "finding" else _attempt(case, name)


def ids_beginning(case: Case, tables: Sequence[str], wanted: str) -> list[str]:
    """The first ids of some tables that begin so, sorted; a few more than are ever listed."""
    batches = rows_where(paths_of(case, tables), "id", beginning(wanted), ["id"])
    names = (name for batch in batches for name in batch.column("id").to_pylist())
    return sorted(set(islice(names, SHOWN_CANDIDATES + 1)))


def paths_of(case: Case, tables: Sequence[str]) -> list[Path]:
    """The parts of some tables."""
    return [path for table in tables for path in case.part_paths(table)]


def _finding(case: Case, name: str) -> Subject:
    rule = keys_of(case, "finding", [name])[name]
    ranges, count = records_of(case, [name])
    return Subject("finding", name, rule, ranges, count)


def _attempt(case: Case, name: str) -> Subject:
    key = keys_of(case, "attempt", [name])[name]
    members = column_where(case, "attempt_findings", "attempt", among([name]), "finding")
    ranges, count = records_of(case, members)
    return Subject("attempt", name, key, ranges, count)


def keys_of(case: Case, kind: str, names: Iterable[str]) -> dict[str, str]:
    """The key (see :class:`Subject`) of each of these findings or attempts that the case has."""
    wanted = among(names)
    if kind == "finding":
        batches = rows_where(paths_of(case, FINDING_TABLES), "id", wanted, ["id", "rule_id"])
        rows = [row for batch in batches for row in batch.to_pylist()]
        return {row["id"]: row["rule_id"] for row in rows}
    columns = ["id", "source", "scope", "vector"]
    rows = [
        row for batch in rows_where(case.part_paths("attempts"), "id", wanted, columns) for row in batch.to_pylist()
    ]
    return {row["id"]: _attempt_key(row) for row in rows}


def _attempt_key(row: Mapping[str, Mapping[str, str | None] | None]) -> str:
    ends = [end for name in ("source", "scope") for end in _ends(row[name])]
    return "\x1f".join([*ends, str(row["vector"])])


def _ends(value: Mapping[str, str | None] | None) -> tuple[str, str]:
    held = value or {}
    return str(held.get("kind") or ""), str(held.get("value") or "")


def column_where(case: Case, table: str, column: str, wanted: Wanted, other: str) -> list[str]:
    """Values of a text column in the rows whose `column` is wanted."""
    batches = rows_where(case.part_paths(table), column, wanted, [column, other])
    return [value for batch in batches for value in batch.column(other).to_pylist()]


def records_of(case: Case, findings: Sequence[str]) -> tuple[Ranges, int]:
    """The records some findings rest on, as runs, and how many they are."""
    columns = ["finding", "evidence", "record"]
    batches = list(rows_where(paths_of(case, RECORD_TABLES), "finding", among(findings), columns))
    held: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        evidence = batch.column("evidence").dictionary_encode()
        codes = evidence.indices.to_numpy(zero_copy_only=False)
        numbers = batch.column("record").cast(pa.int64()).to_numpy(zero_copy_only=False)
        for code, name in enumerate(evidence.dictionary.to_pylist()):
            held.setdefault(name, []).append(numbers[codes == code])
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    count = 0
    for name in sorted(held):
        found[name] = runs_of(np.concatenate(held[name]))
        count += sum(last - first + 1 for first, last in found[name])
    return _bounded(found), count


def _bounded(found: dict[str, tuple[tuple[int, int], ...]]) -> Ranges:
    """At most :data:`RANGES_KEPT` runs: a finding that grows keeps its beginning, one that is split either end."""
    flat = [(name, run) for name, runs in found.items() for run in runs]
    if len(flat) <= RANGES_KEPT:
        return found
    half = RANGES_KEPT // 2
    kept: dict[str, list[tuple[int, int]]] = {}
    for name, run in [*flat[:half], *flat[-half:]]:
        kept.setdefault(name, []).append(run)
    return {name: tuple(runs) for name, runs in kept.items()}
