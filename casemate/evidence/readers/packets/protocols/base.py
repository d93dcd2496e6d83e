"""What analysers of a protocol share: ordered bytes that know their packets, and how rows are given.

An analyser takes the bytes of both directions in order (:meth:`Analyzer.data`), is told of holes (:meth:`Analyzer.gap`)
and of the end (:meth:`Analyzer.finish`), and gives rows of native tables.  It never raises on odd bytes for long: the
caller drops an analyser that fails, and the connection says so in ``rest``.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping

from casemate.evidence.readers.packets.streams import Ref

Emit = Callable[[str, Ref, Mapping[str, str | None]], None]
"""Table, packet at which the event began, its values."""
Named = Callable[[str], None]
"""Called with the name of a service that was recognised."""

FilePart = Callable[[object, str, bool, int, bytes, Ref], None]
"""Called with a part of a transferred file: what tells the file from others of the connection, its name, whether the
originator sent it, where in the file it belongs, the bytes, and the packet."""

MALFORMED = (struct.error, IndexError, ValueError, KeyError, UnicodeError)
"""What parsing odd bytes may raise."""


class Buffered:
    """Bytes in order that are not read yet, and the packets they came in."""

    __slots__ = ("data", "refs", "start")

    def __init__(self) -> None:
        self.data = bytearray()
        self.refs: deque[tuple[int, Ref]] = deque()  # (stream offset of the end, packet)
        self.start = 0

    def add(self, data: bytes, ref: Ref) -> None:
        """Bytes that follow."""
        self.data += data
        self.refs.append((self.start + len(self.data), ref))

    def ref(self) -> Ref:
        """The packet of the first byte."""
        return self.refs[0][1]

    def packets(self, size: int) -> int:
        """In how many packets the first `size` bytes came."""
        end, count = self.start + size, 0
        for reached, _ in self.refs:
            count += 1
            if reached >= end:
                break
        return count

    def take(self, size: int) -> bytes:
        """The first `size` bytes."""
        taken = bytes(self.data[:size])
        del self.data[:size]
        self.start += len(taken)
        while self.refs and self.refs[0][0] <= self.start:
            self.refs.popleft()
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self.take(len(self.data))

    def __len__(self) -> int:
        return len(self.data)


class Analyzer:
    """Reads one connection.  `common` holds the columns that name the connection."""

    service = ""

    def __init__(self, common: Mapping[str, str | None], emit: Emit, named: Named) -> None:
        self.common, self.emit, self.named = common, emit, named
        self.done = False

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        """Bytes of one direction, in order."""
        raise NotImplementedError

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        """Bytes that were not captured; unless an analyser knows how to go on, it stops."""
        self.done = True

    def finish(self) -> None:
        """The connection is over."""

    def watch(self, part: FilePart) -> None:
        """Hand what is known to be part of a file to `part`; for analysers that know files."""

    def held(self) -> int:
        """Bytes that wait for the rest of a message."""
        return 0


def text(data: bytes, limit: int = 4096) -> str:
    """Bytes as text: UTF-8 where it is, else Latin-1's look with escapes."""
    data = data[:limit]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("ascii", "backslashreplace")
