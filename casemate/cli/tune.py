"""``casemate tune``: make findings quiet or louder, with a reason and an end, kept apart from the rules."""

from __future__ import annotations

import datetime as dt
import getpass
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from casemate.case import CUSTODY, Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json, write_table
from casemate.detect.tuning.overlay import added, case_tunings, log_for_site, named, removed, site_tunings
from casemate.detect.tuning.tunings import Tuning, as_yaml, filter_document
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput
from casemate.explore.runs import last_run
from casemate.explore.tunings import TuningRow, core_asset_rows, suppressed_count, tuning_rows
from casemate.intel.store import home
from casemate.investigate.retune import Preview, Proposal, Retuned, preview, propose, retune
from casemate.investigate.run import Options

app = typer.Typer(
    help="Make findings quiet or louder: Sigma filters with a reason and an end, which no rule update touches.",
    no_args_is_help=True,
)

QUIETER = (
    "casemate tune severity --case CASE --rule casemate.behaviour.horizontal_scan --set informational "
    "--reason 'seen by every server that faces the internet'"
)
"""A tuning has the same id wherever it is made: 5728ea69."""

RuleOption = Annotated[
    str | None,
    typer.Option("--rule", help="Id or title of the rule, correlation or behaviour.", metavar="R", show_default=False),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="FIELD|MODIFIER: VALUE [and ...], as in Sigma; 'not FIELD: VALUE', FIELD: [A, B]; repeated: all must "
        "hold. Fields of the record, or of the finding: finding.source, finding.target, finding.account, ...",
        metavar="TEXT",
        show_default=False,
    ),
]
FileOption = Annotated[
    Path | None, typer.Option("--from", help="A Sigma filter instead.", metavar="FILE", show_default=False)
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the custody log.", show_default=False)]
UntilOption = Annotated[
    str, typer.Option("--until", help="Last day (UTC) it is in force, or never.", metavar="DATE", show_default=False)
]
SiteOption = Annotated[
    bool, typer.Option("--site", help="For every case of this user, kept in Casemate's data folder.")
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who says so; the user's name if not given.", metavar="WHO")]
TuningArgument = Annotated[str, typer.Argument(help="Beginning of its id.", metavar="ID", show_default=False)]


@app.command(
    "add",
    epilog="Example: casemate tune add --case CASE --rule casemate.behaviour.password_guessing_outside "
    "--where 'source|cidr: 203.0.113.0/24 and account: root' --reason 'our own test of passwords' --until 2099-12-31",
)
def add(
    case: CaseOption,
    reason: ReasonOption,
    until: UntilOption,
    rule: RuleOption = None,
    where: WhereOption = None,
    file: FileOption = None,
    site: SiteOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take findings out from now on, and at once out of this case; they stay counted and listed."""
    _put(
        case,
        Proposal(rule, tuple(where or ()), file, "suppress", None, _scope(site), reason, until, by or _who()),
        as_json,
    )


@app.command(
    "severity",
    epilog=f"Example: {QUIETER}",
)
def severity(
    case: CaseOption,
    to: Annotated[str, typer.Option("--set", help="informational, low, medium, high or critical.", show_default=False)],
    reason: ReasonOption,
    rule: RuleOption = None,
    where: WhereOption = None,
    file: FileOption = None,
    until: Annotated[str, typer.Option("--until", help="Last day (UTC) it is in force.", metavar="DATE")] = "never",
    site: SiteOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the findings of a rule (all, or those that fulfil --where) another severity."""
    _put(
        case,
        Proposal(rule, tuple(where or ()), file, "severity", to, _scope(site), reason, until, by or _who()),
        as_json,
    )


@app.command(
    "test",
    epilog="Example: casemate tune test --case CASE --rule casemate.behaviour.horizontal_scan "
    "--where 'source: [198.51.100.7, 198.51.100.8] and counts.targets|lt: 1000'",
)
def try_out(
    case: CaseOption,
    rule: RuleOption = None,
    where: WhereOption = None,
    file: FileOption = None,
    to: Annotated[
        str | None, typer.Option("--set", help="Try a severity instead of taking findings out.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which findings of this case would go (or change), before they go. Changes nothing."""
    kind = "suppress" if to is None else "severity"
    given = Proposal(rule, tuple(where or ()), file, kind, to, "case", "tried", None, _who())
    engine = DuckDBEngine()
    with Case.open(case) as opened:
        tuning = propose(opened, engine, given, home() / "compiled", _now())
        seen = preview(opened, engine, tuning, home() / "compiled")
    if as_json:
        write_json(_preview(seen))
    else:
        _print_preview(seen)


@app.command("list", epilog="Example: casemate tune list --case CASE")
def list_(case: CaseOption, as_json: JsonOption = False) -> None:
    """Tunings of this case and of the site: in force or expired, how many findings each touches, why, by whom."""
    with Case.open(case) as opened:
        rows = tuning_rows(opened, site_tunings(home()), _now().date())
        assets = core_asset_rows(opened)
        suppressed = suppressed_count(opened)
    if as_json:
        write_json({"tunings": [_row(row) for row in rows], "core_assets": assets, "suppressed": suppressed})
        return
    if not rows and not assets:
        typer.echo("no tunings, of this case or of the site")
    if rows:
        write_table(
            ("id", "state", "what", "rules", "findings", "until", "by", "reason"),
            [_listed(row) for row in rows],
        )
    for asset in assets:
        console().print(
            f"core asset {visible(asset['name'])}: {asset['findings']:,} findings raised by one step", soft_wrap=True
        )


@app.command("show", epilog=f"Example: {QUIETER}   or, to print it:   casemate tune show 5728ea69 --case CASE")
def show(tuning: TuningArgument, case: CaseOption, as_json: JsonOption = False) -> None:
    """Print a tuning as the Sigma filter it is."""
    with Case.open(case) as opened:
        rows = tuning_rows(opened, site_tunings(home()), _now().date())
    one = named([row.tuning for row in rows], tuning)
    if as_json:
        write_json(_row(next(row for row in rows if row.tuning.id == one.id)))
    else:
        typer.echo(as_yaml(filter_document(one)), nl=False)


@app.command(
    "remove",
    epilog=f"Example: {QUIETER}   or, to undo it:   casemate tune remove 5728ea69 --case CASE --reason 'moved'",
)
def remove(
    tuning: TuningArgument, case: CaseOption, reason: ReasonOption, by: ByOption = None, as_json: JsonOption = False
) -> None:
    """Take a tuning out of force; what it suppressed comes back at once."""
    who = by or _who()
    with Case.open(case, write=True) as opened:
        own = case_tunings(opened.path / CUSTODY)
        site = site_tunings(home())
        one = named([*own, *(other for other in site if other.id not in {known.id for known in own})], tuning)
        facts = removed(one, who, " ".join(reason.split()))
        if one.scope == "site":
            log_for_site(home(), facts, _now)
        opened.log("note", facts)
        done = _retune(opened)
    _told(one, done, as_json, "removed")


def _put(case: Path, given: Proposal, as_json: bool) -> None:
    with Case.open(case, write=True) as opened:
        if last_run(opened) is None:
            raise BadInput("no run has come to its end in this case", hint="casemate investigate LOGS --case CASE")
        tuning = propose(opened, DuckDBEngine(), given, home() / "compiled", _now())
        known = {one.id for one in (*case_tunings(opened.path / CUSTODY), *site_tunings(home()))}
        if tuning.id in known:
            raise BadInput(f"this tuning is there already: {tuning.short}", hint="remove it first to change it")
        if tuning.scope == "site":
            log_for_site(home(), added(tuning), _now)
        else:
            opened.log("note", added(tuning))
        done = _retune(opened)
    _told(tuning, done, as_json, "added")


def _retune(case: Case) -> Retuned:
    return retune(case, DuckDBEngine(), Options((), home() / "compiled", home=home()), clock=_now)


def _told(tuning: Tuning, done: Retuned, as_json: bool, word: str) -> None:
    if as_json:
        write_json({"action": word, "tuning": _document(tuning), **_done(done)})
        return
    out = console()
    out.print(f"[green]{word}[/] {tuning.short} ({tuning.kind}, {tuning.scope})", soft_wrap=True)
    out.print(f"{done.before:,} findings before, {done.after:,} now; {done.suppressed:,} suppressed", soft_wrap=True)
    if done.correlations_pending is not None:
        console(stderr=True).print(
            f"[yellow]correlations stand as they were[/]: {visible(done.correlations_pending)}; "
            "run casemate investigate --case with the rules of the last run",
            soft_wrap=True,
        )


def _done(done: Retuned) -> dict[str, Any]:
    return {
        "run": done.run,
        "findings_before": done.before,
        "findings": done.after,
        "suppressed": done.suppressed,
        "severities_changed": done.changed,
        "correlations_pending": done.correlations_pending,
    }


def _document(tuning: Tuning) -> dict[str, Any]:
    return {**vars(tuning), "rules": list(tuning.rules), "filter": filter_document(tuning)}


def _preview(seen: Preview) -> dict[str, Any]:
    return {
        "tuning": _document(seen.tuning),
        "findings": seen.findings,
        "of_rule": seen.of_rule,
        "by_severity": dict(seen.by_severity),
        "verdicts": dict(seen.verdicts),
        "true_verdicts": seen.verdicts.get("true", 0),
        "first": [dict(row) for row in seen.first],
        "correlations": seen.correlations,
    }


def _print_preview(seen: Preview) -> None:
    out = console()
    what = "would go" if seen.tuning.kind == "suppress" else f"would be {seen.tuning.severity}"
    severities = ", ".join(f"{name} {count:,}" for name, count in sorted(seen.by_severity.items()))
    out.print(
        f"[bold]{seen.findings:,}[/] of {seen.of_rule:,} findings {what}" + (f" ({severities})" if severities else ""),
        soft_wrap=True,
    )
    true = seen.verdicts.get("true", 0)
    if true:
        out.print(f"[bold red]{true:,} of them were marked true by a person[/]", soft_wrap=True)
    if seen.correlations:
        out.print("correlations that look at these records are made anew when it is added", soft_wrap=True)
    for row in seen.first:
        time = row["time"].strftime("%Y-%m-%d %H:%M") if row["time"] else "no time"
        ends = " -> ".join(visible((row[end] or {}).get("value") or "unknown") for end in ("source", "target"))
        verdict = f"  [{row['verdict']}]" if row["verdict"] else ""
        out.print(
            f"{row['id'][:8]}  {time}  {row['severity']}  {visible(row['title'])}: {ends}{visible(verdict)}",
            soft_wrap=True,
        )
    if seen.findings > len(seen.first):
        out.print(f"(the first {len(seen.first)})", soft_wrap=True)


def _row(row: TuningRow) -> dict[str, Any]:
    return {**_document(row.tuning), "state": row.state, "findings": row.findings, "note": row.note}


def _listed(row: TuningRow) -> tuple[Any, ...]:
    one = row.tuning
    what = "suppress" if one.severity is None else f"severity {one.severity}"
    state = row.state if row.note is None else f"{row.state} ({row.note})"
    rules = ", ".join(one.rules) or "any"
    return (one.short, state, f"{what} ({one.scope})", rules, row.findings, one.until or "never", one.who, one.reason)


def _scope(site: bool) -> str:
    return "site" if site else "case"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
