"""tar archives (POSIX ustar, pax and GNU), read forward only."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from casemate.evidence.archives.budget import READ_BYTES, Broken, Member, Unpacking

HEADER_BYTES = 16 * 1024 * 1024
"""Largest single read for headers: the standard library takes the size of a pax header at its word."""


class _SmallReads:
    """A stream that refuses to give a whole hostile header at once."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > HEADER_BYTES:
            raise tarfile.ReadError(f"a header states {count:,} bytes")
        return self._inner.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()


def tar_members(stream: BinaryIO, unpacking: Unpacking) -> Iterator[Member]:
    """The regular files of a tar archive; links and devices are noted, not followed."""
    skipped = 0
    try:
        archive = tarfile.open(fileobj=_SmallReads(stream), mode="r:", errors="backslashreplace")  # type: ignore[arg-type] # noqa: SIM115
        while True:
            info = archive.next()
            if info is None:
                break
            archive.members = []  # the standard library remembers every header otherwise
            if info.isdir():
                continue
            if not info.isreg():
                skipped += 1
                continue
            unpacking.begin_member()
            yield Member(info.name, _date(info.mtime), _content(archive, info, unpacking))
        _note_unread(stream, archive.offset, unpacking)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
        unpacking.note(f"the tar archive is damaged ({error}); what came out before is kept")
    if skipped:
        unpacking.note(f"{skipped:,} links or special files in the archive were not taken")


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo, unpacking: Unpacking):
    opened = archive.extractfile(info)

    def read() -> bytes:
        try:
            block = opened.read(READ_BYTES) if opened is not None else b""
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise Broken(f"the tar archive breaks off inside this member ({error}); what came out is kept") from error
        return unpacking.count(block)

    return read


def _note_unread(stream: BinaryIO, offset: int, unpacking: Unpacking) -> None:
    """Say so when content follows the end of the archive: a reader would never see it."""
    stream.seek(offset)
    while block := stream.read(READ_BYTES):
        if block.strip(b"\x00"):
            unpacking.note("bytes that are not zero follow the end of the tar archive; they were not read")
            return


def _date(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
