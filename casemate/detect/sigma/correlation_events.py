"""The matches of the rules a correlation refers to, as sorted columns.

A *part* is what one referenced rule brings in: the matches of a base rule, or the runs of another
correlation.  :func:`collect` puts the parts of one correlation together: group-by fields to group
numbers, rows sorted by group, time, evidence and record, rows that cannot take part counted by
reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa

from casemate.detect.sigma.correlation_rules import NUMERIC_KINDS, Correlation
from casemate.detect.sigma.correlation_windows import Flags, Integers

NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,18})?([eE][+-]?\d{1,2})?")
"""What counts as a number in a field: decimal, optionally with an exponent; nothing else."""
LARGEST_NUMBER = Decimal(10) ** 30
FRACTION_DIGITS = 30
"""A number that needs more digits after the point is not taken as one."""

ENDPOINTS = "casemate.endpoints"
"""Column of matches with what each record says of source, target, vector and outcome."""

NO_TIME = "without a time"
NO_GROUP = "without a value of a group-by field"
NO_VALUE = "without a value of the condition's field"
NO_NUMBER = "whose value is no number"


@dataclass(frozen=True)
class Part:
    """What one rule brings into correlations.

    Args:
        time: microseconds since 1970 UTC; rows without a time have `timeless` set.
        evidence: number of the evidence in the sorted list of all; `record` as recorded.
        subject: number of the match a row belongs to; a base rule's row is a match of its own
            (None), a run of a correlation has one row for each moment it is present.
        fields: text columns by event field, null where the event lacks the field.
    """

    time: Integers
    timeless: Flags
    evidence: Integers
    record: Integers
    subject: Integers | None
    fields: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.time)

    def column(self, name: str) -> pa.Array:
        """A field's values, all null where the rule's events do not have it."""
        found = self.fields.get(name)
        return found if found is not None else pa.nulls(len(self), pa.string())


@dataclass(frozen=True)
class Events:
    """Rows of one correlation, sorted by group, time, evidence, record, position.

    Args:
        position: which of the distinct referenced keys the row comes from.
        subject: match number within its reference, -1 where the row is a match of its own.
        value: code of the condition's field (``value_count``) or the number times `scale`.
        groups: for each group number the values of the group-by fields.
        row: index into the parts laid end to end, to find what else is known about a row.
        endpoint: index into `endpoints` of what the row's record says of itself, -1 if nothing.
        excluded: rows that could not take part, by reason.
    """

    group: Integers
    time: Integers
    evidence: Integers
    record: Integers
    position: Integers
    subject: Integers
    value: np.ndarray | None
    scale: int
    groups: tuple[tuple[str, ...], ...]
    row: Integers
    endpoint: Integers
    endpoints: tuple[str, ...]
    excluded: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.time)


def base_part(matches: pa.Table, fields: Sequence[str], evidences: pa.Array) -> Part:
    """The matches of one base rule.

    Args:
        matches: ``evidence, record, time`` (timestamp, null if unknown) and one column per field.
        fields: the fields correlations need of it.
        evidences: sorted list of all evidence.
    """
    whole = matches.combine_chunks()
    time = _plain(whole["time"]).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return Part(
        time=_integers(time.fill_null(0)),
        timeless=np.asarray(time.is_null()),
        evidence=_places(_text(whole["evidence"]), evidences),
        record=_integers(_plain(whole["record"])),
        subject=None,
        fields={name: _text(whole[name]) for name in (*fields, ENDPOINTS) if name in whole.column_names},
    )


def all_evidence(tables: Sequence[pa.Table]) -> pa.Array:
    """Sorted list of the evidence named in any of the tables."""
    names = {name for table in tables for name in table["evidence"].unique().to_pylist()}
    return pa.array(sorted(names), pa.string())


def collect(correlation: Correlation, parts: Mapping[str, Part]) -> Events:
    """Group and sort what the referenced rules bring in."""
    references = list({reference.key: reference for reference in correlation.references}.values())
    taken = [parts[reference.key] for reference in references]
    sizes = [len(part) for part in taken]
    total = sum(sizes)
    timeless = _joined([part.timeless for part in taken], bool)
    excluded: dict[str, int] = {}

    def drop(keep: Flags, unwanted: Flags, reason: str) -> Flags:
        count = int(np.count_nonzero(keep & unwanted))
        if count:
            excluded[reason] = excluded.get(reason, 0) + count
        return keep & ~unwanted

    keep = drop(np.ones(total, bool), timeless, NO_TIME)
    keys, texts, lacking = _codes(
        [
            [part.column(ref.group_fields[index]) for part, ref in zip(taken, references, strict=True)]
            for index in range(len(correlation.group_by))
        ],
        total,
    )
    keep = drop(keep, lacking, NO_GROUP)
    value: np.ndarray | None = None
    scale = 1
    if correlation.kind == "value_count" or correlation.kind in NUMERIC_KINDS:
        columns = [
            [part.column(ref.value_fields[index]) for part, ref in zip(taken, references, strict=True)]
            for index in range(len(references[0].value_fields))
        ]
        codes, words, lacking = _codes(columns, total)
        keep = drop(keep, lacking, NO_VALUE)
        value = codes
        if correlation.kind in NUMERIC_KINDS:
            numbers, is_number, scale = _numbers([word[0] for word in words])
            keep = drop(keep, ~is_number[codes] if len(is_number) else ~keep, NO_NUMBER)
            value = numbers[codes] if len(numbers) else np.zeros(total, np.int64)
    chosen = np.flatnonzero(keep)
    time = _joined([part.time for part in taken], np.int64)[chosen]
    evidence = _joined([part.evidence for part in taken], np.int64)[chosen]
    record = _joined([part.record for part in taken], np.int64)[chosen]
    position = np.repeat(np.arange(len(taken)), sizes)[chosen]
    subject = _joined(
        [part.subject if part.subject is not None else np.full(len(part), -1) for part in taken], np.int64
    )[chosen]
    said = pa.concat_arrays([part.column(ENDPOINTS) for part in taken]).dictionary_encode()
    present, group = np.unique(keys[chosen], return_inverse=True)
    order = np.lexsort((position, record, evidence, time, group))
    if correlation.kind == "event_count" or correlation.kind in NUMERIC_KINDS:
        order = order[_first_of_each_event(group, evidence, record, subject, order)]
    return Events(
        group=group[order].astype(np.int64),
        time=time[order],
        evidence=evidence[order],
        record=record[order],
        position=position[order].astype(np.int64),
        subject=subject[order],
        value=value[chosen][order] if value is not None else None,
        scale=scale,
        groups=tuple(texts[key] for key in present.tolist()),
        row=chosen[order],
        endpoint=_integers(said.indices.fill_null(-1))[chosen][order],
        endpoints=tuple(said.dictionary.to_pylist()),
        excluded=excluded,
    )


def carried(events: Events, column: Sequence[pa.Array]) -> pa.Array:
    """A field of the events' rows, from the columns of the parts in the order of `collect`."""
    return pa.concat_arrays(list(column)).take(pa.array(events.row))


def _first_of_each_event(
    group: Integers, evidence: Integers, record: Integers, subject: Integers, order: Integers
) -> Flags:
    """An event that several of the referenced rules match counts once; matches of correlations
    are told apart later, by their subject."""
    first = np.ones(len(order), bool)
    if len(order) > 1:
        same = subject[order[1:]] == -1
        for column in (group, evidence, record, subject):
            same &= column[order[1:]] == column[order[:-1]]
        first[1:] = ~same
    return first


def _codes(columns: Sequence[Sequence[pa.Array]], total: int) -> tuple[Integers, list[tuple[str, ...]], Flags]:
    """Number the combinations of several text columns.

    Returns:
        a number per row (0 where a value is missing), the texts of each number, and the rows
        that miss a value.
    """
    codes = np.zeros(total, np.int64)
    texts: list[tuple[str, ...]] = [()]
    lacking = np.zeros(total, bool)
    for pieces in columns:
        encoded = pa.concat_arrays(list(pieces)).dictionary_encode()
        words = encoded.dictionary.to_pylist()
        lacking |= np.asarray(encoded.indices.is_null())
        own = _integers(encoded.indices.fill_null(0))
        if not words:
            return codes * 0, [], np.ones(total, bool)
        pairs, codes = np.unique(codes * len(words) + own, return_inverse=True)
        texts = [(*texts[pair // len(words)], words[pair % len(words)]) for pair in pairs.tolist()]
    return codes, texts, lacking


def _numbers(words: Sequence[str]) -> tuple[np.ndarray, Flags, int]:
    """Words as integers of one common scale: int64 where that is enough, else Python integers."""
    parsed = [_number(word) for word in words]
    digits = max((-int(number.as_tuple().exponent) for number in parsed if number is not None), default=0)
    scale = 10 ** max(digits, 0)
    whole = [int(Fraction(number) * scale) if number is not None else 0 for number in parsed]
    small = all(abs(number) < 2**62 for number in whole)
    return np.array(whole, np.int64 if small else object), np.array([n is not None for n in parsed], bool), scale


def _number(word: str) -> Decimal | None:
    text = word.strip()
    if not NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > FRACTION_DIGITS or abs(number) >= LARGEST_NUMBER:
        return None
    return number


def _joined(arrays: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *arrays]).astype(kind, copy=False)


def _places(words: pa.Array, among: pa.Array) -> Integers:
    """Where each word stands in a list."""
    encoded = words.dictionary_encode()
    place = {word: index for index, word in enumerate(among.to_pylist())}
    places = np.array([place[word] for word in encoded.dictionary.to_pylist()], np.int64)
    return places[_integers(encoded.indices)] if len(places) else np.zeros(len(words), np.int64)


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _text(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return _plain(column).cast(pa.string())


def _integers(array: pa.Array) -> Integers:
    return array.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
