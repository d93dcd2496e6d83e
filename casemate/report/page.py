"""The page, section by section: answer, coverage, timeline, attempts, matrix, entities, findings, records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from casemate import __version__
from casemate.explore.coverage_text import sections
from casemate.explore.signal import DEFINITION as SIGNAL
from casemate.explore.summary import Ranked, worth_of
from casemate.explore.terminal import answer, blind_spot
from casemate.explore.why_judged import otherwise
from casemate.export.content import ExportedFinding
from casemate.incident.attempts import definition
from casemate.masking import mask
from casemate.report import cells, chart
from casemate.report.elements import Element, Node, Style, element, render
from casemate.report.gather import (
    ATTEMPTS_SHOWN,
    RECORDS_OF_A_FINDING,
    RULES_SHOWN,
    ReportInput,
)
from casemate.report.matrix import matrix, technique_name
from casemate.report.originals import Original
from casemate.report.reasons import reason
from casemate.report.style import policy, sheet

COVERAGE_ROWS = 100
SECTIONS: tuple[tuple[str, str], ...] = (
    ("coverage", "What could be seen"),
    ("timeline", "Timeline"),
    ("attempts", "Attempts"),
    ("techniques", "Techniques"),
    ("entities", "Sources and targets"),
    ("rules", "Rules that spoke"),
    ("findings", "Findings"),
    ("records", "Records"),
)


def page(given: ReportInput) -> Iterator[str]:
    """The whole page, piece by piece."""
    style = sheet(given.tlp)
    yield "<!DOCTYPE html>\n"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style)),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{given.name}: report"),
        Style(style),
    )
    body = element(
        "body", element("div", _header(given), element("main", _sections(given)), _footer(given), class_="page")
    )
    yield from render(element("html", head, body, lang="en"))


def _header(given: ReportInput) -> Element:
    marked = element("span", f"TLP:{given.tlp.upper()}", class_="tlp")
    run = f"run {given.summary.facts.run}, made {cells.minute(given.made_at)}"
    return element(
        "header",
        element("div", element("span", f"Report of a case, {run}"), marked, class_="bar"),
        element("h1", given.name),
        element("p", mask(answer(given.summary)), class_="answer"),
        _cards(given),
        element("div", element("b", "Largest blind spot: "), mask(blind_spot(given.summary)), class_="blind"),
        [element("p", "Note: " + mask(note), class_="note") for note in given.summary.facts.notes[:5]],
        element("nav", [element("a", words, href=f"#{name}") for name, words in SECTIONS]),
    )


def _cards(given: ReportInput) -> Element:
    number = given.summary.number
    succeeded = given.summary.numbers("attempts.by_outcome").get("succeeded", 0)
    rules = given.summary.facts.rules
    cards = (
        (
            f"{number('evidence.records'):,}",
            f"records in {number('evidence.files'):,} files, {number('evidence.rejected'):,} rejected",
        ),
        (
            f"{given.total_findings:,}",
            f"findings of {given.rule_count:,} rules" + (f"; {rules:,} could apply" if rules else ""),
        ),
        (f"{number('attempts.total'):,}", f"attempts from {number('attempts.sources'):,} known sources"),
        (f"{succeeded:,}", "attempts succeeded"),
    )
    return element(
        "div",
        [element("div", element("b", big), element("span", small), class_="card") for big, small in cards],
        class_="cards",
    )


def _sections(given: ReportInput) -> Iterator[Node]:
    titles = dict(SECTIONS)
    makers = (
        ("coverage", _coverage),
        ("timeline", _timeline),
        ("attempts", _attempts),
        ("techniques", _techniques),
        ("entities", _entities),
        ("rules", _rules),
        ("findings", _findings),
        ("records", _records),
    )
    for name, make in makers:
        yield element("section", element("h2", titles[name]), list(make(given)), id=name)


def _coverage(given: ReportInput) -> Iterator[Node]:
    facts, sources = given.summary.facts, given.summary.coverage
    drawn, left = chart.coverage(sources)
    yield element("p", mask(worth_of(given.summary)))
    yield cells.note(
        "Blue: from the first to the last record. Yellow: the longest silence, where the source's own rhythm does "
        "not explain it. A silence says that nothing was recorded, not why."
    )
    if facts.own_networks:
        yield cells.note("Own addresses: " + facts.own_networks)
    if facts.rules is not None:
        unusable = f"; {facts.unusable_rules:,} could not" if facts.unusable_rules else ""
        yield cells.note(
            f"{facts.rules:,} rules could apply to these records{unusable} (casemate show rules says why)."
        )
    if drawn is None:
        yield element("p", "No log source holds a record with a time.")
    else:
        yield drawn
    if left:
        yield cells.note(f"{left:,} more log sources are not drawn.")
    rows = [
        (
            one.table,
            one.host or "",
            cells.count(one.records),
            cells.count(one.undated),
            cells.time(one.first),
            cells.time(one.last),
            f"{cells.length(one.longest_silence_seconds)} from {cells.minute(one.silence_from)}"
            if one.silence_from
            else "",
        )
        for one in sources[:COVERAGE_ROWS]
    ]
    yield cells.table(("source", "host", "records#", "no time#", "first", "last", "longest silence"), rows)
    if len(sources) > COVERAGE_ROWS:
        yield cells.note(f"{len(sources) - COVERAGE_ROWS:,} more log sources: casemate coverage.")
    if given.summary.facts_of_coverage is not None:
        for title, lines in sections(given.summary.facts_of_coverage):
            if lines:
                yield element("h3", title[0].upper() + title[1:])
                yield element("ul", [element("li", mask(line)) for line in lines])


def _timeline(given: ReportInput) -> Iterator[Node]:
    if given.summary.timeline is None:
        yield element("p", "No record has a time.")
        return
    yield chart.timeline(given.summary.timeline)
    yield cells.note(
        "Red: findings, at their first record (square-root scale). Blue: records. "
        "Yellow: no record from any source. Times are UTC."
    )


def _attempts(given: ReportInput) -> Iterator[Node]:
    total = given.summary.number("attempts.total")
    gaps = given.summary.numbers("attempts.at_gap")
    counts = ", ".join(f"{gaps.get(gap, 0):,} at {gap} minutes" for gap in ("10", "30", "120"))
    yield cells.note(f"An attempt is {definition(given.summary.facts.gap_seconds)}. With other gaps: {counts}.")
    if not given.attempts:
        yield element("p", "No attempts.")
        return
    first: dict[str, str] = {}
    for one in given.findings:
        if one.id in given.attempt_of:
            first.setdefault(given.attempt_of[one.id], one.id)
    head = ("started", "ended", "source", "against", "intent", "by", "outcome", "findings#", "")
    rows = []
    for row in given.attempts:
        finding = first.get(row["id"])
        link = element("a", "first finding", class_="w", href=f"#f-{finding}") if finding else ""
        rows.append(
            (
                cells.time(row["started"]),
                cells.time(row["ended"]),
                element("span", cells.end(row["source"]), class_="e"),
                element("span", cells.end(row["scope"]), class_="e wide"),
                element("span", cells.words(row["intent"]), class_="w"),
                element("span", cells.words(row["vector"]), class_="w"),
                element("span", row["outcome"], class_=cells.outcome(row["outcome"])),
                cells.count(row["findings"]),
                link,
            )
        )
    yield cells.table(head, rows, ids=[f"a-{row['id']}" for row in given.attempts])
    if total > ATTEMPTS_SHOWN:
        yield cells.note(f"The furthest {ATTEMPTS_SHOWN:,} of {total:,}; casemate show attempts tells all.")


def _techniques(given: ReportInput) -> Iterator[Node]:
    if not given.techniques:
        yield element("p", "No finding names a technique.")
        return
    first: dict[str, str] = {}
    for one in given.findings:
        for technique in one.techniques:
            first.setdefault(technique, one.id)
    version = f"ATT&CK {given.attack.version or ''}" if given.attack is not None else None
    told = (
        f"Names and tactics from {version}."
        if version
        else "ATT&CK is not installed: tactics are those that the rules name."
    )
    yield cells.note(f"Techniques that findings name. The edge has the colour of the highest severity. {told}")
    yield from matrix(given, first)


def _entities(given: ReportInput) -> Iterator[Node]:
    yield cells.note(f"By signal: {SIGNAL}.")
    yield element(
        "div",
        element("div", element("h3", "Sources"), _ranked(given.summary.top_sources)),
        element("div", element("h3", "Targets"), _ranked(given.summary.top_targets)),
        class_="two",
    )


def _ranked(rows: Sequence[Ranked]) -> Element:
    if not rows:
        return element("p", "None is known.")
    ranked = [
        (
            mask(row.value),
            row.kind.replace("_", " "),
            cells.count(row.signal),
            cells.count(row.rules),
            cells.count(row.findings),
            cells.count(row.succeeded),
        )
        for row in rows
    ]
    return cells.table(("", "kind", "signal#", "rules#", "findings#", "succeeded#"), ranked)


def _rules(given: ReportInput) -> Iterator[Node]:
    if not given.rules:
        yield element("p", "No rule spoke.")
        return
    first: dict[str, str] = {}
    for one in given.findings:
        first.setdefault(one.rule_id, one.id)
    rows = []
    for row in given.rules:
        finding = first.get(row.rule_id)
        title: Node = element("a", mask(row.title), href=f"#f-{finding}") if finding else mask(row.title)
        rows.append(
            (
                cells.severity(row.severity),
                title,
                row.detector.replace("_", " "),
                cells.count(row.findings),
                cells.count(row.succeeded),
                cells.time(row.first),
                cells.time(row.last),
            )
        )
    yield cells.table(("severity", "rule", "detector", "findings#", "succeeded#", "first", "last"), rows)
    if given.rule_count > RULES_SHOWN:
        yield cells.note(f"{given.rule_count - RULES_SHOWN:,} more rules spoke.")


def _findings(given: ReportInput) -> Iterator[Node]:
    shown, total = len(given.findings), given.total_findings
    if not total:
        yield element("p", answer(given.summary))
        return
    left = (
        f" The other {total - shown:,} are counted under their rules above; casemate show findings tells all."
        if total > shown
        else ""
    )
    yield cells.note(f"{shown:,} of {total:,} findings in detail, successes and high severities first.{left}")
    shown_attempts = {row["id"] for row in given.attempts}
    for one in given.findings:
        yield _finding(one, given, shown_attempts)


def _finding(one: ExportedFinding, given: ReportInput, shown_attempts: set[str]) -> Element:
    ends = f"{one.source or 'unknown source'} → {one.target or 'unknown target'}"
    span = cells.minute(one.time) + (
        f" to {cells.minute(one.time_end)}" if one.time_end and one.time_end != one.time else ""
    )
    techniques = "; ".join(f"{name} {technique_name(name, given) or ''}".strip() for name in one.techniques)
    attempt = given.attempt_of.get(one.id)
    links: list[Node] = []
    for address in one.records[:RECORDS_OF_A_FINDING]:
        evidence, _, number = address.rpartition(":")
        short = f"{evidence[:12]}:{number}"
        if address in given.records:
            links += [element("a", short, href=f"#{cells.anchor(address)}"), " "]
        else:
            links += [element("code", short), " "]
    more = one.record_count - min(len(one.records), RECORDS_OF_A_FINDING)
    return element(
        "article",
        element("h3", cells.severity(one.severity), " ", one.title),
        element(
            "div",
            element("span", one.outcome, class_=cells.outcome(one.outcome)),
            f", {span}, {ends}",
            [" · ", element("a", "its attempt", href=f"#a-{attempt}")] if attempt in shown_attempts else None,
            class_="meta",
        ),
        element(
            "div",
            f"{techniques} · " if techniques else "",
            f"{one.detector}, rule {one.rule_id}, confidence {one.confidence}",
            class_="meta",
        ),
        element("div", element("b", "verdict: "), one.said.sentence, class_="meta") if one.said else None,
        reason(one.why),
        [element("p", sentence, class_="note") for sentence in otherwise(one.detector, one.why)],
        element("div", "rests on ", links, f"and {more:,} more records" if more > 0 else "", class_="meta"),
        id=f"f-{one.id}",
    )


def _records(given: ReportInput) -> Iterator[Node]:
    yield cells.note(
        "The first records of each finding above, as received, secrets masked. The original, byte for byte: "
        f"casemate record ADDRESS --case {given.summary.facts.case} --raw"
    )
    for record in given.records.values():
        yield _record(record)


def _record(record: Original) -> Element:
    note = f" ({record.note})" if record.note else ""
    where = f"{record.table}, {record.path}{note}"
    text = element("pre", record.text) if record.text else None
    return element(
        "div", element("div", element("code", record.address), f" {where}", class_="meta"), text,
        class_="rec", id=cells.anchor(record.address),
    )  # fmt: skip


def _footer(given: ReportInput) -> Element:
    return element(
        "footer",
        f"TLP:{given.tlp.upper()}. Made by Casemate {__version__} at {cells.minute(given.made_at)} from run "
        f"{given.summary.facts.run}. This page loads nothing and runs nothing. All times are UTC.",
    )
