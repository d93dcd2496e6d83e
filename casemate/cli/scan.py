"""``casemate scan``: find malware in models, data and archives without ever running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from casemate.cli.options import JsonOption
from casemate.cli.output import console, write_json
from casemate.detect.artifacts.contract import Reason, Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.scan import scan as scan_paths
from casemate.explore.escape import visible as plainly

EXAMPLES = "Example: casemate scan model.pkl   or   casemate scan downloads --json --fail-on malicious"
COLOURS = {"safe": "green", "suspicious": "yellow", "malicious": "bold red", "unscannable": "magenta", "note": "dim"}
SHOWN_REASONS = 12
MIB = 1024 * 1024


class FailOn(Enum):
    """From which verdict on the exit code is 1."""

    MALICIOUS = "malicious"
    SUSPICIOUS = "suspicious"
    UNSCANNABLE = "unscannable"


FAILING = {
    FailOn.MALICIOUS: {"malicious"},
    FailOn.SUSPICIOUS: {"malicious", "suspicious"},
    FailOn.UNSCANNABLE: {"malicious", "suspicious", "unscannable"},
}


def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with all below them.", metavar="PATH...")],
    full: Annotated[
        bool, typer.Option("--full", help="Also read and hash what cannot run code (the tensors of a checkpoint).")
    ] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with 1 when a file has this verdict or a graver one.")
    ] = FailOn.UNSCANNABLE,
    seconds: Annotated[int, typer.Option("--seconds", help="Processor time for one file.", min=1)] = 300,
    memory: Annotated[
        int, typer.Option("--memory", help="Memory of the reading process, in MiB.", min=128, metavar="MIB")
    ] = 2048,
    as_json: JsonOption = False,
) -> None:
    """Judge AI artefacts: safe, suspicious, malicious or unscannable, with the reasons; nothing is loaded or run.

    Pickles are interpreted as the unpickler would, inside PyTorch, numpy and joblib files and archives too. What was
    not read or understood whole is unscannable, never safe.  The exit code is 0 when every file is safe, 1 when not.
    """
    options = Options(full=full, seconds=seconds, memory_bytes=memory * MIB)
    out = console()
    found: Counter[str] = Counter()
    confined = True
    plain = not out.is_terminal
    for verdict in scan_paths(paths, options):
        found[verdict.verdict] += 1
        confined = confined and verdict.confined is not False
        if as_json:
            write_json(verdict.as_dict())
        else:
            _print(out, verdict, plain=plain)
    if not as_json:
        counts = ", ".join(f"[{COLOURS[word]}]{count:,} {word}[/]" for word, count in found.items())
        out.print(f"{sum(found.values()):,} files: {counts}" if counts else "no files")
        if not confined:
            out.print("[dim]note: this kernel could not keep the reading process from writing or the network[/]")
    if any(found[word] for word in FAILING[fail_on]):
        raise typer.Exit(1)


Styled = Sequence[tuple[str, str]]
"""Runs of one line, each a style of rich (or none) and its text."""


def _print(out: Console, verdict: Verdict, *, plain: bool) -> None:
    """Print a verdict with its first reasons; without colours where `plain`, as for a file or a pipe."""
    _print_line(out, _headline(verdict), plain)
    for reason in verdict.reasons[:SHOWN_REASONS]:
        for line in _reason(reason):
            _print_line(out, [("", "    "), *line], plain)
    left = len(verdict.reasons) - SHOWN_REASONS + verdict.reasons_left_off
    if left > 0:
        _print_line(out, [("", "    "), ("dim", f"and {left:,} more reasons (--json)")], plain)


def _print_line(out: Console, line: Styled, plain: bool) -> None:
    text = "".join(run for _, run in line)
    if plain and len(text) < out.width and text.isascii():  # rich has nothing to fold or to colour
        out.file.write(text + "\n")
        out.file.flush()
    else:
        out.print("".join(f"[{style}]{escape(run)}[/]" if style else escape(run) for style, run in line))


def _headline(verdict: Verdict) -> Styled:
    skipped = f", {verdict.bytes_skipped:,} bytes of tensors not read" if verdict.bytes_skipped else ""
    return [
        (COLOURS[verdict.verdict], verdict.verdict.upper()),
        ("", f" {plainly(verdict.path)} "),
        ("dim", f"({plainly(verdict.format)}, {verdict.bytes:,} bytes{skipped})"),
    ]


def _reason(reason: Reason) -> tuple[Styled, Styled]:
    where = [plainly(reason.path_inside)] if reason.path_inside else []
    if reason.offset is not None:
        where.append(f"byte {reason.offset:,}")
    first = [(COLOURS[reason.severity], reason.code), ("", f": {plainly(reason.text)}")]
    if where:
        first += [("", " "), ("dim", f"at {', '.join(where)}")]
    if reason.technique:
        first += [("", " "), ("dim", reason.technique)]
    return first, [("dim", f"a loader: {plainly(reason.loader_effect)}")]
