"""The answer of ``casemate why`` as a person reads it, in lines that fit the terminal.

Text from evidence passes :func:`casemate.explore.escape.visible`.  Long values are cut unless everything is
asked for, and say how long they are.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from casemate.explore.annotations import annotation_text
from casemate.explore.escape import visible
from casemate.explore.why import EVENTS_SHOWN, RULES_IN_CODE
from casemate.explore.why_chart import chart
from casemate.explore.why_model import Neighbour, ShownRecord, Value, Why
from casemate.explore.why_rule import RULED_OUT, Mark, RuleText

WIDTH = 80
INDENT = 11
VALUE_SHOWN, CONTENT_SHOWN, FIELD_SHOWN = 400, 700, 120
NEIGHBOUR_SHOWN = 150
PATH_SHOWN = 130
LINES_APART = 2
"""Lines of the rule shown around a marked one; those between are left out."""
ALSO_SHOWN, NEARLY_SHOWN, LISTED_EVENTS, FIELDS_SHOWN = 8, 5, 12, 18
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


class _Page:
    """Lines of a width, with a name before each paragraph."""

    def __init__(self, width: int, full: bool) -> None:
        self.width, self.full = width, full
        self.lines: list[Text] = []
        self._console = Console(width=width, file=io.StringIO())

    def put(self, text: Text | str, indent: int = INDENT, hanging: int | None = None, name: str = "") -> None:
        """A paragraph, folded; `name` stands in the margin of its first line."""
        text = Text(text) if isinstance(text, str) else text
        folded = text.wrap(self._console, max(self.width - (indent if hanging is None else hanging), 20))
        for number, line in enumerate(folded):
            margin = indent if number == 0 else (indent if hanging is None else hanging)
            label = Text(f"{name:<{margin}}" if number == 0 else " " * margin, "bold")
            line.rstrip()
            self.lines.append(Text.assemble(label, line))

    def whole(self, text: str, most: int) -> str:
        """A record's text on one line, cut to `most` characters."""
        return self.cut(text if self.full else re.sub(r"\s*[\r\n]+\s*|\t", " ", text), most)

    def line(self, text: Text, name: str = "", indent: int = INDENT) -> None:
        """One line that is not folded."""
        self.lines.append(Text.assemble(Text(f"{name:<{indent}}", "bold"), text))

    def cut(self, text: str, most: int) -> str:
        """`text` made visible, cut to `most` characters unless everything is shown."""
        if self.full or len(text) <= most:
            return visible(text)
        return f"{visible(text[:most])}… ({len(text):,} characters; --full)"


def why_lines(answer: Why, shown: str, *, width: int = WIDTH, full: bool = False) -> list[Text]:
    """The answer as lines.

    Args:
        answer: from :func:`casemate.explore.why.why`.
        shown: the case's path as the user wrote it, for commands to copy.
        width: of the terminal.
        full: cut nothing.
    """
    page = _Page(max(width, 40), full)
    _head(page, answer)
    _series(page, answer)
    _rule(page, answer.rule, answer.finding["rule_id"])
    _values(page, answer)
    _events(page, answer)
    for number, text in enumerate(answer.otherwise):
        name = "because" if answer.finding["detector"] in RULES_IN_CODE else "otherwise"
        page.put(visible(text), name=name if number == 0 else "")
    _nearly(page, answer)
    _records(page, answer, shown)
    _also(page, answer)
    for number, note in enumerate(answer.notes):
        page.put(Text(visible(note), "yellow"), name="note" if number == 0 else "")
    return page.lines


def _head(page: _Page, answer: Why) -> None:
    finding = answer.finding
    severity = finding["severity"]
    page.put(
        Text.assemble((visible(finding["title"]), "bold"), "  ", (severity, SEVERITY_STYLES.get(severity, "default"))),
        name=finding["id"][:8],
    )
    page.put(f"{_end(finding['source'])} -> {_end(finding['target'])}")
    begin, end = finding["time"], finding["time_end"]
    when = "no time" if begin is None else f"{begin:%Y-%m-%d %H:%M:%S}"
    if begin is not None and end is not None and end != begin:
        when += f" to {end:%H:%M:%S}" if end.date() == begin.date() else f" to {end:%Y-%m-%d %H:%M:%S}"
    said = f"{when}; {finding['outcome']}, confidence {finding['confidence']}"
    page.put(visible(said + "".join(f", {one}" for one in finding["techniques"])))
    _tuned(page, answer)
    if answer.annotation is not None:
        page.put(Text(visible(annotation_text(asdict(answer.annotation))), "magenta"), name="verdict")
    because = answer.because
    if isinstance(because, Mapping) and isinstance(because.get("means"), str):
        page.put(visible(because["means"]), name="means")
    if isinstance(because, Mapping) and isinstance(because.get("not_recorded"), list):
        fields = ", ".join(map(str, because["not_recorded"]))
        page.put(Text(visible(f"these events do not record {fields}, by which the rule rules out"), "yellow"))


def _tuned(page: _Page, answer: Why) -> None:
    """What tunings did to it."""
    if answer.finding["suppressed_by"]:
        said = f"a tuning took it out of the findings: {answer.finding['suppressed_because']}"
        page.put(Text(visible(f"{said} ({answer.finding['suppressed_by']})"), "yellow"), name="suppressed")
    tuned = answer.because.get("tuned") if isinstance(answer.because, Mapping) else None
    if not isinstance(tuned, Mapping):
        return
    for change in tuned.get("changes") or []:
        if isinstance(change, Mapping):
            by = str(change.get("by")).replace("_", " ")
            said = f"severity was {tuned.get('severity_was')}, {change.get('to')} by {by} {change.get('name')}"
            page.put(Text(visible(f"{said}: {change.get('why')}"), "yellow"), name="tuned")


def _end(value: Mapping[str, str | None] | None) -> str:
    if not value or not value.get("value"):
        return "unknown"
    service = value.get("service")
    return visible(f"{value['value']} ({service})" if service else str(value["value"]))


def _series(page: _Page, answer: Why) -> None:
    if answer.series is None:
        return
    series = answer.series
    cut = " (the first of them)" if series.cut else ""
    page.put(visible(f"{series.of}{cut}, UTC"), name="judged")
    for line in chart(series):
        page.lines.append(Text.assemble("  ", line))
    because = answer.because
    counts = because.get("counts") if isinstance(because, Mapping) else None
    if isinstance(counts, Mapping):
        told = ", ".join(f"{str(name).replace('_', ' ')} {value}" for name, value in counts.items() if value != 0)
        page.put(visible(told), name="counts")


def _rule(page: _Page, rule: RuleText, rule_id: str) -> None:
    if rule.text is None:
        page.put(visible(rule.path or rule_id), name="rule")
        return
    page.put(visible(f"{rule.path} ({rule_id})"), name="rule")
    lines = rule.text.split("\n")
    first, last = (0, len(lines)) if page.full or rule.detection is None else rule.detection
    marked: dict[int, list[Mark]] = {}
    for mark in rule.marks:
        marked.setdefault(mark.line, []).append(mark)
    wanted = [
        number
        for number in range(first, last)
        if page.full or any(abs(number - line) <= LINES_APART for line in marked) or last - first <= 12
    ]
    before = first - 1
    for number in wanted:
        if number > before + 1:
            _left_out(page, number - before - 1)
        _rule_line(page, lines[number], marked.get(number, []))
        before = number
    if wanted and last > before + 1:
        _left_out(page, last - before - 1)


def _left_out(page: _Page, count: int) -> None:
    page.line(Text(f"  … {count} line{'s' * (count != 1)} more", "dim"), indent=2)


def _rule_line(page: _Page, line: str, marks: list[Mark]) -> None:
    held = any(mark.state != RULED_OUT for mark in marks)
    sign = ("> ", "bold green") if held else ("- ", "yellow") if marks else ("  ", "")
    text = Text()
    at = 0
    for mark in marks:
        if mark.begin < at:
            continue
        text.append(visible(line[at : mark.begin]))
        text.append(visible(line[mark.begin : mark.end]), "yellow" if mark.state == RULED_OUT else "bold green")
        at = mark.end
    text.append(visible(line[at:].rstrip("\r")))
    if text.cell_len > page.width - 4 and not page.full and not marks:
        text.truncate(page.width - 5, overflow="ellipsis")
    space = len(line) - len(line.lstrip(" "))
    folded = Text.assemble(sign, text)
    page.put(folded, indent=2, hanging=min(space + 6, page.width // 2))


def _values(page: _Page, answer: Why) -> None:
    because = answer.because
    if isinstance(because, Mapping) and isinstance(because.get("events"), str) and answer.values:
        page.put(Text(visible(because["events"]), "dim"), name="matched")
    for value in answer.values:
        _matched(page, value)


def _matched(page: _Page, value: Value) -> None:
    field = visible(value.field or "any field")
    if value.column:
        field += f" ({visible(value.column)})"
    patterns = " | ".join(page.cut(pattern, FIELD_SHOWN) for pattern in value.patterns)
    where = f"  in {visible(value.selection)}" if value.selection else ""
    page.put(Text.assemble((field, "bold"), "  fits ", (patterns, "green"), (where, "dim")), indent=2, hanging=INDENT)
    if value.value is not None:
        # what was decoded is lit, not what it was decoded from
        lit = () if value.decoded is not None else value.patterns
        page.put(_lit(page, value.value, lit), indent=INDENT)
    if value.decoded is not None:
        decoded = value.decoded
        page.put(Text(visible(f"decoded: {', '.join(decoded.steps)}"), "magenta"), indent=INDENT)
        page.put(_lit(page, decoded.text, value.patterns), indent=INDENT)
        if decoded.limit_hit:
            page.put(Text(visible(f"there may be more: {decoded.limit_hit}"), "yellow"), indent=INDENT)


def _lit(page: _Page, text: str, patterns: tuple[str, ...]) -> Text:
    """A value with the pieces lit that fit a literal of its patterns; a long one around the first of them."""
    pieces = {
        piece.lower()
        for pattern in patterns
        if not pattern.startswith(("re: ", "cidr: "))
        for piece in pattern.replace("\\\\", "\\").split("*")
        if len(piece) > 1
    }
    lowered = text.lower()
    places = sorted((lowered.find(piece), len(piece)) for piece in pieces if piece in lowered)
    begin, end = 0, len(text)
    if not page.full and len(text) > VALUE_SHOWN:
        begin = max(places[0][0] - VALUE_SHOWN // 3, 0) if places else 0
        end = min(begin + VALUE_SHOWN, len(text))
    shown = Text("…" if begin else "")
    at = begin
    for place, length in places if len(lowered) == len(text) else []:
        if place < at or place >= end:
            continue
        shown.append(visible(text[at:place]))
        shown.append(visible(text[place : min(place + length, end)]), "bold green")
        at = min(place + length, end)
    shown.append(visible(text[at:end]))
    if end < len(text) or begin:
        shown.append(f"… ({len(text):,} characters; --full)", "dim")
    return shown


def _events(page: _Page, answer: Why) -> None:
    because = answer.because
    if answer.finding["detector"] != "sigma_correlation" or not isinstance(because, Mapping):
        return
    group = because.get("group") or {}
    named = ", ".join(f"{name} = {value}" for name, value in group.items()) if isinstance(group, Mapping) else ""
    page.put(
        visible(
            f"{because.get('correlation')} {because.get('condition')} within {because.get('timespan')}"
            f"{'; group ' + named if named else ''}"
        ),
        name="condition",
    )
    page.put(visible(f"value {because.get('value')} at its peak; held at {because.get('held_at')}"))
    for child in because.get("children") or []:
        if isinstance(child, Mapping):
            page.put(visible(f"{child.get('matches')} of '{child.get('title')}'"))
    events = answer.events if page.full else answer.events[:LISTED_EVENTS]
    for number, event in enumerate(events):
        text = f"{event.time or 'no time'}  {', '.join(event.matched)}  {_short(event.id)}"
        page.put(visible(text), name="events" if number == 0 else "")
    if answer.record_count > len(events):
        most = f" (at most {EVENTS_SHOWN} are told)" if page.full else "; --full"
        page.put(Text(f"… {answer.record_count - len(events):,} more{most}", "dim"))


def _nearly(page: _Page, answer: Why) -> None:
    shown = answer.nearly if page.full else answer.nearly[:NEARLY_SHOWN]
    for number, miss in enumerate(shown):
        whose = f"filter '{miss.filter}', {miss.name}" if miss.filter else miss.name
        wanted = " or ".join(page.cut(text, FIELD_SHOWN) for text in miss.missing.wanted)
        more = f" or {miss.missing.more} more" if miss.missing.more else ""
        text = Text.assemble(
            (visible(whose), "bold"),
            f" would have ruled it out had {visible(miss.missing.field)} been ",
            (wanted + more, "green"),
            f"; it is {'absent' if miss.missing.value is None else page.cut(miss.missing.value, FIELD_SHOWN)}",
        )
        page.put(text, name="nearly" if number == 0 else "")
        held = ", ".join(dict.fromkeys(visible(part.field) for part in miss.held))
        page.put(Text(f"held: {held}", "dim"))
    if len(answer.nearly) > len(shown):
        page.put(Text(f"… {len(answer.nearly) - len(shown)} more; --full", "dim"))


def _records(page: _Page, answer: Why, case: str) -> None:
    count = answer.record_count
    for number, record in enumerate(answer.records):
        _record(page, record, name=f"record {number + 1}" if count > 1 else "record", first=number == 0)
    left = count - len(answer.records)
    if left > 0:
        page.put(Text(f"… and {left:,} more record{'s' * (left != 1)}", "dim"))
    if answer.records:
        command = f"casemate record {answer.records[0].id} --case {shlex.quote(case)} --around 3"
        page.lines.append(Text.assemble(" " * 2, (visible(command), "dim")))  # not folded: to be copied


def _record(page: _Page, record: ShownRecord, *, name: str, first: bool) -> None:
    where = f"{record.path} > {record.member_path}" if record.member_path else record.path
    page.put(visible(f"{_short(record.id)}  {record.table}, byte {record.offset:,}, {record.length:,} long"), name=name)
    if not page.full and len(where) > PATH_SHOWN:
        where = f"…{where[-PATH_SHOWN:]}"
    page.put(Text(visible(where), "dim"))
    if not first and not page.full:
        text = record.content if record.content is not None else _fields_line(record)
        page.put(page.whole(text, NEIGHBOUR_SHOWN))
        return
    for near in record.before:
        _neighbour(page, near)
    if record.content is not None:
        page.put(Text.assemble(("> ", "bold green"), page.whole(record.content, CONTENT_SHOWN)), hanging=INDENT + 2)
        if record.length > len(record.content.encode()) and page.full:
            page.put(Text("(casemate record prints all of it)", "dim"))
    else:
        _fields(page, record)
    for near in record.after:
        _neighbour(page, near)


def _fields(page: _Page, record: ShownRecord) -> None:
    """The fields of a binary record."""
    items = list(record.fields.items())
    shown = items if page.full else items[:FIELDS_SHOWN]
    for field, value in shown:
        text = Text.assemble(("> ", "bold green"), (visible(field), "bold"), "  ", page.cut(value, FIELD_SHOWN))
        page.put(text, hanging=INDENT + 4)
    if len(items) > len(shown):
        page.put(Text(f"  … {len(items) - len(shown)} more fields; --full", "dim"))


def _fields_line(record: ShownRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in record.fields.items())


def _neighbour(page: _Page, near: Neighbour) -> None:
    number = near.id.rpartition(":")[2]
    fired = f"[{len(near.findings)} finding{'s' * (len(near.findings) != 1)}] " if near.findings else ""
    text = f"{number}: {fired}{page.whole(near.text, NEIGHBOUR_SHOWN)}"
    page.put(Text(text, "dim"), hanging=INDENT + 2)


def _short(address: str) -> str:
    evidence, _, record = address.rpartition(":")
    return f"{evidence[:12]}:{record}"


def _also(page: _Page, answer: Why) -> None:
    shown = answer.also if page.full else answer.also[:ALSO_SHOWN]
    for number, one in enumerate(shown):
        style = SEVERITY_STYLES.get(one.severity, "default")
        on = f" on {one.records:,} of them" if answer.record_count > 1 else ""
        page.put(
            Text.assemble((one.id[:8], "bold"), "  ", (f"{one.severity} ", style), visible(one.title), (on, "dim")),
            hanging=INDENT + 10,
            name="also" if number == 0 else "",
        )
    if len(answer.also) > len(shown):
        page.put(Text(f"… {len(answer.also) - len(shown)} more; --full", "dim"))
    if not answer.also:
        page.put(Text("nothing else fired on these records", "dim"), name="also")
