"""Finding what was handed over: files, folders and globs, in one order, with nothing passed over silently.

Folders are walked depth first with names in byte order.  Symbolic links inside folders are not
followed (a received folder may point anywhere); a link that is named on the command line itself
is, because a person chose it.  Whatever is not taken gives one :class:`Problem`, and the walk goes on.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from casemate.errors import BadInput

GLOB_CHARACTERS = frozenset("*?[")
MOST_DEPTH = 200

SPECIAL: dict[int, str] = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Found:
    """One regular file to take as evidence.

    Args:
        path: absolute path, links of its folder names not resolved.
        size: bytes when it was found.
        dated: last change of the content (UTC).
    """

    path: Path
    size: int
    dated: datetime


@dataclass(frozen=True)
class Problem:
    """Something that was not taken or not read to its end: where and why, one clear line."""

    where: str
    what: str


def walk(named: Iterable[str | Path], *, leave_out: Path | None = None) -> Iterator[Found | Problem]:
    """Every file below the named files, folders and glob patterns, each path once.

    Args:
        named: as written on the command line; ``~`` is not expanded.
        leave_out: a folder that is never entered (the case itself).

    Yields:
        :class:`Found` and :class:`Problem` in a fixed order.

    Raises:
        BadInput: a name stands for nothing at all.
    """
    seen: set[str] = set()
    omitted = leave_out.resolve() if leave_out is not None else None
    for name in named:
        for path in _expand(str(name)):
            for item in _named(Path(os.path.abspath(path)), omitted):  # noqa: PTH100 - resolve() follows links
                key = str(item.path) if isinstance(item, Found) else item.where + "\n" + item.what
                if key not in seen:
                    seen.add(key)
                    yield item


def _expand(name: str) -> list[str]:
    if os.path.lexists(name):  # a file may really be called "a[1].log"
        return [name]
    if GLOB_CHARACTERS & set(name):
        found = glob.glob(name, recursive=True, include_hidden=True)  # noqa: PTH207 - patterns may be absolute
        matches = sorted(found, key=os.fsencode)
        if matches:
            return matches
        raise BadInput("no file matches this pattern", where=name)
    raise BadInput("no such file or folder", where=name)


def _named(path: Path, omitted: Path | None) -> Iterator[Found | Problem]:
    try:
        entry = path.stat()
    except OSError as error:
        yield Problem(str(path), _refusal(error))
        return
    if stat.S_ISDIR(entry.st_mode):
        yield from _folder(path, omitted, 0)
    else:
        yield _file(path, entry)


def _folder(path: Path, omitted: Path | None, depth: int) -> Iterator[Found | Problem]:
    if omitted is not None and path.resolve() == omitted:
        yield Problem(str(path), "is the case itself; not taken")
        return
    if depth > MOST_DEPTH:
        yield Problem(str(path), f"folders nested more than {MOST_DEPTH} deep; not entered")
        return
    try:
        with os.scandir(path) as entries:
            names = sorted((entry.name for entry in entries), key=os.fsencode)
    except OSError as error:
        yield Problem(str(path), f"folder cannot be read: {error.strerror}; what is in it was not taken")
        return
    for name in names:
        inner = path / name
        try:
            entry = inner.lstat()
        except OSError as error:
            yield Problem(str(inner), _refusal(error))
            continue
        if stat.S_ISLNK(entry.st_mode):
            yield Problem(str(inner), "symbolic link; not followed")
        elif stat.S_ISDIR(entry.st_mode):
            yield from _folder(inner, omitted, depth + 1)
        else:
            yield _file(inner, entry)


def _file(path: Path, entry: os.stat_result) -> Found | Problem:
    if not stat.S_ISREG(entry.st_mode):
        kind = SPECIAL.get(stat.S_IFMT(entry.st_mode), "not a regular file")
        return Problem(str(path), f"is {kind}; not read")
    return Found(path, entry.st_size, datetime.fromtimestamp(entry.st_mtime, UTC))


def _refusal(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
