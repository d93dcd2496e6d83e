"""All commands, listed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer

from casemate import __version__
from casemate.cli.start import loading, start_light
from casemate.errors import BadInput

COMMANDS: tuple[str, ...] = (
    "init",
    "investigate",
    "demo",
    "show",
    "why",
    "mark",
    "tune",
    "record",
    "query",
    "coverage",
    "export",
    "report",
    "scan",
    "gate",
    "rerun",
    "case",
    "custody",
    "intel",
    "doctor",
)
"""Each is the module of that name in :mod:`casemate.cli`, with a function of that name or an ``app`` of several."""

MORE: dict[str, str] = {"show": "casemate.cli.look"}
"""Modules that add their own commands to the ``app`` of a command."""

WITHOUT_TABLES = (["scan"],)
"""Commands that read files in another process and need no table themselves."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"casemate {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From raw evidence to one case in which every number leads back to its records.

    Add **--debug** to any command for the traceback of an error.
    """


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
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
    app.callback()(root)
    for name in names:
        module = import_module(f"casemate.cli.{name}")
        if name in MORE:
            import_module(MORE[name])
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name, epilog=module.EXAMPLES)(getattr(module, name))
    return app


def run(arguments: list[str]) -> int:
    """Run one command; its exit code.

    Raises:
        CasemateError: what the command could not do.
    """
    # a command imports only what it needs: all of them together take a second or two
    given = arguments[:1] or _completed()
    with loading():
        if given not in WITHOUT_TABLES:
            start_light()
        named = [name for name in COMMANDS if given == [name]]
        command = typer.main.get_command(application(named or COMMANDS))
    try:
        result = command.main(arguments, prog_name="casemate", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit:  # typer's answer when whoever read our output has gone
        raise BrokenPipeError from None
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return 2
        place = " ".join(["casemate", *(word for word in arguments[:2] if word.isalpha() and word in _words(command))])
        raise BadInput(error.format_message().rstrip("."), hint=f"see '{place} --help'") from None
    return result if isinstance(result, int) else 0


def _completed() -> list[str]:
    """The command whose words a shell asks to complete (bash, or zsh and fish), if it stands there whole."""
    if "_CASEMATE_COMPLETE" not in os.environ:
        return []
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    words = line.split()
    return words[1:2] if len(words) > 2 or line[-1:].isspace() else []


def _words(command: Any) -> set[str]:
    """Names of the commands and of their own commands."""
    names: set[str] = set()
    for name, child in getattr(command, "commands", {}).items():
        names |= {name, *getattr(child, "commands", {})}
    return names
