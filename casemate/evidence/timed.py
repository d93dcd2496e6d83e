"""A time limit that a reader meets whenever it asks for more bytes or hands over rows."""

from __future__ import annotations

import io
import time
from typing import Any, BinaryIO, cast

from casemate.errors import LimitReached
from casemate.evidence.readers.base import Source


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises LimitReached when the time is over."""
        if time.monotonic() > self._end:
            raise LimitReached(f"limit evidence_seconds reached: not read in {self._seconds:g} s")


class TimedSource:
    """A source whose streams check a deadline at each read."""

    def __init__(self, source: Source, deadline: Deadline) -> None:
        self._source, self._deadline = source, deadline

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def open(self) -> BinaryIO:
        """A new stream at offset 0."""
        return cast(BinaryIO, _TimedStream(self._source.open(), self._deadline))


class _TimedStream(io.BufferedIOBase):
    def __init__(self, inner: BinaryIO, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.check()
        return self._inner.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else io.DEFAULT_BUFFER_SIZE)

    def readinto(self, buffer: Any, /) -> int:
        self._deadline.check()
        return cast(io.BufferedReader, self._inner).readinto(buffer)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._inner.readline(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()
