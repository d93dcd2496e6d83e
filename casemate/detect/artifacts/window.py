"""A content as libraries want it that read from a file."""

from __future__ import annotations

import io
from typing import Any

from casemate.detect.artifacts.content import Content


class Window(io.RawIOBase):
    """A content as a file that can only be read."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, (0, self._position, self._content.size)[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._content.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
