"""``casemate case``: a whole case as one archive, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.cli.progress import counting
from casemate.evidence.packing import Packed
from casemate.evidence.packing import pack as pack_case
from casemate.evidence.packing import unpack as unpack_case

app = typer.Typer(help="Hand a whole case on.", no_args_is_help=True)


@app.command("pack", epilog="Example: casemate case pack --case CASE --out case.tar.zst")
def pack(
    case: CaseOption,
    out: Annotated[Path, typer.Option("--out", help="The archive to write.", metavar="FILE", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write everything the custody log names into one archive, each file checked against the log on the way."""
    with counting("packing") as progress:
        packed = pack_case(case, out, progress)
    _tell(packed, "packed", out, out.stat().st_size, as_json)


@app.command(
    "unpack",
    epilog="Example: casemate case pack --case CASE --out case.tar.zst or casemate case unpack case.tar.zst OPENED",
)
def unpack(
    file: Annotated[Path, typer.Argument(help="An archive made by 'case pack'.", metavar="FILE", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The new case folder.", metavar="DIR", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Open an archive that somebody sent as a new case; nothing is left behind unless all of it is verified."""
    with counting("unpacking") as progress:
        packed = unpack_case(file, folder, progress=progress)
    Case.open(folder).close()
    _tell(packed, "verified", folder, None, as_json)


def _tell(packed: Packed, verb: str, place: Path, size: int | None, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "place": str(place),
                "files": packed.files,
                "bytes": packed.bytes,
                "archive_bytes": size,
                "head": packed.head,
                "notes": list(packed.notes),
            }
        )
        return
    out = console()
    for note in packed.notes:
        out.print(f"[dim]note: {visible(note)}[/]", soft_wrap=True)
    out.print(
        f"{verb} {packed.files:,} files, {packed.bytes:,} bytes, head {packed.head[:16]}: {visible(place)}",
        soft_wrap=True,
    )
