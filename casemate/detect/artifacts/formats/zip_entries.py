"""A zip archive's entries, by its directory and by the local headers, which may tell different stories.

Definition: PKWARE APPNOTE 6.3.10.  Loaders believe different parts: ``zipfile`` the central directory, streaming
readers the local headers, torch's miniz neither flags nor checksums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from casemate.detect.artifacts.content import Content

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR64, DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LOCAL = Struct("<4s5H3I2H")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_END64 = Struct("<4sQ2H2I4Q")
ENCRYPTED, STREAMED, UTF8 = 1, 8, 1 << 11
MOST_ENTRIES = 200_000
NONE32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Header:
    """What one header says of a member."""

    name: str
    flags: int
    method: int
    checksum: int
    packed: int
    plain: int


@dataclass
class Entry:
    """One member.

    Args:
        local: what its local header says; None if there is none where the directory points to.
        central: what the directory says; None for a member that the directory leaves out.
        at: where its local header begins.
        data: where its bytes begin.
    """

    local: Header | None
    central: Header | None
    at: int
    data: int

    @property
    def name(self) -> str:
        """Its name, as the directory has it if it does."""
        header = self.central or self.local
        return header.name if header else ""

    @property
    def header(self) -> Header:
        """The header that is believed first."""
        found = self.central or self.local
        assert found is not None
        return found


@dataclass
class Archive:
    """The entries and what else of the file is understood."""

    entries: list[Entry] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Directory, end records and comments."""
    comments: list[tuple[int, int]] = field(default_factory=list)
    """Free text and extra fields: owned, and worth a look."""
    has_directory: bool = False
    cut: bool = False
    """Whether there were more entries than are read."""


def read_archive(content: Content) -> Archive:
    """All entries, by directory and by local header."""
    archive = Archive()
    by_place: dict[int, Entry] = {}
    for header, at in _directory(content, archive):
        entry = by_place.get(at)
        local, data = _local(content, at)
        if entry is None:
            entry = by_place[at] = Entry(local, header, at, data)
            archive.entries.append(entry)
        else:
            archive.entries.append(Entry(local, header, at, data))
    position = 0
    while len(archive.entries) < MOST_ENTRIES:
        position = content.find(LOCAL, position)
        if position < 0:
            break
        if position in by_place:
            entry = by_place[position]
            position = max(position + 4, entry.data + entry.header.packed)
            continue
        local, data = _local(content, position)
        inside = (
            any(entry.data <= position < entry.data + entry.header.packed for entry in by_place.values())
            if (len(by_place) < 1000)
            else False
        )
        if local is not None and not inside and _plausible(local, data, content):
            by_place[position] = entry = Entry(local, None, position, data)
            archive.entries.append(entry)
            position = max(position + 4, data + local.packed)
        else:
            position += 4
    archive.cut = len(archive.entries) >= MOST_ENTRIES
    return archive


def _plausible(local: Header, data: int, content: Content) -> bool:
    return bool(local.name) and local.name.isprintable() and data + local.packed <= content.size and local.method < 100


def _local(content: Content, at: int) -> tuple[Header | None, int]:
    block = content.read(at, _LOCAL.size)
    if len(block) < _LOCAL.size or block[:4] != LOCAL:
        return None, at
    _, _, flags, method, _, _, checksum, packed, plain, name_size, extra_size = _LOCAL.unpack(block)
    name = content.read(at + _LOCAL.size, name_size)
    extra = content.read(at + _LOCAL.size + name_size, extra_size)
    wide = _wide(extra, (plain, packed))
    return (
        Header(_text(name, flags), flags, method, checksum, wide[1], wide[0]),
        at + _LOCAL.size + name_size + extra_size,
    )


def _wide(extra: bytes, values: tuple[int, ...]) -> list[int]:
    """Values of 32 bits that are all ones stand in the ZIP64 extra field (APPNOTE 4.5.3)."""
    found = list(values)
    position = 0
    while position + 4 <= len(extra):
        kind, size = (
            int.from_bytes(extra[position : position + 2], "little"),
            int.from_bytes(extra[position + 2 : position + 4], "little"),
        )
        if kind == 1:
            at = position + 4
            for index, value in enumerate(values):
                if value == NONE32 and at + 8 <= position + 4 + size:
                    found[index] = int.from_bytes(extra[at : at + 8], "little")
                    at += 8
        position += 4 + size
    return found


def _text(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _directory(content: Content, archive: Archive) -> list[tuple[Header, int]]:
    end = content.rfind(END, max(0, content.size - 65557 - 4096))
    block = content.read(end, _END.size) if end >= 0 else b""
    if len(block) < _END.size:
        return []
    _, _, _, _, _, size, start, comment = _END.unpack(block)
    archive.has_directory = True
    archive.spans.append((end, end + _END.size + comment))
    archive.comments.append((end + _END.size, end + _END.size + comment))
    directory_end = end
    locator = content.read(end - 20, 20)
    if locator[:4] == LOCATOR64:
        at = int.from_bytes(locator[8:16], "little")
        wide = content.read(at, _END64.size)
        if wide[:4] != END64:
            at = content.rfind(END64, max(0, end - 4096))
            wide = content.read(at, _END64.size) if at >= 0 else b""
        if len(wide) == _END64.size:
            fields = _END64.unpack(wide)
            archive.spans.append((at, at + 12 + fields[1]))
            archive.spans.append((end - 20, end))
            directory_end, size, start = at, fields[8], fields[9]
    begin = directory_end - size
    if content.read(begin, 4) != CENTRAL and content.read(start, 4) == CENTRAL:
        begin = start
    moved = begin - start
    found: list[tuple[Header, int]] = []
    position = begin
    while len(found) < MOST_ENTRIES:
        block = content.read(position, _CENTRAL.size)
        if len(block) < _CENTRAL.size or block[:4] != CENTRAL:
            break
        (_, _, _, flags, method, _, _, checksum, packed, plain, name_size, extra_size, comment_size, _, _, _, at) = (
            _CENTRAL.unpack(block)
        )
        name = content.read(position + _CENTRAL.size, name_size)
        extra = content.read(position + _CENTRAL.size + name_size, extra_size)
        plain, packed, at = _wide(extra, (plain, packed, at))
        found.append((Header(_text(name, flags), flags, method, checksum, packed, plain), at + moved))
        after = position + _CENTRAL.size + name_size
        archive.comments.append((after, after + extra_size + comment_size))
        position = after + extra_size + comment_size
    archive.spans.append((begin, position))
    return found
