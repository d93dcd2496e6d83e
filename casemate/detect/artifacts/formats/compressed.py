"""One compressed stream: zlib, gzip, bzip2, xz, lzma, zstd, lz4 frames, and joblib's own zlib container of old.

Definitions: RFC 1950, 1952, 8878; the xz and LZMA_Alone formats; the LZ4 frame format 1.6; ``joblib/compressor.py``
and ``joblib/numpy_pickle_compat.py``.  Loaders: ``joblib.load`` and ``pandas.read_pickle`` unpack by themselves.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import TOO_MUCH, Inspection, TooMuchError

READ_BYTES = 1 << 20
XZ_MEMORY_BYTES = 256 * 1024 * 1024
ZSTD_WINDOW_BYTES = 128 * 1024 * 1024
MOST_STREAMS = 10_000
OLD_JOBLIB = b"ZF"
OLD_JOBLIB_LENGTH = len(hex(1 << 64)) + 2

DAMAGED = Rule("compressed.damaged", "unscannable", CORRUPT_MODEL, "unpacks what comes before the damage")

Unpacking = Callable[[Content, int], Iterator[tuple[bytes, int]]]
"""From a position on: plain blocks, each with the position up to which packed bytes are used."""


def kind_of(content: Content) -> str | None:
    """The compression by the first bytes."""
    head = content.head(16)
    for kind, magic in (
        ("gzip", b"\x1f\x8b\x08"), ("bzip2", b"BZh"), ("xz", b"\xfd7zXZ\x00"), ("zstd", b"\x28\xb5\x2f\xfd"),
        ("lz4", b"\x04\x22\x4d\x18"), ("joblib_zlib", OLD_JOBLIB + b"0x"),
    ):  # fmt: skip
        if head.startswith(magic):
            return kind
    if len(head) > 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib" if _gives_bytes(zlib.decompressobj(), content) else None
    if head[:1] == b"\x5d" and head[1:3] == b"\0\0" and len(head) > 13:
        return "lzma" if _gives_bytes(lzma.LZMADecompressor(lzma.FORMAT_ALONE, XZ_MEMORY_BYTES), content) else None
    return None


def _gives_bytes(decoder: zlib._Decompress | lzma.LZMADecompressor, content: Content) -> bool:
    try:
        return bool(decoder.decompress(content.head(4096), 4096))
    except (zlib.error, lzma.LZMAError, ValueError):
        return False


def recognise(content: Content) -> bool:
    """Whether it begins as a compressed stream does."""
    return kind_of(content) is not None


def inspect(content: Content, inspection: Inspection) -> None:
    """Unpack within the budget and look at what comes out."""
    kind = kind_of(content) or ""
    start = OLD_JOBLIB_LENGTH if kind == "joblib_zlib" else 0
    blocks: list[bytes] = []
    total = used = 0
    try:
        for block, reached in _UNPACKING[kind](content, start):
            used = reached
            inspection.budget.unpack(len(block))
            total += len(block)
            if total > inspection.options.member_bytes:
                raise TooMuchError(TOO_MUCH, f"more than {inspection.options.member_bytes} bytes in one {kind} stream")
            blocks.append(block)
        inspection.own(0, used + _padding(content, used))
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
        inspection.report(DAMAGED, f"{kind}: {error}"[:200], used)
        inspection.own_all()
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("zstd", "zstandard", "pyarrow"):
            raise
        inspection.report(DAMAGED, f"{kind}: {error}"[:200], used)
        inspection.own_all()
    finally:
        if blocks:
            inspection.inner(Content.of(f"({kind})", b"".join(blocks)))


def _padding(content: Content, position: int) -> int:
    """How many NULs fill the rest, as tapes have them; 0 when anything else stands there."""
    for offset in range(position, content.size, READ_BYTES):
        if content.read(offset, READ_BYTES).strip(b"\0"):
            return 0
    return content.size - position


def _standard(make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Unpacking:
    def unpack(content: Content, position: int) -> Iterator[tuple[bytes, int]]:
        for _ in range(MOST_STREAMS):
            decoder = make()
            began = position
            while not decoder.eof:
                data = b""
                if decoder.needs_input:
                    data = content.read(position, READ_BYTES)
                    if not data:
                        raise EOFError("the stream is cut off")
                    position += len(data)
                block = decoder.decompress(data, READ_BYTES)
                yield block, position
            position -= len(decoder.unused_data)
            yield b"", position
            if position >= content.size or content.read(position, 3) != content.read(began, 3):
                return

    return unpack


def _zlib(bits: int) -> Unpacking:
    def unpack(content: Content, position: int) -> Iterator[tuple[bytes, int]]:
        for _ in range(MOST_STREAMS):
            decoder = zlib.decompressobj(bits)
            while not decoder.eof:
                data = decoder.unconsumed_tail
                if not data:
                    data = content.read(position, READ_BYTES)
                    position += len(data)
                block = decoder.decompress(data, READ_BYTES)
                if not data and not block:
                    raise EOFError("the stream is cut off")
                yield block, position
            position -= len(decoder.unused_data)
            yield b"", position
            if bits != 31 or content.read(position, 3) != b"\x1f\x8b\x08":
                return

    return unpack


def _zstd(content: Content, position: int) -> Iterator[tuple[bytes, int]]:
    import zstandard

    for _ in range(MOST_STREAMS):
        decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        while not decoder.eof:
            # 4 packed bytes can stand for 128 KiB and this decoder cannot be told to stop in between
            data = content.read(position, 2048)
            if not data:
                raise EOFError("the stream is cut off")
            position += len(data)
            yield decoder.decompress(data), position
        position -= len(decoder.unused_data)
        yield b"", position
        if content.read(position, 4) != b"\x28\xb5\x2f\xfd":
            return


def _lz4(content: Content, position: int) -> Iterator[tuple[bytes, int]]:
    import pyarrow as pa

    source = pa.BufferReader(content.read(position, content.size))
    with pa.CompressedInputStream(source, "lz4") as stream:
        while block := stream.read(READ_BYTES):
            yield block, content.size
    yield b"", content.size


_UNPACKING: dict[str, Unpacking] = {
    "gzip": _zlib(31),
    "zlib": _zlib(15),
    "joblib_zlib": _zlib(15),
    "bzip2": _standard(bz2.BZ2Decompressor),
    "xz": _standard(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES)),
    "lzma": _standard(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, XZ_MEMORY_BYTES)),
    "zstd": _zstd,
    "lz4": _lz4,
}

FORMAT = Format("compressed", recognise, inspect, (".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4", ".z"), runs_code=True)
