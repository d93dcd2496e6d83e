"""``casemate doctor``: what this installation has, and what is missing for what."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.errors import CasemateError

EXAMPLES = "Example: casemate doctor   or, for one case: casemate doctor --case CASE"

LIBRARIES: tuple[tuple[str, str, bool], ...] = (
    ("duckdb", "the embedded engine", True),
    ("ibis-framework", "analytics on both engines", True),
    ("pyarrow", "tables on disk and in memory", True),
    ("pysigma", "Sigma rules", True),
    ("hyperscan", "matching rules at speed", True),
    ("evtx", "Windows event logs", True),
    ("orjson", "JSON records", True),
    ("zstandard", "evidence kept compressed", True),
    ("py7zr", "7z archives", True),
    ("pyspark", "the distributed engine (casemate[spark])", False),
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, whether it is well, what was seen, whether work needs it."""

    name: str
    well: bool
    seen: str
    needed: bool


def doctor(
    case: Annotated[Path | None, typer.Option("--case", help="Also look at this case.", metavar="DIR")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is missing for what; exit 1 if something that is always needed is missing."""
    found = [*_libraries(), _java(), *_machine(case)]
    if case is not None:
        found.append(_case(case))
    sick = any(item.needed and not item.well for item in found)
    if as_json:
        write_json({"well": not sick, "checks": [vars(item) for item in found]})
    else:
        out = console()
        for item in found:
            mark = "[green]ok[/]     " if item.well else "[red]missing[/]" if item.needed else "[yellow]absent[/] "
            out.print(f"{mark} {item.name}: {visible(item.seen)}", soft_wrap=True)
    if sick:
        raise typer.Exit(1)


def _libraries() -> list[Finding]:
    found = [Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0], True)]
    for name, purpose, needed in LIBRARIES:
        try:
            found.append(Finding(name, True, f"{metadata.version(name)}, {purpose}", needed))
        except metadata.PackageNotFoundError:
            found.append(Finding(name, False, f"not installed; needed for {purpose}", needed))
    return found


def _java() -> Finding:
    java = shutil.which("java")
    if java is None:
        return Finding("Java", False, "no Java runtime; needed for Spark only (version 17)", False)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("Java", False, f"does not answer: {error}", False)
    first = (answer.stderr or answer.stdout).splitlines()
    return Finding("Java", answer.returncode == 0, first[0] if first else "no version", False)


def _machine(case: Path | None) -> list[Finding]:
    where = case if case is not None and case.exists() else Path.cwd()
    free = shutil.disk_usage(where).free
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    memory = pages * size
    return [
        Finding("disk", free > 1 << 30, f"{free / (1 << 30):.1f} GiB free at {where}", True),
        Finding("memory", memory > 2 << 30, f"{memory / (1 << 30):.1f} GiB", True),
        Finding("processors", True, str(os.cpu_count()), True),
    ]


def _case(path: Path) -> Finding:
    try:
        with Case.open(path) as case:
            rows = len(case.blobs)
            return Finding("case", True, f"{path} opens; {rows} pieces of evidence, {len(case.tables())} tables", True)
    except CasemateError as error:
        return Finding("case", False, str(error), True)
