"""``casemate mark``: say what a finding, an attempt or a record is."""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.explore.annotations import annotation_text
from casemate.schema.annotations import VERDICTS
from casemate.triage import Annotation, Change
from casemate.triage import mark as write_mark

EXAMPLES = "Example: casemate mark 3fa1c2d4 --case CASE --verdict benign --note 'the backup job' --tag backup"


def mark(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Ids of findings or attempts (a unique beginning is enough), addresses of records.",
            metavar="ID...",
            show_default=False,
        ),
    ],
    case: CaseOption,
    verdict: Annotated[
        str | None, typer.Option("--verdict", help=", ".join(VERDICTS) + ".", metavar="V", show_default=False)
    ] = None,
    of: Annotated[
        str | None, typer.Option("--of", help="What a duplicate is one of.", metavar="ID", show_default=False)
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", help="In your words; replaces the note before.", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Add this tag; repeatable.", show_default=False)
    ] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", help="Take this tag away; repeatable.", show_default=False)
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Take back everything said before; the history stays.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="Who says so; the user's name if not given.", metavar="WHO")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a verdict, a note or tags; kept in the custody log, followed by later findings on the same records."""
    change = Change(verdict, of, note, tuple(tag or ()), tuple(untag or ()), clear).checked()
    with Case.open(case, write=True) as opened:
        done = write_mark(opened, names, change, by if by is not None else _who())
    pairs = list(zip(done.subjects, done.annotations, strict=True))
    if as_json:
        write_json(
            {
                "marked": [
                    {"kind": subject.kind, "subject": subject.id, "annotation": _plain(said)} for subject, said in pairs
                ],
                "following": done.following,
            }
        )
        return
    out = console()
    for subject, said in pairs:
        told = visible(annotation_text(asdict(said))) if said is not None else "nothing is said of it any more"
        shown = subject.id[:8] if subject.kind != "record" else subject.id
        out.print(f"{subject.kind} [bold]{visible(shown)}[/]: {told}", soft_wrap=True)
    if done.following:
        typer.echo(f"{done.following:,} more on the same records follow")


def _plain(said: Annotation | None) -> dict[str, object] | None:
    if said is None:
        return None
    kept = ("verdict", "duplicate_of", "note", "tags", "marked_by", "marked_at", "inherited_from")
    return {name: value for name, value in asdict(said).items() if name in kept}


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
