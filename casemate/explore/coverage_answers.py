"""The answers of coverage: looked and found none, no log exists, lost or elsewhere; and what is known of clocks."""

from __future__ import annotations

from typing import Any

from casemate.detect.coverage.clocks import ClockStep
from casemate.explore.coverage import CoverageFacts
from casemate.explore.coverage_words import act_says, length, numbers_say, stream_name

EARLIER_FROM = 50
"""A numbering of fewer records does not tell that earlier records expired."""


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
        name = stream_name(one.table, one.stream, one.host)
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
