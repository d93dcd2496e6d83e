"""What the report shows, asked of the case once; bounded whatever the size of the case."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.explore.coverage import case_coverage
from casemate.explore.overview import case_summary
from casemate.explore.summary import SummaryInput
from casemate.explore.tables import stored_tables
from casemate.export.content import ExportedFinding, finding_of, said_of
from casemate.intel.attack import Knowledge
from casemate.intel.store import knowledge
from casemate.intel.tactics import RANKED_INTENTS
from casemate.report.originals import Original, originals
from casemate.schema.findings import SEVERITIES
from casemate.triage import Annotation, annotations_of

FINDINGS_IN_DETAIL = 2_000
FINDINGS_OF_ONE_RULE = 50
"""So many of one rule come before any more of it, so that a loud rule does not push the others out."""
ATTEMPTS_SHOWN = 200
RULES_SHOWN = 300
RECORDS_OF_A_FINDING = 3
RECORDS_SHOWN = 3_000


@dataclass(frozen=True)
class RuleRow:
    """One rule with its findings: how many, how many of them succeeded, first and last (UTC)."""

    rule_id: str
    title: str
    detector: str
    severity: str
    findings: int
    succeeded: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class TechniqueRow:
    """A technique as findings name it, with a tactic (None: they name none)."""

    technique: str
    tactic: str | None
    findings: int
    severity: int


@dataclass(frozen=True)
class ReportInput:
    """Everything the page shows.

    `findings` are those in detail, the most telling first; `attempt_of` the attempt of each; `attempts` as
    in the ``attempts`` table, the furthest first; `records` the originals by address.
    """

    name: str
    tlp: str
    made_at: datetime
    summary: SummaryInput
    findings: tuple[ExportedFinding, ...]
    attempts: tuple[dict[str, Any], ...]
    attempt_of: dict[str, str]
    rules: tuple[RuleRow, ...]
    rule_count: int
    techniques: tuple[TechniqueRow, ...]
    attack: Knowledge | None
    atlas: Knowledge | None
    records: dict[str, Original]

    @property
    def total_findings(self) -> int:
        """All findings of the case."""
        return self.summary.number("findings.total")


def gather(case: Case, made_at: datetime, shown: str) -> ReportInput:
    """Ask `case` for everything; `shown` is its path as the user wrote it."""
    summary = case_summary(case, shown=shown, coverage=case_coverage(case, now=made_at))
    engine = DuckDBEngine()
    engine.use(stored_tables(case))
    try:
        findings = _findings(engine, annotations_of(case, "finding"))
        addresses = [address for one in findings for address in one.records[:RECORDS_OF_A_FINDING]]
        attempts, attempt_of = _attempts(engine, [one.id for one in findings])
        rules, rule_count = _rules(engine)
        return ReportInput(
            name=case.settings.name,
            tlp=case.settings.tlp,
            made_at=made_at,
            summary=summary,
            findings=findings,
            attempts=attempts,
            attempt_of=attempt_of,
            rules=rules,
            rule_count=rule_count,
            techniques=_techniques(engine),
            attack=knowledge("attack"),
            atlas=knowledge("atlas"),
            records=originals(case, list(dict.fromkeys(addresses))[:RECORDS_SHOWN]),
        )
    finally:
        engine.close()


def _rank(severity: Any) -> Any:
    return ibis.cases(*((severity == name, rank) for rank, name in enumerate(SEVERITIES)), else_=0).cast("int64")


def _findings(engine: Engine, marks: Mapping[str, Annotation]) -> tuple[ExportedFinding, ...]:
    """The most telling findings: successes and high severities first, some of every rule, and all marked ones."""
    table = engine.read("findings")
    ranked = table.mutate(weight=(table.outcome == "succeeded").cast("int64") + _rank(table.severity))
    order = [ibis.desc(ranked.weight), ranked.time.asc(nulls_first=False), ranked.id]
    placed = ranked.select(
        "id",
        "time",
        "weight",
        place=ibis.row_number().over(ibis.window(group_by=ranked.rule_id, order_by=order)),
    )
    marked = placed.id.isin(sorted(marks)[:FINDINGS_IN_DETAIL]) if marks else ibis.literal(False)
    later = ((placed.place >= FINDINGS_OF_ONE_RULE) & ~marked).cast("int64")
    within = [ibis.desc(placed.weight), placed.time.asc(nulls_first=False), placed.id]
    held = placed.order_by([later, *within]).limit(FINDINGS_IN_DETAIL)
    held = held.order_by([ibis.desc(held.weight), held.time.asc(nulls_first=False), held.id])
    chosen = engine.collect(held.select("id"))
    if not chosen.num_rows:
        return ()
    order_of = {name: place for place, name in enumerate(chosen.column("id").to_pylist())}
    wanted = ibis.memtable(chosen)
    rows = engine.collect(table.semi_join(wanted, "id")).to_pylist()
    members = engine.read("finding_records")
    members = members.semi_join(wanted, members.finding == wanted.id)
    place = ibis.row_number().over(ibis.window(group_by=members.finding, order_by=[members.evidence, members.record]))
    firsts = members.mutate(place=place)
    counts = members.group_by("finding").agg(number=members.count())
    number = {row["finding"]: row["number"] for row in engine.collect(counts).to_pylist()}
    records: dict[str, list[str]] = {}
    shown = firsts.filter(firsts.place < RECORDS_OF_A_FINDING).order_by(["finding", "evidence", "record"])
    for row in engine.collect(shown).to_pylist():
        records.setdefault(row["finding"], []).append(f"{row['evidence']}:{row['record']}")
    made = [
        finding_of(
            row,
            tuple(records.get(row["id"], ())),
            number.get(row["id"], 0),
            said_of(marks[row["id"]]) if row["id"] in marks else None,
        )
        for row in rows
    ]
    return tuple(sorted(made, key=lambda one: order_of[one.id]))


def _attempts(engine: Engine, findings: list[str]) -> tuple[tuple[dict[str, Any], ...], dict[str, str]]:
    table = engine.read("attempts")
    intent = ibis.cases(*((table.intent == name, rank) for rank, name in enumerate(RANKED_INTENTS)), else_=99)
    order = [
        ibis.desc((table.outcome == "succeeded").cast("int64")),
        intent,
        ibis.desc(table.findings),
        table.started.asc(nulls_first=False),
        table.id,
    ]
    rows = tuple(engine.collect(table.order_by(order).limit(ATTEMPTS_SHOWN)).to_pylist())
    if not findings:
        return rows, {}
    members = engine.read("attempt_findings")
    wanted = ibis.memtable({"finding": findings})
    held = engine.collect(members.semi_join(wanted, "finding")).to_pylist()
    return rows, {row["finding"]: row["attempt"] for row in held}


def _rules(engine: Engine) -> tuple[tuple[RuleRow, ...], int]:
    table = engine.read("findings")
    grouped = table.group_by(["rule_id", "title", "detector"]).agg(
        rank=_rank(table.severity).max(),
        findings=table.count(),
        succeeded=(table.outcome == "succeeded").cast("int64").sum().cast("int64"),
        first=table.time.min(),
        last=table.time.max(),
    )
    order = [ibis.desc(grouped["rank"]), ibis.desc(grouped.findings), grouped.title, grouped.rule_id, grouped.detector]
    rows = engine.collect(grouped.order_by(order).limit(RULES_SHOWN)).to_pylist()
    count = engine.collect(grouped.agg(number=grouped.count())).to_pylist()[0]["number"]
    made = tuple(RuleRow(severity=SEVERITIES[int(row.pop("rank"))], **row) for row in rows)
    return made, count


def _techniques(engine: Engine) -> tuple[TechniqueRow, ...]:
    table = engine.read("findings")
    plain = table.select("id", "techniques", "tactics", rank=_rank(table.severity))
    # findings of one rule name the same lists: grouped first, unnested here
    grouped = plain.group_by(["techniques", "tactics"]).agg(findings=plain.count(), severity=plain["rank"].max())
    found: dict[tuple[str, str | None], TechniqueRow] = {}
    for row in engine.collect(grouped).to_pylist():
        for technique in row["techniques"]:
            for tactic in row["tactics"] or [None]:
                known = found.get((technique, tactic), TechniqueRow(technique, tactic, 0, 0))
                found[technique, tactic] = TechniqueRow(
                    technique, tactic, known.findings + row["findings"], max(known.severity, int(row["severity"]))
                )
    return tuple(found[key] for key in sorted(found, key=lambda one: (one[1] or "", one[0])))
