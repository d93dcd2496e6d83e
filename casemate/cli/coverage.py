"""``casemate coverage``: what could be seen, what could not, and what was asked for elsewhere."""

from __future__ import annotations

import datetime as dt
import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json, write_json_lines, write_table
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput
from casemate.explore.coverage import case_coverage, narrowed
from casemate.explore.coverage_requests import add_request, receive, request_json, requests
from casemate.explore.coverage_rules import why_rule
from casemate.explore.coverage_text import (
    SOURCES_SHOWN,
    TABLE_HEAD,
    request_line,
    rule_lines,
    sections,
    source_rows,
)
from casemate.explore.overview import coverage_document
from casemate.explore.runs import last_run
from casemate.explore.tables import native_filled, stored_tables

EXAMPLES = "Example: casemate coverage --case CASE   or   casemate coverage --case CASE --why 'Private SSH Key Read'"

app = typer.Typer(
    help="What could be seen and what could not: sources, silences, missing numbers, clocks, rules.",
    epilog=EXAMPLES,
    invoke_without_command=True,
)
asked = typer.Typer(help="Evidence asked for elsewhere, kept as custody lines.", no_args_is_help=True)
app.add_typer(asked, name="request")

HostOption = Annotated[str | None, typer.Option("--host", help="Only this host.", metavar="HOST")]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="Only this source: a table or channel, or a part of it.", metavar="SOURCE"),
]


@app.callback()
def coverage(
    context: typer.Context,
    case: Annotated[Path | None, typer.Option("--case", help="Folder of the case.", metavar="DIR")] = None,
    host: HostOption = None,
    source: SourceOption = None,
    why: Annotated[
        str | None,
        typer.Option("--why", help="What this rule needs and where it looked: id, its beginning, or title.",
                     metavar="RULE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """What could be seen and what could not: sources, silences, missing numbers, clocks, rules."""
    if context.invoked_subcommand is not None:
        if (case, host, source, why) != (None, None, None, None) or as_json:
            raise BadInput("options belong behind the command", hint="casemate coverage request list --case DIR")
        return
    if case is None:
        raise BadInput("Missing option '--case'", hint="see 'casemate coverage --help'")
    if why is not None:
        print_why(case, why, as_json)
    else:
        print_coverage(case, host, source, as_json)


def print_coverage(case: Path, host: str | None, source: str | None, as_json: bool) -> None:
    """Everything about what could be seen; also ``casemate show coverage``."""
    with Case.open(case) as opened:
        facts = narrowed(case_coverage(opened, now=dt.datetime.now(dt.UTC)), host, source)
        document = coverage_document(opened, facts)
    if as_json:
        write_json(document)
        return
    if (host or source) and not facts.streams:
        raise BadInput("no source fits", hint="'casemate coverage' without --host and --source lists them")
    out = console()
    out.print(f"[bold]{visible(document['worth'])}[/]", soft_wrap=not out.is_terminal)
    rows = source_rows(facts)
    if rows:
        out.print()
        write_table(TABLE_HEAD, rows[:SOURCES_SHOWN])
        if len(rows) > SOURCES_SHOWN:
            out.print(f"and {len(rows) - SOURCES_SHOWN:,} more sources (--json, --host, --source)")
    for title, lines in sections(facts):
        if lines:
            out.print(f"\n[bold]{title}[/]")
            for line in lines:
                out.print(f"  {visible(line)}", soft_wrap=not out.is_terminal)


def print_why(case: Path, rule: str, as_json: bool) -> None:
    """What one rule needs, and what the case lacks or where the rule looked."""
    engine = DuckDBEngine()
    with Case.open(case) as opened:
        stored = stored_tables(opened)
        engine.use(stored)
        told = why_rule(engine, native_filled(stored), last_run(opened) or {}, rule)
    if as_json:
        write_json(told)
        return
    out = console()
    for line in rule_lines(told):
        out.print(visible(line), soft_wrap=not out.is_terminal)


@asked.command(
    "add",
    epilog="Example: casemate coverage request add --case CASE --of 'Cloud provider' --what 'VPC flow logs' "
    "--from 2026-03-01 --to 2026-03-08 --promised 2026-03-20",
)
def add(
    case: CaseOption,
    of: Annotated[str, typer.Option("--of", help="Who was asked.", metavar="WHOM", show_default=False)],
    what: Annotated[str, typer.Option("--what", help="For which evidence.", metavar="TEXT", show_default=False)],
    begin: Annotated[str | None, typer.Option("--from", help="It should begin here (UTC).", metavar="TIME")] = None,
    end: Annotated[str | None, typer.Option("--to", help="It should end here (UTC).", metavar="TIME")] = None,
    promised: Annotated[str | None, typer.Option("--promised", help="Promised for.", metavar="DATE")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything else.", metavar="TEXT")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write down that evidence was asked for elsewhere."""
    times = _moment(begin, "--from"), _moment(end, "--to"), _moment(promised, "--promised", at_end=True)
    with Case.open(case, write=True) as opened:
        made = add_request(
            opened, of=of, what=what, begin=times[0], end=times[1], promised=times[2], note=note, by=_who()
        )
    _print_one(made, as_json)


@asked.command("list", epilog="Example: casemate coverage request list --case CASE")
def list_requests(case: CaseOption, as_json: JsonOption = False) -> None:
    """Everything that was asked for, oldest first."""
    now = dt.datetime.now(dt.UTC)
    with Case.open(case) as opened:
        found = requests(opened)
    if as_json:
        write_json_lines(request_json(one, now) for one in found)
        return
    for one in found:
        console().print(visible(request_line(one, now)), soft_wrap=True)
    if not found:
        typer.echo("nothing was asked for")


@asked.command(
    "received",
    epilog="Example: casemate coverage request add --case CASE --of Vendor --what 'VPN logs'   "
    "or, when it came: casemate coverage request received 1 --case CASE",
)
def received(
    number: Annotated[int, typer.Argument(help="Number of the request.", metavar="REQUEST", show_default=False)],
    case: CaseOption,
    evidence: Annotated[
        list[str] | None,
        typer.Option("--evidence", help="Id of evidence that came, or its beginning; repeatable.", metavar="ID"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write down that it came, and as which evidence of the case."""
    with Case.open(case, write=True) as opened:
        made = receive(opened, number, evidence or (), by=_who())
    _print_one(made, as_json)


def _print_one(request, as_json: bool) -> None:
    now = dt.datetime.now(dt.UTC)
    if as_json:
        write_json(request_json(request, now))
    else:
        console().print(f"request {visible(request_line(request, now))}", soft_wrap=True)


def _moment(text: str | None, option: str, *, at_end: bool = False) -> dt.datetime | None:
    """A time; a promise for a day is one for its end."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"'{text[:40]}' is not a time", where=option, hint="such as 2026-03-01") from None
    if at_end and len(text) == 10:
        moment += dt.timedelta(days=1)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
