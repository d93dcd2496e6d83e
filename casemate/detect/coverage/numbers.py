"""Record numbers: holes between them, and the clock against their order.

Where a log numbers its records, a missing number is a record that existed and is not here: lost, deleted, or
left out by whoever exported the log.  Which of these it is cannot be told, but an export that picks records has
holes everywhere, while a log with a piece cut out has few (:data:`FEW_HOLES` of its records).

========================  =============================================================================
``windows_event``         EventRecordID, per host and channel; EVTX and JSON exports alike
``linux_sysmon``          EventRecordID, per host
``linux_audit``           serial of the event, per node and boot (a serial that falls begins a new one)
``journald``              sequence number of the cursor (``i=``, hexadecimal) per host and sequence (``s=``);
                          systemd: Journal File Format, "Sequence Numbers"
========================  =============================================================================

Zeek, Suricata, web servers, syslog, CloudTrail and Kubernetes number nothing: of their logs only silences show.

A numbering is read over all evidence of its host, since a log is often received in pieces.  If one number stands
at two times, two machines (or one machine twice: reinstalled, or set back to a snapshot) bear the same name;
then each piece of evidence is read alone.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import ibis

from casemate.detect.coverage.sources import KEYS, Collect, Hold, of_source, stacked

SAMPLE = 50
"""Fewer records than this are a sample, whatever their numbers."""
FEW_HOLES = 0.02
HOLES_LISTED = 10
BACK_SECONDS = 60
"""The clock must fall by more than this from one record to the next: records of several threads are written a
little out of order, and time services correct by less."""
AUDIT_RESTART = 1_000
"""A serial that falls by more than this began anew; events of several processors are written less out of order."""
SERIES = (*KEYS, "series")
MARK = "\x1f"
HEX = "0123456789abcdef"
CURSOR_NUMBER, CURSOR_SERIES = r"(?:^|;)i=([0-9a-f]{1,15})(?:;|$)", r"(?:^|;)s=([0-9a-f]{1,40})(?:;|$)"


@dataclass(frozen=True)
class Hole:
    """Numbers that are absent: from `first` to `last`, between records of these times (UTC).

    `within` one piece of evidence, or between two: a part of the log that was not handed over.
    """

    first: int
    last: int
    after: datetime | None
    before: datetime | None
    within: bool

    @property
    def numbers(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Step:
    """The clock falls by `seconds` between two records that follow one another in number, at `number`."""

    number: int
    seconds: int
    before: datetime
    after: datetime


@dataclass(frozen=True)
class Numbering:
    """The record numbers of one source (or of one piece of its evidence).

    Args:
        evidence: the piece, where pieces had to be read alone.
        numbers: how many different numbers are here; `lowest` and `highest` of them.
        missing: numbers absent between these, in so many `holes`; `missing_within` and `holes_within` within a
            piece of evidence; `listed` the largest.
        backwards: how often the clock falls within a piece of evidence; `steps` the largest falls.
        doubled: numbers that stand at two times even so: the numbering says nothing.
    """

    table: str
    host: str | None
    stream: str | None
    evidence: str | None
    numbers: int
    lowest: int
    highest: int
    missing: int
    holes: int
    missing_within: int
    holes_within: int
    listed: tuple[Hole, ...]
    backwards: int
    steps: tuple[Step, ...]
    doubled: int

    @property
    def span(self) -> int:
        """How many numbers there are from the lowest to the highest."""
        return self.highest - self.lowest + 1

    @property
    def verdict(self) -> str:
        """One of :data:`VERDICTS`."""
        if self.doubled:
            return "restarted"
        if not self.missing:
            return "complete"
        if self.numbers < SAMPLE or self.holes_within > max(FEW_HOLES * self.numbers, 3):
            return "selection"
        return "holes" if self.holes_within else "pieces"


VERDICTS: dict[str, str] = {
    "complete": "no number is missing between the first and the last",
    "holes": "a log with a piece missing: few holes in numbers that are otherwise complete",
    "pieces": "numbers are missing only between pieces of evidence: parts of the log that were not handed over",
    "selection": "a sample or an export that picked records: holes say nothing of what was deleted",
    "restarted": "one number at different times: two machines of one name, or one set back; holes cannot be told",
}


def _digits(table: ibis.Table, column: str) -> ibis.Value:
    text = table[column]
    return ibis.ifelse(text.re_search(r"^[0-9]{1,18}$"), text, ibis.null("string")).cast("int64")


def _windows(table: ibis.Table) -> dict[str, ibis.Value]:
    return {"number": _digits(table, "EventRecordID"), "series": ibis.literal("")}


def _audit(table: ibis.Table) -> dict[str, ibis.Value]:
    return {"number": _digits(table, "serial"), "series": ibis.literal("")}


def _journal(table: ibis.Table) -> dict[str, ibis.Value]:
    cursor = table["__CURSOR"].fill_null("")
    digits = ("0" * 15 + cursor.re_extract(CURSOR_NUMBER, 1)).right(15)
    number = ibis.literal(0, "int64")
    for place in range(15):
        value = ibis.literal(HEX).find(digits.substr(place, 1)).cast("int64")
        number = number * 16 + value
    there = cursor.re_search(CURSOR_NUMBER)
    return {
        "number": ibis.ifelse(there, number, ibis.null("int64")),
        "series": cursor.re_extract(CURSOR_SERIES, 1).fill_null(""),
    }


NUMBERED: dict[str, tuple[str, Callable[[ibis.Table], dict[str, ibis.Value]]]] = {
    "windows_event": ("EventRecordID", _windows),
    "linux_sysmon": ("EventRecordID", _windows),
    "linux_audit": ("serial", _audit),
    "journald": ("__CURSOR", _journal),
}
"""Native table -> the column its numbers come from, and how."""


def numbered(tables: Mapping[str, ibis.Table]) -> ibis.Table | None:
    """:data:`SERIES`, ``evidence``, ``number`` and ``time`` of every numbered record; None where there is none."""
    parts = []
    for name, (column, read) in NUMBERED.items():
        table = tables.get(name)
        if table is None or column not in table.columns:
            continue
        given = table.select("evidence", "record", "time", **of_source(table, name), **read(table))
        given = given.filter(given.number.notnull())
        if name == "linux_audit":
            given = _by_boot(given)
        parts.append(given.select(*SERIES, "evidence", "number", "time"))
    return stacked(parts) if parts else None


def _by_boot(rows: ibis.Table) -> ibis.Table:
    """A new series wherever the serial falls far in the order of the file."""
    window = ibis.window(group_by=["evidence", "named"], order_by="record")
    after = rows.mutate(previous=rows.number.lag().over(window))
    fell = (after.previous - after.number > AUDIT_RESTART).fill_null(False)
    marked = after.mutate(fell=fell.cast("int64"))
    until = ibis.window(group_by=["evidence", "named"], order_by="record", preceding=None, following=0)
    boots = marked.mutate(boot=marked.fell.sum().over(until))
    # the boot a file begins with may have begun in the file before: those share a series
    named = boots.evidence + ":" + boots.boot.cast("string")
    return boots.mutate(series=ibis.ifelse(boots.boot == 0, "", named)).drop("previous", "fell", "boot")


def alone(rows: ibis.Table) -> ibis.Table:
    """The rows of :func:`numbered`, each piece of evidence a series of its own."""
    return rows.mutate(series=rows.evidence + ":" + rows.series)


def steps(rows: ibis.Table) -> ibis.Table:
    """Each number of a series once, with the one before it.

    Columns: :data:`SERIES`, ``number``, ``time``, ``doubled`` (1 where the number stands at two times), ``previous``
    and ``previous_time``, ``within`` (1 where both stand in one piece of evidence), ``missing`` (numbers between
    the two) and ``back`` (microseconds the clock fell, 0 between pieces of evidence)."""  # fmt: skip
    once = rows.group_by([*SERIES, "number"]).agg(
        time=rows.time.min(), latest=rows.time.max(), evidence=rows.evidence.min()
    )
    once = once.mutate(doubled=(once.latest > once.time).fill_null(False).cast("int64")).drop("latest")
    window = ibis.window(group_by=list(SERIES), order_by="number")
    after = once.mutate(
        previous=once.number.lag().over(window),
        previous_time=once.time.lag().over(window),
        previous_evidence=once.evidence.lag().over(window),
    )
    same = (after.evidence == after.previous_evidence).fill_null(False)
    back = after.previous_time.delta(after.time, unit="microsecond").fill_null(0)
    return after.mutate(
        within=same.cast("int64"),
        missing=(after.number - after.previous - 1).fill_null(0),
        back=ibis.ifelse(same, back, ibis.literal(0, "int64")),
    )


def numbering(stepped: ibis.Table) -> ibis.Table:
    """One row per series from :func:`steps`: the counts of :class:`Numbering`."""
    return stepped.group_by(list(SERIES)).agg(
        numbers=stepped.count(),
        lowest=stepped.number.min(),
        highest=stepped.number.max(),
        missing=stepped.missing.sum().cast("int64"),
        holes=(stepped.missing > 0).cast("int64").sum().cast("int64"),
        missing_within=(stepped.missing * stepped.within).sum().cast("int64"),
        holes_within=((stepped.missing > 0) & (stepped.within == 1)).cast("int64").sum().cast("int64"),
        doubled=stepped.doubled.sum().cast("int64"),
        backwards=(stepped.back > BACK_SECONDS * 1_000_000).cast("int64").sum().cast("int64"),
    )


def largest(stepped: ibis.Table, column: str, least: int) -> ibis.Table:
    """The :data:`HOLES_LISTED` rows of each series with most of `column` (``missing`` or ``back``) above `least`."""
    found = stepped.filter(stepped[column] > least)
    order = [ibis.desc(found[column]), found.number]
    placed = found.mutate(place=ibis.row_number().over(ibis.window(group_by=list(SERIES), order_by=order)))
    return placed.filter(placed.place < HOLES_LISTED)


def numberings(tables: Mapping[str, ibis.Table], collect: Collect, hold: Hold) -> tuple[Numbering, ...]:
    """Every numbering, sorted by table, host, stream and evidence; `hold` executes an expression once."""
    rows = numbered(tables)
    if rows is None:
        return ()
    rows = hold(rows)
    whole = _collected(rows, collect, hold)
    torn = {key for key, found in whole.items() if found.doubled}
    kept = [found for key, found in whole.items() if key not in torn]
    if torn:
        kinds = {key[:3] for key in torn}
        names = [MARK.join(kind) for kind in sorted(kinds)]
        meant = rows.filter((rows.table + MARK + rows.named + MARK + rows.flow).isin(names))
        pieces = _collected(alone(meant), collect, hold)
        kept += [found for key, found in pieces.items() if not _kept_whole(key, whole, torn)]
    return tuple(sorted(kept, key=lambda one: (one.table, one.host or "", one.stream or "", one.evidence or "")))


def _kept_whole(key: tuple, whole: Mapping[tuple, Numbering], torn: set[tuple]) -> bool:
    """Whether the series this piece belongs to could be read as a whole."""
    series = (*key[:3], key[3].split(":", 1)[1])
    return series in whole and series not in torn


def _collected(rows: ibis.Table, collect: Collect, hold: Hold) -> dict[tuple, Numbering]:
    stepped = hold(steps(rows))
    counted = collect(numbering(stepped)).to_pylist()
    holes: dict[tuple, list[Hole]] = {}
    falls: dict[tuple, list[Step]] = {}
    if any(row["missing"] for row in counted):
        found = largest(stepped, "missing", 0)
        for row in collect(found.order_by([*SERIES, "place"])).to_pylist():
            hole = Hole(row["previous"] + 1, row["number"] - 1, row["previous_time"], row["time"], bool(row["within"]))
            holes.setdefault(_key(row), []).append(hole)
    if any(row["backwards"] for row in counted):
        found = largest(stepped, "back", BACK_SECONDS * 1_000_000)
        for row in collect(found.order_by([*SERIES, "place"])).to_pylist():
            step = Step(row["number"], int(row["back"]) // 1_000_000, row["previous_time"], row["time"])
            falls.setdefault(_key(row), []).append(step)
    return {
        _key(row): Numbering(
            table=row["table"],
            host=row["named"] or None,
            stream=row["flow"] or None,
            evidence=row["series"].split(":", 1)[0] or None,
            numbers=row["numbers"],
            lowest=row["lowest"],
            highest=row["highest"],
            missing=row["missing"],
            holes=row["holes"],
            missing_within=row["missing_within"],
            holes_within=row["holes_within"],
            listed=tuple(holes.get(_key(row), ())),
            backwards=row["backwards"],
            steps=tuple(falls.get(_key(row), ())),
            doubled=row["doubled"],
        )
        for row in counted
    }


def _key(row: Mapping) -> tuple:
    return tuple(row[name] for name in SERIES)
