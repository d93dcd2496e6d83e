"""One verdict per file: files are found here, and looked at by a child process behind limits.

This side needs no format: what knows them is only imported by the child (:mod:`casemate.detect.artifacts.child`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from casemate.detect.artifacts.child import FILES_TOGETHER, Child
from casemate.detect.artifacts.contract import Reason, Rule, Verdict
from casemate.detect.artifacts.folders import judged_together
from casemate.detect.artifacts.inspection import Options
from casemate.errors import BadInput

BYTES_TOGETHER = 8 * 1024 * 1024
"""Files of so many bytes are handed over without waiting for more."""

NOT_A_FILE = Rule("file.special", "unscannable", None, "reads whatever stands behind it")
NOT_READABLE = Rule("file.unreadable", "unscannable", None, "reads it if it has the right to")
NOT_FOLLOWED = Rule("file.link", "unscannable", None, "follows the link")


def scan(paths: Sequence[Path], options: Options | None = None) -> Iterator[Verdict]:
    """The verdict on every file of `paths`, folders with all below them, in the order of their names.

    Raises:
        BadInput: a path does not exist.
        CannotFinish: the reading process cannot be started.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise BadInput("no such file or folder", where=str(path))
    with Child(options or Options()) as child:
        yield from judged_together(_verdicts(child, (file for path in paths for file in _files(path))))


def _verdicts(child: Child, files: Iterable[str]) -> Iterator[Verdict]:
    """The verdicts on files in their order; small ones are handed over together, which costs less than each alone."""
    waiting: list[tuple[str, int | Verdict]] = []
    size = 0
    try:
        for file in files:
            opened = _opened(file)
            waiting.append((file, opened))
            size += os.fstat(opened).st_size if isinstance(opened, int) else 0
            if len(waiting) == FILES_TOGETHER or size >= BYTES_TOGETHER:
                yield from _judged(child, waiting)
                size = 0
        yield from _judged(child, waiting)
    finally:
        for _, opened in waiting:
            if isinstance(opened, int):
                os.close(opened)


def _judged(child: Child, waiting: list[tuple[str, int | Verdict]]) -> list[Verdict]:
    """The verdicts on what waits; nothing waits afterwards."""
    try:
        told = iter(child.verdicts([(file, opened) for file, opened in waiting if isinstance(opened, int)]))
        return [next(told) if isinstance(opened, int) else opened for _, opened in waiting]
    finally:
        for _, opened in waiting:
            if isinstance(opened, int):
                os.close(opened)
        waiting.clear()


def _opened(path: str) -> int | Verdict:
    """The file opened for reading, or the verdict on what cannot be read."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path for each of many small files costs as much as opening it
        if stat.S_ISDIR(mode):
            return _unread(
                path, NOT_FOLLOWED, "a link to a folder, or one that cannot be listed; name the folder itself"
            )
        if not stat.S_ISREG(mode):
            return _unread(path, NOT_A_FILE, "it is no regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return _unread(path, NOT_READABLE, error.strerror or "it cannot be opened")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return _unread(path, NOT_A_FILE, "it is no regular file")
    return descriptor


def _files(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield str(path)
        return
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=unlisted.append):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        parent = str(Path(folder, "_"))[:-1]  # as paths are written: no "./" before them
        for name in sorted([*names, *links]):
            yield parent + name
    for error in unlisted:
        yield str(Path(error.filename))


def _unread(path: str, rule: Rule, text: str) -> Verdict:
    reason = Reason(rule.code, text, rule.severity, "", None, rule.technique, rule.loader_effect)
    return Verdict(path, "unscannable", (reason,), "unknown", None, 0)
