"""Containers: members by directory and by local header, arrays, compressed layers, archives in archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import numpy as np
import py7zr
import pytest
import zstandard
from artifact_samples import BAD, GOOD, codes, named, stream, text, verdict, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

TORCH = zipped(("archive/data.pkl", BAD), ("archive/version", b"3\n"))
HONEST = zipped(("archive/data.pkl", GOOD), ("archive/version", b"3\n"), ("archive/byteorder", b"little"))
MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def patched(data: bytes, signature: bytes, offset: int, new: bytes) -> bytes:
    at = data.find(signature) + offset
    return data[:at] + new + data[at + len(new) :]


def tarred(*members: tuple[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def sevened(content: bytes) -> bytes:
    data = io.BytesIO()
    with py7zr.SevenZipFile(data, "w") as archive:
        archive.writestr(content, "model.pkl")
    return data.getvalue()


def saved(array: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


def storage(key: str, elements: int) -> bytes:
    """The persistent reference of a float storage."""
    return (
        b"("
        + text("storage")
        + named("torch", "FloatStorage")
        + text(key)
        + text("cpu")
        + b"K"
        + bytes([elements])
        + b"tQ"
    )


PACKING = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor().compress,
    "twice": lambda data: gzip.compress(zlib.compress(data)),
    "zip": lambda data: zipped(("inner/model.pkl", data), method=zipfile.ZIP_DEFLATED),
    "tar": lambda data: tarred(("model.pkl", data)),
    "7z": sevened,
}


@pytest.mark.parametrize("packing", PACKING)
def test_layers_are_taken_off(packing: str) -> None:
    assert verdict(PACKING[packing](BAD)).verdict == "malicious"
    assert verdict(PACKING[packing](GOOD)).verdict == "safe"


@pytest.mark.parametrize("packing", ["zlib", "gzip", "bzip2", "xz", "zstd", "zip", "7z"])
def test_a_damaged_layer_is_never_safe(packing: str) -> None:
    whole = PACKING[packing](GOOD)
    assert verdict(whole[: len(whole) * 2 // 3]).verdict != "safe"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (patched(TORCH, b"PK\x03\x04", 6, b"\x01\x00"), "zip.lies"),
        (patched(TORCH, b"PK\x01\x02", 8, b"\x01\x00"), "zip.lies"),
        (patched(TORCH, b"PK\x01\x02", 10, b"\x08\x00"), "zip.lies"),
        (patched(TORCH, b"PK\x03\x04", 30, b"archive/data.txt"), "zip.lies"),
        (patched(patched(TORCH, b"PK\x03\x04", 14, bytes(4)), b"PK\x01\x02", 16, bytes(4)), "zip.checksum"),
        (TORCH[: TORCH.find(b"PK\x01\x02")], "zip.no_directory"),
        (b"#!/bin/sh\n" + TORCH, "bytes.unowned"),
    ],
)
def test_lying_headers_hide_nothing(data: bytes, code: str) -> None:
    found = verdict(data, "model.pt")
    assert found.verdict == "malicious"
    assert code in codes(found)
    assert any(reason.path_inside.startswith("archive/data") for reason in found.reasons)


@pytest.mark.parametrize("method", [8, 9, 12, 14, 93, 95, 99])
def test_members_that_cannot_be_unpacked_are_told(method: int) -> None:
    packed = zipped(("model.pkl", b"\xff\xee" * 20))
    both = patched(packed, b"PK\x03\x04", 8, bytes([method, 0]))
    found = verdict(patched(both, b"PK\x01\x02", 10, bytes([method, 0])))
    assert found.verdict == "unscannable"
    assert codes(found) <= {"zip.damaged", "zip.method"}


def test_a_member_that_only_its_local_header_names_is_found() -> None:
    hidden = zipped(("archive/data.pkl", BAD))
    local = hidden[: hidden.find(b"PK\x01\x02")]
    directory, end = HONEST.find(b"PK\x01\x02"), HONEST.find(b"PK\x05\x06")
    moved = struct.pack("<I", directory + len(local))
    data = HONEST[:directory] + local + HONEST[directory:end] + HONEST[end : end + 16] + moved + HONEST[end + 20 :]
    found = verdict(data, "model.pt")
    assert found.verdict == "malicious"
    assert {"zip.hidden_member", "zip.duplicate"} <= codes(found)


@pytest.mark.parametrize("trailer", [b"junk of no format", bytes(range(256))])
def test_bytes_before_and_after_an_archive_are_not_safe(trailer: bytes) -> None:
    assert verdict(HONEST, "model.pt").verdict == "safe"
    assert verdict(HONEST + trailer, "model.pt").verdict == "unscannable"
    assert verdict(trailer + HONEST, "model.pt").verdict == "unscannable"


def test_tensor_members_are_owned_by_the_size_that_the_pickle_says() -> None:
    pickled = stream(storage("0", 4))
    whole = verdict(zipped(("a/data.pkl", pickled), ("a/data/0", bytes(16))), "model.pt")
    assert (whole.verdict, whole.bytes_skipped, whole.sha256 is None) == ("safe", 16, False)
    longer = verdict(zipped(("a/data.pkl", pickled), ("a/data/0", bytes(16) + BAD)), "model.pt")
    assert longer.verdict == "malicious"
    assert verdict(zipped(("a/data.pkl", pickled)), "model.pt").verdict == "unscannable"
    assert verdict(zipped(("a/data.pkl", GOOD), ("a/data/0", BAD)), "model.pt").verdict == "malicious"


def test_legacy_torch_files_own_their_storages() -> None:
    pickled = stream(storage("7", 2))
    head = MAGIC + stream(b"M\xe9\x03") + stream(b"}") + pickled + stream(b"](" + text("7") + b"e")
    data = head + (2).to_bytes(8, "little") + bytes(8)
    assert verdict(data, "old.pt").verdict == "safe"
    assert verdict(data[:-3], "old.pt").verdict == "unscannable"
    assert verdict(data + BAD, "old.pt").verdict == "malicious"
    assert verdict(MAGIC + stream(b"M\xe9\x03") + BAD + pickled + stream(b"]"), "old.pt").verdict == "malicious"


def test_the_oldest_torch_files_are_read() -> None:
    data = tarred(
        ("sys_info", GOOD),
        ("pickle", GOOD),
        ("storages", stream(b"K\x01") + stream(b"(K\x05" + text("cpu") + named("torch", "FloatStorage") + b"t")
         + (2).to_bytes(8, "little") + bytes(8) + stream(b"]")),
        ("tensors", stream(b"K\x00")),
    )  # fmt: skip
    assert verdict(data, "oldest.pt").verdict == "safe"


def test_arrays_are_owned_and_their_objects_read() -> None:
    assert verdict(saved(np.arange(5)), "a.npy").verdict == "safe"
    assert verdict(saved(np.array([{"a": 1}, None], object)), "a.npy").verdict == "safe"
    assert verdict(saved(np.zeros(3, [("x", "i4"), ("y", "f8", (2,))])), "a.npy").verdict == "safe"
    array = saved(np.array([None], object))
    assert verdict(array[:128] + BAD, "a.npy").verdict == "malicious"
    assert verdict(saved(np.arange(5)) + BAD, "a.npy").verdict == "malicious"
    assert verdict(saved(np.arange(5))[:-3], "a.npy").verdict == "unscannable"


def test_arrays_that_joblib_writes_between_the_opcodes_are_stepped_over() -> None:
    dtype = named("numpy", "dtype") + b"(" + text("f8") + b"tR"
    state = b"(" + text("shape") + b"K\x04\x85" + text("dtype") + dtype
    state += text("numpy_array_alignment_bytes") + b"K\x10u"
    wrapper = named("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}" + state + b"b"
    raw = b"\x03\xff\xff\xff" + bytes(32)
    assert verdict(b"\x80\x04" + wrapper + raw + b".", "a.joblib").verdict == "safe"
    assert verdict(b"\x80\x04" + wrapper + raw + b"0cos\nsystem\n.", "a.joblib").verdict == "malicious"
    # a plain pickle.load takes the same bytes for opcodes: here the length of the padding is NONE
    hidden = b"N" + (b"0(cos\nsystem\nX\x01\x00\x00\x00xo.").ljust(ord("N") + 32, b".")
    assert verdict(b"\x80\x04" + wrapper + hidden + b".", "a.joblib").verdict == "malicious"


def test_nesting_and_bombs_have_limits() -> None:
    deep = GOOD
    for _ in range(12):
        deep = gzip.compress(deep)
    assert codes(verdict(deep)) == {"limit.depth"}
    bomb = zipped(("zeros", bytes(3_000_000)), method=zipfile.ZIP_DEFLATED)
    assert "limit.unpacked" in codes(verdict(bomb, unpacked_bytes=1_000_000))
    many = zipped(*((f"{index}.pkl", GOOD) for index in range(50)))
    assert "limit.members" in codes(verdict(many, members=10))


def test_names_and_links_that_lead_out_are_told() -> None:
    assert "zip.path" in codes(verdict(zipped(("../../canary", GOOD))))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    assert "tar.link" in codes(verdict(data.getvalue()))


def test_a_name_that_promises_another_format_is_told() -> None:
    assert "format.misnamed" not in codes(verdict(GOOD, "model.pkl"))
    assert verdict(TORCH, "model.npy").verdict == "malicious"


SEEDS = [TORCH, HONEST, tarred(("a.pkl", GOOD)), saved(np.arange(5)), sevened(GOOD), gzip.compress(GOOD), GOOD * 3]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=6)), max_size=5))
def test_changed_bytes_never_raise(seed: bytes, changes: list[tuple[int, bytes]]) -> None:
    data = seed
    for at, new in changes:
        data = data[:at] + new + data[at + len(new) :]
    found = verdict(data, unpacked_bytes=20_000_000, member_bytes=10_000_000)
    assert found.bytes == len(data)
    assert not any(reason.code == "scan.failed" and "Error" not in reason.text for reason in found.reasons)
