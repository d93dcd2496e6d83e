"""Coverage of a case: everything that can be said of what could be seen, gathered once.

Three answers are kept apart: *looked and found none* (rules judged these records and nothing fired), *no log
exists here*, and *lost or elsewhere* (cleared, missing, expired, or asked for and not received yet).

Gathering everything takes seconds on a case of half a million records; the summary of a run uses only
:func:`casemate.explore.blind_spots.blind_spots` over what it knows anyway.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
# (what an Ibis column can do depends on its table, which is known at run time only)
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import ibis

from casemate.case import Case
from casemate.detect.behaviour import ANALYTICS
from casemate.detect.coverage import (
    SourceCoverage,
    minutes,
    observed,
    sources,
    without_streams,
)
from casemate.detect.coverage.clocks import ClockStep, Offset, clock_offsets, clock_steps
from casemate.detect.coverage.levels import Level, levels
from casemate.detect.coverage.numbers import Numbering, numberings
from casemate.detect.coverage.rotation import FileGap, file_gaps
from casemate.detect.coverage.stopped import Stopped, stopped
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.blind_spots import BlindSpot, blind_spots
from casemate.explore.coverage_requests import Request, requests
from casemate.explore.coverage_rules import RuleFacts, rule_facts
from casemate.explore.runs import last_run
from casemate.explore.tables import events_there, native_filled, stored_tables
from casemate.views import VIEWS, fed_classes, ocsf_tables

READ_SHORT = re.compile(r"missing|absent|ends in|cut|truncat|incomplete", re.IGNORECASE)
"""Notes of readers that say that something of the evidence is not there."""
NEEDED_VIEWS = ("network_activity", "authentication", "http_activity")
NOTES_READ = 200


@dataclass(frozen=True)
class CoverageFacts:
    """All facts of a case; see the modules of :mod:`casemate.detect.coverage`.

    `sources` are per table and host, `streams` finer; `kept` and `findings` are counts of the case.
    """

    kept: int
    findings: int
    sources: tuple[SourceCoverage, ...]
    streams: tuple[SourceCoverage, ...]
    numberings: tuple[Numbering, ...]
    stopped: tuple[Stopped, ...]
    steps: tuple[ClockStep, ...]
    offsets: tuple[Offset, ...]
    levels: tuple[Level, ...]
    files: tuple[FileGap, ...]
    read_short: tuple[str, ...]
    rules: RuleFacts
    requests: tuple[Request, ...]
    now: datetime

    @property
    def spots(self) -> tuple[BlindSpot, ...]:
        """The blind spots, the largest first."""
        return blind_spots(self.streams, self.stopped, self.rules.sources, self.numberings, self.levels)


def case_coverage(case: Case, *, now: datetime, engine: Engine | None = None) -> CoverageFacts:
    """Gather everything; `now` decides which promises are overdue.  A given `engine` is left open."""
    given, engine = engine, engine or DuckDBEngine()
    try:
        stored = stored_tables(case)
        engine.use(stored)
        run = last_run(case) or {}
        native = {name: engine.read(name) for name in native_filled(stored)}
        seen = observed(native)
        busy = engine.hold(minutes(seen)) if seen is not None else None
        # empty tables are left out: making one takes longer than most of the questions
        there = events_there(engine, native)
        kinds = [kind for kind in fed_classes(native, events=there) if kind.name in NEEDED_VIEWS]
        events = ocsf_tables(engine.read, list(native), kinds, events=there)
        return CoverageFacts(
            kept=_total(engine.read("evidence").kept.sum(), engine),
            findings=_total(engine.read("findings").count(), engine),
            sources=sources(engine.hold(without_streams(busy)), engine.collect) if busy is not None else (),
            streams=sources(busy, engine.collect) if busy is not None else (),
            numberings=numberings(native, engine.collect, engine.hold),
            stopped=stopped(native, engine.collect, engine.hold),
            steps=clock_steps(native, engine.collect),
            offsets=clock_offsets(events, native.get("windows_event"), engine.collect, engine.hold),
            levels=levels(native, events.get("authentication"), engine.collect),
            files=_files(engine),
            read_short=_read_short(engine),
            rules=rule_facts(engine, run, _behaviour(_with_rows(events, native, engine))),
            requests=requests(case),
            now=now,
        )
    finally:
        if given is None:
            engine.close()


def narrowed(facts: CoverageFacts, host: str | None, source: str | None) -> CoverageFacts:
    """Only what speaks of this host (whole name, or its first label) and source (table or stream, or a part)."""

    def fits(one: Any) -> bool:
        named = (one.host or "").lower()
        if host is not None and host.lower() not in (named, named.split(".", 1)[0]):
            return False
        table = getattr(one, "table", None) or one.act.table
        return source is None or source.lower() in f"{table} {getattr(one, 'stream', None) or ''}".lower()

    names = {host.lower()} if host is not None else set()
    return replace(
        facts,
        sources=tuple(filter(fits, facts.sources)),
        streams=tuple(filter(fits, facts.streams)),
        numberings=tuple(filter(fits, facts.numberings)),
        stopped=tuple(filter(fits, facts.stopped)),
        steps=tuple(filter(fits, facts.steps)),
        levels=tuple(filter(fits, facts.levels)),
        offsets=tuple(
            one
            for one in facts.offsets
            if not names or names & {part for end in (one.one, one.other) for part in (end, end.split(".", 1)[0])}
        ),
    )


def _total(number: Any, engine: Engine) -> int:
    return engine.collect(number.name("number").as_table())["number"][0].as_py() or 0


def _files(engine: Engine) -> tuple[FileGap, ...]:
    received = engine.read("registrations").order_by(["registered_at", "path", "member_path"])
    rows = engine.collect(received.select("evidence", "path", "member_path")).to_pylist()
    held = engine.collect(engine.read("evidence").select("evidence", "bytes", "continues")).to_pylist()
    return tuple(file_gaps(rows, {row["evidence"]: (row["bytes"], row["continues"]) for row in held}))


def _read_short(engine: Engine) -> tuple[str, ...]:
    rows = engine.collect(engine.read("evidence").select("evidence", "notes").order_by("evidence")).to_pylist()
    told = [f"{row['evidence'][:16]}: {note}" for row in rows for note in row["notes"] or () if READ_SHORT.search(note)]
    return tuple(told[:NOTES_READ])


WHOLE_VIEWS = frozenset({"zeek_conn", "zeek_http", "web_access", "zeek_ssh", "zeek_ntlm", "zeek_kerberos", "zeek_rdp"})
"""Native tables of which every record is one of its event class: no need to look."""


def _with_rows(events: Mapping[str, ibis.Table], native: Mapping[str, ibis.Table], engine: Engine) -> set[str]:
    """The event classes that have a record: a view may be fed by a table and find nothing in it."""
    certain = {view.event_class.name for view in VIEWS if view.native in WHOLE_VIEWS & set(native)}
    return {
        name
        for name, table in events.items()
        if name in certain or engine.collect(table.select("record").limit(1)).num_rows
    }


def _behaviour(classes: set[str]) -> dict[str, tuple[str, ...]]:
    """Techniques of the behaviour rules that have records of what they look at."""
    return {
        rule.rule_id: rule.techniques
        for analytic in ANALYTICS
        if any(source.reads[0] in classes for source in analytic.sources)
        for rule in analytic.rules
    }
