"""``casemate intel update`` and ``status``: from release files to installed versions.

A source is a public release file (the default), another URL (a release file, or a mirror's base
address that holds the files of :data:`MIRROR_FILES`), a local file, or a folder: one that holds
release files by their names, else a folder of Sigma rules.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

from casemate.errors import BadInput, CasemateError
from casemate.intel import edge
from casemate.intel.contents import RULE_SUFFIXES, YARA_SUFFIXES, pack_rules
from casemate.intel.store import DATASETS, OWN_RULES, Installed, current, home, install, versions

MIRROR_FILES: Mapping[str, tuple[str, ...]] = {
    # dataset -> names its release file may have in a folder; of several the last by name is the newest
    "sigma": ("sigma_all_rules.zip", "sigma_core.zip", "sigma*.zip", "rules.zip"),
    "yara": ("yara-forge-rules-core.zip", "yara*.zip"),
    "attack": ("enterprise-attack*.json", "enterprise-attack*.json.gz", "enterprise-attack*.json.zst"),
    "atlas": ("ATLAS*.yaml", "ATLAS*.yml", "ATLAS*.json", "atlas*.yaml.gz"),
}
FILE_SUFFIXES = (".zip", ".json", ".yaml", ".yml", ".gz", ".zst")
DEEPEST_MIRROR = 4
MIRROR_ENTRIES = 100_000
STALE_AFTER_DAYS: Mapping[str, int] = {
    # rules change weekly; ATT&CK is published twice a year, ATLAS about every two months
    "sigma": 45,
    "yara": 45,
    "attack": 220,
    "atlas": 120,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one dataset: installed (new or already there), or the error."""

    name: str
    installed: Installed | None = None
    new: bool = False
    error: CasemateError | None = None


@dataclass(frozen=True)
class Status:
    """One dataset as ``intel status`` shows it.

    Args:
        name: dataset.
        installed: the current version, None if there is none.
        kept: how many versions are kept.
        age_days: days since the release's own date (or since it was fetched, if it has none).
        stale: older than the table says; None for what cannot be stale.
    """

    name: str
    installed: Installed | None
    kept: int
    age_days: int | None
    stale: bool | None


def update(
    names: Sequence[str] = (),
    *,
    source: str | Path | None = None,
    now: datetime,
    root: Path | None = None,
    limits: edge.FetchLimits = edge.FetchLimits(),  # noqa: B008 - frozen
    releases: Mapping[str, str] = edge.RELEASES,
) -> list[Outcome]:
    """Install the newest version of datasets.

    Args:
        names: datasets wanted; all (or those a mirror has) when empty.
        source: file, folder or URL to take them from; the public releases when None.
        now: time of the installation, UTC.
        root: data folder; the user's when None.

    Returns:
        one outcome per dataset; the failure of one does not stop the others.

    Raises:
        BadInput: an unknown dataset, or a source that holds none.
    """
    for name in names:
        if name not in DATASETS:
            raise BadInput(f"unknown dataset '{name}'", hint="known: " + ", ".join(DATASETS))
    base = root if root is not None else home()
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="intel-", dir=base) as scratch:
        work = Path(scratch)
        if source is None:
            wanted = {name: releases[name] for name in names or DATASETS if name in releases}
            return [_fetched(name, [url], work, now, base, limits) for name, url in wanted.items()]
        if isinstance(source, str) and "://" in source:
            return _from_url(source, names, work, now, base, limits)
        return _from_path(Path(source), names, work, now, base)


def status(*, now: datetime, root: Path | None = None) -> list[Status]:
    """What is installed, from when, and what is stale."""
    rows = []
    for name in (OWN_RULES, *DATASETS):
        installed = current(name, root)
        age = _age(installed, now) if installed is not None else None
        limit = STALE_AFTER_DAYS.get(name)
        stale = age > limit if age is not None and limit is not None else None
        rows.append(Status(name, installed, len(versions(name, root)), age, stale))
    return rows


def _age(installed: Installed, now: datetime) -> int | None:
    if installed.dated is not None:
        try:
            return max(0, (now.date() - datetime.fromisoformat(installed.dated).date()).days)
        except ValueError:
            pass
    return max(0, (now - installed.fetched_at).days) if installed.fetched_at is not None else None


def _from_url(
    url: str, names: Sequence[str], work: Path, now: datetime, root: Path, limits: edge.FetchLimits
) -> list[Outcome]:
    parts = edge.check_url(url)
    if parts.path.lower().endswith(FILE_SUFFIXES):
        if len(names) > 1:
            raise BadInput("one file cannot be several datasets", where=url)
        return [_fetched(names[0] if names else None, [url], work, now, root, limits)]
    base = url if url.endswith("/") else url + "/"
    outcomes = []
    for name in names or DATASETS:
        plain = [pattern for pattern in MIRROR_FILES[name] if "*" not in pattern]
        released = PurePosixPath(edge.RELEASES[name]).name
        urls = [urljoin(base, file) for file in dict.fromkeys([released, *plain])]
        outcomes.append(_fetched(name, urls, work, now, root, limits))
    if all(one.installed is None for one in outcomes) and not names:
        raise BadInput("the mirror has none of the release files", where=url, hint="or name a file: --from URL")
    return outcomes if names else [one for one in outcomes if one.installed is not None]


def _fetched(
    name: str | None, urls: Sequence[str], work: Path, now: datetime, root: Path, limits: edge.FetchLimits
) -> Outcome:
    """Install the first of `urls` that can be fetched."""
    error: CasemateError | None = None
    for number, url in enumerate(urls):
        file = work / f"{name or 'file'}-{number}"
        try:
            fetched = edge.fetch(url, file, limits)
            installed, new = install(file, source=fetched.url, fetched_at=now, root=root, expected=name)
            return Outcome(installed.name, installed, new)
        except CasemateError as failure:
            error = error or failure
        finally:
            file.unlink(missing_ok=True)
    return Outcome(name or "file", error=error)


def _from_path(path: Path, names: Sequence[str], work: Path, now: datetime, root: Path) -> list[Outcome]:
    if path.is_file():
        if len(names) > 1:
            raise BadInput("one file cannot be several datasets", where=str(path))
        return [_local(names[0] if names else None, path, str(path), now, root)]
    if not path.is_dir():
        raise BadInput("no such file or folder", where=str(path))
    files = _mirror(path)
    found = {name: files[name] for name in names or DATASETS if name in files}
    outcomes = [_local(name, file, str(file), now, root) for name, file in found.items()]
    if "sigma" not in found and (not names or "sigma" in names) and not (found and not names):
        outcomes.append(_packed("sigma", path, work, now, root))
    if "yara" not in found and "yara" in names:
        outcomes.append(_packed("yara", path, work, now, root))
    done = {one.name for one in outcomes}
    missing = [name for name in names if name not in done]
    outcomes += [Outcome(name, error=BadInput(f"no release file of {name}", where=str(path))) for name in missing]
    if not names and all(one.installed is None for one in outcomes):
        raise outcomes[0].error or BadInput("nothing to install", where=str(path))
    return outcomes


def _packed(name: str, folder: Path, work: Path, now: datetime, root: Path) -> Outcome:
    """Install the rule files below a folder."""
    packed = work / f"{name}-rules.zip"
    try:
        pack_rules(folder, packed, RULE_SUFFIXES if name == "sigma" else YARA_SUFFIXES)
        installed, new = install(packed, source=str(folder), fetched_at=now, root=root, expected=name)
        return Outcome(installed.name, installed, new)
    except CasemateError as error:
        return Outcome(name, error=error)


def _local(name: str | None, file: Path, source: str, now: datetime, root: Path) -> Outcome:
    try:
        installed, new = install(file, source=source, fetched_at=now, root=root, expected=name)
        return Outcome(installed.name, installed, new)
    except CasemateError as error:
        return Outcome(name or file.name, error=error)
    except OSError as error:
        return Outcome(name or file.name, error=BadInput(f"cannot be read: {error.strerror}", where=source))


def _mirror(folder: Path) -> dict[str, Path]:
    """Release files below a folder: for each dataset the first pattern that fits anything."""
    listed: list[Path] = []
    pending = [(folder, 0)]
    while pending and len(listed) < MIRROR_ENTRIES:
        place, depth = pending.pop()
        try:
            entries = sorted(place.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink() and depth < DEEPEST_MIRROR:
                pending.append((entry, depth + 1))
            elif entry.is_file():
                listed.append(entry)
    chosen: dict[str, Path] = {}
    for name, patterns in MIRROR_FILES.items():
        for pattern in patterns:
            fitting = [one for one in listed if fnmatch.fnmatchcase(one.name, pattern)]
            if fitting:
                chosen[name] = max(fitting, key=lambda one: (one.name, str(one)))
                break
    return chosen
