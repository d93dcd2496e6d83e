"""zip archives (APPNOTE 6.3.10), read by their central directory; without one by what stands before each member.

Sizes stated in the directory are not believed: bytes are counted as they come out.
"""

from __future__ import annotations

import copy
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from casemate.evidence.archives.budget import READ_BYTES, Broken, Member, Unpacking
from casemate.evidence.archives.zip_remains import remaining_members

END = b"PK\x05\x06"
END_BYTES = 22
LONGEST_COMMENT = 65_535
END64_LOCATOR = b"PK\x06\x07"
LOCATOR_BYTES = 20
END64 = b"PK\x06\x06"
DIRECTORY_BYTES_PER_MEMBER = 1024
STEP_BYTES = 4096
ENCRYPTED = 0x1
ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    struct.error,
)


def zip_members(stream: BinaryIO, unpacking: Unpacking) -> Iterator[Member]:
    """The files of a zip archive in the order of its directory; encrypted ones are noted."""
    most = unpacking.budget.limits.archive_members * DIRECTORY_BYTES_PER_MEMBER
    stated = _directory_bytes(stream, unpacking.size)
    if stated > most:
        unpacking.note(f"limit archive_members reached: a directory of {stated:,} bytes; nothing was unpacked")
        return
    try:
        stream.seek(0)
        archive = zipfile.ZipFile(stream)
        infos = archive.infolist()
    except (*ERRORS, MemoryError) as error:
        unpacking.note(f"the zip archive's directory is unreadable ({error}); members were taken by their own headers")
        yield from remaining_members(stream, unpacking)
        if not unpacking.members:
            unpacking.note("no member was found; nothing was unpacked")
        return
    for info in infos:
        if info.is_dir():
            continue
        unpacking.begin_member()
        if info.flag_bits & ENCRYPTED:
            unpacking.note(f"member {info.filename!r} is encrypted; not read")
            continue
        yield Member(info.filename, _date(info), _content(archive, info, unpacking))


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, unpacking: Unpacking) -> Callable[[], bytes]:
    opened: list[zipfile.ZipExtFile] = []
    broken: list[Exception] = []
    came_out = checksum = 0

    def block() -> bytes:
        """Small steps: the library forgets what came out in the call that fails."""
        held, size = [], 0
        try:
            if not opened:
                opened.append(_opened(archive, info))
            while size < READ_BYTES and (piece := opened[0].read1(STEP_BYTES)):
                held.append(piece)
                size += len(piece)
        except ERRORS as error:
            broken.append(error)
        return b"".join(held)

    def read() -> bytes:
        nonlocal came_out, checksum
        plain = b"" if broken else block()
        if broken and not plain:
            said = f"the member is damaged or cannot be unpacked ({broken[0]}); what came out is kept"
            raise Broken(said) from broken[0]
        came_out += len(plain)
        checksum = zlib.crc32(plain, checksum)
        if not plain:
            opened[0].close()
            if came_out != info.file_size:
                unpacking.note(
                    f"member {info.filename!r} states {info.file_size:,} bytes and holds {came_out:,}; all were taken"
                )
            if checksum != info.CRC:
                raise Broken("the member's checksum is wrong; what came out is kept")
        return unpacking.count(plain)

    return read


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> zipfile.ZipExtFile:
    """The member's content, its checksum left to us: the library keeps the last bytes back where it is wrong."""
    content = archive.open(_without_size(info))
    assert isinstance(content, zipfile.ZipExtFile)
    content._expected_crc = None  # type: ignore[attr-defined]
    return content


def _without_size(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The entry with no end but that of its data: the library stops at the stated size otherwise."""
    endless = copy.copy(info)
    endless.file_size = 1 << 62
    return endless


def _directory_bytes(stream: BinaryIO, size: int) -> int:
    """Length of the central directory as stated at the end of the file, 0 if it cannot be found."""
    begin = max(0, size - END_BYTES - LONGEST_COMMENT - LOCATOR_BYTES)
    stream.seek(begin)
    tail = stream.read(size - begin)
    place = tail.rfind(END)
    if place < 0 or len(tail) - place < END_BYTES:
        return 0
    stated = int.from_bytes(tail[place + 12 : place + 16], "little")
    locator = tail[max(0, place - LOCATOR_BYTES) : place]
    if locator.startswith(END64_LOCATOR):
        stream.seek(min(int.from_bytes(locator[8:16], "little"), size))
        end64 = stream.read(56)
        if end64.startswith(END64) and len(end64) == 56:
            stated = max(stated if stated != 0xFFFFFFFF else 0, int.from_bytes(end64[40:48], "little"))
    return min(stated, size)


def _date(info: zipfile.ZipInfo) -> datetime | None:
    try:
        return datetime(*info.date_time, tzinfo=UTC)
    except (TypeError, ValueError):
        return None
