"""Folders for what does not fit in memory, deleted however the process that made them ends.

A folder is held by an exclusive ``flock`` on the folder itself, which dies with its process.  What a killed process
left behind is deleted by the next one that needs such a folder: nobody holds it any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from casemate.engine.files import disk_errors

PREFIX = "casemate-scratch-"


class ScratchFolder:
    """A new folder below the system's temporary folder; deletes those of processes that are gone.

    Args:
        below: another place than the system's temporary folder.

    Raises:
        CannotFinish: the folder cannot be made.
    """

    def __init__(self, below: Path | None = None) -> None:
        place = below or Path(tempfile.gettempdir())
        delete_left_behind(place)
        descriptor = None
        with disk_errors(place):
            while descriptor is None:
                self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
                descriptor = _held(self.path)
        self._forget = weakref.finalize(self, _delete, self.path, descriptor)

    def close(self) -> None:
        """Delete the folder and what is in it."""
        self._forget()


def delete_left_behind(place: Path) -> int:
    """Delete this user's folders in `place` that no living process holds; how many they were."""
    deleted = 0
    for path, descriptor in _unheld(place):
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)
        deleted += not path.exists()
    return deleted


def _held(path: Path) -> int | None:
    """Hold a folder just made; None if another process took it for one left behind."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
    return None


def _unheld(place: Path) -> Iterator[tuple[Path, int]]:
    """Folders that nobody holds, each held now by the given descriptor."""
    try:
        names = [entry.name for entry in os.scandir(place) if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for name in names:
        path = place / name
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid != os.getuid():
                    raise PermissionError(path)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise
            yield path, descriptor


def _delete(path: Path, descriptor: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)
