"""Rules on decoded text: each rule is held, as a whole, against one variant of one field at a time.

A decoded variant takes the place of its field's value; all other fields stay as recorded, so that parts of
different variants never combine.  A variant counts only where its text fulfils a part of the rule that the
recorded value does not fulfil (else nothing was hidden, or only an exclusion of the rule went away), and only
where the rule did not match the record as it stands.  A record is one finding of a rule, whichever of its
variants matched; ``why`` says which: ``{"variant": {"field", "recorded", "depth", "steps", "text"}}``.

Works around the kernels of :mod:`.kernel` through what they offer, not inside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from casemate.decode.columns import ENCODED, EncodedField
from casemate.detect.sigma.cache import open_matcher
from casemate.detect.sigma.compiled import SUPPRESSED_SUFFIX, Node
from casemate.detect.sigma.decoding import DecodedField, decoded_fields, decoded_rows, fields_read
from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.detect.sigma.kernel import LOWER_CONFIDENCE, SigmaFindings, SigmaMatches, findings_of, matches_of
from casemate.detect.sigma.match import BatchMatches, TableMatcher
from casemate.detect.sigma.why import shortened
from casemate.engine.protocol import Kernel
from casemate.limits import Limits
from casemate.schema.decoded import DECODED_TEXT
from casemate.schema.findings import FINDINGS_WITH_RECORDS, RECORD, finding_id

DETECTOR = "sigma_decoded"
"""Tells findings on decoded text from those on text as recorded, in every count."""
ROWS_TOGETHER = 8_192
"""Rows of variants that are matched at a time."""
TEXT_CHARACTERS = 2_000
"""Most characters of a decoded text in a reason; the whole of it stands in ``decoded_text``."""

FOUND = pa.schema(
    [
        *(one.with_nullable(True) for one in FINDINGS_WITH_RECORDS),
        pa.field("decoded", pa.struct([one.with_nullable(True) for one in DECODED_TEXT])),
    ]
)
"""A finding, or a row of ``decoded_text``: both come from one pass over the records."""


@dataclass(frozen=True)
class FindingsWithDecoded:
    """Findings of all rules on one table, decoded variants included, and the decoded texts: rows of :data:`FOUND`.

    Args:
        plain: the kernel without decoding; None for a table that no rule is for.
        table: the native table.
        limits: of decoding.
    """

    plain: SigmaFindings | None
    table: str
    limits: Limits = field(default_factory=Limits)

    def build(self) -> Kernel:
        """Build the kernel; once in each worker."""
        plain, fields = self.plain, ENCODED.get(self.table, ())
        run = None if plain is None else plain.build()
        matcher = None if plain is None else open_matcher(Path(plain.folder), self.table)

        def work(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = [] if run is None else [as_found(run(batch))]
            decoded = list(decoded_fields(batch, fields, self.limits))
            if decoded:
                found.append(decoded_texts(batch, decoded))
                if matcher is not None:
                    found.append(as_found(decoded_findings(matcher, batch, decoded)))
            return together(found, FOUND)

        return work

    def columns(self, declared: Iterable[str]) -> list[str]:
        """Which of the table's columns the kernel reads."""
        declared = list(declared)
        own = {"evidence", "record", "time", *fields_read(self.table, declared)}
        wanted = own | set(() if self.plain is None else self.plain.columns(declared))
        return [name for name in declared if name in wanted]


@dataclass(frozen=True)
class MatchesWithDecoded:
    """What :class:`SigmaMatches` finds, and besides it the records of which a decoded variant matches."""

    plain: SigmaMatches
    limits: Limits = field(default_factory=Limits)

    def schema(self) -> pa.Schema:
        """Columns of the result."""
        return self.plain.schema()

    def build(self) -> Kernel:
        """Build the kernel; once in each worker."""
        plain, schema = self.plain, self.plain.schema()
        run = plain.build()
        matcher = open_matcher(Path(plain.folder), plain.table, only=frozenset(plain.rules))
        fields = asked_of(matcher, ENCODED.get(plain.table, ()))

        def work(batch: pa.RecordBatch) -> pa.RecordBatch:
            decoded = decoded_fields(batch, fields, self.limits)
            found = [run(batch), decoded_matches(matcher, batch, decoded, plain.fields, schema)]
            return together(found, schema)

        return work

    def columns(self, declared: Iterable[str]) -> list[str]:
        """Which of the table's columns the kernel reads."""
        declared = list(declared)
        wanted = {*self.plain.columns(declared), *fields_read(self.plain.table, declared)}
        return [name for name in declared if name in wanted]


def asked_of(matcher: TableMatcher, fields: Sequence[EncodedField]) -> tuple[EncodedField, ...]:
    """Those of the fields that some rule asks for."""
    if matcher.reads_everything:
        return tuple(fields)
    names = matcher.column_names()
    return tuple(one for one in fields if one.name.lower() in names)


def split_found(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Rows of :data:`FOUND` as ``FINDINGS_WITH_RECORDS`` and ``DECODED_TEXT``."""
    decoded = batch.column("decoded")
    told = decoded.is_valid()
    texts = decoded.filter(told)
    found = batch.filter(decoded.is_null())
    return (
        pa.RecordBatch.from_arrays(
            [found.column(name) for name in FINDINGS_WITH_RECORDS.names], schema=FINDINGS_WITH_RECORDS
        ),
        pa.RecordBatch.from_arrays([texts.field(place) for place in range(len(DECODED_TEXT))], schema=DECODED_TEXT),
    )


# --- variants as rows -----------------------------------------------------------------------------------


class _Place(NamedTuple):
    """One row of variants: a row of the batch and what takes a field's place in it."""

    row: int
    decoded: DecodedField


class _Varied:
    """Some variants, as a batch that a kernel can be given: ``record`` is the number of the variant."""

    def __init__(self, batch: pa.RecordBatch, places: Sequence[_Place]) -> None:
        self.places = places
        rows = pa.array([place.row for place in places], pa.int64())
        made = _taken(batch, rows)
        for name in dict.fromkeys(place.decoded.field.name for place in places):
            made = _replaced(made, name, [_text_of(place, name) for place in places])
        number = made.schema.get_field_index("record")
        self.batch = made.set_column(number, batch.schema.field("record"), pa.array(np.arange(len(places)), pa.int64()))
        self.rows, self.row_of = np.unique(rows.to_numpy(), return_inverse=True)
        self.recorded = _taken(batch, pa.array(self.rows))


def _taken(batch: pa.RecordBatch, rows: pa.Array) -> pa.RecordBatch:
    """Some rows, without the values of all others: a taken column would still carry the dictionary of the whole."""
    return pa.RecordBatch.from_arrays([_taken_column(column, rows) for column in batch.columns], batch.schema.names)


def _taken_column(column: pa.Array, rows: pa.Array) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.null_count == len(column):  # most columns of most batches
        return pa.nulls(len(rows), kind)
    return column.take(rows).cast(kind)


def _text_of(place: _Place, name: str) -> str | None:
    return place.decoded.variant.text if place.decoded.field.name == name else None


def _replaced(batch: pa.RecordBatch, name: str, texts: list[str | None]) -> pa.RecordBatch:
    """The batch with some values of a column replaced; the column is added if it is not there."""
    lowered = [one.lower() for one in batch.schema.names]
    new = pa.array(texts, pa.string())
    if name.lower() not in lowered:
        return batch.append_column(name, new)
    place = lowered.index(name.lower())
    recorded = batch.column(place).cast(pa.string())
    filled = pa.array([old if text is None else text for old, text in zip(recorded.to_pylist(), texts, strict=True)])
    return batch.set_column(place, pa.field(batch.schema.names[place], pa.string()), filled.cast(pa.string()))


def _varied(matcher: TableMatcher, batch: pa.RecordBatch, decoded: Iterable[DecodedField]) -> Iterator[_Varied]:
    """The variants of a batch that some rule may ask for, so many at a time."""
    asked = asked_of(matcher, ENCODED.get(matcher.table, ()))
    places = (_Place(row, one) for one in decoded if one.variant.depth and one.field in asked for row in one.rows)
    while some := list(islice(places, ROWS_TOGETHER)):
        yield _Varied(batch, some)


# --- which variants match ------------------------------------------------------------------------------


def decoded_findings(matcher: TableMatcher, batch: pa.RecordBatch, decoded: Iterable[DecodedField]) -> pa.RecordBatch:
    """Findings on decoded variants of records that the rule does not match as recorded."""
    made: list[pa.RecordBatch] = []
    seen: set[tuple[str, int]] = set()
    for varied in _varied(matcher, batch, decoded):
        fresh = _fresh(matcher, varied, seen)
        numbers = sorted({number for number, rule in fresh if not rule.endswith(SUPPRESSED_SUFFIX)})
        if not numbers:
            continue
        found = findings_of(matcher, varied.batch.take(pa.array(numbers, pa.int64())))
        made += _of_records(found, varied, fresh, batch)
    return together(made, FINDINGS_WITH_RECORDS)


def decoded_matches(
    matcher: TableMatcher,
    batch: pa.RecordBatch,
    decoded: Iterable[DecodedField],
    values: tuple[str, ...],
    schema: pa.Schema,
) -> pa.RecordBatch:
    """What :func:`decoded_findings` is for findings, for matches."""
    made: list[pa.RecordBatch] = []
    seen: set[tuple[str, int]] = set()
    for varied in _varied(matcher, batch, decoded):
        fresh = _fresh(matcher, varied, seen)
        numbers = sorted({number for number, _ in fresh})
        if not numbers:
            continue
        found = matches_of(matcher, varied.batch.take(pa.array(numbers, pa.int64())), values, schema)
        pairs = zip(found.column("record").to_pylist(), found.column("rule").to_pylist(), strict=True)
        kept = [place for place, pair in enumerate(pairs) if pair in fresh]
        found = found.take(pa.array(kept, pa.int64()))
        rows = [varied.places[number].row for number in found.column("record").to_pylist()]
        place = schema.get_field_index("record")
        made.append(
            found.set_column(place, schema.field("record"), batch.column("record").take(pa.array(rows, pa.int64())))
        )
    return together(made, schema)


def _fresh(matcher: TableMatcher, varied: _Varied, seen: set[tuple[str, int]]) -> set[tuple[int, str]]:
    """Numbers of variants and ids of rules: the first variant of each record that matches where the record does not."""
    decoded = matcher.match(varied.batch)
    if not decoded.matches:
        return set()
    recorded = matcher.match(varied.recorded)
    known = {
        (matcher.plans[match.plan].rule, row) for match in recorded.matches for row in varied.rows[match.rows].tolist()
    }
    twins = {rule.id: number for number, rule in enumerate(matcher.rules.rules)}
    ids = [rule.id for rule in matcher.rules.rules]
    found: dict[tuple[str, int], int] = {}
    for match in decoded.matches:
        plan = matcher.plans[match.plan]
        rule = ids[plan.rule]
        # a record that a filter took out as recorded stays out, and is counted where it was
        plain = rule.removesuffix(SUPPRESSED_SUFFIX)
        related = [number for one in (plain, plain + SUPPRESSED_SUFFIX) if (number := twins.get(one)) is not None]
        condition = matcher.condition(match.plan)
        for number in match.rows.tolist():
            place = varied.places[number]
            if (rule, place.row) in seen or any((one, place.row) in known for one in related):
                continue
            if found.get((rule, place.row), number + 1) <= number:
                continue
            if _adds(
                condition, place.decoded.field.name.lower(), decoded, number, recorded, int(varied.row_of[number])
            ):
                found[rule, place.row] = number
    seen.update(found)
    return {(number, rule) for (rule, _), number in found.items()}


def _adds(node: Node, name: str, decoded: BatchMatches, number: int, recorded: BatchMatches, row: int) -> bool:
    """Whether a decoded field fulfils a part of the condition that the recorded one does not; exclusions aside."""
    kind = node[0]
    if kind in ("and", "or"):
        return any(_adds(part, name, decoded, number, recorded, row) for part in node[1])
    if kind == "selection":
        return _adds(node[2], name, decoded, number, recorded, row)
    if kind == "field":
        if not _rests_on(node[2], name):
            return False
        return bool((_held(decoded, node[2], number) - _held(recorded, node[2], row)).intersection(node[3]))
    if kind == "reference":
        return _rests_on(node[2], name) or _rests_on(node[4], name)
    if kind == "keyword":
        asked = frozenset(node[1])
        return bool(_keywords(decoded, asked, number, name) - _keywords(recorded, asked, row, None))
    return False


def _rests_on(column: str, name: str) -> bool:
    if column.startswith(DERIVED_PREFIX):
        return name in (one.lower() for one in DERIVED[column[len(DERIVED_PREFIX) :]].columns)
    return column.lower() == name


def _held(found: BatchMatches, column: str, row: int) -> set[int]:
    """The atoms that hold for a row's value in a column."""
    hits = found.hits.get(column)
    if hits is None or hits.column is None:
        return set()
    return set(hits.atoms.get(int(hits.column.codes[row]), ()))


def _keywords(found: BatchMatches, asked: frozenset[int], row: int, name: str | None) -> set[int]:
    """The keywords that stand in a row, or in one of its columns."""
    if found.keywords is None:
        return set()
    places = found.keywords.places(asked, row)
    return {atom for column, atom, _ in places if name is None or column.lower() == name}


# --- as findings ------------------------------------------------------------------------------------------


def _of_records(
    found: pa.RecordBatch, varied: _Varied, fresh: set[tuple[int, str]], batch: pa.RecordBatch
) -> Iterator[pa.RecordBatch]:
    """The fresh ones among findings on variants, as findings on the records they are of."""
    records = found.column("records")
    numbers = records.flatten().field("record").to_pylist()
    rules = found.column("rule_id").to_pylist()
    kept = [place for place, pair in enumerate(zip(numbers, rules, strict=True)) if pair in fresh]
    if not kept:
        return
    found = found.take(pa.array(kept, pa.int64()))
    places = [varied.places[numbers[place]] for place in kept]
    rows = pa.array([place.row for place in places], pa.int64())
    evidence, record = batch.column("evidence").cast(pa.string()).take(rows), batch.column("record").take(rows)
    addresses = zip(evidence.to_pylist(), record.to_pylist(), strict=True)
    columns: dict[str, pa.Array] = dict(zip(found.schema.names, found.columns, strict=True))
    columns["id"] = pa.array(
        [finding_id(rules[place], [address]) for place, address in zip(kept, addresses, strict=True)], pa.string()
    )
    lower = [LOWER_CONFIDENCE[one] for one in columns["confidence"].to_pylist()]  # that it ran is not shown
    columns["confidence"] = pa.array(lower, pa.string())
    columns["detector"] = pa.array([DETECTOR] * len(kept), pa.string())
    columns["why"] = pa.array(
        [_why(text, place.decoded) for text, place in zip(columns["why"].to_pylist(), places, strict=True)], pa.string()
    )
    columns["records"] = pa.ListArray.from_arrays(
        pa.array(np.arange(len(kept) + 1, dtype=np.int32)),
        pa.StructArray.from_arrays([evidence, record], fields=list(RECORD)),
    )
    yield pa.RecordBatch.from_arrays(
        [columns[name] for name in FINDINGS_WITH_RECORDS.names], schema=FINDINGS_WITH_RECORDS
    )


def _why(text: str, decoded: DecodedField) -> str:
    """The reason with what was decoded from what."""
    reason: dict[str, Any] = orjson.loads(text)
    whole = decoded.variant.text
    shown = whole if len(whole) <= TEXT_CHARACTERS else f"{whole[:TEXT_CHARACTERS]}... ({len(whole)} characters in all)"
    variant: dict[str, Any] = {
        "field": decoded.field.name,
        "depth": decoded.variant.depth,
        "steps": list(decoded.variant.steps),
        "text": shown,
        "recorded": shortened(decoded.recorded),
    }
    if decoded.limit is not None:
        variant["limit_hit"] = decoded.limit
    return orjson.dumps({"variant": variant, **reason}).decode()


def as_found(findings: pa.RecordBatch) -> pa.RecordBatch:
    """Findings as rows of :data:`FOUND`."""
    none = pa.nulls(findings.num_rows, FOUND.field("decoded").type)
    return pa.RecordBatch.from_arrays([*findings.columns, none], schema=FOUND)


def decoded_texts(batch: pa.RecordBatch, found: Sequence[DecodedField]) -> pa.RecordBatch:
    """Decoded texts as rows of :data:`FOUND`."""
    decoded = decoded_rows(batch, found)
    nulls = [pa.nulls(decoded.num_rows, one.type) for one in FINDINGS_WITH_RECORDS]
    kind = FOUND.field("decoded").type
    return pa.RecordBatch.from_arrays(
        [*nulls, pa.StructArray.from_arrays(decoded.columns, fields=list(kind))], schema=FOUND
    )


def together(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """All rows of some batches of `schema` as one."""
    filled = [batch for batch in batches if batch.num_rows]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        return pa.RecordBatch.from_pylist([], schema)
    return pa.Table.from_batches(filled, schema).combine_chunks().to_batches()[0]
