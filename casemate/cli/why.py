"""``casemate why``: why a finding was made, down to the very values, and what would have changed it."""

from __future__ import annotations

from typing import Annotated

import typer

from casemate.cli.options import CaseOption, JsonOption

EXAMPLES = "Example: casemate why 3fa1c2d4 --case CASE"


def why(
    finding: Annotated[
        str,
        typer.Argument(help="Id of a finding; a unique beginning is enough.", metavar="FINDING", show_default=False),
    ],
    case: CaseOption,
    as_json: JsonOption = False,
) -> None:
    """Tell why a finding was made."""
    raise NotImplementedError
