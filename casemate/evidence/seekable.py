"""Seekable zstd files: how the bytes of evidence are kept.

A blob is a row of independent zstd frames of :data:`FRAME_BYTES` content each, followed by the
seek table of the zstd seekable format (a skippable frame that ``zstd -d`` ignores):
https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md

Nothing in a blob is believed without a check: a frame may not be larger than the format's writer
makes it, and is only unpacked into the size that the seek table states.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import zstandard

from casemate.engine.files import disk_errors, open_regular
from casemate.errors import CaseDamaged

FRAME_BYTES = 1024 * 1024
LEVEL = 3
COPY_BYTES = 1024 * 1024
_LARGEST_FRAME = 16 * FRAME_BYTES  # leaves room for other writers of later versions
_SKIPPABLE = 0x184D2A5E
_SEEKABLE = 0x8F92EAB1
_MOST_FRAMES = 1 << 27


@dataclass(frozen=True)
class FinishedBlob:
    """What was written: of the content (`sha256`, `bytes`) and of the file (`stored_*`)."""

    sha256: str
    bytes: int
    stored_sha256: str
    stored_bytes: int


class BlobWriter:
    """Writes a blob from a stream of bytes, hashing the content on the way.

    Args:
        path: file to write, usually ``Stage.blob_path()``.
        digest: a SHA-256 object that has already seen the content before these bytes, when they
            continue older evidence; it is updated.

    Raises:
        CannotFinish: the disk is full.
    """

    def __init__(self, path: Path, digest: Any = None, *, level: int = LEVEL) -> None:
        self._path = path
        self._digest = hashlib.sha256() if digest is None else digest
        self._stored = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        self._waiting = bytearray()
        self._frames: list[tuple[int, int]] = []
        self._bytes = self._stored_bytes = 0
        with disk_errors(path):
            self._file = path.open("wb", buffering=0)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> int:
        """Take more content."""
        self._digest.update(data)
        self._bytes += len(data)
        view = memoryview(data)
        if self._waiting:
            missing = FRAME_BYTES - len(self._waiting)
            self._waiting += view[:missing]
            view = view[missing:]
            if len(self._waiting) == FRAME_BYTES:
                self._frame(self._waiting)
                self._waiting = bytearray()
        while len(view) >= FRAME_BYTES:
            self._frame(view[:FRAME_BYTES])
            view = view[FRAME_BYTES:]
        self._waiting += view
        return len(data)

    def finish(self) -> FinishedBlob:
        """Write what is left and the seek table, and close the file (fsync is the store's job)."""
        if self._waiting:
            self._frame(self._waiting)
            self._waiting = bytearray()
        table = b"".join(struct.pack("<II", *frame) for frame in self._frames)
        footer = struct.pack("<IBI", len(self._frames), 0, _SEEKABLE)
        self._put(struct.pack("<II", _SKIPPABLE, len(table) + len(footer)) + table + footer)
        self.close()
        return FinishedBlob(self._digest.hexdigest(), self._bytes, self._stored.hexdigest(), self._stored_bytes)

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()

    def _frame(self, content: bytearray | memoryview) -> None:
        packed = self._compressor.compress(content)
        self._frames.append((len(packed), len(content)))
        self._put(packed)

    def _put(self, data: bytes) -> None:
        self._stored.update(data)
        self._stored_bytes += len(data)
        with disk_errors(self._path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]


def write_blob(path: Path, stream: BinaryIO, digest: Any = None) -> FinishedBlob:
    """Write the rest of `stream` as a blob.  See :class:`BlobWriter`."""
    with BlobWriter(path, digest) as writer:
        while data := stream.read(COPY_BYTES):
            writer.write(data)
        return writer.finish()


def open_blob(path: Path) -> BinaryIO:
    """The content of a blob as a seekable stream that holds about one frame in memory.

    Raises:
        CaseDamaged: here or on reading: it is not a blob, or was changed.
    """
    return cast(BinaryIO, io.BufferedReader(_BlobReader(path), 64 * 1024))


class _BlobReader(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._closed_file = True
        try:
            self._file = os.fdopen(open_regular(path), "rb", buffering=0)
        except OSError as error:
            raise CaseDamaged(f"cannot be read: {error.strerror}", where=str(path)) from None
        self._closed_file = False
        try:
            packed, unpacked = self._seek_table()
        except CaseDamaged:
            self.close()
            raise
        self._packed_ends = np.cumsum(packed, dtype=np.int64)
        self._ends = np.cumsum(unpacked, dtype=np.int64)
        self.size = int(self._ends[-1]) if len(self._ends) else 0
        self._position = 0
        self._frame_number, self._frame = -1, b""
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_FRAME)

    def _damaged(self, what: str) -> CaseDamaged:
        return CaseDamaged(what, where=str(self._path), hint="see 'casemate custody verify'")

    def _seek_table(self) -> tuple[np.ndarray, np.ndarray]:
        length = self._file.seek(0, os.SEEK_END)
        if length < 17:
            raise self._damaged("is too short for a blob")
        self._file.seek(length - 9)
        frames, descriptor, magic = struct.unpack("<IBI", self._exactly(9))
        if magic != _SEEKABLE or descriptor != 0 or frames > _MOST_FRAMES or 17 + 8 * frames > length:
            raise self._damaged("has no seek table")
        begin = length - 17 - 8 * frames
        self._file.seek(begin)
        if struct.unpack("<II", self._exactly(8)) != (_SKIPPABLE, 8 * frames + 9):
            raise self._damaged("has no seek table")
        table = np.frombuffer(self._exactly(8 * frames), "<u4").reshape(-1, 2).astype(np.int64)
        if int(table[:, 0].sum()) != begin or (len(table) and int(table[:, 1].max()) > _LARGEST_FRAME):
            raise self._damaged("has a seek table that does not fit its frames")
        return table[:, 0], table[:, 1]

    def _exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            piece = self._file.read(count)
            if not piece:
                raise self._damaged("ends too early")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _load(self, number: int) -> bytes:
        if number == self._frame_number:
            return self._frame
        begin = int(self._packed_ends[number - 1]) if number else 0
        content = int(self._ends[number] - (self._ends[number - 1] if number else 0))
        self._file.seek(begin)
        packed = self._exactly(int(self._packed_ends[number]) - begin)
        try:
            if zstandard.get_frame_parameters(packed).content_size != content:
                raise self._damaged(f"frame {number} has another size than the seek table says")
            frame = self._unpacker.decompress(packed, max_output_size=max(content, 1))
        except zstandard.ZstdError as error:
            raise self._damaged(f"frame {number} cannot be unpacked: {error}") from None
        if len(frame) != content:
            raise self._damaged(f"frame {number} has another size than the seek table says")
        self._frame_number, self._frame = number, frame
        return frame

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        if self._position >= self.size:
            return 0
        number = int(np.searchsorted(self._ends, self._position, side="right"))
        frame = self._load(number)
        begin = self._position - (int(self._ends[number - 1]) if number else 0)
        piece = memoryview(frame)[begin : begin + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self._closed_file:
            self._closed_file = True
            self._file.close()
        super().close()


def content_hash(stream: BinaryIO, digest: Any = None) -> str:
    """SHA-256 (hex) of the rest of a stream; `digest` may have seen what comes before."""
    digest = hashlib.sha256() if digest is None else digest
    while data := stream.read(COPY_BYTES):
        digest.update(data)
    return digest.hexdigest()
