"""What a person sees: at most 40 lines of 80 columns, always in the same order.

1 the answer; 2 what was read and the largest blind spot; 3 findings; 4 attempts with their
definition; 5 sources and targets by signal; 6 the timeline; 7 what to look at first; 8 the run.
Text from evidence passes :func:`casemate.explore.escape.visible`.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from casemate.explore.blind_spots import KINDS_THAT_HIDE
from casemate.explore.escape import visible, visible_end
from casemate.explore.origins_text import summary_line
from casemate.explore.summary import Ranked, RunFacts, SummaryInput, Timeline
from casemate.incident.attempts import definition
from casemate.intel.tactics import RANKED_INTENTS
from casemate.schema.attempts import INTENTS
from casemate.schema.findings import OUTCOMES, SEVERITIES, VECTORS

WIDTH = 80
MOST_LINES = 40
SHOWN_TOP = 4
SPARKS = "▁▂▃▄▅▆▇█"
QUIET, SILENT = "·", "░"
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


def summary_lines(given: SummaryInput) -> list[Text]:
    """The summary as lines of at most :data:`WIDTH` cells, at most :data:`MOST_LINES` of them."""
    for notes in (2, 1, 0):  # what is said in passing gives way, what to do next does not
        lines = _lines(given, notes)
        if len(lines) <= MOST_LINES:
            break
    # a command that was cut could not be copied
    return [line if _is_command(line) else _cut(line) for line in lines][:MOST_LINES]


def _lines(given: SummaryInput, notes: int) -> list[Text]:
    return [
        *_wrapped(answer(given), "bold", 3),
        *_read(given, notes),
        *_findings(given),
        *_attempts(given),
        *_top("sources by signal", given.top_sources),
        *_top("targets by signal", given.top_targets),
        *_origins(given),
        *_timeline(given.timeline),
        *_first(given),
        _run(given),
    ]


def _is_command(line: Text) -> bool:
    return line.plain.strip().startswith("casemate ")


def render(given: SummaryInput, *, colour: bool = False) -> str:
    """The summary as text; `colour` adds ANSI styles."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False, emoji=False, markup=False
    )
    for line in summary_lines(given):
        console.print(line, overflow="ignore" if _is_command(line) else "crop", no_wrap=True, crop=False)
    return stream.getvalue()


def answer(given: SummaryInput) -> str:
    """One sentence: what happened, since when, how far it got, and what it is worth if nothing was found."""
    records, total = given.number("evidence.records"), given.number("attempts.total")
    if not records:
        return "Nothing was read, so nothing can be said."
    if not given.number("findings.total"):
        return _nothing_found(given)
    started = min((row.started for row in given.reach if row.started), default=None)
    since = f" since {_day(started)}" if started else ""
    sources = given.number("attempts.sources")
    opening = f"{total:,} {_plural('attempt', total)} from {sources:,} known {_plural('source', sources)}{since}"
    done = [row for row in given.reach if row.outcome == "succeeded"]
    if not done:
        most = max(given.reach, key=lambda row: (row.attempts, row.intent), default=None)
        mostly = f", mostly {_words(most.intent)}" if most and most.intent != "unspecified" else ""
        unknown = sum(row.attempts for row in given.reach if row.outcome == "unknown")
        open_end = f", {unknown:,} ended unknown" if unknown else ""
        return f"{opening}{mostly}; none is seen to have succeeded{open_end}."
    number = sum(row.attempts for row in done)
    furthest = min(done, key=lambda row: RANKED_INTENTS.index(row.intent) if row.intent in RANKED_INTENTS else 99)
    first = min((row.started for row in done if row.started), default=None)
    when = f", the first on {_minute(first)}" if first else ""
    reached = sum(row.attempts for row in done if row.intent == furthest.intent)
    far = f"furthest by the rules' tactics: {_words(furthest.intent)} ({reached:,})"
    return f"{opening}; {number:,} succeeded{when}; {far}."


def _nothing_found(given: SummaryInput) -> str:
    rules = given.facts.rules
    with_rules = "the rules that apply" if rules is None else f"{rules:,} rules that apply"
    if rules == 1:
        with_rules = "1 rule that applies"
    kept, sources = given.number("evidence.kept"), len(given.coverage)
    return (
        f"Nothing was found in {kept:,} {_plural('record', kept)} of {sources:,} {_plural('log source', sources)} with "
        f"{with_rules}. This speaks only for what these logs record; see the blind spot below."
    )


def _read(given: SummaryInput, notes: int) -> list[Text]:
    number = given.number
    files, rejected = number("evidence.files"), number("evidence.rejected")
    line = Text("read      ", style="dim")
    line.append(
        f"{files:,} {_plural('file', files)}, {number('evidence.records'):,} records = "
        f"{number('evidence.kept'):,} kept + {rejected:,} rejected",
        style="yellow" if rejected else "",
    )
    lines = [line, *_folded_label("blind spot", blind_spot(given))]
    if given.facts.own_networks:
        lines.extend(_folded_label("own", given.facts.own_networks))
    for note in given.facts.notes[:notes]:
        lines.extend(_folded_label("note", note))
    return lines


def blind_spot(given: SummaryInput) -> str:
    """The largest blind spot in words; there always is one."""
    hiding = [spot for spot in given.spots if spot.kind in KINDS_THAT_HIDE]
    if hiding:
        more = f" (+{len(hiding) - 1:,} more: casemate coverage)" if len(hiding) > 1 else ""
        return f"{hiding[0].says}{more}"
    ends = next((spot.says for spot in given.spots if spot.kind == "ends"), "no record was read")
    others = [spot.says for spot in given.spots if spot.kind != "ends"]
    return "; ".join([*others[:1], f"no unusual silence; {ends}"]) if "no record" not in ends else ends


def _findings(given: SummaryInput) -> list[Text]:
    totals, unique = given.numbers("findings.by_severity"), given.numbers("findings.unique_by_severity")
    line = Text("findings  ", style="dim")
    line.append(f"{given.number('findings.total'):,}", style="bold")
    if totals:
        line.append(" (of different rules): ")
    parts = [name for name in reversed(SEVERITIES) if totals.get(name)]
    for position, name in enumerate(parts):
        short = "info" if name == "informational" else name
        line.append(f"{short} {totals[name]:,} ({unique.get(name, 0):,})", style=SEVERITY_STYLES[name])
        line.append(", " if position + 1 < len(parts) else "")
    if given.facts.suppressed:
        line.append(f"; {given.facts.suppressed:,} suppressed (tune list)", style="dim")
    tuned = given.facts.tuning or {}
    if tuned.get("severities_changed"):
        raised = ", ".join(f"{one['name']} {one['findings']:,}" for one in tuned["core_assets"])
        named = f", raised for the core assets {raised}" if raised else ""
        line.append(f"; {tuned['severities_changed']:,} with another severity{named}", style="dim")
    return [*_folded(line), *_rules(given.facts)]


def _rules(facts: RunFacts) -> list[Text]:
    if facts.rules is None:
        return []
    idle = f", {facts.unusable_rules:,} had nothing to judge or cannot run" if facts.unusable_rules else ""
    return [Text("rules     ", style="dim").append(f"{facts.rules:,} ran{idle} (show rules)", style="")]


def _attempts(given: SummaryInput) -> list[Text]:
    gaps = given.numbers("attempts.at_gap")
    line = Text("attempts  ", style="dim")
    line.append(f"{given.number('attempts.total'):,}", style="bold")
    others = {int(minutes): number for minutes, number in gaps.items() if int(minutes) * 60 != given.facts.gap_seconds}
    if others:
        at = ", ".join(f"{number:,} at a gap of {minutes} min" for minutes, number in sorted(others.items()))
        line.append(f" ({at})")
    return [
        line,
        *_wrapped("= " + definition(given.facts.gap_seconds), "dim", 3, indent=10),
        *_counted("intent", given.numbers("attempts.by_intent"), INTENTS),
        *_counted("vector", given.numbers("attempts.by_vector"), tuple(VECTORS)),
        *_counted("outcome", given.numbers("attempts.by_outcome"), OUTCOMES),
        *_scopes(given.numbers("attempts.by_scope")),
    ]


def _scopes(counted: dict[str, int]) -> list[Text]:
    """Where most attempts went: how many services, hosts or networks, and the busiest of them."""
    known = sorted(((name, number) for name, number in counted.items() if name), key=lambda one: (-one[1], one[0]))
    if not known:
        return []
    busiest = ", ".join(f"{visible_end(name, 40)} {number:,}" for name, number in known[:4])
    line = Text("  against ", style="dim")
    return _folded(line.append(f"{len(known):,} {_plural('target', len(known))}: {busiest}"))


def _counted(label: str, counted: dict[str, int], names: Sequence[str]) -> list[Text]:
    line = Text(f"  {label:<8}", style="dim")
    parts = [f"{_words(name)} {counted[name]:,}" for name in names if counted.get(name)]
    line.append(", ".join(parts) or "none", style="")
    return _folded(line)


def _top(label: str, rows: Sequence[Ranked]) -> list[Text]:
    if not rows:
        return []
    lines = [Text(f"{label}", style="dim")]
    for row in rows[:SHOWN_TOP]:
        line = Text("  ")
        line.append(_pad(visible_end(row.value, 30), 32), style="bold" if row.succeeded else "")
        line.append(f"{row.signal:>4}  {row.rules} {_plural('rule', row.rules)}, ")
        line.append(f"{row.findings:,} {_plural('finding', row.findings)}")
        if row.succeeded:
            line.append(f", {row.succeeded:,} succeeded", style="red")
        lines.append(line)
    return lines


def _origins(given: SummaryInput) -> list[Text]:
    if given.origins is None or not given.number("attempts.total"):
        return []
    return _folded_label("origins", summary_line(given.origins))


def _timeline(timeline: Timeline | None) -> list[Text]:
    if timeline is None:
        return [_labelled("timeline", "no record has a time")]
    highest = max(timeline.findings, default=0)
    drawn = "".join(
        _spark(found, highest) if found else (QUIET if records else SILENT)
        for records, found in zip(timeline.records, timeline.findings, strict=True)
    )
    end = timeline.start + timeline.step * len(timeline.records)
    line = Text("timeline  ", style="dim")
    line.append(drawn)
    legend = f"{_minute(timeline.start)} to {_minute(end)}, {QUIET} no finding, {SILENT} no record"
    return [line, Text(" " * 10 + legend, style="dim")]


def _spark(number: int, highest: int) -> str:
    # Square root: one finding among thousands stays visible beside the busiest hour.
    level = round((number / highest) ** 0.5 * (len(SPARKS) - 1))
    return SPARKS[max(0, min(level, len(SPARKS) - 1))]


def _first(given: SummaryInput) -> list[Text]:
    look = given.first_look
    case = shlex.quote(visible(given.facts.case))
    if look is None:
        return [Text("look at   ", style="dim").append(f"casemate show coverage --case {case}")]
    who = f" by {look.source}" if look.source else ""
    said = f"{look.severity}, {look.outcome}: {look.title}{who}{', ' + _minute(look.time) if look.time else ''}"
    first, *more = _wrapped(said, SEVERITY_STYLES.get(look.severity, ""), 2, indent=10)
    lines = [
        Text("look at   ", style="dim").append_text(Text(first.plain[10:], style=first.style)),
        *more,
        Text(" " * 10).append(f"casemate show findings --case {case} --severity {look.severity}", style="green"),
    ]
    if look.record:
        evidence, _, number = look.record.rpartition(":")
        lines.append(Text(" " * 10).append(f"casemate record {evidence[:16]}:{number} --case {case}", style="green"))
    return lines


def _run(given: SummaryInput) -> Text:
    state = {
        True: "verified",
        False: "NOT verified: casemate custody verify says why",
        None: "not verified (--verify does)",
    }
    line = Text("run       ", style="dim").append(visible(given.facts.run, 40))
    return line.append(f", {state[given.facts.verified]}", style="red" if given.facts.verified is False else "dim")


def _folded_label(label: str, text: str) -> list[Text]:
    """A labelled text on at most two lines; where it is longer, what stands in brackets at its end is kept."""
    head, bracket, tail = text.rpartition(" (+")
    first, *others = _wrapped(head, "", 2, indent=11, tail=bracket + tail) if head else _wrapped(tail, "", 2, indent=11)
    return [Text(f"{label:<11}", style="dim").append_text(Text(first.plain.strip())), *others]


def _labelled(label: str, text: str) -> Text:
    return Text(f"{label:<10}", style="dim").append(" " if len(label) >= 10 else "").append(visible(text, WIDTH - 11))


def _wrapped(text: str, style: str, most: int, indent: int = 0, tail: str = "") -> list[Text]:
    """`text` and `tail` in at most `most` lines of :data:`WIDTH` cells; where `text` was cut stands an ellipsis."""
    shown, end = visible(text), visible(tail)
    lines = _split_words(shown + end, indent)
    if len(lines) > most:
        shown = shown[: WIDTH * most]
        while len(lines) > most and shown:
            shown = shown[:-1].rstrip()
            lines = _split_words(f"{shown}…{end}", indent)
    return [Text(" " * indent + line, style=style) for line in lines[:most]]


def _split_words(text: str, indent: int) -> list[str]:
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        if current and cell_len(current) + 1 + cell_len(word) > WIDTH - indent:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]


def _folded(line: Text) -> list[Text]:
    """A line broken at its commas into lines of :data:`WIDTH` cells, styles kept."""
    if cell_len(line.plain) <= WIDTH:
        return [line]
    cut = line.plain.rfind(", ", 0, WIDTH - 1)
    if cut < 0:
        return [line]
    rest = Text(" " * 10).append_text(line[cut + 2 :])
    return [line[: cut + 1], *_folded(rest)]


def _cut(line: Text) -> Text:
    if cell_len(line.plain) <= WIDTH:
        return line
    line = line.copy()
    line.truncate(WIDTH, overflow="ellipsis")
    return line


def _pad(text: str, width: int) -> str:
    return set_cell_size(text, width)


def _words(name: str) -> str:
    return visible(name.replace("_", " "))


def _plural(word: str, number: int) -> str:
    return word if number == 1 else word + "s"


def _day(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d")


def _minute(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if time else "?"


def _length(length: timedelta) -> str:
    days, seconds = length.days, length.seconds
    if days:
        return f"{days:,} d {seconds // 3600} h"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
