"""Sigma correlations over the matches of single-event rules.

A correlation is evaluated per group in windows of its timespan that end at each event (both ends
included); satisfied windows that share an event are one *run*, and each run is one finding with
all the records of its windows.  All semantics: ``docs/decisions/0004-correlations.md``.

Pure functions over Arrow tables: the matches may come from any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from casemate.detect.sigma.correlation_events import ENDPOINTS, Events, Part, all_evidence, base_part, carried, collect
from casemate.detect.sigma.correlation_measures import Measured, measure
from casemate.detect.sigma.correlation_needs import needed_fields
from casemate.detect.sigma.correlation_rules import Correlation
from casemate.detect.sigma.correlation_windows import Integers, runs, windows


@dataclass(frozen=True)
class RecordLists:
    """Sorted lists of records without doubles, one per run: ``offsets`` as in Arrow lists."""

    offsets: Integers
    evidence: Integers
    record: Integers


@dataclass(frozen=True)
class Evaluated:
    """One correlation's runs.

    Args:
        correlation: the rule.
        events: what took part.
        measured: the measure of each row's window.
        first, end, trigger: per run its first row, the row after its last, and the row whose
            window was the first to satisfy the condition.
        records: per run the records it rests on.
        began: per run the time of its earliest record.
    """

    correlation: Correlation
    events: Events
    measured: Measured
    first: Integers
    end: Integers
    trigger: Integers
    records: RecordLists
    began: Integers

    def __len__(self) -> int:
        return len(self.first)


def evaluate(correlations: Sequence[Correlation], matches: Mapping[str, pa.Table]) -> tuple[list[Evaluated], list[str]]:
    """Evaluate correlations over the matches of the rules they refer to.

    Args:
        correlations: as :func:`~casemate.detect.sigma.correlation_compile.compile_correlations`
            returns them (each after those it refers to).
        matches: per base rule id a table ``evidence, record, time`` and the text columns that
            :func:`~casemate.detect.sigma.correlation_needs.needed_fields` asks for, optionally
            :data:`~casemate.detect.sigma.correlation_events.ENDPOINTS`.  A rule without a table
            has no matches.

    Returns:
        the evaluated correlations in the order given, and the sorted list of evidence that the
        numbers in them stand for.
    """
    evidences = all_evidence(list(matches.values()))
    fields = needed_fields(correlations)
    parts: dict[str, Part] = {
        key: base_part(matches.get(key, _NO_MATCHES), names, evidences) for key, names in fields.items()
    }
    asked = _asked_of_correlations(correlations)
    done: dict[str, Evaluated] = {}
    for correlation in correlations:
        events = collect(correlation, parts)
        over = windows(events.group, events.time, correlation.timespan)
        measured = measure(correlation, events, over)
        first, end, trigger = runs(measured.satisfied, over)
        records = _records(correlation, events, first, end, done)
        began = _began(correlation, events, first, end, done)
        evaluated = Evaluated(correlation, events, measured, first, end, trigger, records, began)
        done[correlation.key] = evaluated
        if correlation.key in asked:
            parts[correlation.key] = _part(evaluated, asked[correlation.key], parts)
    return [done[correlation.key] for correlation in correlations], evidences.to_pylist()


_NO_MATCHES = pa.table(
    {
        "evidence": pa.array([], pa.string()),
        "record": pa.array([], pa.int64()),
        "time": pa.array([], pa.timestamp("us", tz="UTC")),
    }
)


def _asked_of_correlations(correlations: Sequence[Correlation]) -> dict[str, tuple[str, ...]]:
    """Which fields other correlations want of a correlation's matches."""
    asked: dict[str, set[str]] = {}
    for correlation in reversed(correlations):  # those that refer before those they refer to
        carried_on = asked.get(correlation.key, set()) - set(correlation.group_by)
        for reference in correlation.references:
            if reference.correlation:
                wanted = {*reference.group_fields, *reference.value_fields, *carried_on}
                asked.setdefault(reference.key, set()).update(wanted)
    return {key: tuple(sorted(names)) for key, names in asked.items()}


def _part(evaluated: Evaluated, fields: Sequence[str], parts: Mapping[str, Part]) -> Part:
    """A correlation's runs as something other correlations can refer to.

    A run is present at the time of each of its events, those before the condition first held
    being moved to that moment; so "followed by" means after the condition held, and a value of a
    field that is not in its ``group-by`` belongs to it if one of its events carries the value.
    """
    events, correlation = evaluated.events, evaluated.correlation
    sizes = evaluated.end - evaluated.first
    run = np.repeat(np.arange(len(evaluated)), sizes)
    row = np.arange(len(run)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(evaluated.first, sizes)
    trigger = evaluated.trigger[run]
    early = events.time[row] < events.time[trigger]
    shown = np.where(early, trigger, row)
    columns: dict[str, pa.Array] = {}
    references = list({reference.key: reference for reference in correlation.references}.values())
    for name in (*fields, ENDPOINTS):
        if name in correlation.group_by:
            index = correlation.group_by.index(name)
            words = pa.array([group[index] for group in events.groups], pa.string())
            columns[name] = words.take(pa.array(events.group[row]))
        else:
            whole = carried(events, [parts[reference.key].column(name) for reference in references])
            columns[name] = whole.take(pa.array(row))
    return Part(
        time=events.time[shown],
        timeless=np.zeros(len(row), bool),
        evidence=events.evidence[shown],
        record=events.record[shown],
        subject=run,
        fields=columns,
    )


def _records(
    correlation: Correlation, events: Events, first: Integers, end: Integers, done: Mapping[str, Evaluated]
) -> RecordLists:
    """The records of each run: its rows' own, and all those of the matches it holds."""
    sizes = end - first
    run = np.repeat(np.arange(len(first)), sizes)
    row = np.arange(len(run)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(first, sizes)
    columns = [np.stack([run, events.evidence[row], events.record[row]])]
    for position, inner in _inner(correlation, done):
        mine = events.position[row] == position
        pairs = np.unique(np.stack([run[mine], events.subject[row][mine]]), axis=1)
        starts, stops = inner.records.offsets[pairs[1]], inner.records.offsets[pairs[1] + 1]
        lengths = stops - starts
        index = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)
        outer = np.repeat(pairs[0], lengths)
        columns.append(np.stack([outer, inner.records.evidence[index], inner.records.record[index]]))
    runs_of, evidence, record = np.concatenate(columns, axis=1)
    order = np.lexsort((record, evidence, runs_of))
    runs_of, evidence, record = runs_of[order], evidence[order], record[order]
    new = np.ones(len(order), bool)
    new[1:] = (runs_of[1:] != runs_of[:-1]) | (evidence[1:] != evidence[:-1]) | (record[1:] != record[:-1])
    offsets = np.searchsorted(runs_of[new], np.arange(len(first) + 1))
    return RecordLists(offsets, evidence[new], record[new])


def _began(
    correlation: Correlation, events: Events, first: Integers, end: Integers, done: Mapping[str, Evaluated]
) -> Integers:
    if not len(first):
        return first
    time = events.time.copy()
    for position, inner in _inner(correlation, done):
        mine = events.position == position
        time[mine] = inner.began[events.subject[mine]]
    bounds = np.stack([first, np.minimum(end, len(time) - 1)], axis=1).ravel()
    lowest = np.minimum.reduceat(time, bounds)[::2]  # each second piece lies between two runs
    lowest[-1] = time[first[-1] : end[-1]].min()
    return lowest


def _inner(correlation: Correlation, done: Mapping[str, Evaluated]) -> Iterator[tuple[int, Evaluated]]:
    """The correlations among the distinct references, with their position."""
    distinct = {reference.key: reference for reference in correlation.references}
    for position, reference in enumerate(distinct.values()):
        if reference.correlation:
            yield position, done[reference.key]
