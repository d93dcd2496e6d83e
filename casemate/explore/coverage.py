"""Coverage of a case: everything that can be said of what could be seen, gathered once.

Three answers are kept apart: *looked and found none* (rules judged these records and nothing fired), *no log
exists here*, and *lost or elsewhere* (cleared, missing, expired, or asked for and not received yet).

Gathering everything takes seconds on a case of half a million records; the summary of a run uses only
:func:`blind_spots` over what it knows anyway.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import ibis

from casemate.case import Case
from casemate.detect.behaviour import ANALYTICS
from casemate.detect.coverage import (
    SourceCoverage,
    largest_blind_spot,
    minutes,
    observed,
    sources,
    without_streams,
)
from casemate.detect.coverage.clocks import ClockStep, Offset, clock_offsets, clock_steps
from casemate.detect.coverage.levels import Level, levels
from casemate.detect.coverage.numbers import NUMBERED, Numbering, numberings
from casemate.detect.coverage.rotation import FileGap, file_gaps
from casemate.detect.coverage.stopped import Stopped, stopped
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.coverage_requests import Request, request_json, requests
from casemate.explore.coverage_rules import LogSourceFacts, RuleFacts, rule_facts
from casemate.explore.runs import last_run
from casemate.explore.tables import native_filled, stored_tables
from casemate.schema.ocsf import EVENT_CLASSES
from casemate.views import VIEWS, ocsf_tables

READ_SHORT = re.compile(r"missing|absent|ends in|cut|truncat|incomplete", re.IGNORECASE)
"""Notes of readers that say that something of the evidence is not there."""
NEEDED_VIEWS = ("network_activity", "authentication", "http_activity")
NOTES_READ = 200
EARLIER_FROM = 50
"""A numbering of fewer records does not tell that earlier records expired."""
KINDS: dict[str, str] = {
    "cleared": "records were destroyed",
    "stopped": "somebody stopped the recording",
    "missing_numbers": "records existed that are not here",
    "silence": "nothing was recorded where something usually is",
    "no_log": "rules had no records to judge",
    "switched_off": "a source records less than it could",
    "ends": "nothing is known before the first and after the last record",
}


KINDS_THAT_HIDE = ("cleared", "stopped", "missing_numbers", "silence")
"""Kinds that hide records which existed, or would have."""


@dataclass(frozen=True)
class BlindSpot:
    """Something that cannot be seen: one of :data:`KINDS`, where, in words, and how many records or rules it is."""

    kind: str
    where: str
    says: str
    weight: float


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
        fed = {view.event_class.name for view in VIEWS if view.native in native}
        kinds = [kind for kind in EVENT_CLASSES if kind.name in NEEDED_VIEWS and kind.name in fed]
        events = ocsf_tables(engine.read, list(native), kinds)
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


# blind spots


def blind_spots(
    found: Sequence[SourceCoverage],
    told: Sequence[Stopped] = (),
    rules: Sequence[LogSourceFacts] = (),
    numbered: Sequence[Numbering] = (),
    switched_off: Sequence[Level] = (),
) -> tuple[BlindSpot, ...]:
    """What cannot be seen, the largest first: destroyed logs, recording that was stopped, missing records and
    silences by how many records they hide, rules without records, levels; last where the records end."""  # fmt: skip
    spots = [
        *_cleared(told),
        *_ended(told),
        *sorted([*_holes(numbered), *_silences(found, numbered)], key=lambda one: (-one.weight, one.where)),
        *_without_records(rules, {product for one in found for product in products_of(one.table)}),
        *_switched_off(switched_off),
        *_ends(found),
    ]
    return tuple(spots)


def _cleared(told: Sequence[Stopped]) -> list[BlindSpot]:
    by_host: dict[str, list[Stopped]] = {}
    for one in told:
        if one.act.kind == "cleared":
            by_host.setdefault(one.host or one.act.table, []).append(one)
    spots = []
    for host, acts in by_host.items():
        times = sum(one.times for one in acts)
        whole = any(one.act.name == "security_log_cleared" for one in acts)
        first = min((one.first for one in acts if one.first), default=None)
        names = sorted({one.who for one in acts if one.who})
        what = "Security log" if whole else "logs"
        by = f" by {', '.join(names[:2])}" if names else ""
        often = "once" if times == 1 else f"{times:,} times"
        when = f", first {_minute(first)}" if first and times > 1 else f", {_minute(first)}" if first else ""
        done = f"{what} of {host} cleared" if acts[0].host else acts[0].act.says
        spots.append(BlindSpot("cleared", host, f"{done} {often}{by}{when}", times + 1000 * whole))
    return sorted(spots, key=lambda one: (-one.weight, one.where))


def _ended(told: Sequence[Stopped]) -> list[BlindSpot]:
    """Recording that somebody stopped; what ends at each ordinary shutdown too is left out."""
    return [
        BlindSpot("stopped", one.host or one.act.table, f"{act_says(one)}, {_minute(one.first)}", one.times)
        for one in told
        if one.act.kind == "stopped" and not one.act.ordinary
    ]


def _holes(numbered: Sequence[Numbering]) -> list[BlindSpot]:
    spots = []
    for one in numbered:
        if one.verdict != "holes":
            continue
        largest = max((hole for hole in one.listed if hole.within), key=lambda hole: hole.numbers, default=None)
        name = _name(one.table, one.stream, one.host)
        places = "1 place" if one.holes_within == 1 else f"{one.holes_within:,} places, the largest"
        when = f" after {_minute(largest.after)}" if largest else ""
        number = one.missing_within
        says = f"{name}: {number:,} record number{'s' * (number != 1)} missing in {places}{when}"
        spots.append(BlindSpot("missing_numbers", name, says, number))
    return spots


def _silences(found: Sequence[SourceCoverage], numbered: Sequence[Numbering]) -> list[BlindSpot]:
    spots = []
    for source in found:
        if not source.unusual:
            continue
        longest = max(source.unusual, key=lambda silence: silence.seconds)
        more = f" (and {len(source.unusual) - 1} more)" if len(source.unusual) > 1 else ""
        whole = numbers_over(source, numbered) == "contiguous"
        off = "; its numbers go on, so nothing is missing" if whole else ""
        weekend = ", a weekend" if longest.over_weekend else ""
        says = f"{source.name} silent {length(longest.seconds)} from {_minute(longest.start)}{weekend}{more}{off}"
        spots.append(BlindSpot("silence", source.name, says, 0.0 if whole else source.unseen))
    return spots


def numbers_over(source: SourceCoverage, numbered: Sequence[Numbering]) -> str | None:
    """Whether record numbers go on over the source's longest unusual silence: ``contiguous``, ``missing``, or None
    where they cannot tell."""  # fmt: skip
    if not source.unusual:
        return None
    longest = max(source.unusual, key=lambda silence: silence.seconds)
    for one in numbered:
        if (one.table, one.host, one.stream) != (source.table, source.host, source.stream) or one.evidence:
            continue
        if one.verdict == "complete":
            return "contiguous"
        if one.verdict in ("holes", "pieces") and one.holes <= len(one.listed):
            over = any(
                hole.after and hole.before and hole.after <= longest.end and hole.before >= longest.start
                for hole in one.listed
            )
            return "missing" if over else "contiguous"
    return None


PRODUCTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("windows_", ("windows",)),
    ("syslog", ("linux",)),
    ("journald", ("linux",)),
    ("linux_", ("linux",)),
    ("zeek_", ("zeek",)),
    ("cloudtrail", ("aws",)),
    ("s3_", ("aws",)),
    ("kubernetes_", ("kubernetes",)),
    ("suricata_", ("suricata",)),
    ("web_", ("apache", "nginx")),
)
"""Beginnings of names of native tables, and the products (as rules name them) that write such logs."""


def products_of(table: str) -> tuple[str, ...]:
    """The products that write to a native table."""
    return next((products for beginning, products in PRODUCTS if table.startswith(beginning)), ())


def _without_records(rules: Sequence[LogSourceFacts], products: set[str]) -> list[BlindSpot]:
    """Log sources without records; those of a product of which the case has nothing at all, as one."""
    there = products | {_product(one.name) for one in rules if one.ran}
    found: list[BlindSpot] = []
    whole: dict[str, int] = {}
    for one in rules:
        product = _product(one.name)
        if one.ran or not one.readable or one.name in ("unknown", "correlation"):
            continue
        if product not in ("*", *there):
            whole[product] = whole.get(product, 0) + one.not_run
            continue
        name = source_words(one.name)
        found.append(BlindSpot("no_log", name, f"no log of {name}: {_unjudging(one.not_run)}", one.not_run))
    for product, number in whole.items():
        found.append(BlindSpot("no_log", product, f"no log of {product} at all: {_unjudging(number)}", number))
    # what is absent beside logs of its own kind tells more than that there are no logs of another system
    return sorted(found, key=lambda one: (one.where in whole, -one.weight, one.where))


def _product(name: str) -> str:
    return name.split("/", 1)[0]


def source_words(name: str) -> str:
    """``windows/process_creation/*`` as ``windows process_creation``."""
    return " ".join(part for part in name.split("/") if part != "*") or "anything"


def _unjudging(number: int) -> str:
    return "1 rule had nothing to judge" if number == 1 else f"{number:,} rules had nothing to judge"


def _switched_off(found: Sequence[Level]) -> list[BlindSpot]:
    grouped: dict[str, list[Level]] = {}
    for one in found:
        grouped.setdefault(one.says, []).append(one)
    spots = []
    for says, members in grouped.items():
        hosts = sorted(one.host or one.table for one in members)
        where = hosts[0] if len(hosts) == 1 else f"{len(hosts):,} hosts ({hosts[0]}, ...)"
        spots.append(BlindSpot("switched_off", where, f"{where}: {says}", sum(one.records for one in members)))
    return sorted(spots, key=lambda one: (-one.weight, one.where))


def _ends(found: Sequence[SourceCoverage]) -> list[BlindSpot]:
    firsts = [one.first for one in found if one.first]
    lasts = [one.last for one in found if one.last]
    if not firsts or not lasts:
        return [BlindSpot("ends", "case", "no record has a time, so gaps cannot be seen", 0)]
    says = f"nothing before {_minute(min(firsts))} or after {_minute(max(lasts))}"
    return [BlindSpot("ends", "case", says, 0)]


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def worth(kept: int, log_sources: int, rules: int | None, findings: int, spots: Sequence[BlindSpot]) -> str:
    """One sentence: what the answer of this run is worth."""
    if not kept:
        return "Nothing was read, so nothing can be said."
    judged = f"{_many(rules, 'rule')} and the behaviour analytics" if rules is not None else "the rules that apply"
    opening = f"{judged} looked at {_many(kept, 'record')} of {_many(log_sources, 'log source')}"
    first = next((spot for spot in spots if spot.kind != "ends"), None)
    unseen = f" What they could not see, first of all: {first.says}." if first else ""
    if findings:
        made = _many(findings, "finding")
        return f"{opening} and made {made}; of anything else this speaks only for these logs.{unseen}"
    return f"{opening} and found none; that speaks only for what these logs record.{unseen}"


# as JSON


SOURCES_LISTED = 200
"""Sources listed in the JSON; their number is always given."""


def coverage_object(
    found: Sequence[SourceCoverage],
    spots: Sequence[BlindSpot],
    said: str,
    facts: CoverageFacts | None,
    *,
    own_networks: str | None,
    rules: int | None,
    unusable_rules: int | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The ``coverage`` object of the summary, and what ``casemate coverage --json`` prints.

    Args:
        found: sources per table and host.
        spots: blind spots, the largest first.
        said: what the answer is worth.
        facts: everything, or None: then its parts are null.
    """
    silent = largest_blind_spot(found)
    return {
        "sources": [source_json(source) for source in found[:SOURCES_LISTED]],
        "source_count": len(found),
        "largest_blind_spot": source_json(silent) if silent else None,
        "blind_spot": spot_json(spots[0]) if spots else None,
        "worth": said,
        "own_networks": own_networks,
        "rules": rules,
        "unusable_rules": unusable_rules,
        "notes": list(notes),
        **(coverage_json(facts) if facts is not None else NOT_GATHERED),
    }


def coverage_json(facts: CoverageFacts, listed: int = 500) -> dict[str, Any]:
    """The facts as the ``coverage`` object holds them; each list at most `listed` long, its whole number beside it."""
    spots = facts.spots
    return {
        "blind_spots": [spot_json(one) for one in spots[:listed]],
        "streams": [_stream_json(one, facts.numberings) for one in facts.streams[:listed]],
        "stream_count": len(facts.streams),
        "numbers": [_numbering_json(one) for one in facts.numberings[:listed]],
        "unnumbered": sorted({one.table for one in facts.streams} - set(NUMBERED)),
        "stopped": [_stopped_json(one) for one in facts.stopped[:listed]],
        "clocks": {
            "steps": [_clock_step_json(one) for one in steps_of(facts)[:listed]],
            "offsets": [
                {"one": one.one, "other": one.other, "kind": one.kind, "pairs": one.pairs, "seconds": one.seconds,
                 "spread": one.spread, "verdict": one.verdict}
                for one in facts.offsets[:listed]
            ],
            "answer": clocks_answer(facts),
        },
        "levels": [
            {"check": one.check, "table": one.table, "host": one.host, "records": one.records, "says": one.says}
            for one in facts.levels[:listed]
        ],
        "files": [{"kind": one.kind, "path": one.path, "says": one.says} for one in facts.files]
        + [{"kind": "cut_short", "path": one.split(":", 1)[0], "says": one.split(": ", 1)[1]}
           for one in facts.read_short],
        "rule_states": dict(facts.rules.states),
        "techniques": _techniques_json(facts.rules),
        "answers": answers(facts, listed),
        "requests": [request_summary(one, facts.now) for one in facts.requests],
    }  # fmt: skip


NOT_GATHERED: dict[str, None] = dict.fromkeys(
    ("blind_spots", "streams", "stream_count", "numbers", "unnumbered", "stopped", "clocks", "levels", "files",
     "rule_states", "techniques", "answers", "requests")
)  # fmt: skip
"""What a summary says where the facts were not gathered."""


def answers(facts: CoverageFacts, listed: int = 500) -> dict[str, list[dict[str, Any]]]:
    """The three answers, apart."""
    looked = [{"what": one.name, "rules": one.ran} for one in facts.rules.sources if one.ran and not one.findings]
    absent = [
        {"what": one.name, "rules": one.not_run, "says": one.reason, "readable": one.readable}
        for one in facts.rules.sources
        if not one.ran
    ]
    lost = [
        {"what": one.host or one.act.table, "how": one.act.kind, "says": act_says(one)}
        for one in facts.stopped
        if one.act.kind in ("cleared", "lost")
    ]
    for one in facts.numberings:
        name = _name(one.table, one.stream, one.host)
        if one.verdict in ("holes", "pieces"):
            lost.append({"what": name, "how": "missing_numbers", "says": numbers_say(one)})
        if one.lowest > 1 and one.numbers >= EARLIER_FROM and one.verdict in ("complete", "holes", "pieces"):
            says = f"{one.lowest - 1:,} earlier records by their numbers, overwritten or not handed over"
            lost.append({"what": name, "how": "earlier_records", "says": says})
    lost += [{"what": one.path, "how": "files", "says": one.says} for one in facts.files]
    lost += [{"what": one.split(":", 1)[0], "how": "cut_short", "says": one.split(": ", 1)[1]}
             for one in facts.read_short]  # fmt: skip
    for request in facts.requests:
        state = request.state(facts.now)
        if state != "received":
            until = f", promised for {request.promised:%Y-%m-%d}" if request.promised else ""
            says = f"asked of {request.of}{until}: {state}"
            lost.append({"what": request.what, "how": "asked_for", "says": says})
    return {
        "looked_and_found_none": looked[:listed],
        "no_log_exists": absent[:listed],
        "lost_or_elsewhere": lost[:listed],
    }


def clocks_answer(facts: CoverageFacts) -> str:
    """What is known of the clocks, in a sentence."""
    hosts = {one.host for one in facts.streams if one.host}
    wrong = [one for one in facts.offsets if one.verdict == "disagree"]
    agree = [one for one in facts.offsets if one.verdict == "agree"]
    if wrong:
        most = wrong[0]
        return (
            f"{most.other} is {length(abs(most.seconds))} {'ahead of' if most.seconds > 0 else 'behind'} {most.one} "
            f"({most.pairs:,} events seen by both, spread {most.spread:.0f} s){zone_hint(most.seconds)}"
        )
    if agree:
        return f"{len(agree):,} pairs of observers agree within a minute or so"
    if len(hosts) < 2 and not facts.offsets:
        return "cannot be measured: the records name fewer than two observers of the same events"
    return "cannot be measured: too few events were seen by two observers"


def zone_hint(seconds: float) -> str:
    """Words where an offset is a whole number of quarter hours, as a wrong time zone makes it."""
    quarters = round(abs(seconds) / 900)
    near = quarters >= 2 and abs(abs(seconds) - quarters * 900) <= 60
    return "; a wrong time zone would do this" if near else ""


def steps_of(facts: CoverageFacts) -> list[ClockStep]:
    """All steps of clocks, the largest first: set, fallen against the order of lines or of numbers."""
    fell = [
        ClockStep(one.table, one.host, one.stream, "numbers", step.before, step.after, -step.seconds, None)
        for one in facts.numberings
        if one.verdict != "restarted"
        for step in one.steps
    ]
    return sorted([*facts.steps, *fell], key=lambda one: (-abs(one.seconds), one.table, one.host or ""))


def numbers_say(one: Numbering) -> str:
    """A numbering in words."""
    if one.verdict == "restarted":
        return f"{one.doubled:,} numbers stand at two times: two machines of one name, or one set back"
    if one.numbers == 1:
        return f"one number, {one.lowest:,}"
    if one.verdict == "complete":
        return f"numbers {one.lowest:,} to {one.highest:,} without a hole"
    if one.verdict == "selection":
        return f"sample or export: {one.numbers:,} of {one.span:,} numbers"
    if one.verdict == "pieces":
        return f"{one.missing:,} of {one.span:,} numbers missing between pieces of evidence"
    number = one.missing_within
    between = f"; {one.missing - number:,} more between pieces of evidence" if one.missing > number else ""
    places = f"{one.holes_within:,} place{'s' * (one.holes_within != 1)}"
    return f"{number:,} number{'s' * (number != 1)} missing in {places}{between}"


def act_says(one: Stopped) -> str:
    """An act in words."""
    often = f", {one.times:,} times" if one.times > 1 else ""
    what = f": {one.what}" if one.what else ""
    more = f" and {one.objects - 1:,} more" if one.objects > 1 else ""
    return f"{one.act.says}{what}{more}{' by ' + one.who if one.who else ''}{often}"


def _name(table: str, stream: str | None, host: str | None) -> str:
    return f"{table}{f' ({stream})' if stream else ''}{f' of {host}' if host else ''}"


def spot_json(one: BlindSpot) -> dict[str, Any]:
    """A blind spot as the coverage object names it."""
    return {"kind": one.kind, "where": one.where, "says": one.says}


def source_json(source: SourceCoverage) -> dict[str, Any]:
    """A source as the summary lists it."""
    return {
        "table": source.table,
        "host": source.host,
        "records": source.records,
        "undated": source.undated,
        "first": text_time(source.first),
        "last": text_time(source.last),
        "longest_silence_seconds": source.longest_silence_seconds,
        "silence_from": text_time(source.silence_from),
        "silence_to": text_time(source.silence_to),
        "silence_is_unusual": source.silence_is_unusual,
    }


def _stream_json(source: SourceCoverage, numbered: Sequence[Numbering]) -> dict[str, Any]:
    return {
        **source_json(source),
        "stream": source.stream,
        "unusual_silences": [
            {
                "from": text_time(one.start),
                "to": text_time(one.end),
                "seconds": one.seconds,
                "expected_records": round(one.expected_records, 1),
                "over_weekend": one.over_weekend,
            }
            for one in source.unusual
        ],
        "numbers_over_silence": numbers_over(source, numbered),
    }


def _numbering_json(one: Numbering) -> dict[str, Any]:
    return {
        "table": one.table,
        "host": one.host,
        "stream": one.stream,
        "evidence": one.evidence,
        "verdict": one.verdict,
        "says": numbers_say(one),
        "numbers": one.numbers,
        "lowest": one.lowest,
        "highest": one.highest,
        "missing": one.missing,
        "missing_within_evidence": one.missing_within,
        "holes": one.holes,
        "holes_within_evidence": one.holes_within,
        "largest_holes": [
            {"first": hole.first, "last": hole.last, "after": text_time(hole.after), "before": text_time(hole.before),
             "within_evidence": hole.within}
            for hole in one.listed
        ],
        "clock_falls": one.backwards,
    }  # fmt: skip


def _stopped_json(one: Stopped) -> dict[str, Any]:
    return {
        "act": one.act.name,
        "kind": one.act.kind,
        "says": act_says(one),
        "table": one.act.table,
        "host": one.host,
        "who": one.who,
        "what": one.what,
        "times": one.times,
        "first": text_time(one.first),
        "last": text_time(one.last),
        "record": one.record,
    }


def _clock_step_json(one: ClockStep) -> dict[str, Any]:
    return {
        "table": one.table,
        "host": one.host,
        "stream": one.stream,
        "how": one.how,
        "before": text_time(one.before),
        "after": text_time(one.after),
        "seconds": one.seconds,
        "record": one.record,
    }


def _techniques_json(rules: RuleFacts) -> dict[str, Any]:
    return {
        "could_be_seen": rules.could,
        "could_not_be_seen": rules.could_not,
        "could_count": len(rules.could) if rules.could is not None else None,
        "could_not_count": len(rules.could_not) if rules.could_not is not None else None,
        "lacking": rules.lacking,
    }


def request_summary(request: Request, now: datetime) -> dict[str, Any]:
    """A request as the coverage object lists it."""
    plain = request_json(request, now)
    return {name: text_time(value) if isinstance(value, datetime) else value for name, value in plain.items()}


def text_time(time: datetime | None) -> str | None:
    """UTC, ISO 8601 with ``Z``; microseconds only where there are some."""
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _minute(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if time else "?"


def length(seconds: float) -> str:
    """A length in two units."""
    days, rest = divmod(int(seconds), 86_400)
    if days:
        return f"{days:,} d {rest // 3600} h"
    if rest >= 3600:
        return f"{rest // 3600} h {rest % 3600 // 60} min"
    return f"{rest // 60} min" if rest >= 60 else f"{rest} s"
