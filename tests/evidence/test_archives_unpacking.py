"""Archives give their members inside limits; damage costs only what is damaged, and is always said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import py7zr
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_case import evidence_of, opened, rows_of, take, texts

from casemate.evidence.archives import Broken, Budget, BudgetSpent, Unpacking, members
from casemate.evidence.blobs import FileSource
from casemate.evidence.identify import identify
from casemate.evidence.readers import READERS
from casemate.limits import Limits

LOG = b"".join(b"line %d of the log\n" % number for number in range(2_000))


def zipped(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def sevenzipped(*entries: tuple[str, bytes], password: str | None = None) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", password=password) as archive:
        for name, content in entries:
            archive.writestr(content, name)
    return out.getvalue()


PACKERS = {
    "zip": lambda content: zipped(("a.log", content)),
    "tar": lambda content: tarred(("a.log", content)),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "7z": lambda content: sevenzipped(("a.log", content)),
}


def unpacked(content: bytes, folder: Path, limits: Limits | None = None) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Members of a container, and everything that was said about it."""
    file = folder / "container"
    file.write_bytes(content)
    seen = identify(content, READERS)
    unpacking = Unpacking(len(content), Budget(limits or Limits()))
    out: list[tuple[str, bytes]] = []
    try:
        for member in members(seen.format, FileSource(file), "container", unpacking, folder):
            data = b""
            try:
                while block := member.read():
                    data += block
            except Broken as error:
                unpacking.note(str(error))
            out.append((member.name, data))
    except BudgetSpent as error:
        unpacking.note(str(error))
    return out, unpacking.notes


@pytest.mark.parametrize("kind", PACKERS)
def test_each_container_is_known_by_its_content_and_gives_its_member(kind: str, tmp_path: Path) -> None:
    packed = PACKERS[kind](LOG)
    assert identify(packed[:262_144], READERS).format == kind
    out, notes = unpacked(packed, tmp_path)
    assert [content for _, content in out] == [LOG]
    assert notes == []


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_concatenated_streams_are_one_content(kind: str, tmp_path: Path) -> None:
    out, notes = unpacked(PACKERS[kind](LOG) + PACKERS[kind](b"more\n"), tmp_path)
    assert out[0][1] == LOG + b"more\n"
    assert notes == []


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "tar"])
def test_what_came_out_before_a_break_is_kept_and_the_break_is_said(kind: str, tmp_path: Path) -> None:
    import random

    noise = random.Random(1).randbytes(3_000_000)
    packed = PACKERS[kind](noise)
    out, notes = unpacked(packed[: len(packed) // 2], tmp_path)
    assert noise.startswith(out[0][1])
    assert len(out[0][1]) > 1_000_000
    assert len(notes) >= 1


def test_a_wrong_checksum_costs_no_byte(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LOG))
    packed[-8:-4] = bytes(4)
    out, notes = unpacked(bytes(packed), tmp_path)
    assert out == [("container", LOG)]
    assert "incorrect data check" in notes[0]
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(LOG))
    packed[-1] ^= 1
    out, notes = unpacked(bytes(packed), tmp_path)
    assert out == [("container", LOG)]
    assert "damaged" in notes[0]
    packed = bytearray(zipped(("a.log", LOG), ("b.log", b"b")))
    place = packed.index(b"PK\x01\x02") + 16
    packed[place : place + 4] = bytes(4)
    out, notes = unpacked(bytes(packed), tmp_path)
    assert out == [("a.log", LOG), ("b.log", b"b")]
    assert "checksum is wrong" in notes[0]


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_all_that_stands_before_damage_comes_out(kind: str, tmp_path: Path) -> None:
    packed = bytearray(PACKERS[kind](LOG * 3))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    ((_, content), *_), notes = unpacked(bytes(packed), tmp_path)
    assert notes
    same = next(
        (at for at, (one, other) in enumerate(zip(content, LOG * 3, strict=False)) if one != other), len(content)
    )
    assert same > 0.4 * len(LOG * 3)


@pytest.mark.parametrize("stored", [False, True])
def test_a_zip_archive_without_its_directory_gives_its_members(stored: bool, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("a.log", LOG), ("ü/b.log", b"b" * 9_000), ("empty", b""), ("c.log", LOG * 2)):
            archive.writestr(name, content)
    packed = out.getvalue()
    whole, notes = unpacked(packed[: packed.index(b"PK\x01\x02") + 10], tmp_path)
    assert whole == [("a.log", LOG), ("ü/b.log", b"b" * 9_000), ("empty", b""), ("c.log", LOG * 2)]
    assert "directory is unreadable" in notes[0]
    (*first, (name, content)), notes = unpacked(packed[: packed.index(b"PK\x01\x02") - 1_000], tmp_path)
    assert [*first] == whole[:3]
    assert (name, LOG * 2) == ("c.log", content + (LOG * 2)[len(content) :])
    assert any("breaks off inside" in note for note in notes)


def test_a_streamed_zip_archive_that_was_cut_gives_what_is_there(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

        tell = seek  # type: ignore[assignment]

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # sizes stand behind the data
        archive.writestr("a.log", LOG)
        archive.writestr("b.log", LOG[:500])
    packed = out.getvalue()
    assert unpacked(packed[: packed.index(b"PK\x01\x02")], tmp_path)[0] == [("a.log", LOG), ("b.log", LOG[:500])]


def test_zstd_may_begin_with_a_frame_to_skip(tmp_path: Path) -> None:
    packed = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstandard.compress(LOG)
    assert unpacked(packed, tmp_path) == ([("container", LOG)], [])


def test_garbage_after_a_gzip_stream_is_said_and_zero_padding_is_not(tmp_path: Path) -> None:
    assert unpacked(gzip.compress(LOG) + bytes(1_000), tmp_path) == ([("container", LOG)], [])
    out, notes = unpacked(gzip.compress(LOG) + b"garbage", tmp_path)
    assert out == [("container", LOG)]
    assert "after the end" in notes[0]


def test_hostile_names_are_only_labels(tmp_path: Path) -> None:
    names = ["../../escaped", "/etc/absolute", "a/../b", "same", "C:\\x"]
    for packed in (zipped(*[(name, b"x") for name in names]), tarred(*[(name, b"x") for name in names])):
        out, _ = unpacked(packed, tmp_path)
        assert [name for name, _ in out] == names
    out, notes = unpacked(sevenzipped(*[(name, b"x") for name in names[2:4]]), tmp_path)
    assert [content for _, content in out] == [b"x", b"x"]
    assert notes == []
    assert not (tmp_path.parent / "escaped").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["container"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_all_taken(tmp_path: Path) -> None:
    out, _ = unpacked(zipped(("a", b"first"), ("a", b"second")), tmp_path)
    assert out == [("a", b"first"), ("a", b"second")]


def test_encrypted_members_are_named(tmp_path: Path) -> None:
    packed = bytearray(zipped(("open.log", b"open"), ("secret.log", b"secret")))
    directory = packed.rfind(b"PK\x01\x02")
    packed[directory + 8] |= 1
    out, notes = unpacked(bytes(packed), tmp_path)
    assert out == [("open.log", b"open")]
    assert notes == ["member 'secret.log' is encrypted; not read"]
    out, notes = unpacked(sevenzipped(("a", b"secret"), password="p"), tmp_path)
    assert out == []
    assert "encrypted" in notes[0]


@pytest.mark.parametrize("stated", [1, 10_000_000, 0xFFFFFFFE])
def test_a_lie_about_the_size_is_noticed(stated: int, tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.log", LOG)))
    directory = packed.rfind(b"PK\x01\x02")
    packed[directory + 24 : directory + 28] = struct.pack("<I", stated)
    out, notes = unpacked(bytes(packed), tmp_path)
    assert out == [("a.log", LOG)]
    assert f"states {stated:,} bytes" in notes[0]


@pytest.mark.parametrize("kind", PACKERS)
def test_a_bomb_ends_at_the_limit(kind: str, tmp_path: Path) -> None:
    bomb = PACKERS[kind](bytes(30_000_000))
    limits = Limits(archive_ratio=10, archive_ratio_floor=2_000_000, archive_bytes=4_000_000)
    out, notes = unpacked(bomb, tmp_path, limits)
    assert sum(len(content) for _, content in out) <= 4_000_000 + 32 * 1024 * 1024
    assert "limit archive" in notes[0]


def test_a_7z_archive_that_wants_more_memory_than_allowed_is_said(tmp_path: Path) -> None:
    out, notes = unpacked(sevenzipped(("a", LOG)), tmp_path, Limits(helper_memory_bytes=24 * 1024 * 1024))
    assert out == []
    assert len(notes) == 1


def test_too_many_members_are_said(tmp_path: Path) -> None:
    packed = tarred(*[(f"{number}", b"x") for number in range(20)])
    out, notes = unpacked(packed, tmp_path, Limits(archive_members=5))
    assert len(out) == 5
    assert notes == ["limit archive_members reached: only the first 5 members were taken"]


def test_nested_archives_are_taken_apart_down_to_the_limit(tmp_path: Path) -> None:
    inner = gzip.compress(b"deep line\n")
    (tmp_path / "outer.bin").write_bytes(zipped(("x.tar", tarred(("y.gz", inner)))))
    with opened(tmp_path / "case") as case:
        report = take(case, tmp_path / "outer.bin")
        assert texts(case) == ["deep line"]
        assert report.problems == []
        by_format = {row["format"]: row["evidence"] for row in rows_of(case, "evidence")}
        parents = {row["evidence"]: (row["parent"], row["member_path"]) for row in rows_of(case, "registrations")}
        assert parents[by_format["lines"]] == (by_format["gzip"], "x.tar!/y.gz!/y")
        assert parents[by_format["tar"]] == (by_format["zip"], "x.tar")
        assert parents[by_format["zip"]] == (None, None)
    with opened(tmp_path / "shallow") as case:
        report = take(case, tmp_path / "outer.bin", limits=Limits(archive_depth=2))
        assert texts(case) == []
        assert "archive_depth" in report.problems[0].what
        assert "archive_depth" in evidence_of(case, "gzip")["notes"][0]


def test_an_archive_that_was_read_is_not_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(("a.log", LOG), ("copy.log", LOG), ("b.log", b"b\n")))
    with opened(tmp_path / "case") as case:
        first = take(case, tmp_path / "a.zip")
        assert (len(first.evidence), first.known, first.kept) == (3, 1, 2_001)
        again = take(case, tmp_path / "a.zip")
        assert (len(again.evidence), again.known, again.kept) == (0, 1, 0)
        assert len(rows_of(case, "registrations")) == 5


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(set(PACKERS) - {"7z"})), st.data())
def test_changed_bytes_never_raise(kind: str, data: st.DataObject) -> None:
    import tempfile

    packed = bytearray(PACKERS[kind](LOG[:3_000]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed = packed[: data.draw(st.integers(1, len(packed)))]
    if not identify(bytes(packed), READERS).container:
        return
    with tempfile.TemporaryDirectory() as folder:
        out, notes = unpacked(bytes(packed), Path(folder))
    assert [content for _, content in out] == [LOG[:3_000]] or notes or kind in ("tar", "zip")
