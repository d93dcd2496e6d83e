"""Containers that carry a pickle, and headers that lie about it.

Columns: class, file name, whether it runs code, content.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import py7zr
import pyarrow as pa
import zstandard
from artifacts_assembler import SYSTEM, pickled, value

BAD = pickled(SYSTEM, 2)
GOOD = pickled(value({"a": [1, 2]}), 2)


def _zip(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


TORCH = _zip(("archive/data.pkl", BAD), ("archive/version", b"3\n"))


def _patched(data: bytes, signature: bytes, offset: int, new: bytes) -> bytes:
    """`data` with the bytes at `offset` after the first `signature` replaced."""
    at = data.find(signature) + offset
    return data[:at] + new + data[at + len(new) :]


def _local_only() -> bytes:
    """A second member that only its local header names, between the last member and the directory."""
    honest = _zip(("archive/data.pkl", GOOD), ("archive/version", b"3\n"))
    hidden = _zip(("archive/data.pkl", BAD))
    local = hidden[: hidden.find(b"PK\x01\x02")]
    directory = honest.find(b"PK\x01\x02")
    end = honest.find(b"PK\x05\x06")
    moved = struct.pack("<I", directory + len(local))
    return honest[:directory] + local + honest[directory:end] + honest[end : end + 16] + moved + honest[end + 20 :]


def _numpy(data: bytes, descr: str = "|O") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}"
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _tar(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _link() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        archive.addfile(info)
    return stream.getvalue()


def _seven() -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as archive:
        archive.writestr(BAD, "model.pkl")
    return stream.getvalue()


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _lz4(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY = MAGIC + b"\x80\x02M\xe9\x03." + GOOD
_deflated = _zip(("archive/data.pkl", BAD), method=zipfile.ZIP_DEFLATED)
_nested = BAD
for _ in range(5):
    _nested = _zip(("inner.zip", _nested))
_deep = GOOD
for _ in range(30):
    _deep = gzip.compress(_deep)

RUNNING: dict[str, bytes] = {
    "torch.pt": TORCH,
    "torch-deflated.pt": _deflated,
    "torch-bz2.pt": _zip(("archive/data.pkl", BAD), method=zipfile.ZIP_BZIP2),
    "torch-lzma.pt": _zip(("archive/data.pkl", BAD), method=zipfile.ZIP_LZMA),
    "torch-constants.pt": _zip(("a/data.pkl", GOOD), ("a/constants.pkl", BAD)),
    "torch-other-name.pt": _zip(("a/data.pkl", GOOD), ("a/extra/notes.txt", BAD)),
    "torch-as-storage.pt": _zip(("a/data.pkl", GOOD), ("a/data/0", BAD)),
    "torch-prefix.pt": b"#!/bin/sh\n" + TORCH,
    "torch-pickle-prefix.pt": BAD + _zip(("archive/data.pkl", GOOD)),
    "torch-trailer.pt": _zip(("archive/data.pkl", GOOD)) + BAD,
    "torch-duplicate.pt": _zip(("a/data.pkl", GOOD), ("a/data.pkl", BAD)),
    "torch-duplicate-first.pt": _zip(("a/data.pkl", BAD), ("a/data.pkl", GOOD)),
    "zip-local-flag.pt": _patched(TORCH, b"PK\x03\x04", 6, b"\x01\x00"),
    "zip-central-flag.pt": _patched(TORCH, b"PK\x01\x02", 8, b"\x01\x00"),
    "zip-both-flags.pt": _patched(_patched(TORCH, b"PK\x03\x04", 6, b"\x01\x00"), b"PK\x01\x02", 8, b"\x01\x00"),
    "zip-crc.pt": _patched(_patched(TORCH, b"PK\x03\x04", 14, b"\0\0\0\0"), b"PK\x01\x02", 16, b"\0\0\0\0"),
    "zip-local-name.pt": _patched(TORCH, b"PK\x03\x04", 30, b"archive/data.txt"),
    "zip-central-name.pt": _patched(TORCH, b"PK\x01\x02", 46, b"archive/data.txt"),
    "zip-local-method.pt": _patched(TORCH, b"PK\x03\x04", 8, b"\x08\x00"),
    "zip-central-method.pt": _patched(TORCH, b"PK\x01\x02", 10, b"\x08\x00"),
    "zip-central-size.pt": _patched(TORCH, b"PK\x01\x02", 20, struct.pack("<I", 3)),
    "zip-hidden-member.pt": _local_only(),
    "zip-comment.pt": _patched(_zip(("a/data.pkl", GOOD)), b"PK\x05\x06", 20, struct.pack("<H", len(BAD))) + BAD,
    "zip-no-directory.pt": TORCH[: TORCH.find(b"PK\x01\x02")],
    "zip-nested.zip": _nested,
    "zip-odd-name.zip": _zip(("readme.md", BAD)),
    "npz.npz": _zip(("arr_0.npy", _numpy(BAD))),
    "npy.npy": _numpy(BAD),
    "npy-trailer.npy": _saved(np.arange(3)) + BAD,
    "joblib-zlib.joblib": zlib.compress(BAD),
    "joblib-zlib-fast.joblib": zlib.compress(BAD, 1),
    "joblib-gzip.joblib": gzip.compress(BAD),
    "joblib-gzip-two.joblib": gzip.compress(GOOD) + gzip.compress(BAD),
    "joblib-bz2.joblib": bz2.compress(BAD),
    "joblib-xz.joblib": lzma.compress(BAD),
    "joblib-lzma.joblib": lzma.compress(BAD, lzma.FORMAT_ALONE),
    "joblib-lz4.joblib": _lz4(BAD),
    "joblib-old.joblib": b"ZF" + hex(len(BAD)).encode().ljust(19) + zlib.compress(BAD),
    "zstd.pkl": zstandard.ZstdCompressor().compress(BAD),
    "compressed-twice.pkl": gzip.compress(zlib.compress(BAD)),
    "gzip-trailer.joblib": gzip.compress(GOOD) + BAD,
    "tar.tar": _tar(("model.pkl", BAD)),
    "tar-gzip.tar.gz": gzip.compress(_tar(("model.pkl", BAD))),
    "torch-tar.pt": _tar(("sys_info", GOOD), ("pickle", BAD), ("storages", b"\x80\x02K\x00.\x80\x02]."),
                         ("tensors", b"\x80\x02K\x00.")),
    "torch-tar-storages.pt": _tar(("pickle", GOOD), ("storages", BAD), ("tensors", b"\x80\x02K\x00.")),
    "7z.7z": _seven(),
    "7z-wrong-name.bin": _seven(),
    "torch-legacy.pt": MAGIC + b"\x80\x02M\xe9\x03." + GOOD + BAD + b"\x80\x02].",
    "torch-legacy-magic.pt": BAD + LEGACY,
    "torch-legacy-info.pt": MAGIC + b"\x80\x02M\xe9\x03." + BAD + GOOD + b"\x80\x02].",
    "behind-text.pkl": b"This is a model card.\n\n" + BAD,
    "behind-json.json": b'{"a": 1}\n' + BAD,
    "behind-image.png": b"\x89PNG\r\n\x1a\n" + bytes(64) + BAD,
    "wrong-name.safetensors": BAD,
    "wrong-name.npy": BAD,
}  # fmt: skip

UNREAD: dict[str, bytes] = {
    "zip-path.zip": _zip(("../../canary", GOOD)),
    "tar-link.tar": _link(),
    "too-deep.gz": _deep,
    "bomb.zip": _zip(("zeros", bytes(50_000_000)), method=zipfile.ZIP_DEFLATED),
    "random.bin": bytes((i * 7919 + 13) % 251 for i in range(4096)),
    "npy-cut.npy": _saved(np.arange(10))[:-20],
    "gzip-cut.gz": gzip.compress(GOOD * 100)[:-20],
    "zip-two-names.pt": _patched(_zip(("a/data.pkl", GOOD)), b"PK\x03\x04", 30, b"b/data.pkl"),
    "storage-too-long.pt": _zip(("a/data.pkl", GOOD), ("a/data/0", bytes(range(256)))),
}

CONTAINERS: tuple[tuple[str, str, bool, bytes], ...] = (
    *(("container", name, True, content) for name, content in RUNNING.items()),
    *(("unread", name, False, content) for name, content in UNREAD.items()),
)
