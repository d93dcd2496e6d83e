"""Blobs of evidence, and sources: the whole content of a piece of evidence, wherever it lies.

Content lies in one blob, in a file that was left where it is, or in several places one after the
other when a log that grew continues older evidence.  All implement
:class:`casemate.evidence.readers.base.Source`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from casemate.engine.files import inside, open_regular
from casemate.engine.state import Blob
from casemate.errors import CaseDamaged, UnreadableEvidence
from casemate.evidence.readers.base import Source
from casemate.evidence.seekable import BlobWriter, FinishedBlob, content_hash, open_blob, write_blob

__all__ = [
    "BlobSource",
    "BlobWriter",
    "ContinuedSource",
    "FileSource",
    "FinishedBlob",
    "First",
    "content_hash",
    "kept",
    "left_in_place",
    "open_blob",
    "source_of",
    "write_blob",
]


def kept(finished: FinishedBlob, *, continues: Blob | None = None) -> Blob:
    """The store's entry for a finished blob file (of the appended bytes, if it `continues` evidence)."""
    return Blob(
        evidence=finished.sha256,
        begin=continues.size if continues else 0,
        bytes=finished.bytes,
        continues=continues.evidence if continues else None,
        path=f"evidence/{finished.sha256}.zst",
        stored_bytes=finished.stored_bytes,
        sha256=finished.stored_sha256,
        reference=None,
    )


def left_in_place(sha256: str, size: int, path: Path, *, continues: Blob | None = None) -> Blob:
    """The store's entry for evidence that stays where it is; `path` must be absolute and no link."""
    begin = continues.size if continues else 0
    return Blob(sha256, begin, size - begin, continues.evidence if continues else None, None, 0, None, str(path))


@dataclass(frozen=True)
class BlobSource:
    """Content kept as one blob.  Implements :class:`casemate.evidence.readers.base.Source`."""

    path: Path
    size: int

    def open(self) -> BinaryIO:
        """A new stream.  Raises CaseDamaged when the blob does not hold `size` bytes."""
        stream = open_blob(self.path)
        if stream.seek(0, os.SEEK_END) != self.size:
            stream.close()
            raise CaseDamaged(f"does not hold {self.size} bytes of content", where=str(self.path))
        stream.seek(0)
        return stream


class FileSource:
    """A file outside the case, up to a size fixed beforehand (logs grow while they are read).

    Args:
        path: the file.
        size: length of the content; the file's own length now when None.
        sha256: what the content must hash to; checked at each opening unless the file has not
            been touched since the last check.  None while it is read for the first time.

    Raises:
        UnreadableEvidence: it cannot be read, or is not a regular file.
    """

    def __init__(self, path: Path, size: int | None = None, sha256: str | None = None) -> None:
        self.path = path
        self._sha256 = sha256
        self._checked: tuple[int, ...] | None = None
        if size is None:
            with self._file() as stream:
                size = os.fstat(stream.fileno()).st_size
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def open(self) -> BinaryIO:
        """A new stream.  Raises UnreadableEvidence when the file is not the one registered."""
        file = self._file()
        state = os.fstat(file.fileno())
        touched = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        stream = cast(BinaryIO, io.BufferedReader(_Bounded(file, self._size), 64 * 1024))
        if self._sha256 is not None and touched != self._checked:
            if content_hash(stream) != self._sha256:
                stream.close()
                raise UnreadableEvidence(
                    "is not the content that was registered",
                    where=str(self.path),
                    hint="it was left in place and has changed since",
                )
            self._checked = touched
            stream.seek(0)
        return stream

    def _file(self) -> io.FileIO:
        try:
            return io.FileIO(open_regular(self.path), "rb")
        except OSError as error:
            raise UnreadableEvidence(f"cannot be read: {error.strerror}", where=str(self.path)) from None
        except CaseDamaged as error:
            raise UnreadableEvidence(error.what, where=str(self.path)) from None


class _Bounded(io.RawIOBase):
    """The first `size` bytes of a file."""

    def __init__(self, file: io.FileIO | BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        left = self._size - self._file.tell()
        if left <= 0:
            return 0
        return self._file.readinto(memoryview(buffer)[:left]) or 0  # type: ignore[union-attr]

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class ContinuedSource:
    """Content that lies in several places, one after the other: older evidence, then what was appended."""

    pieces: Sequence[Source]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(piece.size for piece in self.pieces)

    def open(self) -> BinaryIO:
        """A new stream over all pieces; one piece is open at a time."""
        return cast(BinaryIO, io.BufferedReader(_Joined(self.pieces), 64 * 1024))


@dataclass(frozen=True)
class First:
    """The first `size` bytes of other content."""

    whole: Source
    size: int

    def open(self) -> BinaryIO:
        """A new stream that ends there."""
        stream = self.whole.open()
        return cast(BinaryIO, io.BufferedReader(_Bounded(stream, self.size), 64 * 1024))


class _Joined(io.RawIOBase):
    def __init__(self, pieces: Sequence[Source]) -> None:
        self._pieces = pieces
        self._ends = np.cumsum([piece.size for piece in pieces], dtype=np.int64)
        self._position = 0
        self._number, self._stream = -1, cast("BinaryIO | None", None)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        size = int(self._ends[-1]) if len(self._ends) else 0
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        if not len(self._ends) or self._position >= self._ends[-1]:
            return 0
        number = int(np.searchsorted(self._ends, self._position, side="right"))
        if number != self._number or self._stream is None:
            if self._stream is not None:
                self._stream.close()
            self._number, self._stream = number, self._pieces[number].open()
        begin = int(self._ends[number - 1]) if number else 0
        if self._stream.tell() != self._position - begin:
            self._stream.seek(self._position - begin)
        data = self._stream.read(min(len(buffer), int(self._ends[number]) - self._position))
        if not data:
            raise CaseDamaged("a piece of continued evidence ends too early")
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if getattr(self, "_stream", None) is not None:
            cast(BinaryIO, self._stream).close()
            self._stream = None
        super().close()


def source_of(root: Path, blobs: Mapping[str, Blob], evidence: str) -> Source:
    """The whole content of one evidence of the case at `root`.

    Raises:
        CaseDamaged: a blob is missing, a link, or points outside the case.
        UnreadableEvidence: a file that was left in place is gone (or, on opening, has changed).
    """
    pieces: list[Source] = []
    at: str | None = evidence
    while at is not None:
        blob = blobs[at]
        if blob.path is None:
            pieces.append(FileSource(Path(cast(str, blob.reference)), blob.size, blob.evidence))
            break  # the file holds the whole content, whatever it continues
        if blob.bytes:
            pieces.append(BlobSource(inside(root, blob.path), blob.bytes))
        at = blob.continues
    return pieces[0] if len(pieces) == 1 else ContinuedSource(tuple(reversed(pieces)))
