"""``casemate why``: why a finding was made, down to the very values, and what would have changed it."""

from __future__ import annotations

from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, write_json
from casemate.explore.why import as_json as answer_as_json
from casemate.explore.why import why as explain
from casemate.explore.why_terminal import WIDTH, why_lines

EXAMPLES = "Example: casemate why 3fa1c2d4 --case CASE"


def why(
    finding: Annotated[
        str,
        typer.Argument(help="Id of a finding; a unique beginning is enough.", metavar="FINDING", show_default=False),
    ],
    case: CaseOption,
    full: Annotated[
        bool, typer.Option("--full", help="Cut nothing: the whole rule, whole values, all events.")
    ] = False,
    masked: Annotated[
        bool, typer.Option("--masked", help="With --json: secrets masked, as in everything that leaves the case.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell why a finding was made: its rule as written, what matched, the records, and what came near."""
    with Case.open(case) as opened:
        answer = explain(opened, finding)
    if as_json:
        document = answer_as_json(answer)
        if masked:
            from casemate.masking import mask_value  # its patterns take a while to make ready

            document = mask_value(document)
        write_json(document)
        return
    out = console()
    width = out.width if out.is_terminal or full else WIDTH
    for line in why_lines(answer, str(case), width=min(width, 160), full=full):
        out.print(line, soft_wrap=True)
