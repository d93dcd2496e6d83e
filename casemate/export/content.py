"""What is exported: findings with their records and reasons, and records of a time window; masked, streamed.

What goes out is ordered by time.  Sorting all of it at once needs memory that grows with it, so it is
cut into stretches of time that hold some thousand rows each, and one stretch is read and sorted after
the other: a million findings need little more memory than a hundred.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ibis
import numpy as np
import orjson
import pyarrow as pa

from casemate.case import Case
from casemate.detect.coverage import HOST_COLUMNS
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.tables import native_filled, stored_tables
from casemate.export.stretches import Stretch, moment, stretches
from casemate.masking import mask, mask_value
from casemate.schema.native import FIXED_NAMES
from casemate.triage import Annotation, annotations_of

RECORDS_EXPORTED = 1_000
"""Most record addresses of one finding; ``record_count`` says how many there are."""
MEMORY_BYTES = 128 << 20
"""What each of the two streams of an export may use before it spills to disk."""
ROWS_AT_ONCE = 2_048


@dataclass(frozen=True)
class Window:
    """A time window, UTC, from inclusive, until exclusive; None is open."""

    start: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it leaves nothing out."""
        return self.start is None and self.until is None


@dataclass(frozen=True)
class Endpoint:
    """One end of a finding; kinds as in :mod:`casemate.schema.findings`."""

    kind: str
    value: str
    service: str | None = None

    def __str__(self) -> str:
        return f"{self.value} ({self.service})" if self.service else self.value


@dataclass(frozen=True)
class Said:
    """What people said of a finding or record, masked; `inherited_from` the finding whose verdict this one follows."""

    verdict: str | None
    duplicate_of: str | None
    note: str | None
    tags: tuple[str, ...]
    marked_by: str
    marked_at: datetime | None
    inherited_from: str | None

    @property
    def sentence(self) -> str:
        """It in one line."""
        words = [self.verdict or "", *(f"#{tag}" for tag in self.tags)]
        inherited = f", inherited from {self.inherited_from}" if self.inherited_from else ""
        note = f": {self.note}" if self.note else ""
        return f"{' '.join(word for word in words if word) or 'noted'} by {self.marked_by}{inherited}{note}"

    @property
    def plain(self) -> dict[str, Any]:
        """It as JSON values."""
        return {**vars(self), "tags": list(self.tags), "marked_at": iso(self.marked_at)}


@dataclass(frozen=True)
class ExportedFinding:
    """One finding as it leaves the case: columns of the ``findings`` table, masked.

    `why` is the tree of the reason as JSON values; `records` the first addresses ``evidence:record``
    (at most :data:`RECORDS_EXPORTED`, in order), `record_count` how many there are.  Times are UTC.
    """

    id: str
    time: datetime | None
    time_end: datetime | None
    detector: str
    rule_id: str
    rule_version: str
    title: str
    severity: str
    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    source: Endpoint | None
    target: Endpoint | None
    vector: str
    outcome: str
    confidence: str
    why: Any
    records: tuple[str, ...]
    record_count: int
    said: Said | None = None

    @property
    def sentence(self) -> str:
        """The finding in one line: what, who against what, how it ended."""
        ends = [str(end) for end in (self.source, self.target) if end]
        who = f": {' -> '.join(ends)}" if ends else ""
        return f"[{self.severity}] {self.title}{who} ({self.outcome})"


@dataclass(frozen=True)
class ExportedEvent:
    """One record of a native table as it leaves the case, masked; `fields` are those it has."""

    table: str
    evidence: str
    record: int
    time: datetime | None
    time_raw: str | None
    host: str | None
    fields: dict[str, Any]
    findings: tuple[str, ...]
    said: Said | None = None

    @property
    def address(self) -> str:
        """``evidence:record``."""
        return f"{self.evidence}:{self.record}"

    @property
    def sentence(self) -> str:
        """The record in one line."""
        return " ".join(f"{name}={value}" for name, value in self.fields.items() if not isinstance(value, dict))


class Content:
    """The findings and records of one case, ready to leave it.

    Args:
        case: an open case.
        window: findings that reach into it, records inside it.
        annotated: only findings and records that people marked.
    """

    def __init__(self, case: Case, window: Window | None = None, *, annotated: bool = False) -> None:
        self.case = case
        self.window = window or Window()
        self.annotated = annotated
        marks = annotations_of(case)
        self._said = {name: said_of(one) for name, one in marks.items() if one.kind in ("finding", "record")}
        self._stored = stored_tables(case)

    def findings(self, *, whole: bool = True) -> Iterator[ExportedFinding]:
        """Findings by time and id (those without a time last) with their first records.

        Args:
            whole: with their records and reasons; without, they are read several times faster.
        """
        # two engines: one stream each, read side by side in the same order
        findings_engine, records_engine = self._engine(), self._engine()
        try:
            for stretch in stretches(findings_engine, self._chosen(findings_engine)):
                chosen = stretch.of(self._chosen(findings_engine))
                if not whole:
                    chosen = chosen.mutate(why=ibis.literal("null"))
                ordered = chosen.order_by([chosen.time.asc(nulls_first=False), chosen.id])
                records = _RecordStream(self._records(records_engine, stretch) if whole else iter(()))
                for batch in findings_engine.batches(ordered):
                    for row in _rows(batch):
                        addresses, count = records.of(row["id"])
                        yield finding_of(row, addresses, count, self._said.get(row["id"]))
        finally:
            findings_engine.close()
            records_engine.close()

    def events(self) -> Iterator[ExportedEvent]:
        """Records of all native tables inside the window, table by table, each by time."""
        for name in native_filled(self._stored):
            engine = self._engine()
            try:
                yield from self._events(engine, name)
            finally:
                engine.close()

    def _engine(self) -> DuckDBEngine:
        engine = DuckDBEngine(memory_bytes=MEMORY_BYTES)
        engine.use(self._stored)
        return engine

    def _chosen(self, engine: Engine) -> ibis.Table:
        table = engine.read("findings")
        if self.annotated:
            marks = engine.read("annotations")
            table = table.semi_join(marks.filter(marks.kind == "finding"), table.id == marks.subject)
        if self.window.until is not None:
            table = table.filter(table.time < moment(self.window.until))
        if self.window.start is not None:
            table = table.filter(table.time_end.fill_null(table.time) >= moment(self.window.start))
        return table

    def _records(self, engine: Engine, stretch: Stretch) -> Iterator[tuple[list[str], list[str], list[int]]]:
        """Batches of finding, evidence, record in the order of :meth:`findings`."""
        members, findings = engine.read("finding_records"), stretch.of(self._chosen(engine)).select("id", "time")
        joined = members.join(findings, members.finding == findings.id).select("finding", "time", "evidence", "record")
        ordered = joined.order_by([joined.time.asc(nulls_first=False), joined.finding, joined.evidence, joined.record])
        for batch in engine.batches(ordered.select("finding", "evidence", "record")):
            yield tuple(column.to_pylist() for column in batch.columns)  # type: ignore[misc]

    def _events(self, engine: Engine, name: str) -> Iterator[ExportedEvent]:
        table = engine.read(name)
        if self.window.start is not None:
            table = table.filter(table.time >= moment(self.window.start))
        if self.window.until is not None:
            table = table.filter(table.time < moment(self.window.until))
        host = HOST_COLUMNS.get(name)
        for stretch in stretches(engine, table):
            rows = stretch.of(table)
            members = engine.read("finding_records").semi_join(rows, ["evidence", "record"])
            named = members.group_by(["evidence", "record"]).agg(casemate_findings=members.finding.collect())
            joined = rows.left_join(named, ["evidence", "record"]).drop("evidence_right", "record_right")
            joined = joined.order_by([joined.time.asc(nulls_first=False), joined.evidence, joined.record])
            for batch in engine.batches(joined):
                for row in _rows(batch):
                    said = self._said.get(f"{row['evidence']}:{row['record']}") if self._said else None
                    if said is not None or not self.annotated:
                        yield _event(name, host, row, said)


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows of a batch, some at a time: as Python values they are many times larger."""
    for begin in range(0, batch.num_rows, ROWS_AT_ONCE):
        yield from batch.slice(begin, ROWS_AT_ONCE).to_pylist()


class _RecordStream:
    """Record addresses of one finding after the other."""

    def __init__(self, batches: Iterator[tuple[list[str], list[str], list[int]]]) -> None:
        self._batches = batches
        self._batch: tuple[list[str], list[str], list[int]] = ([], [], [])
        self._at = 0
        self._ends: list[int] = []
        self._next_end = 0

    def of(self, finding: str) -> tuple[tuple[str, ...], int]:
        """The first addresses of the finding that comes next, and how many it has."""
        addresses: list[str] = []
        count = 0
        while self._filled() and self._batch[0][self._at] == finding:
            end = self._ends[self._next_end]
            wanted = min(end, self._at + RECORDS_EXPORTED - len(addresses))
            _, evidence, record = self._batch
            addresses += [f"{evidence[place]}:{record[place]}" for place in range(self._at, wanted)]
            count += end - self._at
            self._at = end
            self._next_end += 1
        return tuple(addresses), count

    def _filled(self) -> bool:
        while self._at >= len(self._batch[0]):
            following = next(self._batches, None)
            if following is None:
                return False
            self._batch, self._at, self._next_end = following, 0, 0
            names = np.asarray(following[0], dtype=object)
            self._ends = [*(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)] if len(names) else []
        return True


def said_of(one: Annotation) -> Said:
    return Said(
        one.verdict,
        one.duplicate_of,
        mask(one.note) if one.note else None,
        tuple(mask(tag) for tag in one.tags),
        mask(one.marked_by),
        _utc(one.marked_at),
        one.inherited_from,
    )


def finding_of(row: dict[str, Any], records: tuple[str, ...], count: int, said: Said | None = None) -> ExportedFinding:
    """A row of the ``findings`` table as it leaves the case, with its first records, their number and what was said."""
    return ExportedFinding(
        id=row["id"],
        time=_utc(row["time"]),
        time_end=_utc(row["time_end"]),
        detector=row["detector"],
        rule_id=row["rule_id"],
        rule_version=row["rule_version"],
        title=mask(row["title"]),
        severity=row["severity"],
        techniques=tuple(row["techniques"]),
        tactics=tuple(row["tactics"]),
        source=_endpoint(row["source"]),
        target=_endpoint(row["target"]),
        vector=row["vector"],
        outcome=row["outcome"],
        confidence=row["confidence"],
        why=mask_value(reason(row["why"])),
        records=records,
        record_count=count,
        said=said,
    )


def reason(why: str) -> Any:
    """The tree of a reason; text that is no JSON (a case made by others) stays text."""
    try:
        return orjson.loads(why)
    except orjson.JSONDecodeError:
        return why


def _event(name: str, host: str | None, row: dict[str, Any], said: Said | None) -> ExportedEvent:
    fields: dict[str, Any] = {
        column: mask_value(value, column)
        for column, value in row.items()
        if value is not None and column not in FIXED_NAMES and column not in ("rest", "casemate_findings")
    }
    if row.get("rest"):
        fields["rest"] = mask_value(reason(row["rest"]))
    if row.get("flags"):
        fields["flags"] = row["flags"]
    named = row.get(host) if host else None
    return ExportedEvent(
        table=name,
        evidence=row["evidence"],
        record=row["record"],
        time=_utc(row["time"]),
        time_raw=row["time_raw"],
        host=mask(named) if named else None,
        fields=fields,
        findings=tuple(sorted(row["casemate_findings"] or ())),
        said=said,
    )


def _endpoint(value: dict[str, str | None] | None) -> Endpoint | None:
    if not value or not value.get("value"):
        return None
    service = value.get("service")
    return Endpoint(value.get("kind") or "unknown", mask(value["value"] or ""), mask(service) if service else None)


def _utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def iso(time: datetime | None) -> str | None:
    """UTC, ISO 8601 with microseconds and ``+00:00``."""
    return time.isoformat(timespec="microseconds") if time else None


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, exact."""
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def short(text: str, characters: int) -> str:
    """`text` cut to so many characters, with a mark where it was cut."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def json_line(value: Any) -> bytes:
    """One line of JSON."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
