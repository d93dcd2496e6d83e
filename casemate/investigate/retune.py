"""Tunings of a case: proposed, tried on its findings, put in force at once.

Putting one in force reads no evidence and matches no rule again: findings are held against the tunings in force,
correlations whose rules a tuning thins out are made anew, and attempts follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import yaml
from sigma.rule.base import SigmaYAMLLoader

from casemate.case import Case
from casemate.detect.sigma.load import parse_rule_files
from casemate.detect.sigma.profiles import DEFAULT
from casemate.detect.sigma.rule_files import read_rule_files
from casemate.detect.tuning.assets import CoreAssets
from casemate.detect.tuning.fields import is_finding_field, plain_field
from casemate.detect.tuning.judge import Judge, KnownRule, check
from casemate.detect.tuning.tunings import FINDING_LOG_SOURCE, Tuning, as_plain, make_tuning
from casemate.detect.tuning.where import parse_where
from casemate.engine.protocol import Engine
from casemate.errors import BadInput, CasemateError
from casemate.explore.runs import last_run
from casemate.explore.tables import stored_tables
from casemate.investigate.attempts import build_attempts
from casemate.investigate.rerun import placeholders_of_run, rules_of_run
from casemate.investigate.rules import recorrelate
from casemate.investigate.run import Options, in_force, run_id
from casemate.investigate.tuning import findings_as_detected, tune_findings
from casemate.investigate.tuning_records import by_records, known_rules
from casemate.triage.annotations import annotations_of
from casemate.triage.annotations import rebuild as rebuild_annotations

ROWS_SHOWN = 20
"""Findings told of a preview."""
NAMES_SHOWN = 5
LOG_SOURCE_PARTS = ("product", "category", "service")


@dataclass(frozen=True)
class Proposal:
    """What a person wants tuned, as it was given.

    Args:
        rule: id or title of a rule; None with `file`.
        where: conditions in the short form; `file`: a Sigma filter instead.
        kind, severity, scope, reason, until, who: see :class:`casemate.detect.tuning.tunings.Tuning`.
    """

    rule: str | None
    where: tuple[str, ...]
    file: Path | None
    kind: str
    severity: str | None
    scope: str
    reason: str
    until: str | None
    who: str


@dataclass(frozen=True)
class Preview:
    """What a tuning would do to the findings of a case.

    Args:
        tuning: it.
        findings: how many it would touch, of those that are not suppressed now.
        of_rule: how many findings its rules have now.
        by_severity: those touched, by their severity now.
        verdicts: those touched, by the verdict of a person.
        first: the first of them by time: ``id, time, severity, title, source, target, verdict``.
        correlations: ids of correlations that look at its rules; they are made anew when it is in force.
    """

    tuning: Tuning
    findings: int
    of_rule: int
    by_severity: Mapping[str, int]
    verdicts: Mapping[str, int]
    first: tuple[Mapping[str, Any], ...]
    correlations: int


def find_rule(rules: Iterable[KnownRule], text: str) -> KnownRule:
    """The rule with that id or title, ignoring case.

    Raises:
        BadInput: there is none, or several have that title.
    """
    wanted = text.strip().lower()
    found = [rule for rule in rules if wanted in (rule.id.lower(), rule.title.lower())]
    exact = [rule for rule in found if rule.id.lower() == wanted] or found
    if not exact:
        raise BadInput(f"the case knows no rule '{text}'", where="--rule", hint="an id or a whole title of a finding")
    if len(exact) > 1:
        ids = ", ".join(rule.id for rule in exact[:NAMES_SHOWN])
        raise BadInput(f"{len(exact)} rules are called '{text}'", where="--rule", hint=f"give an id: {ids}")
    return exact[0]


def propose(case: Case, engine: Engine, given: Proposal, cache: Path, now: datetime) -> Tuning:
    """The tuning a person wants, read, checked by pySigma and compiled for the case's rules.

    Raises:
        BadInput: it cannot be.
    """
    engine.use(stored_tables(case))
    rules = known_rules(engine)
    if given.file is not None:
        names, about, log_source, detection = _from_file(given.file, rules)
    else:
        names, about, log_source, detection = _from_where(given, rules)
    tuning = make_tuning(
        kind=given.kind,
        scope=given.scope,
        about=about,
        rules=tuple(name.lower() for name in names),
        log_source=log_source,
        detection=detection,
        severity=given.severity,
        reason=given.reason,
        until=given.until,
        who=given.who,
        at=now,
    )
    if not tuning.in_force(now.date()):
        raise BadInput(f"{tuning.until} is over", where="--until")
    check(tuning, rules, cache)
    return tuning


Read = tuple[tuple[str, ...], str, dict[str, str], dict[str, Any] | None]


def _from_where(given: Proposal, rules: Sequence[KnownRule]) -> Read:
    if given.rule is None:
        raise BadInput("say which rule", where="--rule", hint="its id or title, or a Sigma filter with --from FILE")
    rule = find_rule(rules, given.rule)
    if not given.where:
        if given.kind == "suppress":
            raise BadInput(
                "say which findings", where="--where", hint="to make a rule quieter as a whole: casemate tune severity"
            )
        return (rule.id,), "record", {}, None
    detection = parse_where(given.where)
    fields = [field for part in detection.values() if isinstance(part, dict) for field in part]
    of_finding = [field for field in fields if is_finding_field(field)]
    if rule.log_source is not None and not of_finding:
        parts = zip(LOG_SOURCE_PARTS, rule.log_source.split("/"), strict=False)
        return (rule.id,), "record", {name: part for name, part in parts if part != "*"}, detection
    if rule.log_source is not None and len(of_finding) != len(fields):
        raise BadInput("fields of records and of findings in one tuning", where="--where", hint="use one kind of them")
    plain = {
        name: {plain_field(field): value for field, value in part.items()} if isinstance(part, dict) else part
        for name, part in detection.items()
    }
    return (rule.id,), "finding", dict(FINDING_LOG_SOURCE), plain


def _from_file(path: Path, rules: Sequence[KnownRule]) -> Read:
    files = read_rule_files([path])
    parsed = parse_rule_files(files)
    if parsed.errors:
        raise BadInput(f"not a Sigma filter: {parsed.errors[0].reason}", where=str(path))
    if len(parsed.filters) != 1 or parsed.rules or parsed.correlations:
        raise BadInput("holds something else than one Sigma filter", where=str(path))
    documents = [one for one in yaml.load_all(files[0].content or b"", Loader=SigmaYAMLLoader) if one]
    document = next(one for one in documents if isinstance(one, dict) and "filter" in one)
    given = {str(name): part for name, part in document["filter"].items() if name != "rules"}
    try:  # as the custody log will give it back
        detection = orjson.loads(orjson.dumps(given, option=orjson.OPT_NON_STR_KEYS))
    except TypeError as error:
        raise BadInput(f"holds a value that cannot be kept: {error}", where=str(path)) from None
    named = document["filter"]["rules"]
    named = [named] if isinstance(named, str) else named
    names = () if not named or named == ["any"] else tuple(find_rule(rules, str(name)).id for name in named)
    source = document.get("logsource") or {}
    log_source = {name: str(source[name]) for name in LOG_SOURCE_PARTS if source.get(name) is not None}
    about = "finding" if log_source == FINDING_LOG_SOURCE else "record"
    return names, about, log_source, detection


def preview(case: Case, engine: Engine, tuning: Tuning, cache: Path) -> Preview:
    """What `tuning` would do to the findings of `case`; changes nothing.

    Raises:
        BadInput: it does not fit the rules of the case.
    """
    stored = stored_tables(case)
    engine.use(stored)
    rules = known_rules(engine)
    compiled = check(tuning, rules, cache)
    judge = Judge(compiled, CoreAssets(()), by_records(case, engine, stored, compiled, compiled.on_records()))
    verdicts = {one.subject: one.verdict for one in annotations_of(case).values() if one.kind == "finding"}
    rows: list[dict[str, Any]] = []
    severities: Counter[str] = Counter()
    said: Counter[str] = Counter()
    of_rule = 0
    for now, detected in findings_as_detected(case, "findings"):
        judged = judge.judge(detected)
        touched = judged.suppressed_by if tuning.kind == "suppress" else judged.severity_by
        of_rule += sum(name.lower() in tuning.rules or not tuning.rules for name in now.column("rule_id").to_pylist())
        for place in (touched >= 0).nonzero()[0].tolist():
            row = {
                name: now.column(name)[place].as_py()
                for name in ("id", "time", "severity", "title", "source", "target")
            }
            row["verdict"] = verdicts.get(row["id"])
            severities[row["severity"]] += 1
            said[row["verdict"] or "none"] += 1
            rows.append(row)
            if len(rows) > 100 * ROWS_SHOWN:
                rows = sorted(rows, key=_by_time)[:ROWS_SHOWN]
    said.pop("none", None)
    first = tuple(sorted(rows, key=_by_time)[:ROWS_SHOWN])
    listed = engine.read("rules")
    correlations = engine.collect(listed.filter(listed.log_source == "correlation").select("rule_id")).num_rows
    count = sum(severities.values())
    return Preview(tuning, count, of_rule, dict(severities), dict(said), first, correlations)


def _by_time(row: Mapping[str, Any]) -> tuple[bool, Any, str]:
    return row["time"] is None, row["time"] or 0, row["id"]


@dataclass(frozen=True)
class Retuned:
    """What putting tunings in force did.

    Args:
        run: name of the run the case now stands for.
        before, after: findings before and after.
        suppressed, changed: as for :class:`casemate.investigate.tuning.TuningRun`.
        correlations_pending: why correlations were not made anew, None if they were or need not be.
    """

    run: str
    before: int
    after: int
    suppressed: int
    changed: int
    correlations_pending: str | None


def retune(case: Case, engine: Engine, options: Options, *, clock: Callable[[], datetime]) -> Retuned:
    """Hold the findings of a case against the tunings in force today.

    Args:
        options: cache and data folder; rules are those of the last run.

    Raises:
        BadInput: no run has come to its end in this case.
        CannotFinish: disk full or the like; what was committed stays.
    """
    facts = last_run(case)
    if facts is None:
        raise BadInput("no run has come to its end in this case", hint="casemate investigate LOGS --case CASE")
    before = sum(part.rows for part in case.live_parts("findings"))
    tunings = in_force(case, options, clock())
    placeholders = placeholders_of_run(facts)
    profile = str(facts.get("profile", DEFAULT))
    pending = None
    try:
        recorrelate(case, engine, lambda: rules_of_run(facts).paths, options.cache, placeholders, tunings, profile)
    except CasemateError as error:
        pending = str(error)
    tuned = tune_findings(case, engine, tunings, options.cache)
    build_attempts(case, engine)
    rebuild_annotations(case)
    engine.use(stored_tables(case))
    suppressed = sum(part.rows for name in ("suppressed", "suppressed_findings") for part in case.live_parts(name))
    changed = {
        "run": run_id(case, str(facts.get("rule_set")), placeholders, tunings, facts.get("yara_rule_set")),
        "suppressed": suppressed,
        "tunings": [as_plain(one) for one in tunings],
        "tunings_without_effect": dict(tuned.refused),
    }
    case.log("note", {**facts, **changed})
    after = sum(part.rows for part in case.live_parts("findings"))
    return Retuned(changed["run"], before, after, suppressed, tuned.changed, pending)
