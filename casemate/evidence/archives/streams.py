"""Compressed streams of one content: gzip (RFC 1952), bzip2, xz and zstd (RFC 8878).

Concatenated streams are one content, as their own tools read them.  A stream that breaks off
gives everything that came out before the break.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import BinaryIO, Protocol

import zstandard

from casemate.evidence.archives.budget import READ_BYTES, Broken, Member, Unpacking
from casemate.evidence.archives.inflating import inflate

SUFFIXES: dict[str, tuple[str, ...]] = {
    "gzip": (".gz", ".tgz"),
    "bzip2": (".bz2", ".tbz2", ".tbz"),
    "xz": (".xz", ".txz"),
    "zstd": (".zst", ".tzst"),
}
"""Endings taken off a name to make the member's name."""

XZ_MEMORY_BYTES = 256 * 1024 * 1024
ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
ZSTD_INPUT_BYTES = 2048  # 4 packed bytes can stand for 128 KiB and this decoder cannot be told to stop in between
STEP_BYTES = 1024  # the decoders of bzip2 and xz forget what they made in the call that fails
CHECKSUM_BYTES = 4
ZLIB_GZIP_ONLY = 31


class _Decoder(Protocol):
    """One stream: feed packed bytes, get plain ones, at most about `READ_BYTES` at a time."""

    eof: bool
    unused: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(ZLIB_GZIP_ONLY)
        self.eof, self.unused = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield from inflate(self._inner, data)
        self.eof, self.unused = self._inner.eof, self._inner.unused_data


class _Pausing:
    """bzip2 and xz: the decoders of the standard library, which pause by themselves."""

    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner
        self.eof, self.unused = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        held: list[bytes] = []
        try:
            held.append(self._inner.decompress(data, STEP_BYTES))
            while not self._inner.eof and not self._inner.needs_input:
                if len(held) == READ_BYTES // STEP_BYTES:
                    yield b"".join(held)
                    held = []
                held.append(self._inner.decompress(b"", STEP_BYTES))
        except (OSError, EOFError, ValueError, lzma.LZMAError):
            yield b"".join(held)
            raise
        yield b"".join(held)
        self.eof, self.unused = self._inner.eof, self._inner.unused_data


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        self.eof, self.unused = False, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        last = max(0, len(data) - CHECKSUM_BYTES)  # one by one: a wrong checksum takes what came out with it
        cuts = (*range(0, last, ZSTD_INPUT_BYTES), *range(last, len(data) + 1))
        for begin, end in pairwise(cuts):
            yield self._inner.decompress(data[begin:end])
            if self._inner.eof:
                self.eof = True
                self.unused = self._inner.unused_data + data[end:]
                return


DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _Gzip,
    "bzip2": lambda: _Pausing(bz2.BZ2Decompressor()),
    "xz": lambda: _Pausing(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)),
    "zstd": _Zstd,
}
ERRORS = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstandard.ZstdError)


def stream_member(kind: str, stream: BinaryIO, name: str, unpacking: Unpacking) -> Iterator[Member]:
    """The one member of a compressed stream."""
    unpacking.begin_member()
    blocks = _plain(kind, stream, unpacking)
    yield Member(_member_name(kind, name), None, lambda: next(blocks, b""))


def _member_name(kind: str, name: str) -> str:
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in SUFFIXES[kind]:
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            stem = base[: -len(suffix)]
            return f"{stem}.tar" if suffix.startswith(".t") else stem
    return base or "content"


def _plain(kind: str, stream: BinaryIO, unpacking: Unpacking) -> Iterator[bytes]:
    data = stream.read(READ_BYTES)
    first = True
    while data:
        decoder = DECODERS[kind]()
        came_out = False
        try:
            while data and not decoder.eof:
                for block in decoder.feed(data):
                    if block:
                        came_out = True
                        yield unpacking.count(block)
                data = decoder.unused if decoder.eof else stream.read(READ_BYTES)
        except ERRORS as error:
            if first or came_out:
                raise Broken(f"the {kind} stream is damaged ({error}); what came out before is kept") from error
            raise Broken(f"bytes after the end of the {kind} stream are not of that format; not read") from error
        if not decoder.eof:
            raise Broken(f"the {kind} stream is truncated; what came out before the break is kept")
        first = False
        while data is not None and not data.strip(b"\x00"):  # padding to whole blocks, as tapes have it
            data = stream.read(READ_BYTES)
            if not data:
                return
        data = data.lstrip(b"\x00") if data[:1] == b"\x00" else data
        data = data + stream.read(READ_BYTES) if len(data) < 8 else data
