"""Coverage as the summary and ``casemate coverage --json`` print it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from casemate.detect.coverage import (
    SourceCoverage,
    largest_blind_spot,
)
from casemate.detect.coverage.clocks import ClockStep
from casemate.detect.coverage.numbers import NUMBERED, Numbering
from casemate.detect.coverage.stopped import Stopped
from casemate.explore.blind_spots import BlindSpot, numbers_over
from casemate.explore.coverage import CoverageFacts
from casemate.explore.coverage_answers import answers, clocks_answer, steps_of
from casemate.explore.coverage_requests import Request, request_json
from casemate.explore.coverage_rules import RuleFacts
from casemate.explore.coverage_words import act_says, numbers_say, text_time

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
