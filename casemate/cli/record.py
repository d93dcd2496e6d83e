"""``casemate record``: the original of a record, as it was received."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.errors import BadInput
from casemate.evidence.records import around as neighbours
from casemate.evidence.records import content_of, original, parse_address

EXAMPLES = "Example: casemate record 3fa1c2:1042 --case CASE --around 3"


def record(
    address: Annotated[
        str, typer.Argument(metavar="EVIDENCE:RECORD", help="Address as findings print it.", show_default=False)
    ],
    case: CaseOption,
    around: Annotated[int, typer.Option("--around", help="Also print this many neighbours on each side.", min=0)] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Write exactly the original bytes and nothing else.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the original of a record, with its file, position and hash."""
    if raw and (around or as_json):
        raise BadInput("--raw writes one record and nothing else", where="--raw", hint="leave out --around and --json")
    evidence, number = parse_address(address)
    with Case.open(case) as opened:
        found = original(opened.store, evidence, number)
        if raw:
            for piece in content_of(opened.store, found.place):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        shown = neighbours(opened.store, found.place, around) if around else [found]
    if as_json:
        for item in shown:
            write_json(
                {
                    "id": f"{item.place.evidence}:{item.place.record}",
                    "table": item.place.table,
                    "path": item.path,
                    "member_path": item.member_path,
                    "format": item.format,
                    "offset": item.place.offset,
                    "length": item.place.length,
                    "sha256": item.sha256,
                    "rejected": item.place.reason,
                    "content": item.content.decode("utf-8", "backslashreplace"),
                }
            )
        return
    out = console()
    for item in shown:
        where = f"{item.path} > {item.member_path}" if item.member_path else item.path
        mark = "[bold green]>[/] " if around and item.place == found.place else ""
        out.print(
            f"{mark}[bold]{item.place.evidence[:16]}:{item.place.record}[/]  {visible(where)}  {visible(item.format)}  "
            f"byte {item.place.offset:,}, {item.place.length:,} long  sha256 {item.sha256[:16]}",
            soft_wrap=True,
        )
        if item.place.reason:
            out.print(f"[red]rejected: {visible(item.place.reason)}[/]", soft_wrap=True)
        out.print(visible(item.content.decode("utf-8", "backslashreplace")), soft_wrap=True)
