"""A slow, plain evaluator of Sigma correlations, written only to be compared with.

It works on the rule document (not on the compiled rule), looks at every window event by event
and shares no code with the product.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Match:
    """One match of a rule: `time` in whole seconds or None; `fields` of the event."""

    evidence: str
    record: int
    time: int | None
    fields: dict[str, str] = field(default_factory=dict, hash=False, compare=False)


@dataclass
class Event:
    """A match (or one moment of a match of a correlation) inside one correlation."""

    rule: int
    time: int
    evidence: str
    record: int
    subject: object
    fields: dict[str, str]
    records: frozenset[tuple[str, int]]
    group: tuple[str, ...] = ()
    value: Any = None


@dataclass
class Run:
    """One maximal run of satisfied windows."""

    group: tuple[str, ...]
    events: list[Event]
    trigger: Event

    @property
    def records(self) -> frozenset[tuple[str, int]]:
        return frozenset(record for event in self.events for record in event.records)


def correlate(documents: dict[str, dict[str, Any]], matches: dict[str, list[Match]], name: str) -> list[Run]:
    """Runs of the correlation called `name`; `documents` holds all correlations by name."""
    document = documents[name]
    body = document["correlation"]
    names = body.get("rules") or _names(body["condition"])
    events: list[Event] = []
    for position, rule in enumerate(names):
        if rule in names[:position]:
            continue
        for event in _events(documents, matches, rule, position):
            aliases = body.get("aliases", {})
            values = [event.fields.get(aliases.get(key, {}).get(rule, key)) for key in body.get("group-by", [])]
            if any(value is None for value in values):
                continue
            event.group = tuple(str(value) for value in values)
            if body["type"].startswith("value_"):
                wanted = body["condition"]["field"]
                read = event.fields.get(aliases.get(wanted, {}).get(rule, wanted))
                event.value = read if body["type"] == "value_count" else _number(read)
                if event.value is None:
                    continue
            events.append(event)
    found: list[Run] = []
    for group in sorted({event.group for event in events}):
        found += _group(body, names, [event for event in events if event.group == group])
    return found


def _events(
    documents: dict[str, dict[str, Any]], matches: dict[str, list[Match]], rule: str, position: int
) -> Iterator[Event]:
    if rule not in documents:
        for match in matches.get(rule, []):
            if match.time is not None:
                own = (match.evidence, match.record)
                yield Event(position, match.time, *own, own, match.fields, frozenset([own]))
        return
    for number, run in enumerate(correlate(documents, matches, rule)):
        group = dict(zip(documents[rule]["correlation"].get("group-by", []), run.group, strict=True))
        for event in run.events:
            shown = event if event.time >= run.trigger.time else run.trigger
            yield Event(
                position,
                shown.time,
                shown.evidence,
                shown.record,
                (rule, number),
                event.fields | group,
                run.records,
            )


def _group(body: dict[str, Any], names: list[str], events: list[Event]) -> list[Run]:
    events = sorted(events, key=lambda event: (event.time, event.evidence, event.record, event.rule))
    if body["type"] in ("value_sum", "value_avg", "value_percentile", "value_median"):
        first: dict[object, Event] = {}  # an event that several rules match has one number
        for event in events:
            first.setdefault(event.subject, event)
        events = list(first.values())
    span = int(body["timespan"][:-1]) * SECONDS[body["timespan"][-1]]
    satisfied: list[tuple[list[Event], Event]] = []
    for event in events:
        window = [other for other in events if event.time - span <= other.time <= event.time]
        if _holds(body, names, window, events):
            satisfied.append((window, event))
    runs: list[Run] = []
    for window, event in satisfied:
        if runs and any(other is old for other in window for old in runs[-1].events):
            runs[-1].events += [other for other in window if all(other is not old for old in runs[-1].events)]
        else:
            runs.append(Run(event.group, list(window), event))
    return runs


def _holds(body: dict[str, Any], names: list[str], window: list[Event], events: list[Event]) -> bool:
    kind: str = body["type"]
    condition: Any = body.get("condition")
    if kind == "event_count":
        return _compare(condition, len({event.subject for event in window}))
    if kind == "value_count":
        return _compare(condition, len({event.value for event in window}))
    if kind == "value_sum":
        return _compare(condition, sum(event.value for event in window))
    if kind == "value_avg":
        return _compare(condition, Fraction(sum(event.value for event in window), len(window)))
    if kind == "value_median":
        return _compare(condition, statistics.median(event.value for event in window))
    if kind == "value_percentile":
        ordered = sorted(event.value for event in window)
        place = Fraction((len(ordered) - 1) * condition["percentile"], 100)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return _compare(condition, ordered[low] + (place - low) * (ordered[high] - ordered[low]))
    sequence = [names.index(name) for name in names]
    present = {event.rule for event in window}
    if isinstance(condition, (tuple, str)):
        for wanted, unwanted in _proofs(condition):
            places = [names.index(name) for name in dict.fromkeys(wanted)]
            if any(names.index(name) in present for name in unwanted):
                continue
            if not all(place in present for place in places):
                continue
            if kind == "temporal" or _chain(places, window, events):
                return True
        return False
    condition = condition or {"gte": len(names)}
    if kind == "temporal":
        return _compare(condition, sum(place in present for place in sequence))
    longest = 0
    for mask in range(1, 2 ** len(sequence)):
        chosen = [place for index, place in enumerate(sequence) if mask >> index & 1]
        if len(chosen) > longest and _chain(chosen, window, events):
            longest = len(chosen)
    return _compare(condition, longest)


def _chain(places: list[int], window: list[Event], events: list[Event], last: Event | None = None) -> bool:
    if not places:
        return True
    return any(
        _chain(places[1:], window, events, event)
        for event in window
        if event.rule == places[0] and (last is None or _before(last, event, events))
    )


def _before(first: Event, second: Event, events: list[Event]) -> bool:
    if first.time != second.time:
        return first.time < second.time
    logs = {event.evidence for event in events if event.time == first.time}
    return len(logs) > 1 or first.record < second.record


def _proofs(node: Any) -> list[tuple[list[str], set[str]]]:
    """Ways to satisfy a condition: names that must be there, in order, and names that must not."""
    if isinstance(node, str):
        return [([node], set())]
    if node[0] == "or":
        return _proofs(node[1]) + _proofs(node[2])
    if node[0] == "and":
        return [(a + c, b | d) for a, b in _proofs(node[1]) for c, d in _proofs(node[2])]
    inner = node[1]
    if isinstance(inner, str):
        return [([], {inner})]
    if inner[0] == "not":
        return _proofs(inner[1])
    swapped = "or" if inner[0] == "and" else "and"
    return _proofs((swapped, ("not", inner[1]), ("not", inner[2])))


def _names(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return list(dict.fromkeys(name for part in node[1:] for name in _names(part)))


def text_of(node: Any) -> str:
    """A condition tree as Sigma writes it."""
    if isinstance(node, str):
        return node
    if node[0] == "not":
        return f"not ({text_of(node[1])})"
    return f"({text_of(node[1])}) {node[0]} ({text_of(node[2])})"


def _number(text: str | None) -> Fraction | None:
    try:
        return Fraction(text) if text is not None and "/" not in text and "_" not in text else None
    except ValueError:
        return None


def _compare(condition: dict[str, Any], measure: int | Fraction) -> bool:
    tests = {
        "gt": lambda bound: measure > bound,
        "gte": lambda bound: measure >= bound,
        "lt": lambda bound: measure < bound,
        "lte": lambda bound: measure <= bound,
        "eq": lambda bound: measure == bound,
        "neq": lambda bound: measure != bound,
    }
    return all(tests[name](Fraction(str(bound))) for name, bound in condition.items() if name in tests)
