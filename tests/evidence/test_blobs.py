"""Blobs and sources: the bytes that come out are those that went in, from any position."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
import zstandard
from hypothesis import given, settings

from casemate.errors import CaseDamaged, CasemateError, UnreadableEvidence
from casemate.evidence import seekable
from casemate.evidence.blobs import (
    BlobSource,
    BlobWriter,
    ContinuedSource,
    FileSource,
    kept,
    left_in_place,
    open_blob,
    source_of,
    write_blob,
)

TEXT = b"".join(b"line %d of a log that repeats itself\n" % number for number in range(100_000))  # 4 MB


def test_content_and_hashes_come_back(tmp_path: Path) -> None:
    finished = write_blob(tmp_path / "b", io.BytesIO(TEXT))
    assert finished.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert finished.stored_sha256 == hashlib.sha256((tmp_path / "b").read_bytes()).hexdigest()
    assert finished.bytes == len(TEXT)
    assert finished.stored_bytes == (tmp_path / "b").stat().st_size < len(TEXT) / 4
    with open_blob(tmp_path / "b") as stream:
        assert stream.read() == TEXT


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_the_zstd_program_reads_it(tmp_path: Path) -> None:
    write_blob(tmp_path / "b.zst", io.BytesIO(TEXT))
    answer = subprocess.run(["zstd", "-dcq", str(tmp_path / "b.zst")], capture_output=True, check=True)
    assert answer.stdout == TEXT


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=12), st.integers(0, 2**32))
def test_any_writes_and_any_seeks(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], seed: int) -> None:
    path = tmp_path_factory.mktemp("blob") / "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seekable, "FRAME_BYTES", 1000)
        with BlobWriter(path) as writer:
            for piece in pieces:
                writer.write(piece)
            writer.finish()
    content, random = b"".join(pieces), Random(seed)
    with open_blob(path) as stream:
        for _ in range(20):
            begin, count = random.randint(0, len(content) + 10), random.randint(0, 4000)
            assert stream.seek(begin) == begin
            assert stream.read(count) == content[begin : begin + count]
        assert stream.seek(0, os.SEEK_END) == len(content)


def test_one_frame_at_a_time_is_held(tmp_path: Path) -> None:
    write_blob(tmp_path / "b", io.BytesIO(bytes(64 * 1024 * 1024)))
    assert (tmp_path / "b").stat().st_size < 100_000
    with open_blob(tmp_path / "b") as stream:
        stream.seek(50_000_000)
        assert stream.read(10) == bytes(10)
        raw = stream.raw  # type: ignore[attr-defined]
        assert len(raw._frame) == seekable.FRAME_BYTES


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_blob_never_gives_other_content(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("blob") / "b"
    content = TEXT[:3000]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seekable, "FRAME_BYTES", 1000)
        write_blob(path, io.BytesIO(content))
    stored = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(stored) - 1))
        stored[position] = data.draw(st.integers(0, 255))
    path.write_bytes(stored)
    try:
        with open_blob(path) as stream:
            read = stream.read()
    except CaseDamaged:
        return
    assert read == content


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_or_empty(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("blob") / "b"
    path.write_bytes(junk)
    try:
        with open_blob(path) as stream:
            stream.read()
    except CaseDamaged:
        pass


def test_a_frame_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(200 * 1024 * 1024))
    table = struct.pack("<II", len(bomb), 1024)
    tail = struct.pack("<II", 0x184D2A5E, len(table) + 9) + table + struct.pack("<IBI", 1, 0, 0x8F92EAB1)
    (tmp_path / "b").write_bytes(bomb + tail)
    with open_blob(tmp_path / "b") as stream, pytest.raises(CaseDamaged, match="size"):
        stream.read()


def test_continued_evidence_is_one_stream(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    digest, blobs, cuts, before = hashlib.sha256(), {}, [0, 1_000_000, 1_000_001, 3_000_000], None
    for begin, end in zip(cuts, [*cuts[1:], len(TEXT)], strict=True):
        finished = write_blob(tmp_path / "new", io.BytesIO(TEXT[begin:end]), digest.copy())
        digest.update(TEXT[begin:end])
        before = kept(finished, continues=before)
        blobs[before.evidence] = before
        (tmp_path / "new").rename(tmp_path / str(before.path))
        source = source_of(tmp_path, blobs, before.evidence)
        assert before.evidence == hashlib.sha256(TEXT[:end]).hexdigest()
        assert source.size == before.size == end
        with source.open() as stream:
            assert stream.read() == TEXT[:end]
            for position in (0, end - 1, 999_990 % end, 1_000_000 % end, end + 5):
                stream.seek(position)
                assert stream.read(30) == TEXT[:end][position : position + 30]


def test_a_file_left_in_place_is_read_up_to_its_size(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(TEXT)
    source = FileSource(log)
    with log.open("ab") as stream:
        stream.write(b"more")
    assert source.size == len(TEXT)
    with source.open() as stream:
        assert stream.read() == TEXT
        assert stream.seek(0, os.SEEK_END) == len(TEXT)


def test_a_file_left_in_place_is_checked_before_it_is_trusted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(TEXT)
    sha256 = hashlib.sha256(TEXT).hexdigest()
    blobs = {sha256: left_in_place(sha256, len(TEXT), log)}
    source = source_of(tmp_path, blobs, sha256)
    with source.open() as stream:
        assert stream.read(20) == TEXT[:20]
    changed = bytearray(TEXT)
    changed[100] ^= 1
    log.write_bytes(changed)
    for again in (source, source_of(tmp_path, blobs, sha256)):
        with pytest.raises(UnreadableEvidence, match="not the content"):
            again.open()
    log.unlink()
    with pytest.raises(UnreadableEvidence):
        source_of(tmp_path, blobs, sha256).open()


def test_a_continuation_of_a_file_left_in_place(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(TEXT)
    first, whole = hashlib.sha256(TEXT[:1000]).hexdigest(), hashlib.sha256(TEXT).hexdigest()
    older = left_in_place(first, 1000, log)
    newer = left_in_place(whole, len(TEXT), log, continues=older)
    blobs = {first: older, whole: newer}
    with source_of(tmp_path, blobs, first).open() as stream:
        assert stream.read() == TEXT[:1000]
    with source_of(tmp_path, blobs, whole).open() as stream:
        assert stream.read() == TEXT


def test_devices_pipes_and_links_are_no_sources(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    for path in (Path("/dev/zero"), tmp_path / "pipe", tmp_path / "link", tmp_path, tmp_path / "missing"):
        with pytest.raises(CasemateError):
            FileSource(path)
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(CaseDamaged):
            open_blob(path)


def test_a_blob_of_another_size_is_refused(tmp_path: Path) -> None:
    write_blob(tmp_path / "b", io.BytesIO(b"abc"))
    with pytest.raises(CaseDamaged):
        BlobSource(tmp_path / "b", 4).open()
    with ContinuedSource((BlobSource(tmp_path / "b", 3),)).open() as stream:
        assert stream.read() == b"abc"
