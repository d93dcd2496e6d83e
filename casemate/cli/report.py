"""``casemate report``: one self-contained HTML file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import visible, write_json
from casemate.report.build import DEFAULT_NAME, build

EXAMPLES = "Example: casemate report --case CASE --out report.html"


def report(
    case: CaseOption,
    out: Annotated[
        Path | None, typer.Option("--out", help=f"File to write; CASE/{DEFAULT_NAME} unless given.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file that opens offline: answer, coverage, attempts, findings with their why, records."""
    with Case.open(case) as opened:
        made = build(opened, out or opened.path / DEFAULT_NAME, made_at=datetime.now(UTC), shown=str(case))
    if as_json:
        write_json(
            {
                "path": str(made.path),
                "bytes": made.bytes,
                "sha256": made.sha256,
                "findings": made.findings,
                "findings_in_detail": made.findings_in_detail,
                "records_shown": made.records_shown,
            }
        )
        return
    detail = f"{made.findings_in_detail:,} of {made.findings:,} findings in detail"
    typer.echo(f"{visible(made.path)}: {made.bytes:,} bytes, {detail}, {made.records_shown:,} records")
