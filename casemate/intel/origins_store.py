"""The store of origin data: every dated version of every source is kept.

```
HOME/intel/origins/<source>/<version>/installed.json   what it is, from when, where from, SHA-256, counts
                                      blocks.npz       its intervals, sorted
                                      facts.json       what they say
                                      original.zip     the files as they came
```
There is no current version: an event is looked up in the version nearest before it
(:func:`chosen`), or, where there is none, in the earliest later one, which is stated.  A version is
named by its day and the beginning of its hash, and becomes visible by one rename.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson

from casemate.errors import CaseDamaged
from casemate.intel.origins_blocks import Blocks, Facts
from casemate.intel.origins_parsed import Parsed
from casemate.intel.origins_sources import KINDS
from casemate.intel.store import home

FOLDER = "origins"
HASH_DIGITS = 12
LOADED_AT_ONCE = 128
"""Versions kept in memory: one of each source for one moment is usual."""
DATED_BY: Mapping[str, str] = {
    "content": "the file says so",
    "name": "its name says so",
    "given": "whoever installed it said so",
    "retrieved": "the day it was installed; it may be older",
}


@dataclass(frozen=True)
class Version:
    """One version of one source.

    Args:
        source: its name; title, kind: see :class:`casemate.intel.origins_formats.Parsed`.
        version: its name in the store.
        dated: the day it speaks of, ``YYYY-MM-DD``; dated_by: one of :data:`DATED_BY`.
        came_from: URL or path; fetched_at: ISO 8601, UTC.
        sha256: of its file, or of the hashes of its files; bytes: of them all.
        counts: ``files, lines, rejected, blocks``.
        path: its folder.
    """

    source: str
    title: str
    kind: str
    version: str
    dated: str
    dated_by: str
    came_from: str
    fetched_at: str
    sha256: str
    bytes: int
    counts: Mapping[str, int] = field(default_factory=dict)
    path: Path = Path()


@dataclass(frozen=True)
class Source:
    """A version with what it says, ready for lookups."""

    version: Version
    blocks: Blocks
    systems: Mapping[int, Facts] = field(default_factory=dict)


def origins_folder(root: Path | None = None) -> Path:
    """Where origin data is kept below Casemate's data folder."""
    return (root if root is not None else home()) / "intel" / FOLDER


def any_installed(root: Path | None = None) -> bool:
    """Whether there is any origin data; reads nothing but names."""
    folder = origins_folder(root)
    return folder.is_dir() and any(not one.name.startswith(".") for one in folder.iterdir())


def versions(root: Path | None = None) -> dict[str, list[Version]]:
    """All versions by source, oldest first."""
    folder = origins_folder(root)
    if not folder.is_dir():
        return {}
    found: dict[str, list[Version]] = {}
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        read = [_read(one) for one in sorted(place.iterdir()) if not one.name.startswith(".")]
        kept = sorted((one for one in read if one is not None), key=lambda one: (one.dated, one.version))
        if kept:
            found[place.name] = kept
    return found


def chosen(of_one_source: Sequence[Version], day: str) -> Version:
    """The version nearest before `day` (or of that day), else the earliest later one."""
    before = [one for one in of_one_source if one.dated <= day]
    return before[-1] if before else of_one_source[0]


def install(
    files: Sequence[tuple[str, bytes, Parsed]],
    *,
    came_from: str,
    fetched_at: datetime,
    dated: str | None = None,
    root: Path | None = None,
) -> tuple[Version, bool]:
    """Install the files of one source as one version.

    Args:
        files: name, content and what was read of each.
        dated: the day that whoever installs it states; the files' own day goes before it.

    Returns:
        the version, and whether it was not there before.
    """
    source, described = describe(files, came_from=came_from, fetched_at=fetched_at, dated=dated)
    place = origins_folder(root) / described.source
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(".staging-*"):
        shutil.rmtree(old, ignore_errors=True)
    known = [one for one in versions(root).get(described.source, []) if one.sha256 == described.sha256]
    same = [one for one in known if one.dated == described.dated or described.dated_by == "retrieved"]
    if same:
        return same[-1], False
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=place))
    write_source(staging, source)
    with zipfile.ZipFile(staging / "original.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, _ in files:
            entry = zipfile.ZipInfo(name.lstrip("/"), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    staging.chmod(0o755)
    target = place / described.version
    if target.exists():  # damaged, or it would have been found
        shutil.rmtree(target)
    staging.rename(target)
    placed = _read(target)
    assert placed is not None
    return placed, True


def describe(
    files: Sequence[tuple[str, bytes, Parsed]], *, came_from: str, fetched_at: datetime, dated: str | None = None
) -> tuple[Source, Version]:
    """The files of one source as a source, without storing it."""
    hashes = sorted((name, hashlib.sha256(content).hexdigest()) for name, content, _ in files)
    sha256 = hashes[0][1] if len(hashes) == 1 else hashlib.sha256(repr([one for _, one in hashes]).encode()).hexdigest()
    parsed = [one for _, _, one in files]
    own = max((one.dated for one in parsed if one.dated), default=None)
    said_by = next((one.dated_by for one in parsed if one.dated == own and own), None)
    today = fetched_at.date().isoformat()
    if own is not None and said_by == "content" and own <= today:
        day, dated_by = own, "content"
    elif dated is not None:
        day, dated_by = dated, "given"
    elif own is not None and own <= today:
        day, dated_by = own, said_by or "name"
    else:
        day, dated_by = today, "retrieved"
    first = parsed[0]
    together = first.blocks
    for other in parsed[1:]:
        for family in ("v4", "v6"):
            target = getattr(together, family)
            places = [together.value(facts) for facts in other.blocks.facts]
            target.extend((low, high, places[value]) for low, high, value in getattr(other.blocks, family))
    blocks = together.build()
    systems = {number: facts for one in parsed for number, facts in one.systems.items()}
    version = Version(
        source=first.source,
        title=first.title,
        kind=first.kind,
        version=f"{day}-{sha256[:HASH_DIGITS]}",
        dated=day,
        dated_by=dated_by,
        came_from=came_from,
        fetched_at=fetched_at.isoformat(),
        sha256=sha256,
        bytes=sum(len(content) for _, content, _ in files),
        counts={
            "files": len(files),
            "lines": sum(one.lines for one in parsed),
            "rejected": sum(one.rejected for one in parsed),
            "blocks": len(blocks) or len(systems),
        },
    )
    return Source(version, blocks, systems), version


def write_source(folder: Path, source: Source) -> None:
    """Write a source into an empty folder."""
    blocks = source.blocks
    arrays = {name: getattr(blocks, name) for name in ARRAYS}
    np.savez(folder / "blocks.npz", **arrays)
    facts = {
        "facts": [list(vars(one).values()) for one in blocks.facts],
        "systems": {str(number): list(vars(one).values()) for number, one in source.systems.items()},
    }
    (folder / "facts.json").write_bytes(orjson.dumps(facts))
    plain = asdict(source.version) | {"path": ""}
    (folder / "installed.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


ARRAYS = ("v4_first", "v4_last", "v4_value", "v6_first", "v6_last", "v6_value")


def load(version: Version) -> Source:
    """A stored version.

    Raises:
        CaseDamaged: its files are not what they should be.
    """
    return _loaded(version.path, version.version)


@lru_cache(maxsize=LOADED_AT_ONCE)
def _loaded(path: Path, name: str) -> Source:
    version = _read(path)
    try:
        if version is None:
            raise ValueError("no description")
        with np.load(path / "blocks.npz", allow_pickle=False) as arrays:
            held = {array: arrays[array] for array in ARRAYS}
        plain = orjson.loads((path / "facts.json").read_bytes())
        facts = tuple(facts_from(values) for values in plain["facts"])
        systems = {int(number): facts_from(values) for number, values in plain["systems"].items()}
        return Source(version, Blocks(**held, facts=facts), systems)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CaseDamaged(f"origin data {name} cannot be read: {error}", where=str(path)) from error


def facts_from(values: Sequence[object]) -> Facts:
    """Facts from their values in order, as JSON holds them."""
    registry, country, located, holder, operator, asn, *lists = values
    return Facts(registry, country, located, holder, operator, asn, *(tuple(one) for one in lists))  # type: ignore[arg-type]


def _read(folder: Path) -> Version | None:
    try:
        plain = json.loads((folder / "installed.json").read_text(encoding="utf-8"))
        version = Version(**(plain | {"path": folder}))
    except (OSError, ValueError, TypeError):
        return None
    return version if version.version == folder.name and version.kind in KINDS else None
