"""``casemate show``: look at a case."""

from __future__ import annotations

import datetime as dt
import shlex
from itertools import islice
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.padding import Padding

from casemate.case import Case
from casemate.cli.coverage import HostOption, SourceOption, print_coverage
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json, write_json_lines, write_table
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput
from casemate.evidence.verify import verify as verify_case
from casemate.explore.annotations import annotation_rows, annotation_text, history_rows, history_text
from casemate.explore.coverage import case_coverage
from casemate.explore.findings import FindingFilter, attempt_lines, finding_lines
from casemate.explore.origins import NOT_INSTALLED, address_report, find_origins, origins_object
from casemate.explore.origins_text import HEADS, address_lines, notes, sentences, share_rows, source_rows
from casemate.explore.overview import case_summary, measure_rows, measures_listing, rules_report
from casemate.explore.summary import summary as as_contract
from casemate.explore.tables import stored_tables
from casemate.explore.terminal import render
from casemate.origins.measures import LABELS, UNITS
from casemate.schema.annotations import VERDICTS

app = typer.Typer(help="Look at a case.", no_args_is_help=True)
LimitOption = Annotated[int | None, typer.Option("--limit", help="Print at most this many.", min=1)]
OnlyOption = Annotated[
    str | None, typer.Option("--only", help="annotated: only what people marked (casemate mark).", metavar="WHAT")
]
VerdictOption = Annotated[
    str | None, typer.Option("--verdict", help="Only what has this verdict: " + ", ".join(VERDICTS) + ".")
]
SHOWN = 50
SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow"}


@app.command("summary", epilog="Example: casemate show summary --case CASE --json")
def summary(
    case: CaseOption,
    verify: Annotated[bool, typer.Option("--verify", help="Verify custody first, and say the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The first screen: what happened, how far, what could not be seen, what to look at first."""
    verified = verify_case(case).holds if verify else None
    with Case.open(case) as opened:
        # a person waits for the first screen; a program gets everything
        facts = case_coverage(opened, now=dt.datetime.now(dt.UTC)) if as_json else None
        given = case_summary(opened, shown=str(case), verified=verified, coverage=facts, at_a_glance=not as_json)
    if as_json:
        write_json(as_contract(given))
    else:
        out = console()
        typer.echo(render(given, colour=out.is_terminal))


@app.command("findings", epilog="Example: casemate show findings --case CASE --severity high")
def findings(
    case: CaseOption,
    severity: Annotated[str | None, typer.Option("--severity", help="At least this severity.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Rule id or exact title.")] = None,
    detector: Annotated[str | None, typer.Option("--detector", help="Only this detector.")] = None,
    attempt: Annotated[str | None, typer.Option("--attempt", help="Only findings of this attempt.")] = None,
    finding: Annotated[str | None, typer.Option("--id", help="The finding whose id begins so, with its why.")] = None,
    suppressed: Annotated[
        bool, typer.Option("--suppressed", help="Those that tunings took out, each with the tuning and its reason.")
    ] = False,
    only: OnlyOption = None,
    verdict: VerdictOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Findings, oldest first, with the records they rest on."""
    wanted = FindingFilter(severity, rule, detector, attempt, finding, only_annotated(only), verdict, suppressed)
    engine = DuckDBEngine()
    with Case.open(case) as opened:
        engine.use(stored_tables(opened))
        if as_json:
            write_json_lines(finding_lines(engine, wanted, limit))
            return
        rows = list(finding_lines(engine, wanted, limit or SHOWN))
        if not rows:
            typer.echo("no findings fit", err=True)
            return
        for row in rows:
            _print_finding(row)
        if finding is not None:
            for row in rows:
                for line in orjson.dumps(orjson.loads(row["why"]), option=orjson.OPT_INDENT_2).decode().splitlines():
                    console().print(visible(line), soft_wrap=True)
                for address in row["records"][:10]:
                    typer.echo(f"casemate record {address} --case {shlex.quote(str(case))}")
        elif limit is None and len(rows) == SHOWN:
            typer.echo(f"(the first {SHOWN}; --limit N or --json for more)", err=True)


@app.command("attempts", epilog="Example: casemate show attempts --case CASE --limit 20")
def attempts(
    case: CaseOption,
    only: OnlyOption = None,
    verdict: VerdictOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Attempts, oldest first: who tried what against which scope, and how it ended."""
    marked = only_annotated(only)
    engine = DuckDBEngine()
    with Case.open(case) as opened:
        engine.use(stored_tables(opened))
        if as_json:
            write_json_lines(attempt_lines(engine, limit, annotated=marked, verdict=verdict))
            return
        rows = list(attempt_lines(engine, limit or SHOWN, annotated=marked, verdict=verdict))
        if not rows:
            typer.echo("no attempts", err=True)
            return
        for row in rows:
            _print_attempt(row)
        if limit is None and len(rows) == SHOWN:
            typer.echo(f"(the first {SHOWN}; --limit N or --json for more)", err=True)


@app.command("annotations", epilog="Example: casemate show annotations --case CASE --history")
def annotated_subjects(
    case: CaseOption,
    history: Annotated[bool, typer.Option("--history", help="Everything that was ever said, oldest first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verdicts, notes and tags (casemate mark), and which findings follow a verdict of an earlier one."""
    with Case.open(case) as opened:
        rows = list(history_rows(opened) if history else annotation_rows(opened))
    if as_json:
        write_json_lines(rows)
        return
    if not rows:
        typer.echo("nothing was marked")
    out = console()
    for row in rows:
        out.print(f"[bold]{visible(_said_of(row))}[/]", soft_wrap=True)
        _print_below(out, visible(history_text(row) if history else annotation_text(row)))


def _said_of(row: dict[str, Any]) -> str:
    if "subjects" in row:
        return ", ".join(f"{one['kind']} {one['subject'][:16]}" for one in row["subjects"])
    gone = "" if row["present"] else "  (not in the case any more)"
    return f"{row['kind']} {row['subject'] if row['kind'] == 'record' else row['subject'][:16]}{gone}"


@app.command("coverage", epilog="Example: casemate show coverage --case CASE")
def coverage(
    case: CaseOption, host: HostOption = None, source: SourceOption = None, as_json: JsonOption = False
) -> None:
    """What could be seen and what could not; the same as 'casemate coverage'."""
    print_coverage(case, host, source, as_json)


@app.command("origins", epilog="Example: casemate show origins --case CASE --by category")
def origins(
    case: CaseOption,
    by: Annotated[
        str | None, typer.Option("--by", help="Only by one of: " + ", ".join(LABELS) + ".", metavar="WHAT")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="What every source says of one address.", metavar="ADDRESS")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Where malicious traffic came from: registered countries, categories, holders of the blocks, with sources."""
    if by is not None and by not in LABELS:
        raise BadInput(f"cannot tell origins by '{by}'", where="--by", hint="one of " + ", ".join(LABELS))
    engine = DuckDBEngine()
    with Case.open(case) as opened:
        engine.use(stored_tables(opened))
        if address is not None:
            told = address_report(opened, engine, address)
            document = None
        else:
            told, found = None, find_origins(opened, engine)
            groups = (by,) if by is not None else tuple(LABELS)
            document = origins_object(found, engine, groups) if found is not None else None
    if as_json:
        write_json(told if address is not None else document)
        return
    if told is not None:
        for line in address_lines(told):
            console().print(visible(line), soft_wrap=True)
        return
    if document is None:
        typer.echo(NOT_INSTALLED)
        return
    for group in (by,) if by is not None else ("country", "category"):
        write_table((HEADS[group], *UNITS), share_rows(document, group))
        typer.echo("")
    for line in (*sentences(document), *notes(document)):
        console().print(visible(line), soft_wrap=True)
    write_table(("asked", "dated", ""), source_rows(document))


@app.command("rules", epilog="Example: casemate show rules --case CASE --json")
def rules(case: CaseOption, as_json: JsonOption = False) -> None:
    """Rules of the last run: how many ran, and for each that did not, why."""
    with Case.open(case) as opened:
        report = rules_report(opened)
    if as_json:
        write_json(report)
        return
    typer.echo(
        f"{report['loaded']} rules loaded, {report['ran']} could apply to this case's records, "
        f"{len(report['not_run'])} not run"
    )
    by_reason: dict[str, int] = {}
    for row in report["not_run"]:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + 1
    write_table(("rules", "why not"), [(count, why) for why, count in sorted(by_reason.items(), key=lambda i: -i[1])])


@app.command("measures", epilog="Example: casemate show measures --case CASE")
def measures(case: CaseOption, as_json: JsonOption = False) -> None:
    """Every named number of this case, its version and its definition."""
    with Case.open(case) as opened:
        rows = measures_listing(opened)
    if as_json:
        write_json_lines(rows)
        return
    write_table(
        ("measure", "version", "value", "definition"),
        [tuple(_plainly(value) for value in row.values()) for row in rows],
    )


@app.command("rows", epilog="Example: casemate show rows attempts.by_outcome --label succeeded --case CASE")
def rows(
    measure: Annotated[str, typer.Argument(help="Name of a measure, as 'show measures' lists it.", show_default=False)],
    case: CaseOption,
    label: Annotated[str | None, typer.Option("--label", help="Only the rows counted under this label.")] = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """The rows behind a number."""
    with Case.open(case) as opened:
        found = measure_rows(opened, measure, label)
        if as_json:
            write_json_lines(islice(found, limit))
            return
        shown = list(islice(found, limit or SHOWN))
    if shown:
        write_table(list(shown[0]), [list(row.values()) for row in shown])
    else:
        typer.echo("no rows: the number is 0", err=True)


def _print_finding(row: dict[str, Any]) -> None:
    """A finding on two lines that fit 80 columns: what it is, then who against what."""
    out = console()
    style = SEVERITY_STYLE.get(row["severity"], "default")
    out.print(
        f"[bold]{row['id'][:8]}[/]  {_minute(row['time'])}  [{style}]{row['severity']:<13}[/] {row['outcome']:<9} "
        f"{row['record_count']:,} record{'s' * (row['record_count'] != 1)}",
        soft_wrap=True,
    )
    _print_below(out, f"{visible(row['title'])}: {_arrow(row['source'], row['target'])}")
    if "tuning" in row:
        _print_below(out, f"suppressed by {row['tuning'][:8]}: {visible(row['reason'])}")
    _print_annotation(out, row["annotation"])


def _print_attempt(row: dict[str, Any]) -> None:
    """An attempt on two lines: when and how it ended, then who against what by which vector."""
    out = console()
    style = "bold red" if row["outcome"] == "succeeded" else "default"
    out.print(
        f"[bold]{row['id'][:8]}[/]  {_minute(row['started'])} to {_minute(row['ended'])}  "
        f"[{style}]{row['outcome']:<9}[/] {row['findings']:,} finding{'s' * (row['findings'] != 1)}",
        soft_wrap=True,
    )
    words = f"{row['intent']} by {row['vector']}".replace("_", " ")
    _print_below(out, f"{words}: {_arrow(row['source'], row['scope'])}")
    _print_annotation(out, row["annotation"])


def _print_annotation(out: Console, annotation: dict[str, Any] | None) -> None:
    """What people said of it, below it."""
    if annotation is not None:
        _print_below(out, f"[magenta]{visible(annotation_text(annotation))}[/]")


def only_annotated(only: str | None) -> bool:
    if only not in (None, "annotated"):
        raise BadInput(f"cannot show only '{only}'", where="--only", hint="annotated")
    return only is not None


def _print_below(out: Console, text: str) -> None:
    """Text under the id; folded on a terminal, on one line for programs that read it."""
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, 10)))
    else:
        out.print(f"          {text}", soft_wrap=True)


def _plainly(value: Any) -> Any:
    """Numbers per label as words."""
    return ", ".join(f"{label} {count:,}" for label, count in value.items()) if isinstance(value, dict) else value


def _minute(time: dt.datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M") if time else "no time         "


def _arrow(source: dict[str, str | None] | None, target: dict[str, str | None] | None) -> str:
    return f"{visible(_endpoint(source) or 'unknown')} -> {visible(_endpoint(target) or 'unknown')}"


def _endpoint(value: dict[str, str | None] | None) -> str | None:
    """An endpoint as one word: value, and the service behind it."""
    if not value or not value.get("value"):
        return None
    service = value.get("service")
    return f"{value['value']} ({service})" if service else value["value"]
