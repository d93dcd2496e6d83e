"""``casemate doctor``: what this installation has, and what is missing for what."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import JsonOption
from casemate.cli.output import console, visible, write_json
from casemate.errors import CasemateError
from casemate.evidence.readers.native import available as kernel_available
from casemate.intel.store import home
from casemate.intel.update import Status
from casemate.intel.update import status as intel_status

EXAMPLES = "Example: casemate doctor   or, for one case: casemate doctor --case CASE"

# distribution, the module it brings, what it is for, whether something always needs it
LIBRARIES: tuple[tuple[str, str, str, bool], ...] = (
    ("duckdb", "duckdb", "the embedded engine", True),
    ("ibis-framework", "ibis", "analytics on both engines", True),
    ("pyarrow", "pyarrow", "tables on disk and in memory", True),
    ("numpy", "numpy", "matching rules at speed", True),
    ("pysigma", "sigma.rule", "Sigma rules", True),
    ("hyperscan", "hyperscan", "matching rules at speed", True),
    ("evtx", "evtx", "Windows event logs", True),
    ("orjson", "orjson", "JSON records", True),
    ("zstandard", "zstandard", "evidence kept compressed", True),
    ("py7zr", "py7zr", "7z archives", True),
    ("cryptography", "cryptography.x509", "seals", True),
    ("rfc3161-client", "rfc3161_client", "timestamps of seals", True),
    ("yara-x", "yara_x", "content rules; pip install 'casemate[yara]'", False),
    ("pyspark", "pyspark", "the distributed engine; pip install 'casemate[spark]'", False),
)
RULE_SETS: dict[str, str] = {
    "sigma": "the public Sigma rules; without them only Casemate's own are used",
    "yara": "content rules for captures and files that are no logs",
    "attack": "names of ATT&CK techniques in reports and Navigator layers",
    "atlas": "names of ATLAS techniques",
}
DISK_BYTES, MEMORY_BYTES = 1 << 30, 2 << 30
SECONDS = 60

# imports one module after the other and says so before and after, so that even a crash names the module
_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    print("begin", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print("failed", name, " ".join(f"{type(error).__name__}: {error}".split())[:200], flush=True)
    else:
        print("works", name, flush=True)
"""
_FENCES = "from casemate.fence import no_network, read_only; print(int(read_only(['/'])), int(no_network()))"


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: what was looked at.
        well: whether it is there and works.
        seen: what was found.
        needed: whether something that everybody does needs it.
        purpose: what it is for; None where that goes without saying.
        remedy: what to do if it is not well.
    """

    name: str
    well: bool
    seen: str
    needed: bool
    purpose: str | None = None
    remedy: str | None = None


def doctor(
    case: Annotated[Path | None, typer.Option("--case", help="Also look at this case.", metavar="DIR")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is missing for what; exit 1 if something that is always needed is missing."""
    found = [*_libraries(), *_programs(), *_fences(), *_machine(case), *_rule_sets()]
    if case is not None:
        found.append(_case(case))
    sick = any(item.needed and not item.well for item in found)
    if as_json:
        write_json({"well": not sick, "checks": [vars(item) for item in found]})
    else:
        out = console()
        for item in found:
            mark = "[green]ok[/]     " if item.well else "[red]missing[/]" if item.needed else "[yellow]absent[/] "
            purpose = f"; for {item.purpose}" if item.purpose and not item.well else ""
            remedy = f" ({item.remedy})" if item.remedy and not item.well else ""
            out.print(f"{mark} {item.name}: {visible(item.seen + purpose + remedy)}", soft_wrap=True)
        absent = [item.name for item in found if not item.well]
        verdict = "[red]not fit to work[/]" if sick else "[green]fit to work[/]"
        without = f"; absent: {', '.join(absent)}" if absent and not sick else ""
        out.print(f"{verdict}{visible(without)}", soft_wrap=True)
    if sick:
        raise typer.Exit(1)


def _libraries() -> list[Check]:
    found = [Check("Python", sys.version_info >= (3, 11), sys.version.split()[0], True, "everything", "3.11 or newer")]
    works = _imports([module for _, module, _, _ in LIBRARIES])
    for name, module, purpose, needed in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            remedy = None if "pip install" in purpose else "install Casemate again"
            found.append(Check(name, False, "not installed", needed, purpose, remedy))
            continue
        trouble = works[module]
        seen = version if trouble is None else f"{version} does not work here: {trouble}"
        found.append(Check(name, trouble is None, seen, needed, purpose))
    kernel = kernel_available()
    seen = "compiled" if kernel else "not compiled, the same is done in Python, slower"
    remedy = "install again on a machine with a C compiler"
    found.append(Check("kernel for JSON lines", kernel, seen, False, "reading JSON evidence fast", remedy))
    return found


def _imports(modules: list[str]) -> dict[str, str | None]:
    """What is wrong with each module, None if it can be imported; tried in a process of its own."""
    trouble: dict[str, str | None] = dict.fromkeys(modules, "was not tried: a module before it stopped the program")
    waiting = list(modules)
    while waiting:
        answer = _answer([sys.executable, "-c", _IMPORTS, *waiting])
        lines = [line.split(" ", 2) for line in answer.splitlines()]
        for word, module, *more in (line for line in lines if len(line) > 1):
            if word == "works":
                trouble[module] = None
            elif word == "failed":
                trouble[module] = " ".join(more)
            else:
                trouble[module] = "the program ends when it is loaded (a processor it was not built for?)"
        begun = [line[1] for line in lines if line[0] == "begin"]
        if not begun:
            break
        waiting = waiting[waiting.index(begun[-1]) + 1 :]
    return trouble


def _programs() -> list[Check]:
    java = shutil.which("java")
    first = _first_line([java, "-version"]) if java else None
    openssl = shutil.which("openssl")
    return [
        Check("Java", first is not None, first or "no Java runtime that answers", False, "Spark", "version 17"),
        Check(
            "openssl",
            openssl is not None,
            (openssl and _first_line([openssl, "version"])) or "not installed",
            False,
            "the project's own tests of timestamps",
        ),
        Check("7z", True, "no program needed, py7zr reads such archives", False, "7z archives"),
    ]


def _fences() -> list[Check]:
    """What keeps the processes that read hostile files and answer queries from writing and from the network."""
    words = _answer([sys.executable, "-c", _FENCES]).split()
    landlock, calls = (word == "1" for word in words) if len(words) == 2 else (False, False)
    purpose = "a fence around scan and query; without it resource limits and the library's own locks remain"
    return [
        Check(
            "Landlock", landlock, "works" if landlock else "not in this kernel, or off", False, purpose, "Linux 5.13"
        ),
        Check("seccomp", calls, "works" if calls else "not in this kernel, or off", False, purpose),
    ]


def _machine(case: Path | None) -> list[Check]:
    where = case if case is not None and case.exists() else Path.cwd()
    free = shutil.disk_usage(where).free
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    scratch = Path(tempfile.gettempdir())
    scratch_free = shutil.disk_usage(scratch).free
    data = home()
    there = next(folder for folder in (data, *data.parents) if folder.exists())
    writable = os.access(there, os.W_OK)
    return [
        Check("disk", free > DISK_BYTES, f"{_gib(free)} free at {where}", True, "tables and kept evidence",
              f"at least {_gib(DISK_BYTES)}"),
        Check("scratch space", scratch_free > DISK_BYTES, f"{_gib(scratch_free)} free at {scratch}", False,
              "large sorts and archives", "set TMPDIR"),
        Check("memory", memory > MEMORY_BYTES, _gib(memory), True, "everything", f"at least {_gib(MEMORY_BYTES)}"),
        Check("processors", True, str(os.cpu_count()), True),
        Check("data folder", writable, f"{data}{'' if writable else ' cannot be written'}", False,
              "rule sets and compiled rules", "set CASEMATE_HOME"),
    ]  # fmt: skip


def _rule_sets() -> list[Check]:
    found = []
    for one in intel_status(now=datetime.now(UTC)):
        if one.name in RULE_SETS:
            purpose, remedy = RULE_SETS[one.name], f"casemate intel update {one.name}"
            well = one.installed is not None and not one.stale
            found.append(Check(one.name, well, _age(one), False, purpose, remedy))
    return found


def _age(one: Status) -> str:
    if one.installed is None:
        return "not installed"
    release = one.installed.release or one.installed.version
    age = "of unknown age" if one.age_days is None else f"{one.age_days} day{'s' * (one.age_days != 1)} old"
    return f"{release}, {age}{', stale' if one.stale else ''}"


def _case(path: Path) -> Check:
    try:
        with Case.open(path) as case:
            rows = len(case.blobs)
            return Check("case", True, f"{path} opens; {rows} pieces of evidence, {len(case.tables())} tables", True)
    except CasemateError as error:
        return Check("case", False, str(error), True)


def _first_line(words: list[str]) -> str | None:
    lines = _answer(words, both=True).splitlines()
    return lines[0] if lines else None


def _answer(words: list[str], *, both: bool = False) -> str:
    """What a program prints (`both`: on either channel), nothing if it cannot be run or ends badly."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if both:
        return (done.stdout or done.stderr) if done.returncode == 0 else ""
    return done.stdout


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
