"""Files of a case: written durably, never reached through a link.

A case folder may have been received from someone hostile.  Every path that comes from a file of
the case is checked here before it is opened: no ``..``, no symbolic link on the way, and a regular
file at its end (no device, pipe or socket).
"""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from casemate.errors import CannotFinish, CaseDamaged

PART_PATH = re.compile(r"tables/([a-z][a-z0-9_]{0,63})/part-[0-9a-z-]{1,64}\.parquet")
BLOB_PATH = re.compile(r"evidence/([0-9a-f]{64})\.zst")
TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def inside(root: Path, relative: str) -> Path:
    """The path of a file of the case, checked component by component.

    Raises:
        CaseDamaged: the path leaves the case, a component is a link, or the file is missing or
            not a regular file.
    """
    path = root
    parts = relative.split("/")
    if relative.startswith("/") or any(part in ("", ".", "..") or "\x00" in part for part in parts):
        raise CaseDamaged("path leaves the case", where=repr(relative), hint="do not trust this case folder")
    for position, part in enumerate(parts):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise CaseDamaged(f"file is missing: {error.strerror}", where=relative) from None
        wanted = stat.S_ISREG if position == len(parts) - 1 else stat.S_ISDIR
        if not wanted(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "not a regular file or folder"
            shown = "/".join(parts[: position + 1])
            raise CaseDamaged(f"is {kind}", where=shown, hint="do not trust this case folder")
    return path


def check_folder(path: Path) -> None:
    """Make sure `path` is a real folder.

    Raises:
        CaseDamaged: it is missing, a link or something else.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise CaseDamaged(f"folder is missing: {error.strerror}", where=str(path)) from None
    if not stat.S_ISDIR(mode):
        raise CaseDamaged("is not a folder", where=str(path), hint="do not trust this case folder")


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file; links are not followed, pipes and devices not waited for.

    Raises:
        CaseDamaged: it is a link or not a regular file.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise CaseDamaged("is a link or not a regular file", where=str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CaseDamaged("is not a regular file", where=str(path), hint="do not trust this case folder")
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """Content of a small regular file.

    Raises:
        CaseDamaged: it is not a regular file or longer than `limit` bytes.
        OSError: it cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise CaseDamaged(f"is larger than {limit} bytes", where=str(path))
    return data


def sync_file(path: Path) -> None:
    """Bring a finished file to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a whole file beside `path` and move it there, so that nobody sees half of it."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    stream: BinaryIO
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


@contextmanager
def disk_errors(where: Path | str) -> Iterator[None]:
    """Turn errors of the operating system into :class:`CannotFinish` with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CannotFinish(
                "no space left to write the case",
                where=str(where),
                hint="nothing that was committed is lost; free some space and run the same command again",
            ) from error
        reason = error.strerror or str(error)
        raise CannotFinish(f"could not use the case folder: {reason}", where=str(error.filename or where)) from error


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C (and SIGTERM where Python handles it) until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    put_off: list[tuple[int, FrameType | None]] = []
    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            signal.signal(number, lambda given, frame: put_off.append((given, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for given, frame in put_off[:1]:
        handlers[signal.Signals(given)](given, frame)
