"""After an intake: records that several pieces of evidence hold count in the one that came first.

Found here are logs of which neither is the beginning of the other: a log that was cut at its front
(``copytruncate``, ``tail``) or whose oldest records were overwritten (an event log that wrapped).
The tables say where to look, the bytes decide: only records that stand byte for byte in the
evidence that came before are taken out, in one commit, with a note.  What looks alike and cannot be
proved is said in a note and counts twice.  Asked are all pieces of evidence at every intake, so an interrupted run
is made good by the next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from casemate.engine.store import Store
from casemate.errors import CaseDamaged, UnreadableEvidence
from casemate.evidence.blobs import source_of
from casemate.evidence.continuing import Superseded, add_notes, take_out
from casemate.evidence.event_log_copies import EVTX, same_records
from casemate.evidence.known import REGISTRATIONS_TABLE, KnownEvidence, known_evidence, rows
from casemate.evidence.line_overlaps import LineOverlap, line_overlap
from casemate.evidence.overlap_candidates import Shift, event_log_pairs, line_pairs
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.request_stages import supersede_early_stages

MOST_ROUNDS = 16
MOST_RUNS = 1_000
"""Stretches of one event log that may be taken out; more are left in and said to count twice."""


@dataclass(frozen=True)
class Doubled:
    """What is to be taken out, and what is only to be said (evidence and note)."""

    superseded: tuple[Superseded, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def count_once(store: Store, readers: Sequence[ReaderSpec]) -> None:
    """Take records out that older evidence of the case holds too; mark early stages of one request.

    Raises:
        CannotFinish: the disk is full.
    """
    found: list[Doubled] = []
    for _ in range(MOST_ROUNDS):  # what is left of a log may stand in a third one
        found = _doubled(store, readers)
        superseded = [item for one in found for item in one.superseded]
        stage = store.stage()
        removed = take_out(store, stage, superseded)
        if not removed:
            store.discard(stage)
            break
        store.commit(stage, remove=removed, facts={"phase": "ingest", "counted_once": len(superseded)})
    notes: dict[str, set[str]] = {}
    for one in found:
        for name, note in one.notes:
            notes.setdefault(name, set()).add(note)
    if notes:
        stage = store.stage()
        removed = add_notes(store, stage, notes)
        if removed:
            store.commit(stage, remove=removed, facts={"phase": "ingest", "noted": len(notes)})
        else:
            store.discard(stage)
    supersede_early_stages(store)


def _doubled(store: Store, readers: Sequence[ReaderSpec]) -> list[Doubled]:
    evidence = {name: known for name, known in known_evidence(store).evidence.items() if known.records}
    arrived = _arrivals(store)
    return [*_logs_of_lines(store, readers, evidence, arrived), *_event_logs(store, evidence, arrived)]


def _arrivals(store: Store) -> dict[str, int]:
    """The order in which pieces of evidence were first registered."""
    arrived: dict[str, int] = {}
    for number, (name,) in enumerate(rows(store, REGISTRATIONS_TABLE, ["evidence"])):
        arrived.setdefault(name, number)
    return arrived


# logs of lines


def _logs_of_lines(
    store: Store, readers: Sequence[ReaderSpec], evidence: Mapping[str, KnownEvidence], arrived: Mapping[str, int]
) -> list[Doubled]:
    formats = {reader.format: reader for reader in readers if reader.continues}
    logs = {name: known for name, known in evidence.items() if known.format in formats}
    if len(logs) < 2:
        return []
    family, longest = _families(store, logs)
    first = {root: min(arrived.get(name, 0) for name in members) for root, members in family.items()}
    tables: dict[str, set[str]] = {}
    for known in logs.values():
        for table in formats[known.format].tables:
            tables.setdefault(table.name, set()).add(known.sha256)
    of = {name: root for root, members in family.items() for name in members}
    formats_of = {root: logs[members[0]].format for root, members in family.items()}
    pairs: dict[tuple[str, str], set[Shift]] = {}
    for table in sorted(tables):
        if len(tables[table]) > 1:
            for key, shifts in line_pairs(store, table, of).items():
                pairs.setdefault(key, set()).update(shifts)
    done: list[Doubled] = []
    for (earlier, later), shifts in sorted(pairs.items(), key=lambda pair: [first[root] for root in pair[0]]):
        if formats_of[earlier] == formats_of[later]:
            with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                contents = [source_of(store.root, store.state.blobs, longest[root]) for root in (earlier, later)]
                overlap = line_overlap(contents[0], contents[1], sorted(shifts))
                if overlap is not None:
                    members = family[earlier], family[later]
                    names = longest[earlier], longest[later]
                    done.append(_decided(overlap, names, members, first[earlier] < first[later]))
    return done


def _families(store: Store, logs: Mapping[str, KnownEvidence]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Logs with what they continue, by the first of them: those with rows, and the longest."""
    everything = known_evidence(store).evidence
    family: dict[str, list[str]] = {}
    for name in logs:
        root = name
        seen = {name}
        while (before := everything[root].continues) in everything and before not in seen:
            assert before is not None
            seen.add(before)
            root = before
        family.setdefault(root, []).append(name)
    return family, {root: max(members, key=lambda name: logs[name].bytes) for root, members in family.items()}


def _decided(
    overlap: LineOverlap, names: tuple[str, str], members: tuple[list[str], list[str]], earlier_came_first: bool
) -> Doubled:
    """What is taken out of which of the two; `names` are the longest contents of the two families."""
    earlier, later = names
    lines = f"{overlap.lines:,} lines" if overlap.lines != 1 else "one line"
    if not overlap.proved:
        where = "at its end" if overlap.to_the_end else "in its middle"
        note = f"begins with {lines} that {earlier} holds {where}; {overlap.doubt}: they are counted twice"
        return Doubled(notes=((later, note),))
    taken: list[Superseded] = []

    def take(whose: list[str], by: str, begin: int, end: int, note: str) -> None:
        if begin < end:
            taken.extend(Superseded(name, 0, by, begin, end, note) for name in whose)

    k, begin, end = overlap.shift, overlap.begin, overlap.end
    if earlier_came_first:
        note = f"its first {lines} are also in {earlier}; they are counted there"
        take(members[1], earlier, begin, end, note)
    else:
        note = f"{lines} of it, from byte {k + begin:,} on, are also in {later}; they are counted there"
        take(members[0], later, k + begin, k + end, note)
    note = f"its first line is the end of one in {earlier}; it is counted there"
    take(members[1], earlier, 0, begin, note)
    if overlap.later_unfinished:
        note = f"its last line was unfinished; it is counted in {earlier}"
        take(members[1], earlier, end, overlap.length, note)
    if overlap.earlier_unfinished:
        note = f"its last line was unfinished; it is counted in {later}"
        take(members[0], later, k + end, k + overlap.length, note)
    return Doubled(tuple(taken))


# event logs


def _event_logs(store: Store, evidence: Mapping[str, KnownEvidence], arrived: Mapping[str, int]) -> list[Doubled]:
    logs = {name for name, known in evidence.items() if known.format == EVTX}
    if len(logs) < 2:
        return []
    done: list[Doubled] = []
    for first, second in event_log_pairs(store, logs):
        if arrived.get(first, 0) > arrived.get(second, 0):
            first, second = second, first
        with contextlib.suppress(UnreadableEvidence, CaseDamaged):
            contents = [source_of(store.root, store.state.blobs, name) for name in (first, second)]
            same = same_records(contents[0], contents[1], _kept_at(store, first))
            if len(same.stretches) > MOST_RUNS:
                note = f"holds {same.records:,} records that {first} holds too: they are counted twice"
                done.append(Doubled(notes=((second, note),)))
            elif same.stretches:
                what = "record" if same.records == 1 else "records"
                note = f"{same.records:,} {what} of it ({same.numbers}) are also in {first}; they are counted there"
                done.append(
                    Doubled(tuple(Superseded(second, 0, first, begin, end, note) for begin, end in same.stretches))
                )
    return done


def _kept_at(store: Store, name: str) -> pa.Array:
    """Where the records of an event log stand that have rows."""
    filters = [("evidence", "=", name)]
    held = [pq.read_table(path, columns=["offset"], filters=filters) for path in store.part_paths("windows_event")]
    return pa.concat_tables(held)["offset"].combine_chunks()
