"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CaseOption = Annotated[Path, typer.Option("--case", help="Folder of the case.", metavar="DIR", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
OwnOption = Annotated[
    list[str] | None,
    typer.Option("--own", help="Own address space, a network such as 10.0.0.0/8; repeatable.", metavar="CIDR"),
]
RulesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        help="Folder, zip or file of Sigma rules to use instead of the installed ones; repeatable.",
        metavar="PATH",
        show_default=False,
    ),
]
YaraOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--yara",
        help="Folder, zip or file of YARA rules to hold against captures and files that are no logs; repeatable. "
        "Without it those installed with 'intel update yara'.",
        metavar="PATH",
        show_default=False,
    ),
]
PlaceholderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--placeholder",
        help="Value of a placeholder %NAME% of Sigma rules (modifier expand), in place of those in case.toml; "
        "repeatable, also for one name.",
        metavar="NAME=VALUE",
        show_default=False,
    ),
]
PlaceholdersOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--placeholders",
        help="YAML file of placeholders and their values: a Sigma pipeline's vars, or NAME: [VALUE, ...]; repeatable.",
        metavar="FILE",
        show_default=False,
    ),
]
EngineOption = Annotated[str, typer.Option("--engine", help="duckdb (this machine) or spark.", metavar="NAME")]
