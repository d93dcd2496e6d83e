"""``casemate rerun``: would Casemate say the same again?"""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from casemate.case import Case
from casemate.cli.investigate import make_engine
from casemate.cli.options import CaseOption, EngineOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.cli.progress import counting, stages
from casemate.engine.scratch import ScratchFolder
from casemate.errors import BadInput
from casemate.evidence.ingest import Progress
from casemate.explore.runs import last_run
from casemate.intel.store import home
from casemate.investigate.rerun import (
    Rerun,
    Row,
    TableComparison,
    content_rules_of_run,
    identity,
    placeholders_of_run,
    profile_of_run,
    rules_of_run,
    tunings_of_run,
)
from casemate.investigate.rerun import rerun as run_again
from casemate.investigate.run import Options

TEXT_SHOWN = 160
EXAMPLES = "Example: casemate rerun --case CASE --diff"


def rerun(
    case: CaseOption,
    diff: Annotated[bool, typer.Option("--diff", help="Print the first rows that differ.")] = False,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", help="Where the rules of the last run lie now; repeatable.", metavar="PATH"),
    ] = None,
    engine: EngineOption = "duckdb",
    workers: Annotated[int, typer.Option("--workers", help="Processes that read evidence.", min=1)] = 1,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Build and keep the second case here.", metavar="DIR")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Investigate the kept evidence again with the rules of the last run, and compare every table row by row.

    Exit 0 if all tables but the registrations hold the same rows, 1 if they differ. The case is not changed.
    """
    with Case.open(case) as opened:
        facts = last_run(opened)
        if facts is None:
            raise BadInput("no run has come to its end in this case", hint="casemate investigate LOGS --case CASE")
        found_rules = rules_of_run(facts, rules or ())
        options = Options(
            found_rules.paths,
            home() / "compiled",
            found_rules.pins,
            workers,
            placeholders=placeholders_of_run(facts),
            yara=content_rules_of_run(facts),
            tunings=tunings_of_run(facts),
            profile=profile_of_run(facts),
        )
        with contextlib.closing(ScratchFolder()) as scratch:
            place = folder or scratch.path / "case"
            worker = make_engine(engine, workers)
            try:
                with (
                    Case.create(place, opened.settings) as again,
                    counting("reading", quiet=quiet) as reading,
                    stages(quiet=quiet) as tell,
                ):

                    def read(progress: Progress) -> None:
                        reading(progress.bytes_done, progress.bytes_total, progress.current)

                    found = run_again(
                        opened,
                        facts,
                        again,
                        options,
                        worker,
                        clock=lambda: dt.datetime.now(dt.UTC),
                        reading=read,
                        stages=tell,
                    )
            finally:
                worker.close()
    if as_json:
        write_json(_document(found))
    else:
        _print(found, diff)
    if not found.identical:
        raise typer.Exit(1)


def _document(found: Rerun) -> dict[str, Any]:
    return {
        "identical": found.identical,
        "run": found.run,
        "run_again": found.run_again,
        "evidence": found.evidence,
        "findings": found.findings,
        "notes": list(found.notes),
        "tables": [
            {
                "table": table.table,
                "identical": table.identical,
                "rows": table.rows,
                "rows_again": table.rows_again,
                "hash": table.hash,
                "hash_again": table.hash_again,
                "missing": table.missing,
                "added": table.added,
                "first_missing": list(table.first_missing),
                "first_added": list(table.first_added),
            }
            for table in found.tables
        ],
    }


def _print(found: Rerun, diff: bool) -> None:
    out = console()
    for note in found.notes:
        out.print(f"[dim]note: {visible(note)}[/]", soft_wrap=True)
    if found.identical:
        out.print(
            f"[green]VERIFIED[/] {len(found.tables)} tables, {found.evidence:,} evidences, "
            f"{found.findings:,} findings identical"
        )
        return
    different = [table for table in found.tables if not table.identical]
    out.print(f"[red]DIFFERENT[/] {len(different)} of {len(found.tables)} tables")
    for table in different:
        out.print(
            f"[bold]{visible(table.table)}[/]: {table.rows:,} rows, {table.rows_again:,} in the rerun; "
            f"{table.missing:,} only in the case, {table.added:,} only in the rerun",
            soft_wrap=True,
        )
        if diff:
            _print_rows(table)
    if not diff:
        out.print("the first rows that differ: add --diff")


def _print_rows(table: TableComparison) -> None:
    """Rows that both sides have in another form are told by the columns that differ."""
    others = {identity(row): row for row in table.first_added}
    told = set()
    for row in table.first_missing:
        other = others.get(identity(row))
        if other is not None:
            told.add(identity(row))
            names = [name for name in {**row, **other} if row.get(name) != other.get(name)]
            pairs = {name: _around(row.get(name), other.get(name)) for name in names}
            _print_row("-", {name: pair[0] for name, pair in pairs.items()}, row)
            _print_row("+", {name: pair[1] for name, pair in pairs.items()}, other)
        else:
            _print_row("-", row, row)
    for row in table.first_added:
        if identity(row) not in told:
            _print_row("+", row, row)


def _print_row(sign: str, values: dict[str, Any], row: Row) -> None:
    name, record = identity(row)
    place = f"{name}:{record}" if record else name
    text = orjson.dumps({key: value for key, value in values.items() if value is not None}, default=str).decode()
    console().print(f"  {sign} {visible(place)} {visible(text)}", soft_wrap=True)


def _around(one: Any, other: Any) -> tuple[Any, Any]:
    """Long texts cut down to where they begin to differ."""
    if not isinstance(one, str) or not isinstance(other, str) or max(len(one), len(other)) <= TEXT_SHOWN:
        return one, other
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, same - TEXT_SHOWN // 2)
    return tuple(f"{'...' * (begin > 0)}{text[begin : begin + TEXT_SHOWN]}" for text in (one, other))  # type: ignore[return-value]
