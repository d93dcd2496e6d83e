"""What cannot be seen: the blind spots of a case, the largest first, and what its answer is worth for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from casemate.detect.coverage import (
    SourceCoverage,
)
from casemate.detect.coverage.levels import Level
from casemate.detect.coverage.numbers import Numbering
from casemate.detect.coverage.stopped import Stopped
from casemate.explore.coverage_rules import LogSourceFacts
from casemate.explore.coverage_words import act_says, length, minute, stream_name

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
        when = f", first {minute(first)}" if first and times > 1 else f", {minute(first)}" if first else ""
        done = f"{what} of {host} cleared" if acts[0].host else acts[0].act.says
        spots.append(BlindSpot("cleared", host, f"{done} {often}{by}{when}", times + 1000 * whole))
    return sorted(spots, key=lambda one: (-one.weight, one.where))


def _ended(told: Sequence[Stopped]) -> list[BlindSpot]:
    """Recording that somebody stopped; what ends at each ordinary shutdown too is left out."""
    return [
        BlindSpot("stopped", one.host or one.act.table, f"{act_says(one)}, {minute(one.first)}", one.times)
        for one in told
        if one.act.kind == "stopped" and not one.act.ordinary
    ]


def _holes(numbered: Sequence[Numbering]) -> list[BlindSpot]:
    spots = []
    for one in numbered:
        if one.verdict != "holes":
            continue
        largest = max((hole for hole in one.listed if hole.within), key=lambda hole: hole.numbers, default=None)
        name = stream_name(one.table, one.stream, one.host)
        places = "1 place" if one.holes_within == 1 else f"{one.holes_within:,} places, the largest"
        when = f" after {minute(largest.after)}" if largest else ""
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
        says = f"{source.name} silent {length(longest.seconds)} from {minute(longest.start)}{weekend}{more}{off}"
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
    says = f"nothing before {minute(min(firsts))} or after {minute(max(lasts))}"
    return [BlindSpot("ends", "case", says, 0)]


def many(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def worth(kept: int, log_sources: int, rules: int | None, findings: int, spots: Sequence[BlindSpot]) -> str:
    """One sentence: what the answer of this run is worth."""
    if not kept:
        return "Nothing was read, so nothing can be said."
    judged = f"{many(rules, 'rule')} and the behaviour analytics" if rules is not None else "the rules that apply"
    opening = f"{judged} looked at {many(kept, 'record')} of {many(log_sources, 'log source')}"
    first = next((spot for spot in spots if spot.kind != "ends"), None)
    unseen = f" What they could not see, first of all: {first.says}." if first else ""
    if findings:
        made = many(findings, "finding")
        return f"{opening} and made {made}; of anything else this speaks only for these logs.{unseen}"
    return f"{opening} and found none; that speaks only for what these logs record.{unseen}"
