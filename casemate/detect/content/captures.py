"""Contents of captures: each direction of each connection in order, and the files that went over HTTP and SMB.

Bounded: a direction longer than :data:`WINDOW` is given in overlapping windows, and all directions together hold at
most :data:`MOST_HELD` bytes (the largest is given early).  Holes close up: a match never spans one unsaid, since what
follows a hole begins a new piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from casemate.detect.content.contents import FILE, STREAM, Content, Places, Talk
from casemate.detect.content.http_bodies import bodies
from casemate.evidence.readers.packets.capture import Damage, Framing, read_packets
from casemate.evidence.readers.packets.connections import PROTOCOLS, Connection
from casemate.evidence.readers.packets.streams import Ref
from casemate.evidence.readers.packets.tracker import Tracker

WINDOW = 16 * 1024 * 1024
OVERLAP = 64 * 1024
MOST_HELD = 192 * 1024 * 1024
MOST_FILE = 64 * 1024 * 1024
MOST_FILES = 2_000
"""Open files of one connection that are put together."""


@dataclass
class _Stream:
    data: bytearray = field(default_factory=bytearray)
    base: int = 0
    length: int = 0
    places: Places = field(default_factory=Places)
    pieces: int = 0


@dataclass
class _File:
    name: str
    parts: dict[int, tuple[bytes, Ref]] = field(default_factory=dict)
    size: int = 0
    beyond: bool = False


def contents_of(stream: BinaryIO) -> Iterator[Content]:
    """All contents of one capture, as connections end."""
    waiting: list[Content] = []
    tap = _Tap(waiting.append)
    tracker = Tracker(lambda _table, _ref, _values: None, tap)
    for packet in read_packets(stream, Framing()):
        if not isinstance(packet, Damage):
            tracker.packet(packet)
        if waiting:
            yield from waiting
            waiting.clear()
    tracker.finish()
    yield from waiting


class _Tap:
    """Collects what a :class:`Tracker` delivers."""

    def __init__(self, give: Callable[[Content], None]) -> None:
        self.give = give
        self.streams: dict[tuple[int, bool], tuple[Connection, _Stream]] = {}
        self.files: dict[int, dict[tuple[object, bool], _File]] = {}
        self.held = 0

    def data(self, connection: Connection, originator: bool, data: bytes, ref: Ref) -> None:
        key = id(connection), originator
        entry = self.streams.get(key)
        if entry is None:
            entry = self.streams[key] = connection, _Stream()
        stream = entry[1]
        stream.places.add(stream.length, ref)
        stream.data += data
        stream.length += len(data)
        self.held += len(data)
        if len(stream.data) >= WINDOW:
            self._give(connection, originator, stream, last=False)
        elif self.held > MOST_HELD:
            (_, side), (largest, held) = max(self.streams.items(), key=lambda one: len(one[1][1].data))
            self._give(largest, side, held, last=False)

    def gap(self, connection: Connection, originator: bool, size: int) -> None:
        entry = self.streams.get((id(connection), originator))
        if entry is not None and entry[1].data:
            self._give(connection, originator, entry[1], last=False, overlap=0)

    def part(
        self, connection: Connection, file: object, name: str, originator: bool, offset: int, data: bytes, ref: Ref
    ) -> None:
        files = self.files.setdefault(id(connection), {})
        known = files.get((file, originator))
        if known is None or (known.name != name and name):
            if known is not None:
                self._file(connection, originator, known)
            if len(files) >= MOST_FILES:
                return
            known = files[file, originator] = _File(name)
        if offset + len(data) > MOST_FILE or self.held + len(data) > MOST_HELD:
            known.beyond = True
        elif data and len(data) > len(known.parts.get(offset, (b"",))[0]):
            known.parts[offset] = data, ref
            known.size = max(known.size, offset + len(data))
            self.held += len(data)

    def end(self, connection: Connection) -> None:
        for originator in (True, False):
            entry = self.streams.pop((id(connection), originator), None)
            if entry is not None:
                self._give(connection, originator, entry[1], last=True)
        for (_, originator), known in self.files.pop(id(connection), {}).items():
            self._file(connection, originator, known)

    def _give(
        self, connection: Connection, originator: bool, stream: _Stream, *, last: bool, overlap: int = OVERLAP
    ) -> None:
        """Hand a stream on as far as it goes; its end is kept for what may follow."""
        data = bytes(stream.data)
        talk = _talk(connection, originator)
        stream.pieces += 1
        whole = last and stream.pieces == 1
        if data:
            self.give(Content(STREAM, f"{talk.uid} {talk.direction}", data, stream.base, stream.places, talk, whole))
            if "http" in connection.services:
                self._bodies(data, stream, talk)
        keep = 0 if last else min(overlap, len(data) // 2)
        self.held -= len(data) - keep
        stream.data = bytearray(data[len(data) - keep :])
        stream.base = stream.length - keep
        stream.places = stream.places.since(stream.base)  # the content given keeps its own

    def _bodies(self, data: bytes, stream: _Stream, talk: Talk) -> None:
        for body in bodies(data):
            places = Places()
            begin = stream.base + body.begin
            places.together = len(body.data) != body.end - body.begin or body.data != data[body.begin : body.end]
            for offset, place in stream.places.pairs(begin, stream.base + body.end):
                places.offsets.append(max(0, offset - begin))
                places.refs.append(place)
            name = body.name or f"body of a message of {talk.uid}"
            self.give(Content(FILE, name, body.data, 0, places, talk, not body.cut, (f"HTTP, {talk.direction}",)))

    def _file(self, connection: Connection, originator: bool, known: _File) -> None:
        """Put a file together; what is missing inside is filled with zeros and said."""
        if not known.parts:
            return
        whole, places, holes = bytearray(known.size), Places(), 0
        reached = 0
        for offset, (data, ref) in sorted(known.parts.items(), key=lambda one: one[0]):
            holes += max(0, offset - reached)
            whole[offset : offset + len(data)] = data
            places.add(offset, ref)
            reached = max(reached, offset + len(data))
            self.held -= len(data)
        notes = [f"SMB, as far as it was {'written' if originator else 'read'}"]
        if holes:
            notes.append(f"{holes:,} bytes inside were not seen and stand as zeros")
        if known.beyond:
            notes.append(f"what lies beyond {MOST_FILE:,} bytes, or did not fit into memory, was left out")
        complete = not holes and not known.beyond
        talk = _talk(connection, originator)
        self.give(Content(FILE, known.name, bytes(whole), 0, places, talk, complete, tuple(notes)))


def _talk(connection: Connection, originator: bool) -> Talk:
    common = connection.common
    client, server = common["id.orig_h"] or "", common["id.resp_h"] or ""
    service = f"{common['id.resp_p']}/{PROTOCOLS.get(connection.protocol, connection.protocol)}"
    sender, receiver = (client, server) if originator else (server, client)
    return Talk(connection.uid, sender, receiver, service, "to_server" if originator else "to_client")
