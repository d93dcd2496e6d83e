"""``casemate export``: findings and records for other tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import visible, write_json
from casemate.errors import BadInput
from casemate.export.content import Content, Window
from casemate.export.run import SCOPES, TARGETS
from casemate.export.run import export as run_export

EXAMPLES = "Example: casemate export --case CASE --to timesketch --out findings.jsonl"


def export(
    case: CaseOption,
    to: Annotated[str, typer.Option("--to", help=", ".join(TARGETS) + ".", metavar="TARGET", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="File to write.", metavar="PATH", show_default=False)],
    only: Annotated[
        str,
        typer.Option(
            "--only",
            help="findings; annotated: what people marked; or window: the records of a time window too.",
            metavar="WHAT",
        ),
    ] = SCOPES[0],
    start: Annotated[
        str | None, typer.Option("--from", help="Nothing before this time (UTC, ISO 8601).", metavar="TIME")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Nothing at or after this time (UTC, ISO 8601).", metavar="TIME")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write findings, with their records and reasons, for another tool. Secrets are masked."""
    window = Window(_time(start, "--from"), _time(until, "--until"))
    if window.start is not None and window.until is not None and window.start >= window.until:
        raise BadInput("--from is not before --until")
    with Case.open(case) as opened:
        done = run_export(Content(opened, window, annotated=only == "annotated"), to, only, out)
    if as_json:
        write_json(
            {
                "to": done.target,
                "only": done.only,
                "findings": done.findings,
                "records": done.records,
                "files": [{"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in done.files],
                "notes": list(done.notes),
            }
        )
        return
    records = f" and {done.records:,} record{'s' * (done.records != 1)}" if only == "window" else ""
    names = " and ".join(visible(one.path) for one in done.files)
    typer.echo(f"{done.findings:,} finding{'s' * (done.findings != 1)}{records} written to {names}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)


def _time(text: str | None, option: str) -> datetime | None:
    """A time as people write it; one without a zone is UTC.

    Raises:
        BadInput: it is no time.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(f"'{text}' is not a time", where=option, hint="for example 2026-05-25T02:30:00Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
