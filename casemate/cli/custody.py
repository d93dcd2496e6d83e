"""``casemate custody``: is the case what its custody log says it is?"""

from __future__ import annotations

import typer

from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.cli.progress import counting
from casemate.evidence.verify import verify as run_verify

app = typer.Typer(help="Check the chain of custody.", no_args_is_help=True)


@app.command("verify", epilog="Example: casemate custody verify --case CASE")
def verify(case: CaseOption, as_json: JsonOption = False) -> None:
    """Find any changed, missing or added byte in evidence, log, manifest or tables (exit 1 if there is one)."""
    with counting("verifying") as progress:
        found = run_verify(case, progress)
    if as_json:
        write_json(
            {
                "verified": found.holds,
                "problems": [{"where": problem.where, "what": problem.what} for problem in found.problems],
                "notes": list(found.notes),
                "custody_lines": found.lines,
                "parts": found.parts,
                "blobs": found.blobs,
                "bytes": found.bytes,
                "head": found.head,
            }
        )
    else:
        out = console()
        for problem in found.problems:
            out.print(f"[red]{visible(problem.where)}[/]: {visible(problem.what)}")
        for note in found.notes:
            out.print(f"[dim]note: {visible(note)}[/]")
        count = len(found.problems)
        verdict = "[green]VERIFIED[/]" if found.holds else f"[red]NOT VERIFIED[/], {count} problem{'s' * (count != 1)}"
        out.print(
            f"{verdict}: {found.lines:,} custody lines, {found.parts:,} table parts, {found.blobs:,} pieces of "
            f"evidence, {found.bytes:,} bytes read; head {found.head[:16]}"
        )
    if not found.holds:
        raise typer.Exit(1)
