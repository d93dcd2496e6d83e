"""All commands, listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import click
import typer

from casemate import __version__
from casemate.cli import custody, demo, doctor, init, intel, investigate, query, record, show

app = typer.Typer(
    name="casemate",
    help="From raw evidence to one case in which every number leads back to its records.",
    epilog="Begin with: casemate demo   or   casemate investigate LOGS --case CASE",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("init", init.init, init.EXAMPLES),
    ("investigate", investigate.investigate, investigate.EXAMPLES),
    ("demo", demo.demo, demo.EXAMPLES),
    ("record", record.record, record.EXAMPLES),
    ("query", query.query, query.EXAMPLES),
    ("doctor", doctor.doctor, doctor.EXAMPLES),
)
for name, function, examples in COMMANDS:
    app.command(name, epilog=examples)(function)
app.add_typer(show.app, name="show")
app.add_typer(custody.app, name="custody")
app.add_typer(intel.app, name="intel")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"casemate {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From raw evidence to one case in which every number leads back to its records.

    Add **--debug** to any command for the traceback of an error.
    """


def run(arguments: list[str]) -> int:
    """Run one command; its exit code.

    Raises:
        CasemateError: what the command could not do.
    """
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="casemate", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else 0
