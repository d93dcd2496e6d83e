"""Finding what was handed over: files, folders and globs, in one order, with nothing passed over silently.

Folders are walked depth first with names in byte order.  Symbolic links inside folders are not
followed (a received folder may point anywhere), nor are those that a pattern matches or leads
through below its fixed part; a link that is named on the command line itself is followed, because a
person chose it.  Whatever is not taken gives one :class:`Problem`, and the walk goes on.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from casemate.errors import BadInput
from casemate.evidence.readers.base import Source

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
        source: its content where that is not the file at `path` (evidence that is read again).
    """

    path: Path
    size: int
    dated: datetime
    source: Source | None = None


@dataclass(frozen=True)
class Problem:
    """Something that was not taken or not read to its end: where and why, one clear line."""

    where: str
    what: str


def walk(named: Iterable[str | Path | Found], *, leave_out: Path | None = None) -> Iterator[Found | Problem]:
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
        if isinstance(name, Found):
            yield name
            continue
        for path in _expand(str(name)):
            for item in (path,) if isinstance(path, Problem) else _named(path, omitted):
                key = str(item.path) if isinstance(item, Found) else item.where + "\n" + item.what
                if key not in seen:
                    seen.add(key)
                    yield item


def check_named(named: Iterable[str | Path]) -> None:
    """Look whether each name stands for something, before anything is made for it.

    Raises:
        BadInput: a name stands for nothing at all.
    """
    for name in named:
        _expand(str(name))


def _expand(name: str) -> list[Path | Problem]:
    if os.path.lexists(name):  # a file may really be called "a[1].log"
        return [_absolute(name)]
    first = next((at for at, character in enumerate(name) if character in GLOB_CHARACTERS), None)
    if first is None:
        raise BadInput("no such file or folder", where=name)
    fixed = name.rfind("/", 0, first) + 1
    segments = [segment for segment in name[fixed:].split("/") if segment not in ("", ".")]
    found = dict.fromkeys(_matches(name[:fixed], segments, 0))
    if not found:
        raise BadInput("no file matches this pattern", where=name)
    return sorted(found, key=lambda one: os.fsencode(one.where if isinstance(one, Problem) else one))


def _absolute(name: str) -> Path:
    return Path(os.path.abspath(name))  # noqa: PTH100 - resolve() follows links


def _matches(folder: str, segments: list[str], depth: int) -> Iterator[Path | Problem]:
    """What a pattern matches below `folder` (ends in a slash or is empty).

    Our own because ``glob`` enters links, which may lead anywhere and, several of them to their own
    folder, into more paths than can be walked.
    """
    segment, rest = segments[0], segments[1:]
    if not GLOB_CHARACTERS & set(segment):
        yield from _match(folder, segment, rest, depth)
        return
    if depth > MOST_DEPTH:
        yield Problem(str(_absolute(folder)), f"folders nested more than {MOST_DEPTH} deep; not entered")
        return
    try:
        with os.scandir(folder or ".") as entries:
            inside = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Problem(str(_absolute(folder)), f"folder cannot be read: {error.strerror}; what is in it was not taken")
        return
    if segment != "**":
        for entry in inside:
            if fnmatch.fnmatchcase(entry.name, segment):
                yield from _match(folder, entry.name, rest, depth)
    elif not rest:
        for entry in inside:
            yield from _match(folder, entry.name, [], depth)  # folders are walked from here on
    else:
        yield from _matches(folder, rest, depth)
        for entry in inside:
            if _leads_to_folder(entry):
                yield from _match(folder, entry.name, segments, depth)


def _match(folder: str, name: str, rest: list[str], depth: int) -> Iterator[Path | Problem]:
    path = folder + name
    if os.path.islink(path):  # noqa: PTH114 - as the pattern gave it
        yield Problem(str(_absolute(path)), "symbolic link; not followed")
    elif not rest:
        if os.path.lexists(path):
            yield _absolute(path)
    elif os.path.isdir(path):  # noqa: PTH112
        yield from _matches(f"{path}/", rest, depth + 1)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


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
