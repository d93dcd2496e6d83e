"""7z archives, unpacked in a child process with limited memory and time.

The format lets a few bytes ask for gigabytes (dictionaries, solid blocks), so it never runs here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from casemate.evidence.archives.budget import Broken, Member, Unpacking

CHILD = Path(__file__).with_name("sevenzip_child.py")
MOST_FRAME_BYTES = 64 * 1024 * 1024
MOST_SECONDS = 3600


def sevenzip_members(path: Path, unpacking: Unpacking) -> Iterator[Member]:
    """The files of a 7z archive that lies at `path`; an encrypted one is noted."""
    limits = unpacking.budget.limits
    seconds = int(min(MOST_SECONDS, max(1, limits.evidence_seconds)))
    command = [sys.executable, "-I", str(CHILD), str(path.resolve()), str(limits.helper_memory_bytes), str(seconds)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/"
    ) as child:
        watch = threading.Timer(seconds, child.kill)
        watch.daemon = True
        watch.start()
        try:
            assert child.stdout is not None
            yield from _members(_Frames(child.stdout), unpacking)
        finally:
            watch.cancel()
            with contextlib.suppress(OSError):
                child.kill()


class _Frames:
    """The child's output, one frame at a time, with the next frame in view."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.kind, self.data = b"", b""
        self.advance()

    def advance(self) -> None:
        header = self._pipe.read(9)
        length = int.from_bytes(header[1:], "big")
        if len(header) < 9 or length > MOST_FRAME_BYTES:
            self.kind, self.data = b"", b""  # the child died
            return
        self.kind, self.data = header[:1], self._pipe.read(length)


def _members(frames: _Frames, unpacking: Unpacking) -> Iterator[Member]:
    while True:
        if frames.kind == b"N":
            said = json.loads(frames.data)
            frames.advance()
            unpacking.begin_member()
            yield Member(str(said["name"]), _date(said["dated"]), lambda: _content(frames, unpacking))
            while frames.kind == b"D":  # whatever the caller did not read
                frames.advance()
        elif frames.kind == b"S":
            unpacking.note(f"{int(frames.data):,} links or special files in the archive were not taken")
            frames.advance()
        elif frames.kind == b"X":
            unpacking.note(f"the 7z archive could not be unpacked to its end: {frames.data.decode(errors='replace')}")
            frames.advance()
        elif frames.kind == b"E":
            return
        else:
            unpacking.note("the child process that unpacks 7z reached its limits; what came out before is kept")
            return


def _content(frames: _Frames, unpacking: Unpacking) -> bytes:
    if frames.kind == b"D":
        block = frames.data
        frames.advance()
        return unpacking.count(block)
    if frames.kind in (b"X", b""):
        raise Broken("the 7z archive breaks off inside this member; what came out is kept")
    return b""


def _date(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None
