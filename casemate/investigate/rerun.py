"""The same tomorrow: investigate the kept evidence again, and compare with what the case says.

A second case is built from the content the first one keeps: each file under the path, the date and
in the order it was first received, so that containers are unpacked again and logs that grew are
continued again.  Rules are those of the last run.  Then the canonical row hashes of every table
(:mod:`casemate.engine.canonical`) are compared; where they differ, the first rows that do are told.
Registrations are left out: they say when and by whom evidence was received, which is another time now.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from casemate import __version__
from casemate.case import Case
from casemate.detect.sigma.profiles import DEFAULT, chosen_files
from casemate.detect.sigma.rule_files import hash_rule_files, read_rule_files
from casemate.detect.tuning.tunings import Tuning, from_plain
from casemate.engine.canonical import read_part, row_keys
from casemate.engine.protocol import Engine
from casemate.errors import BadInput, CannotFinish, CaseDamaged, UnreadableEvidence
from casemate.evidence.ingest import Progress
from casemate.evidence.intake import Found
from casemate.evidence.known import REGISTRATIONS_TABLE
from casemate.explore.rows import json_rows
from casemate.intel.store import Pin, own_rules, resolve
from casemate.investigate.contents import rule_set_of
from casemate.investigate.phases import phase_state
from casemate.investigate.rules import PHASE, rules_inputs
from casemate.investigate.run import Options, RunReport, Stages, investigate, run_id
from casemate.triage.annotations import TABLE as ANNOTATIONS_TABLE

UNCOMPARED = frozenset({REGISTRATIONS_TABLE, ANNOTATIONS_TABLE, "origins", "origin_categories", "origin_files"})
"""Tables outside the comparison: when and by whom evidence was received, what people said, and what registries say
of addresses, which is no evidence and kept outside the case."""
ROWS_SHOWN = 5
"""Rows told of each side of a table that differs."""
TEXT_SHOWN = 2_000
"""Longest text told of one value."""

Row = dict[str, Any]


@dataclass(frozen=True)
class TableComparison:
    """One table in the case and in the rerun.

    Args:
        table: its name.
        rows, rows_again: rows in the case and in the rerun.
        hash, hash_again: canonical row hashes.
        missing, added: how many rows only the case has, and only the rerun has.
        first_missing, first_added: the first of these by evidence and record (or id).
    """

    table: str
    rows: int
    rows_again: int
    hash: str
    hash_again: str
    missing: int = 0
    added: int = 0
    first_missing: tuple[Row, ...] = ()
    first_added: tuple[Row, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether both hold the same rows."""
        return self.hash == self.hash_again


@dataclass(frozen=True)
class Rerun:
    """What a rerun found; `notes` say what besides the rows is different now."""

    run: str
    run_again: str
    tables: tuple[TableComparison, ...]
    evidence: int
    findings: int
    notes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every table holds the same rows."""
        return all(table.identical for table in self.tables)


@dataclass(frozen=True)
class RunRules:
    """The rules of a run: where they are now, and the pins they were resolved from."""

    paths: tuple[Path, ...]
    pins: tuple[Pin, ...]


def rules_of_run(facts: dict[str, Any], given: Sequence[Path] = ()) -> RunRules:
    """The rules a run used, found again.

    Args:
        facts: what the custody log says of the run (:func:`casemate.explore.runs.last_run`).
        given: where rules that were given by path lie now; where they lay then when empty.

    Raises:
        CannotFinish: they are not there any more, or they are not the same rules.
    """
    pins = tuple(Pin(**pin) for pin in facts.get("pins", ()))
    try:
        if given or not pins:
            paths = tuple(given) or tuple(Path(path) for path in facts.get("rules_from", ()))
        else:
            paths = (own_rules(), *(resolve(pin).path for pin in pins if pin.name == "sigma"))
        now = hash_rule_files(chosen_files(read_rule_files(paths), profile_of_run(facts)))
    except BadInput as error:
        raise CannotFinish(
            f"the rules of the last run cannot be read: {error.what}",
            where=error.where,
            hint="give them with --rules PATH",
        ) from None
    if now != facts.get("rule_set"):
        raise CannotFinish(
            "the rules are not those of the last run any more: "
            f"their hash is {now[:16]} where the custody log says {str(facts.get('rule_set'))[:16]}",
            where=", ".join(str(path) for path in paths),
            hint="give the rules of that run with --rules PATH, or investigate again with those of today",
        )
    return RunRules(paths, () if given else pins)


def content_rules_of_run(facts: dict[str, Any]) -> tuple[Path, ...]:
    """The YARA rules a run used, found again.

    Raises:
        CannotFinish: they are not there any more, or they are not the same rules.
    """
    paths = tuple(Path(path) for path in facts.get("yara_from", ()))
    try:
        now = rule_set_of(paths)
    except BadInput as error:
        raise CannotFinish(f"the YARA rules of the last run cannot be read: {error.what}", where=error.where) from None
    if now != facts.get("yara_rule_set"):
        raise CannotFinish(
            "the YARA rules, or YARA-X itself, are not those of the last run any more",
            where=", ".join(map(str, paths)),
            hint="investigate again with those of today",
        )
    return paths


def placeholders_of_run(facts: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The values a run used for the placeholders of Sigma rules."""
    return {str(name): tuple(map(str, values)) for name, values in facts.get("placeholders", {}).items()}


def profile_of_run(facts: dict[str, Any]) -> str:
    """Which of its rules a run used."""
    return str(facts.get("profile", DEFAULT))


def tunings_of_run(facts: dict[str, Any]) -> tuple[Tuning, ...]:
    """The tunings a run acted by."""
    return tuple(from_plain(plain) for plain in facts.get("tunings", ()))


def rerun(
    case: Case,
    facts: dict[str, Any],
    again: Case,
    options: Options,
    engine: Engine,
    *,
    clock: Callable[[], datetime],
    reading: Callable[[Progress], None] | None = None,
    stages: Stages | None = None,
) -> Rerun:
    """Investigate the evidence of `case` again in the new case `again`, and compare.

    Args:
        case: the case, open for reading.
        facts: of its last run.
        again: an empty case with the same settings, open for writing.
        options: rules, workers and compiled rules as for :func:`casemate.investigate.run.investigate`.
        engine: what runs the second investigation.
        clock: the time (UTC) of the new registrations.
        reading, stages: progress.

    Raises:
        CannotFinish: evidence that was left in place is gone or changed, or an interrupted run left
            members of a container without it.
    """
    files, undated = received(case)
    notes = _notes(case, facts, undated)
    report: RunReport | None = None
    for wave in waves(files) or [[]]:
        report = investigate(
            again,
            cast("Sequence[Path]", wave),
            options,
            engine,
            who="rerun",
            clock=clock,
            reading=reading,
            stages=stages,
        )
        notes.extend(f"{problem.where}: {problem.what}" for problem in report.intake.problems[:20])
    assert report is not None
    compared = compare(case, again)
    counts = {table.table: table.rows for table in compared}
    return Rerun(
        str(facts.get("run")),
        report.run,
        tuple(compared),
        counts.get("evidence", 0),
        counts.get("findings", 0),
        tuple(dict.fromkeys(notes)),
    )


# the evidence as it was received


def received(case: Case) -> tuple[list[Found], int]:
    """Every file as it was received, in order, with its kept content; and how many have no known date.

    A content that came again under its last path says nothing new and is left out.

    Raises:
        CannotFinish: some content cannot be read any more, or was never taken in whole.
    """
    files: list[Found] = []
    last: dict[str, str] = {}
    parents: set[str] = set()
    undated = 0
    for row in _registrations(case):
        if row["parent"] is not None:
            parents.add(row["parent"])
            continue
        evidence, path = row["evidence"], row["path"]
        if last.get(path) == evidence:
            continue
        last[path] = evidence
        undated += row["dated"] is None
        try:
            source = case.source(evidence)
            if case.blobs[evidence].reference is not None:
                source.open().close()  # checks that it is still the same
        except (UnreadableEvidence, CaseDamaged) as error:
            raise CannotFinish(f"cannot be read again: {error.what}", where=error.where or path) from None
        files.append(Found(Path(path), source.size, row["dated"] or row["registered_at"], source))
    if lost := parents - set(case.blobs):
        raise CannotFinish(
            f"{len(lost)} containers were only taken in part, by a run that was interrupted",
            where=str(case.path),
            hint="investigate them again first",
        )
    return files, undated


def waves(files: Iterable[Found]) -> list[list[Found]]:
    """The files in runs: what came under the path of an earlier file may continue it, so it comes in a later run."""
    made: list[list[Found]] = []
    paths: set[Path] = set()
    for file in files:
        if not made or file.path in paths:
            made.append([])
            paths = set()
        paths.add(file.path)
        made[-1].append(file)
    return made


def _registrations(case: Case) -> Iterator[Row]:
    for part in case.part_paths(REGISTRATIONS_TABLE):
        for row in pq.read_table(part).to_pylist():
            yield {"dated": None, **row}


def _notes(case: Case, facts: dict[str, Any], undated: int) -> list[str]:
    notes = []
    rule_set, placeholders = str(facts.get("rule_set")), placeholders_of_run(facts)
    if facts.get("casemate") != __version__:
        notes.append(f"the last run was by Casemate {facts.get('casemate')}, this is {__version__}")
    elif facts.get("run") != run_id(case, rule_set, placeholders, tunings_of_run(facts), facts.get("yara_rule_set")):
        notes.append("settings or evidence changed since the last run that came to its end")
    if phase_state(case, PHASE).inputs != rules_inputs(rule_set, placeholders, case.settings.limits):
        notes.append("the findings were made by another state of Casemate's code or libraries than this one")
    if undated:
        notes.append(
            f"the dates of {undated:,} files were not kept by an older version: "
            "years of logs without a year are inferred from when the files were registered"
        )
    return notes


# comparing


def compare(case: Case, again: Case) -> list[TableComparison]:
    """Every table of both cases but the registrations, by name."""
    names = sorted({*case.tables(), *again.tables()} - UNCOMPARED)
    return [_compare_table(case, again, name) for name in names]


def _compare_table(case: Case, again: Case, table: str) -> TableComparison:
    rows, rows_again = (sum(part.rows for part in side.live_parts(table)) for side in (case, again))
    hashes = case.row_hash(table), again.row_hash(table)
    if hashes[0] == hashes[1]:
        return TableComparison(table, rows, rows_again, *hashes)
    ours, theirs = _counted(case, table), _counted(again, table)
    missing, missing_count = _beyond(ours, theirs)
    added, added_count = _beyond(theirs, ours)
    return TableComparison(
        table,
        rows,
        rows_again,
        *hashes,
        missing_count,
        added_count,
        _first_rows(case, table, missing),
        _first_rows(again, table, added),
    )


_Keys = npt.NDArray[np.uint64]
_Counted = tuple[_Keys, npt.NDArray[np.int64]]  # distinct keys, sorted, and how often each stands


def _counted(case: Case, table: str) -> _Counted:
    parts = [row_keys(batch)[:, 0] for path in case.part_paths(table) for batch in read_part(path)]
    keys, counts = np.unique(np.concatenate(parts) if parts else np.zeros(0, np.uint64), return_counts=True)
    return keys, counts.astype(np.int64)


def _beyond(ours: _Counted, theirs: _Counted) -> tuple[_Keys, int]:
    """Keys that stand more often in `ours`, and how many rows that is."""
    keys, counts = ours
    place = np.searchsorted(theirs[0], keys)
    inside = np.minimum(place, max(len(theirs[0]) - 1, 0))
    same = (theirs[0][inside] == keys) if len(theirs[0]) else np.zeros(len(keys), bool)
    other = np.where(same, theirs[1][inside] if len(theirs[1]) else 0, 0)
    more = counts - other
    return keys[more > 0], int(more[more > 0].sum())


def _first_rows(case: Case, table: str, keys: _Keys) -> tuple[Row, ...]:
    found = heapq.nsmallest(ROWS_SHOWN, _rows_with(case, table, keys), key=_place)
    return tuple({name: _shortened(value) for name, value in row.items()} for row in found)


def _rows_with(case: Case, table: str, keys: _Keys) -> Iterator[Row]:
    if not len(keys):
        return
    for path in case.part_paths(table):
        for batch in read_part(path):
            given = row_keys(batch)[:, 0]
            hit = keys[np.minimum(np.searchsorted(keys, given), len(keys) - 1)] == given
            if hit.any():
                chosen = batch.filter(pa.array(hit))
                yield from json_rows(chosen, chosen.schema.names)


def identity(row: Row) -> tuple[str, int]:
    """What a row is about: evidence and record, or its id."""
    name = next((row[key] for key in ("id", "finding", "attempt", "evidence", "path") if row.get(key)), "")
    return str(name), row.get("record") or 0


def _place(row: Row) -> tuple[str, int, bytes]:
    return *identity(row), orjson.dumps(row, option=orjson.OPT_SORT_KEYS, default=str)


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_SHOWN:
        return f"{value[:TEXT_SHOWN]}... ({len(value):,} characters)"
    if isinstance(value, list) and len(value) > 20:
        return [*value[:20], f"... ({len(value):,} values)"]
    return value
