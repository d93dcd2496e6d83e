"""Rule sets made ready to match, kept in a cache folder.

One folder per rule set, named by a hash of everything that decides its content: the rule files, the
values of placeholders, the versions of the libraries, this code, and what the processor can do (a
Hyperscan database fits one kind of processor).  It holds JSON and serialized Hyperscan databases,
never pickles; the hash of each file is checked before it is used, and a folder that is not right is
built again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from casemate.detect.sigma.compiled import (
    FORMAT,
    CompiledRules,
    TablePlans,
    rules_as_plain,
    rules_from_plain,
    table_as_plain,
    table_from_plain,
)
from casemate.detect.sigma.match import TableMatcher
from casemate.detect.sigma.profiles import DEFAULT, chosen_files
from casemate.detect.sigma.rule_files import RuleFile, hash_rule_files, read_rule_files
from casemate.errors import BadInput, CannotFinish

LIBRARIES = ("hyperscan", "pysigma")
CODE = (
    "atoms",
    "build",
    "compile",
    "compiled",
    "conditions",
    "correlation_bounds",
    "correlation_compile",
    "correlation_conditions",
    "correlation_needs",
    "correlation_rules",
    "derived",
    "filters",
    "keywords",
    "load",
    "logsources",
    "modifiers",
    "rule_files",
    "selectivity",
    "tags",
    "values",
)
"""Modules and packages that decide what is kept."""
OPEN_MATCHERS = 2
MANIFEST = "manifest.json"
RULES = "rules.json"
PROCESSOR_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class InstalledRules:
    """A rule set ready to match.

    Args:
        folder: where it is kept; what kernels are built from.
        rules: every rule that runs, what was refused, and what has no reader.
        tables: native tables that some rule runs on, sorted.
        files: the rule files, as read.
        correlation_files: names of the files that hold correlations or rules they refer to.
        cold: whether it had to be compiled now.
        seconds: how long this took.
    """

    folder: Path
    rules: CompiledRules
    tables: tuple[str, ...]
    files: tuple[RuleFile, ...]
    correlation_files: tuple[str, ...]
    cold: bool
    seconds: float


def install_rules(
    paths: Sequence[Path],
    cache: Path,
    *,
    placeholders: Mapping[str, tuple[str, ...]] | None = None,
    profile: str = DEFAULT,
) -> InstalledRules:
    """Make the rules under `paths` ready, from the cache where it has them.

    Args:
        paths: folders, zip archives and files of Sigma rules.
        cache: folder for compiled rule sets; made if it is not there.
        placeholders: values for the modifier ``expand``.
        profile: which of the rules, one of :data:`casemate.detect.sigma.profiles.PROFILES`.

    Raises:
        BadInput: a path cannot be read, or there is no rule (of the profile) under the paths.
        CannotFinish: the cache cannot be written.
    """
    begun = time.monotonic()
    return install_rule_files(
        chosen_files(read_rule_files(paths), profile),
        cache,
        placeholders=placeholders,
        begun=begun,
        where=", ".join(map(str, paths)),
    )


def install_rule_files(
    given: Sequence[RuleFile],
    cache: Path,
    *,
    placeholders: Mapping[str, tuple[str, ...]] | None = None,
    begun: float | None = None,
    where: str = "",
) -> InstalledRules:
    """Make rule files that were read already ready; see :func:`install_rules`.

    Args:
        begun: when (monotonic clock) the work began; now when None.
        where: what the files are called in an error.
    """
    begun = time.monotonic() if begun is None else begun
    files = tuple(given)
    folder = cache / cache_key(files, placeholders or {})
    kept = _open(folder)
    if kept is not None and not _intact(folder, kept[0]):
        kept = None
    cold = kept is None
    if kept is None:
        _build(files, placeholders or {}, folder)
        kept = _open(folder)
        if kept is None:
            raise CannotFinish("the compiled rules could not be read back", where=str(folder))
    manifest, rules = kept
    _require_rules(rules, manifest, where)
    return InstalledRules(
        folder,
        rules,
        tuple(sorted(manifest["tables"])),
        files,
        tuple(manifest["correlation_files"]),
        cold,
        time.monotonic() - begun,
    )


def _require_rules(rules: CompiledRules, manifest: Mapping[str, Any], where: str) -> None:
    if rules.rules or rules.unread or manifest["correlation_files"] or any(one.id for one in rules.refused):
        return
    faults = [f"{one.path}: {one.reason}" for one in rules.refused]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    found = f": {faults[0]}{more}" if faults else ""
    raise BadInput(f"holds no Sigma rule{found}", where=where)


def open_matcher(folder: Path, table: str, *, only: frozenset[str] | None = None) -> TableMatcher:
    """The matcher of one table of an installed rule set.

    Args:
        folder: :attr:`InstalledRules.folder`.
        table: one of its tables.
        only: ids of the rules to run; all when None.

    Raises:
        CannotFinish: the folder is not (any more) what was installed.
    """
    files = [folder / name for name in (MANIFEST, RULES, f"{table}.json", f"{table}.hs")]
    try:
        stamp = tuple((entry.st_mtime_ns, entry.st_size) for entry in map(os.stat, files))
    except OSError:
        stamp = ()
    return _opened(folder, table, only, stamp)


@lru_cache(maxsize=OPEN_MATCHERS)
def _opened(folder: Path, table: str, only: frozenset[str] | None, _stamp: tuple[tuple[int, int], ...]) -> TableMatcher:
    """A matcher that stays open: one phase asks for the same again and again, once for each part."""
    kept = _open(folder)
    if kept is None or table not in kept[0]["tables"]:
        raise CannotFinish(f"no compiled rules for {table}", where=str(folder), hint="install the rules again")
    manifest, rules = kept
    entry = manifest["tables"][table]
    plans_text, patterns = (
        _read(folder / f"{table}.json", entry["plans"]),
        _read(folder / f"{table}.hs", entry["patterns"]),
    )
    if plans_text is None or patterns is None:
        raise CannotFinish(f"the compiled rules for {table} are damaged", where=str(folder), hint="delete the folder")
    plans = table_from_plain(orjson.loads(plans_text))
    if only is not None:
        plans = _restricted(plans, {number for number, rule in enumerate(rules.rules) if rule.id in only})
    rules.tables[table] = plans
    databases = {name: patterns[begin:end] for name, begin, end in entry["databases"]}
    return TableMatcher(rules, table, databases)


def cache_key(files: Sequence[RuleFile], placeholders: Mapping[str, tuple[str, ...]]) -> str:
    """Name of the folder for a rule set on this machine with this code."""
    digest = hashlib.sha256(hash_rule_files(files).encode())
    facts: dict[str, Any] = {
        "format": FORMAT,
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": sys.version_info[:2],
        "processor": _processor(),
        "placeholders": sorted((name, list(values)) for name, values in placeholders.items()),
    }
    digest.update(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS))
    here = Path(__file__).parent
    for name in CODE:
        for path in sorted([*here.glob(f"{name}.py"), *here.glob(f"{name}/*.py")]):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:40]


def _processor() -> list[str]:
    """What decides whether a Hyperscan database fits: architecture and vector instructions."""
    try:
        lines = PROCESSOR_FACTS.read_text(errors="replace").splitlines()
    except OSError:
        return [platform.machine(), platform.processor()]
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    kind = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model\t", "cpu family"))][:2]
    return [
        platform.machine(),
        *kind,
        *sorted(flag for flag in flags if flag.startswith(("avx", "sse", "ssse", "bmi"))),
    ]


def _build(files: Sequence[RuleFile], placeholders: Mapping[str, tuple[str, ...]], folder: Path) -> None:
    # pySigma is needed only here; a warm start never imports it
    from casemate.detect.sigma.build import build_rules

    rules, correlation_files = build_rules(files, placeholders)
    manifest: dict[str, Any] = {"format": FORMAT, "tables": {}, "correlation_files": correlation_files}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
        try:
            manifest["rules"] = _write(staging / RULES, orjson.dumps(rules_as_plain(rules)))
            for table, plans in rules.tables.items():
                manifest["tables"][table] = _write_table(staging, table, plans, TableMatcher(rules, table).databases())
            _write(staging / MANIFEST, orjson.dumps(manifest))
            _place(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise CannotFinish(f"cannot keep the compiled rules: {error.strerror}", where=str(folder.parent)) from error


def _write_table(staging: Path, table: str, plans: TablePlans, databases: dict[str, bytes]) -> dict[str, Any]:
    places, position = [], 0
    for name, data in databases.items():
        places.append([name, position, position + len(data)])
        position += len(data)
    return {
        "plans": _write(staging / f"{table}.json", orjson.dumps(table_as_plain(plans))),
        "patterns": _write(staging / f"{table}.hs", b"".join(databases.values())),
        "databases": places,
    }


def _place(staging: Path, folder: Path) -> None:
    """Rename as a whole; another process that was quicker has made the same folder."""
    if folder.exists():
        there = _open(folder)
        if there is not None and _intact(folder, there[0]):
            return
        shutil.rmtree(folder)
    try:
        staging.rename(folder)
    except OSError:
        if _open(folder) is None:
            raise


def _write(path: Path, data: bytes) -> str:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, digest: str) -> bytes | None:
    """A file's content if it is what the manifest says."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _open(folder: Path) -> tuple[dict[str, Any], CompiledRules] | None:
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        rules = _read(folder / RULES, manifest["rules"])
        if manifest["format"] != FORMAT or rules is None:
            return None
        return manifest, rules_from_plain(orjson.loads(rules))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _intact(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether the files of all tables are what the manifest says."""
    return all(
        _read(folder / f"{table}.json", entry["plans"]) is not None
        and _read(folder / f"{table}.hs", entry["patterns"]) is not None
        for table, entry in manifest["tables"].items()
    )


def _restricted(plans: TablePlans, rules: set[int]) -> TablePlans:
    return TablePlans(
        plans.sources, [plan for plan in plans.plans if plan.rule in rules], plans.atoms, plans.asks, plans.reads
    )
