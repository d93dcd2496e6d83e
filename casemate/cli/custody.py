"""``casemate custody``: is the case what its custody log says it is?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import CUSTODY, Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.cli.progress import counting
from casemate.engine.files import disk_errors, read_regular, replace_file
from casemate.errors import BadInput, CannotFinish
from casemate.evidence.custody import intact_lines
from casemate.evidence.edge import ask_authority, check_url
from casemate.evidence.seal import (
    SEAL_BYTES,
    Seal,
    keep_timestamp,
    make_key,
    read_private_key,
    read_public_key,
    read_seal,
    write_seal,
)
from casemate.evidence.timestamp import ANSWER_BYTES, SUFFIX, Timestamp, read_certificates, take
from casemate.evidence.verify import verify as run_verify

app = typer.Typer(help="Check the chain of custody.", no_args_is_help=True)


@app.command("verify", epilog="Example: casemate custody verify --case CASE")
def verify(
    case: CaseOption,
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", help="Believe seals of this key; repeatable.", metavar="FILE"),
    ] = None,
    seal_file: Annotated[
        list[Path] | None,
        typer.Option("--seal", help="A copy of a seal that was kept elsewhere; repeatable.", metavar="FILE"),
    ] = None,
    authority: Annotated[
        list[Path] | None,
        typer.Option(
            "--authority-certificate",
            help="Believe timestamps of this authority (PEM: its root, and what is between); repeatable.",
            metavar="FILE",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find any changed, missing or added byte in evidence, log, manifest or tables (exit 1 if there is one).

    A seal also shows whole lines cut from the end of the log, and a timestamp of it by when they were there.
    """
    trusted = [read_public_key(path) for path in public_key or ()]
    seals = [read_seal(_read(path), str(path)) for path in seal_file or ()]
    authorities = [one for path in authority or () for one in read_certificates(path)]
    copies = [path.with_name(path.name + SUFFIX) for path in seal_file or ()]
    stamps = [(str(path), path) for path in copies if path.exists()]
    with counting("verifying") as progress:
        found = run_verify(case, progress, trusted=trusted, seals=seals, authorities=authorities, stamp_files=stamps)
    if as_json:
        write_json(
            {
                "verified": found.holds,
                "problems": [{"where": problem.where, "what": problem.what} for problem in found.problems],
                "notes": list(found.notes),
                "custody_lines": found.lines,
                "parts": found.parts,
                "blobs": found.blobs,
                "bytes": found.bytes,
                "head": found.head,
                "timestamps": [{**_stamp_row(stamp), "lines": lines} for stamp, lines in found.stamps],
            }
        )
    else:
        out = console()
        for problem in found.problems:
            out.print(f"[red]{visible(problem.where)}[/]: {visible(problem.what)}")
        for note in found.notes:
            out.print(f"[dim]note: {visible(note)}[/]")
        count = len(found.problems)
        verdict = "[green]VERIFIED[/]" if found.holds else f"[red]NOT VERIFIED[/], {count} problem{'s' * (count != 1)}"
        out.print(
            f"{verdict}: {found.lines:,} custody lines, {found.parts:,} table parts, {found.blobs:,} pieces of "
            f"evidence, {found.bytes:,} bytes read; head {found.head[:16]}"
        )
    if not found.holds:
        raise typer.Exit(1)


@app.command("seal", epilog="Example: casemate custody seal --case CASE --key seal.key --make-key")
def seal(
    key: Annotated[Path, typer.Option("--key", help="Private Ed25519 key (PEM).", metavar="FILE", show_default=False)],
    case: Annotated[
        Path | None, typer.Option("--case", help="Folder of the case.", metavar="DIR", show_default=False)
    ] = None,
    make: Annotated[
        bool, typer.Option("--make-key", help="Make the key first: FILE, and its public half FILE.pub.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write a copy of the seal here.", metavar="FILE")
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            help="Have this authority (RFC 3161) stamp the seal, exit 3 if it does not; otherwise that of case.toml.",
            metavar="URL",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign how many lines the custody log has and the hash of the last one.

    Keep a copy of the seal where the case is not: it shows lines cut from the end, which the log alone cannot.
    """
    if case is None and not make:
        raise BadInput("nothing to do", hint="--case DIR to seal a case, --make-key to make a key")
    if timestamp is not None:
        check_url(timestamp)
    made = make_key(key) if make else None
    if case is None:
        if as_json:
            nothing = dict.fromkeys(("case", "lines", "head", "time", "file", "timestamp", "note"))
            write_json({"key": made, "made": True, **nothing})
        else:
            typer.echo(f"key {made}: {key} (keep it to yourself), {key}.pub (give it to those who verify)")
        return
    private = read_private_key(key)
    with Case.open(case, write=True) as opened:
        url = timestamp or opened.settings.timestamp_url
        if url is not None:
            check_url(url)
        lines = [line.hash for line in intact_lines(opened.path / CUSTODY)]
        written, content = write_seal(opened.path, lines[0], len(lines), lines[-1], private, dt.datetime.now(dt.UTC))
        stamp, answer, failed = _stamped(url, content, written)
        facts = {"about": "seal", "file": f"seals/{written.name}", "lines": written.lines, "head": written.head,
                 "key": written.key}  # fmt: skip
        if stamp is not None:
            keep_timestamp(opened.path, written, answer)
            facts |= {"timestamp": stamp.name, "stamped_at": _iso(stamp.time)}
        opened.log("note", facts)
    if out is not None:
        with disk_errors(out):
            replace_file(out, content)
            if stamp is not None:
                replace_file(out.with_name(out.name + SUFFIX), answer)
    note = f"sealed without a timestamp: {failed}" if failed else None
    if as_json:
        write_json(
            {
                "key": written.key,
                "made": make,
                "case": written.case,
                "lines": written.lines,
                "head": written.head,
                "time": written.time,
                "file": f"seals/{written.name}",
                "timestamp": {**_stamp_row(stamp), "url": url} if stamp else None,
                "note": note,
            }
        )
    else:
        by = f", stamped {_iso(stamp.time)} by {stamp.authority or url}" if stamp else ""
        typer.echo(
            f"sealed {written.lines:,} lines, head {written.head[:16]}, with the key {written.key}{visible(by)}: "
            f"{case / 'seals' / written.name}"
        )
    if failed is not None:
        if timestamp is not None:
            failed.what = f"sealed without a timestamp: {failed.what}"
            raise failed
        typer.echo(f"note: {visible(note or '')}", err=True)


def _stamped(url: str | None, content: bytes, seal: Seal) -> tuple[Timestamp | None, bytes, CannotFinish | None]:
    """A timestamp of a seal, the authority's answer, and what went wrong; a seal without is better than none."""
    if url is None:
        return None, b"", None
    try:
        stamp, answer = take(
            content, lambda request: ask_authority(url, request, ANSWER_BYTES), f"seals/{seal.name}{SUFFIX}"
        )
    except CannotFinish as error:
        return None, b"", error
    return stamp, answer, None


def _stamp_row(stamp: Timestamp) -> dict[str, object]:
    return {
        "file": stamp.name,
        "time": _iso(stamp.time),
        "accuracy_seconds": stamp.accuracy_seconds,
        "authority": stamp.authority,
        "serial": stamp.serial,
        "proven": stamp.proven,
    }


def _iso(time: dt.datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, SEAL_BYTES)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
