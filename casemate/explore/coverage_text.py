"""Coverage in words: the sections a person reads, each a title and lines; nothing here is escaped yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from casemate.detect.coverage import SourceCoverage
from casemate.detect.coverage.numbers import NUMBERED, Numbering
from casemate.explore.blind_spots import source_words
from casemate.explore.coverage import CoverageFacts
from casemate.explore.coverage_answers import answers, clocks_answer, steps_of, zone_hint
from casemate.explore.coverage_words import act_says, length, numbers_say

SHOWN = 12
SOURCES_SHOWN = 60
Section = tuple[str, Sequence[str]]
TABLE_HEAD = ("source", "host", "records", "first", "last", "unusual silence", "record numbers")


def source_rows(facts: CoverageFacts) -> list[tuple[str, ...]]:
    """One row per source, those with unusual silences first, then those with most records."""
    numbered: dict[tuple, list[Numbering]] = {}
    for one in facts.numberings:
        numbered.setdefault((one.table, one.host, one.stream), []).append(one)
    ordered = sorted(facts.streams, key=lambda one: (not one.silence_is_unusual, -one.records, one.name))
    return [_row(one, numbered.get((one.table, one.host, one.stream), [])) for one in ordered]


def _row(source: SourceCoverage, numbered: Sequence[Numbering]) -> tuple[str, ...]:
    name = source.stream or source.table
    silence = ""
    if source.unusual:
        longest = max(source.unusual, key=lambda one: one.seconds)
        more = f" (+{len(source.unusual) - 1})" if len(source.unusual) > 1 else ""
        silence = f"{length(longest.seconds)} from {_minute(longest.start)}{more}"
    return (
        name,
        source.host or "",
        f"{source.records:,}",
        _minute(source.first),
        _minute(source.last),
        silence,
        _numbers(source, numbered),
    )


def _numbers(source: SourceCoverage, numbered: Sequence[Numbering]) -> str:
    if source.table not in NUMBERED:
        return "has none"
    if not numbered:
        return "not recorded"
    if len(numbered) == 1:
        return numbers_say(numbered[0])
    told: dict[str, int] = {}
    for one in numbered:
        told[one.verdict] = told.get(one.verdict, 0) + 1
    return f"{len(numbered):,} numberings: " + ", ".join(f"{number} {word}" for word, number in sorted(told.items()))


def sections(facts: CoverageFacts) -> Iterator[Section]:
    """The sections after the table of sources; those that have nothing to say are left out."""
    yield "blind spots, the largest first", _some([spot.says for spot in facts.spots])
    yield "cleared, stopped, changed", _some([f"{_minute(one.first)}  {one.host or one.act.table}: {act_says(one)}"
                                              for one in facts.stopped])  # fmt: skip
    yield "clocks", _some(list(_clocks(facts)))
    yield "does not record", _some(list(_levels(facts)))
    yield "files", _some([f"{one.path}: {one.says}" for one in facts.files] + list(facts.read_short))
    yield "rules", list(_rules(facts))
    yield from _answers(facts)
    yield "asked for elsewhere", _some([request_line(one, facts.now) for one in facts.requests])


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"and {more:,} more (--json lists them)"]


def _clocks(facts: CoverageFacts) -> Iterator[str]:
    yield clocks_answer(facts)
    for one in facts.offsets:
        if one.verdict == "disagree":
            way = "ahead of" if one.seconds > 0 else "behind"
            yield (
                f"{one.other} is {length(abs(one.seconds))} {way} {one.one}: median of {one.pairs:,} pairs "
                f"({one.kind}), spread {one.spread:.0f} s{zone_hint(one.seconds)}"
            )
    how = {"set": "was set", "numbers": "fell against the record numbers", "lines": "fell against the order of lines"}
    for step in steps_of(facts):
        way = "forward" if step.seconds > 0 else "back"
        where = step.host or step.table
        yield f"{where}: {how[step.how]}, {length(abs(step.seconds))} {way} at {_minute(step.before)}"


def _levels(facts: CoverageFacts) -> Iterator[str]:
    grouped: dict[str, list[str]] = {}
    records: dict[str, int] = {}
    for one in facts.levels:
        grouped.setdefault(one.says, []).append(one.host or one.table)
        records[one.says] = records.get(one.says, 0) + one.records
    for says in sorted(grouped, key=lambda says: -len(grouped[says])):
        hosts = grouped[says]
        where = hosts[0] if len(hosts) == 1 else f"{len(hosts):,} hosts ({', '.join(sorted(hosts)[:3])}, ...)"
        yield f"{where}: {says} ({records[says]:,} records looked at)"


def _rules(facts: CoverageFacts) -> Iterator[str]:
    states = facts.rules.states
    if states:
        words = {
            "ran": "could apply and judged",
            "no_records": "had no record to judge",
            "no_reader": "want logs that have no reader yet",
            "not_compiled": "could not be compiled",
            "not_read": "could not be read",
        }
        yield ", ".join(f"{states[name]:,} {words[name]}" for name in words if states.get(name))
    if facts.rules.could is not None and facts.rules.could_not is not None:
        yield (
            f"ATT&CK and ATLAS techniques that could be seen: {len(facts.rules.could):,}; that only rules name which "
            f"could not judge: {len(facts.rules.could_not):,}"
        )
    elif facts.rules.lacking:
        yield f"techniques are not known: {facts.rules.lacking}"


def _answers(facts: CoverageFacts) -> Iterator[Section]:
    told = answers(facts)
    looked = [f"{source_words(one['what'])}: {_rules_of(one['rules'])}" for one in told["looked_and_found_none"]]
    absent = [
        f"{source_words(one['what'])}: {_rules_of(one['rules'])}{' (no reader yet)' if not one['readable'] else ''}"
        for one in told["no_log_exists"]
    ]
    lost = [f"{one['what']}: {one['says']}" for one in told["lost_or_elsewhere"]]
    yield "looked and found none", _some(looked)
    yield "no log exists here", _some(absent)
    yield "lost, expired or asked for elsewhere", _some(lost)


def _rules_of(number: int) -> str:
    return "1 rule" if number == 1 else f"{number:,} rules"


def request_line(request: Any, now: datetime) -> str:
    """One request in words."""
    span = f" from {_minute(request.begin)}" if request.begin else ""
    span += f" to {_minute(request.end)}" if request.end else ""
    promised = f", promised for {_minute(request.promised)}" if request.promised else ""
    came = f", {len(request.evidence):,} received" if request.received_at else ""
    note = f" ({request.note})" if request.note else ""
    return f"{request.number} {request.state(now)}: {request.what}{span}, of {request.of}{promised}{came}{note}"


def rule_lines(told: dict[str, Any]) -> Iterator[str]:
    """What ``coverage --why`` says, line by line."""
    yield f"{told['title'] or 'no title'} ({told['rule_id'] or told['path']})"
    yield told["answer"]
    if told["reason"] and told["state"] != "no_records":
        yield f"note: {told['reason']}" if told["state"] == "ran" else f"reason: {told['reason']}"
    if told["log_source"]:
        yield f"log source: {source_words(told['log_source'])}"
    if told["techniques"]:
        yield f"techniques: {', '.join(told['techniques'])}"
    for one in told["looked_at"]:
        where = f" where {' and '.join(one['where'])}" if one["where"] else ""
        yield f"needs {one['events']}: {one['table']}{where}: {one['records']:,} records here"
        if one["records"] and one["fields"]:
            held = [
                f"{name} {'derived' if number is None else f'{number:,}'}" for name, number in one["fields"].items()
            ]
            yield f"  of these hold: {', '.join(held)}"
    if told["refers_to"]:
        yield f"correlates: {', '.join(told['refers_to'])}"


def _minute(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if time else "no time"
