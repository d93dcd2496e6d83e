"""``casemate show logons|pivots|stack|timeline|tree``: look around in the records of a case."""

from __future__ import annotations

# pyright: reportArgumentType=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import datetime as dt
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import ibis
import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json_lines, write_table
from casemate.cli.show import SHOWN, LimitOption, OnlyOption, app, only_annotated
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import StoredTables
from casemate.errors import BadInput
from casemate.explore import pivots as pivoting
from casemate.explore import stack as stacking
from casemate.explore.logons import logons as logon_rows
from casemate.explore.process_tree import MOST_LAUNCHES, MOST_SHOWN, launches, tree
from casemate.explore.rows import json_rows
from casemate.explore.tables import native_filled, stored_tables, views
from casemate.explore.timeline import WHAT, Looking, narrowed
from casemate.explore.timeline import timeline as timeline_rows
from casemate.schema.ocsf import API_ACTIVITY, AUTHENTICATION, EVENT_CLASSES, PROCESS_ACTIVITY
from casemate.triage import annotations_of
from casemate.views import SEVERAL_CLASSES

HostOption = Annotated[str | None, typer.Option("--host", help="Only this host.")]
UserOption = Annotated[str | None, typer.Option("--user", help="Only this account.")]
AddressOption = Annotated[str | None, typer.Option("--address", help="Only this address, source or target.")]
FromOption = Annotated[str | None, typer.Option("--from", help="From this time on (UTC, ISO 8601).")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Before this time (UTC, ISO 8601).")]
LONGEST = 60
"""Longest text in a table for people."""
TIMES = frozenset({"time", "first", "last", "first_success"})
SHORT = {"failures_before_success": "failed before", "class_name": "class", "example_host": "such as"}
"""Names of columns for people."""
Build = Callable[[DuckDBEngine, StoredTables], ibis.Table]


@app.command("logons", epilog="Example: casemate show logons --case CASE --limit 20")
def logons(
    case: CaseOption, host: HostOption = None, user: UserOption = None, address: AddressOption = None,
    begin: FromOption = None, until: UntilOption = None, only: OnlyOption = None,
    limit: LimitOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Who logged on from where and how, first and last; most failures before the first success first."""
    looking = _looking(host, user, address, begin, until, _marked(case, only))

    def build(engine: DuckDBEngine, stored: StoredTables) -> ibis.Table:
        tables = views(engine, stored, (AUTHENTICATION, API_ACTIVITY))
        found = logon_rows({name: narrowed(table, looking) for name, table in tables.items()})
        ways = [found[name] for name in ("first", "user", "source", "host", "service", "kind", "domain", "product")]
        guessed = found.failures_before_success.coalesce(ibis.literal(-1, "int64"))
        return found.order_by(ibis.desc(guessed), ibis.desc(found.failures), *ways)

    _show(case, build, limit, as_json)


@app.command("pivots", epilog="Example: casemate show pivots --case CASE --kind address")
def pivots(
    case: CaseOption,
    kind: Annotated[str | None, typer.Option("--kind", help="Only these: " + ", ".join(pivoting.FIELDS) + ".")] = None,
    host: HostOption = None, user: UserOption = None, address: AddressOption = None,
    begin: FromOption = None, until: UntilOption = None, only: OnlyOption = None,
    limit: LimitOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Addresses, domains, accounts, processes and hashes: those in most findings first, then the rarest."""
    looking = _looking(host, user, address, begin, until, _marked(case, only))
    if kind is not None and kind not in pivoting.FIELDS:
        raise BadInput(f"no kind '{kind}'", where="--kind", hint="one of " + ", ".join(pivoting.FIELDS))

    def build(engine: DuckDBEngine, stored: StoredTables) -> ibis.Table:
        filled = set(native_filled(stored))
        tables = views(engine, stored, natives=filled - SEVERAL_CLASSES)
        shared = views(engine, stored, natives=filled & SEVERAL_CLASSES) if filled & SEVERAL_CLASSES else {}
        found = pivoting.in_order(pivoting.pivots(tables, shared, engine.read("findings"), looking))
        return found if kind is None else found.filter(found.kind == kind)

    _show(case, build, limit, as_json)


@app.command("stack", epilog="Example: casemate show stack service_name --case CASE")
def stack(
    field: Annotated[str, typer.Argument(help="A column of the OCSF tables.", metavar="FIELD", show_default=False)],
    case: CaseOption,
    host: HostOption = None, user: UserOption = None, address: AddressOption = None,
    begin: FromOption = None, until: UntilOption = None, only: OnlyOption = None,
    limit: LimitOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """How often each value of a field stands in the records, the least frequent first, with its hosts."""
    looking = _looking(host, user, address, begin, until, _marked(case, only))
    having = [kind for kind in EVENT_CLASSES if field in kind.schema] or EVENT_CLASSES

    def build(engine: DuckDBEngine, stored: StoredTables) -> ibis.Table:
        return stacking.in_order(stacking.stack(views(engine, stored, having), field, looking))

    _show(case, build, limit, as_json)


@app.command("timeline", epilog="Example: casemate show timeline --case CASE --limit 20")
def timeline(
    case: CaseOption, host: HostOption = None, user: UserOption = None, address: AddressOption = None,
    begin: FromOption = None, until: UntilOption = None, only: OnlyOption = None,
    limit: LimitOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """All sources in one order; records without a time are left out."""
    looking = _looking(host, user, address, begin, until, _marked(case, only))
    shown = [kind for kind in EVENT_CLASSES if kind.name in WHAT]

    def build(engine: DuckDBEngine, stored: StoredTables) -> ibis.Table:
        rows = narrowed(timeline_rows(views(engine, stored, shown)), looking)
        rows = rows.filter(rows.time.notnull())
        return rows.order_by(rows.time, rows.evidence, rows.record, rows.class_name)

    _show(case, build, limit, as_json)


@app.command("tree", epilog="Example: casemate show tree 4242 --case CASE")
def process_tree(
    pid: Annotated[str, typer.Argument(help="Process number, decimal or 0x...", metavar="PID", show_default=False)],
    case: CaseOption,
    host: HostOption = None,
    begin: FromOption = None, until: UntilOption = None, only: OnlyOption = None,
    limit: LimitOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """The launches of a process number with their parents above and their children below."""
    try:
        number = int(pid, 16) if pid.lower().startswith("0x") else int(pid)
    except ValueError:
        raise BadInput(f"'{pid[:40]}' is not a process number") from None
    looking = _looking(host, None, None, begin, until, _marked(case, only))

    def build(engine: DuckDBEngine, stored: StoredTables) -> ibis.Table:
        return launches(narrowed(views(engine, stored, (PROCESS_ACTIVITY,))[PROCESS_ACTIVITY.name], looking))

    with Case.open(case) as opened:
        expression, engine = _built(opened, build)
        found = engine.collect(expression.limit(MOST_LAUNCHES + 1))
    if found.num_rows > MOST_LAUNCHES:
        raise BadInput(f"more than {MOST_LAUNCHES:,} launches", hint="narrow them with --host, --from and --until")
    rows = islice(tree(found.to_pylist(), number), limit or MOST_SHOWN)
    if as_json:
        write_json_lines(rows)
        return
    shown = False
    for row in rows:
        shown = True
        mark = "[bold]" if row["asked"] else ""
        console().print(
            f"{row['time']:%Y-%m-%d %H:%M:%S} {'  ' * min(row['depth'], 30)}{mark}{row['pid']} "
            f"{visible(row['command'] or row['path'] or '')}{'[/]' if mark else ''} "
            f"[dim]{visible(row['user'] or '')} {visible(row['host'] or '')}[/]",
            soft_wrap=True,
        )
    if not shown:
        typer.echo("no launch of this process number in the records")


def _looking(
    host: str | None,
    user: str | None,
    address: str | None,
    begin: str | None,
    until: str | None,
    marked: tuple[str, ...] | None,
) -> Looking:
    return Looking(host, user, address, _moment(begin, "--from"), _moment(until, "--until"), marked)


def _marked(case: Path, only: str | None) -> tuple[str, ...] | None:
    """The addresses of the records that people marked, where only those are wanted."""
    if not only_annotated(only):
        return None
    with Case.open(case) as opened:
        return tuple(sorted(annotations_of(opened, "record")))


def _moment(text: str | None, option: str) -> dt.datetime | None:
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"'{text[:40]}' is not a time", where=option, hint="such as 2026-03-01T12:00:00Z") from None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _built(opened: Case, build: Build) -> tuple[ibis.Table, DuckDBEngine]:
    engine = DuckDBEngine()
    stored = stored_tables(opened)
    engine.use(stored)
    return build(engine, stored), engine


def _show(case: Path, build: Build, limit: int | None, as_json: bool) -> None:
    with Case.open(case) as opened:
        expression, engine = _built(opened, build)
        if limit is not None or not as_json:
            expression = expression.limit(limit or SHOWN)
        rows = _rows(engine, expression)
        if as_json:
            write_json_lines(rows)
            return
        shown = list(rows)
    if not shown:
        typer.echo("no records fit", err=True)
        return
    brief = [_brief(row) for row in shown]
    write_table(list(brief[0]), [row.values() for row in brief])
    if limit is None and len(shown) == SHOWN:
        typer.echo(f"(the first {SHOWN}; --limit N or --json for more)", err=True)


def _rows(engine: DuckDBEngine, expression: ibis.Table) -> Iterator[dict[str, Any]]:
    names = list(expression.columns)
    for batch in engine.batches(expression):
        yield from json_rows(batch, names)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: times to the second, long texts cut, evidence by its first digits."""
    shown = {}
    for name, value in row.items():
        if isinstance(value, str):
            if name in TIMES:
                value = value[:19].replace("T", " ")
            elif name == "evidence":
                value = value[:12]
            elif len(value) > LONGEST:
                value = f"{value[: LONGEST - 3]}..."
        shown[SHORT.get(name, name)] = value
    return shown
