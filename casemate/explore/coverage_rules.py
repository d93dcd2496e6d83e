"""What the rules of the last run could judge: states, log sources, techniques; and what one rule needs."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from casemate.detect.behaviour import ANALYTICS
from casemate.detect.sigma.logsources import EventSource, Where, sources_for
from casemate.detect.sigma.rule_files import RuleFile, hash_rule_files, read_rule_files
from casemate.engine.measures import Collect
from casemate.engine.protocol import Engine
from casemate.errors import BadInput, CasemateError
from casemate.explore.tables import events_there
from casemate.schema.ocsf import EVENT_CLASSES
from casemate.views import VIEWS, ocsf_tables

TECHNIQUE_TAG = re.compile(
    rb"[\s\"',\[-](?P<namespace>attack|atlas|aml|mitre_atlas|mitre-atlas)\.(?P<name>(?:aml\.)?t\d{4}(?:\.\d{3})?)\b",
    re.IGNORECASE,
)
TAGS = re.compile(rb"^tags\s*:", re.MULTILINE)
TAGS_BYTES = 4_096
"""How far behind ``tags:`` techniques are looked for."""
DERIVED_MARK = "="
BEHAVIOUR = "behaviour"
"""The log source under which behaviour rules are asked for."""
SHOWN_CANDIDATES = 5


@dataclass(frozen=True)
class LogSourceFacts:
    """A log source of rules: how many rules of it ran, how many did not (and the commonest reason).

    `readable`: whether Casemate has a reader for it at all.
    """

    name: str
    ran: int
    not_run: int
    reason: str | None
    findings: int
    readable: bool = True


@dataclass(frozen=True)
class RuleFacts:
    """What the rule set could judge.

    Args:
        states: rules by state (:data:`casemate.schema.rules.STATES`).
        sources: by log source, those with most rules that could not judge first.
        could, could_not: techniques of rules that could apply, and those that only other rules name, each with the
            number of rules; None where the rule files of the last run are not at hand (`lacking` says why).
    """

    states: Mapping[str, int]
    sources: tuple[LogSourceFacts, ...]
    could: Mapping[str, int] | None
    could_not: Mapping[str, int] | None
    lacking: str | None = None


def rule_rows(engine: Engine) -> list[dict[str, Any]]:
    """The rows of the ``rules`` table."""
    return engine.collect(engine.read("rules")).to_pylist()


def rule_facts(engine: Engine, run: Mapping[str, Any], behaviour: Mapping[str, Sequence[str]]) -> RuleFacts:
    """Everything but what a single rule needs.

    Args:
        run: facts of the last run, as its custody note tells them.
        behaviour: techniques of the behaviour rules whose records are there, by rule id.
    """
    rows = rule_rows(engine)
    findings = engine.read("findings")
    counted = engine.collect(findings.group_by("rule_id").agg(number=findings.count())).to_pylist()
    spoke = {row["rule_id"]: row["number"] for row in counted}
    states: dict[str, int] = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    files, lacking = files_of(run) if rows else ((), None)
    could = could_not = None
    if lacking is None:
        could, could_not = techniques(rows, files, behaviour)
    return RuleFacts(states, _by_source(rows, spoke), could, could_not, lacking)


def sources_of_rules(rules: ibis.Table, collect: Collect) -> tuple[LogSourceFacts, ...]:
    """The log sources of the ``rules`` table, their findings not counted: all that the first screen needs."""
    named = rules.select(name=rules.log_source.fill_null("unknown"), ran=(rules.state == "ran").cast("int64"))
    counted = named.group_by("name").agg(rules=named.count(), ran=named.ran.sum().cast("int64"))
    rows = collect(counted).to_pylist()
    made = [LogSourceFacts(row["name"], row["ran"], row["rules"] - row["ran"], None, 0) for row in rows]
    return tuple(sorted(made, key=lambda one: (-one.not_run, -one.ran, one.name)))


def _by_source(rows: Iterable[Mapping[str, Any]], spoke: Mapping[str, int]) -> tuple[LogSourceFacts, ...]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(_source_of(row), []).append(row)
    made = []
    for name, members in grouped.items():
        reasons: dict[str, int] = {}
        for row in members:
            if row["state"] != "ran" and row["reason"]:
                reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        ran = sum(row["state"] == "ran" for row in members)
        reason = max(reasons, key=lambda text: (reasons[text], text), default=None)
        findings = sum(spoke.get(row["rule_id"], 0) for row in members)
        readable = not all(row["state"] == "no_reader" for row in members)
        made.append(LogSourceFacts(name, ran, len(members) - ran, reason, findings, readable))
    return tuple(sorted(made, key=lambda one: (-one.not_run, -one.ran, one.name)))


def _source_of(row: Mapping[str, Any]) -> str:
    """The log source of a rule; of one that has no reader its reason names it."""
    if row["log_source"] is None and row["state"] == "no_reader" and ": " in (row["reason"] or ""):
        return row["reason"].rsplit(": ", 1)[1]
    return row["log_source"] or "unknown"


def files_of(run: Mapping[str, Any]) -> tuple[tuple[RuleFile, ...], str | None]:
    """The rule files of the last run, or why they are not at hand any more."""
    paths = [Path(path) for path in run.get("rules_from", ())]
    if not paths:
        return (), "the case has no run yet"
    try:
        files = tuple(read_rule_files(paths))
    except CasemateError as error:
        return (), f"the rules of the last run cannot be read any more: {error}"
    if run.get("rule_set") not in (None, hash_rule_files(files)):
        return (), "the rule files have changed since the last run"
    return files, None


def techniques(
    rows: Iterable[Mapping[str, Any]], files: Iterable[RuleFile], behaviour: Mapping[str, Sequence[str]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Techniques of rules that ran, and techniques that only rules name which did not, with numbers of rules."""
    tagged = {file.name: techniques_in(file.content) for file in files if file.content is not None}
    ran: dict[str, int] = {}
    others: dict[str, int] = {}
    for row in rows:
        into = ran if row["state"] == "ran" else others
        for technique in tagged.get(row["path"], ()):
            into[technique] = into.get(technique, 0) + 1
    for named in behaviour.values():
        for technique in named:
            ran[technique] = ran.get(technique, 0) + 1
    return dict(sorted(ran.items())), {name: others[name] for name in sorted(others) if name not in ran}


def techniques_in(content: bytes) -> frozenset[str]:
    """Techniques that the tags of a rule file name; read without parsing it, which takes a hundred times as long."""
    found = set()
    for tags in TAGS.finditer(content):
        for match in TECHNIQUE_TAG.finditer(content, tags.end() - 1, tags.end() + TAGS_BYTES):
            name = match["name"].decode().lower()
            atlas = match["namespace"].lower() != b"attack" or name.startswith("aml.")
            name = name.removeprefix("aml.").upper()
            found.add(f"AML.{name}" if atlas else name)
    return frozenset(found)


# why a rule did or did not judge


def find_rule(rows: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any]:
    """The rule with this id, a beginning of it that no other has, or this title.

    Raises:
        BadInput: there is none, or more than one.
    """
    text = wanted.strip().lower()
    tests = (
        lambda row: (row["rule_id"] or "").lower() == text,
        lambda row: (row["title"] or "").lower() == text,
        lambda row: len(text) >= 4 and (row["rule_id"] or "").lower().startswith(text),
        lambda row: len(text) >= 4 and text in (row["title"] or "").lower(),
    )
    for test in tests:
        found = [row for row in rows if test(row)] if text else []
        if len(found) == 1:
            return found[0]
        if found:
            names = "; ".join(f"{row['rule_id']} {row['title']}"[:90] for row in found[:SHOWN_CANDIDATES])
            raise BadInput(f"{len(found):,} rules fit '{wanted[:60]}'", hint=f"give an id: {names}")
    raise BadInput(f"no rule '{wanted[:60]}' in the last run", hint="'casemate show rules --json' lists those not run")


@dataclass(frozen=True)
class Needed:
    """Records one log source of a rule means, and how many of them the case has.

    `fields`: Sigma field -> how many of these records hold it (None: derived from others).
    """

    source: EventSource
    records: int
    fields: Mapping[str, int | None]


def needs(engine: Engine, filled: Iterable[str], product: Any, category: Any, service: Any, fields: Sequence[str]):
    """What a rule of this log source looks at, one :class:`Needed` per event source."""
    there = set(filled)
    for source in sources_for(product, category, service):
        if source.table not in there:
            yield Needed(source, 0, dict.fromkeys(fields, 0))
            continue
        rows = meant(engine.read(source.table), source)
        counts: dict[str, ibis.Value] = {}
        columns = {name.lower(): name for name in rows.columns}
        for place, name in enumerate(fields):
            column = source.fields.get(name) or source.fields.get(name.lower(), name)
            if column.startswith(DERIVED_MARK) or ":" in column:
                continue
            if column.lower() in columns:
                held = rows[columns[column.lower()]].notnull()
            elif "rest" in columns:
                held = rows.rest.fill_null("").lower().contains(f'"{column.lower()}":')
            else:
                continue
            counts[f"field_{place}"] = held.cast("int64").sum().cast("int64")
        [row] = engine.collect(rows.agg(records=rows.count(), **counts)).to_pylist()
        held_by = {
            name: (row[f"field_{place}"] or 0) if f"field_{place}" in row else None for place, name in enumerate(fields)
        }
        yield Needed(source, row["records"], held_by)


def meant(table: ibis.Table, source: EventSource) -> ibis.Table:
    """The records of a native table that an event source means."""
    columns = {name.lower(): name for name in table.columns}
    for where in source.where:
        if where.column.lower() in columns:
            table = table.filter(_fits(table[columns[where.column.lower()]], where))
    named = [table[columns[name.lower()]].notnull() for name in source.one_of if name.lower() in columns]
    if named:
        some = named[0]
        for one in named[1:]:
            some = some | one
        table = table.filter(some)
    return table


def _fits(column: ibis.Value, where: Where) -> ibis.Value:
    if not where.values:
        return column.isnull()
    fits = column.lower().isin(sorted(where.values)).fill_null(False)
    return fits | column.isnull() if where.absent else fits


def why_rule(engine: Engine, filled: Sequence[str], run: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    """What a rule needs and what the case lacks, or where it did look; as ``coverage --why --json`` prints it.

    Raises:
        BadInput: no rule, or more than one, fits `wanted`.
    """
    row = find_rule([*rule_rows(engine), *_behaviour_rows()], wanted)
    findings = engine.read("findings")
    own = findings.filter(findings.rule_id == (row["rule_id"] or ""))
    [number] = engine.collect(own.count().name("number").as_table())["number"].to_pylist()
    found: dict[str, Any] = {
        "rule_id": row["rule_id"],
        "title": row["title"],
        "path": row["path"],
        "severity": row["severity"],
        "log_source": row["log_source"],
        "state": row["state"],
        "reason": row["reason"],
        "techniques": [],
        "looked_at": [],
        "records": None,
        "missing_fields": [],
        "refers_to": [],
        "findings": number,
        "answer": "",
    }
    if row["log_source"] == BEHAVIOUR:
        _describe_behaviour(engine, filled, found)
        found["answer"] = _answer(found, None)
        return found
    files, lacking = files_of(run)
    loaded = _loaded(files, row) if lacking is None else None
    if loaded is not None:
        _describe(engine, filled, loaded, found)
    found["answer"] = _answer(found, lacking)
    return found


def _behaviour_rows() -> list[dict[str, Any]]:
    """The behaviour rules as rows of the ``rules`` table; whether they ran is found out for the one asked for."""
    return [
        {"rule_id": rule.rule_id, "title": rule.title, "path": f"behaviour.{analytic.name}", "severity": rule.severity,
         "log_source": BEHAVIOUR, "state": "ran", "reason": None}
        for analytic in ANALYTICS
        for rule in analytic.rules
    ]  # fmt: skip


def _describe_behaviour(engine: Engine, filled: Sequence[str], found: dict[str, Any]) -> None:
    [analytic] = [one for one in ANALYTICS if f"behaviour.{one.name}" == found["path"]]
    [rule] = [one for one in analytic.rules if one.rule_id == found["rule_id"]]
    found["techniques"] = list(rule.techniques)
    names = list(dict.fromkeys(source.reads[0] for source in analytic.sources))
    fed = {view.event_class.name for view in VIEWS if view.native in filled}
    kinds = [kind for kind in EVENT_CLASSES if kind.name in {*names} & fed]
    tables = ocsf_tables(engine.read, filled, kinds, events=events_there(engine, filled))
    for name in names:
        records = engine.collect(tables[name].count().name("n").as_table())["n"][0].as_py() if name in tables else 0
        looked = {"events": name.replace("_", " "), "table": name, "where": [], "records": records, "fields": {}}
        found["looked_at"].append(looked)
    found["records"] = sum(one["records"] for one in found["looked_at"])
    if not found["records"]:
        found["state"] = "no_records"


def _loaded(files: Iterable[RuleFile], row: Mapping[str, Any]) -> Any:
    # pySigma takes a second to import and is needed for nothing else here
    from casemate.detect.sigma.load import parse_rule_files

    parsed = parse_rule_files([file for file in files if file.name == row["path"]])
    every = [*parsed.rules, *parsed.correlations]
    return next((rule for rule in every if rule.id == row["rule_id"]), None)


def _describe(engine: Engine, filled: Sequence[str], loaded: Any, found: dict[str, Any]) -> None:
    from casemate.detect.sigma.tags import attack_of

    parsed = loaded.parsed
    found["techniques"] = list(attack_of(parsed)[0])
    references = getattr(parsed, "rules", None)
    if references is not None:
        found["refers_to"] = [str(getattr(one, "reference", one)) for one in references]
        return
    source = parsed.logsource
    fields = list(dict.fromkeys(_fields(parsed.detection.detections.values())))
    looked = list(needs(engine, filled, source.product, source.category, source.service, fields))
    found["looked_at"] = [
        {
            "events": one.source.name,
            "table": one.source.table,
            "where": [_where(where) for where in one.source.where],
            "records": one.records,
            "fields": dict(one.fields),
        }
        for one in looked
    ]
    found["records"] = sum(one.records for one in looked)
    with_records = [one for one in looked if one.records]
    found["missing_fields"] = [
        name for name in fields if with_records and all(one.fields.get(name) == 0 for one in with_records)
    ]


def _fields(detections: Iterable[Any]) -> Iterator[str]:
    for item in detections:
        if getattr(item, "field", None):
            yield item.field
        yield from _fields(getattr(item, "detection_items", ()))


def _where(where: Where) -> str:
    if not where.values:
        return f"{where.column} is absent"
    values = ", ".join(sorted(where.values)[:12]) + (" ..." if len(where.values) > 12 else "")
    return f"{where.column} is {values}" + (" or absent" if where.absent else "")


def _answer(found: Mapping[str, Any], lacking: str | None) -> str:
    """One sentence."""
    state, number = found["state"], found["findings"]
    if state == "ran":
        records = f"{found['records']:,} records" if found["records"] is not None else "records of its log source"
        if number:
            return f"It judged {records} and gave {number:,} finding{'s' * (number != 1)}."
        answer = f"It judged {records} and found none."
        if found["missing_fields"]:
            answer += f" None of them holds {', '.join(found['missing_fields'][:6])}: parts of it could not hold."
        return answer
    if state == "no_records":
        needed = " or ".join(dict.fromkeys(one["events"] for one in found["looked_at"])) or found["log_source"]
        return f"It could not judge anything: no log exists here of {needed}."
    if lacking:
        return f"It did not run: {found['reason']}. ({lacking})"
    return f"It did not run: {found['reason']}."
