"""``casemate init``: an empty case with its settings file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import JsonOption, OwnOption
from casemate.cli.output import console, visible, write_json
from casemate.settings import Settings

EXAMPLES = "Example: casemate init CASE --name 'March incident' --own 10.0.0.0/8 --own 192.0.2.0/24"


def init(
    case: Annotated[Path, typer.Argument(help="New folder for the case.", metavar="DIR", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="What people call this case.")] = None,
    own: OwnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty case; its settings are in DIR/case.toml."""
    settings = Settings(name=name or case.absolute().name or "case")
    if own:
        settings = dataclasses.replace(settings, own=tuple(own))
    with Case.create(case, settings) as made:
        path = made.path
    if as_json:
        write_json({"case": str(path), "settings": str(path / "case.toml")})
        return
    console().print(f"Made the case {visible(path)}. Settings: {visible(path / 'case.toml')}")
