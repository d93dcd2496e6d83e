"""An event log that was collected twice from a running machine counts once."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from ingest_case import opened, rows_of, take

from casemate.case import Case
from casemate.evidence.readers.evtx_chunks import CHUNK_BYTES, FILE_HEADER_BYTES, walk_chunk
from casemate.evidence.records import original


@pytest.fixture(scope="module")
def log(shared_data: Path) -> bytes:
    """A real log with several records in its last chunk."""
    for path in sorted((shared_data / "evtx").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                data = archive.read(name) if name.endswith(".evtx") else b""
                if len(data) == FILE_HEADER_BYTES + CHUNK_BYTES and len(_chunk(data).records) > 5:
                    return data
    raise AssertionError("no log of one chunk")


def _chunk(data: bytes):
    return walk_chunk(0, FILE_HEADER_BYTES, data[FILE_HEADER_BYTES : FILE_HEADER_BYTES + CHUNK_BYTES])


def earlier(data: bytes, records: int) -> bytes:
    """The log as it was when it had only its first `records` records."""
    last = _chunk(data).records[records - 1]
    out = bytearray(data)
    end = last.offset - FILE_HEADER_BYTES + last.length
    chunk = memoryview(out)[FILE_HEADER_BYTES:]
    chunk[end:CHUNK_BYTES] = bytes(CHUNK_BYTES - end)
    struct.pack_into("<Q", chunk, 16, last.record_id)
    struct.pack_into("<Q", chunk, 32, last.record_id)
    struct.pack_into("<II", chunk, 44, last.offset - FILE_HEADER_BYTES, end)
    struct.pack_into("<I", chunk, 52, zlib.crc32(chunk[512:end]))
    struct.pack_into("<I", chunk, 124, zlib.crc32(chunk[128:512], zlib.crc32(chunk[:120])))
    struct.pack_into("<Q", out, 24, last.record_id + 1)
    struct.pack_into("<I", out, 124, zlib.crc32(out[:120]))
    return bytes(out)


def counted(case: Case) -> list[int]:
    rows = rows_of(case, "evidence")
    assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
    events = rows_of(case, "windows_event")
    assert sum(row["kept"] for row in rows) == len(events)
    return sorted(row["record"] for row in events)


@pytest.mark.parametrize("together", [True, False, "zip"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_copies_of_one_log_count_once(
    log: bytes, tmp_path: Path, together: bool | str, order: tuple[int, int, int]
) -> None:
    versions = (earlier(log, 2), earlier(log, 4), log)
    folder = tmp_path / "in"
    folder.mkdir()
    with opened(tmp_path / "case") as case:
        if together == "zip":
            with zipfile.ZipFile(folder / "logs.zip", "w") as archive:
                for number, which in enumerate(order):
                    archive.writestr(f"{number}.evtx", versions[which])
        else:
            for number, which in enumerate(order):
                (folder / f"{number}.evtx").write_bytes(versions[which])
                if not together:
                    assert not take(case, folder / f"{number}.evtx").problems
        assert not take(case, folder).problems
        numbers = [record.record_id for record in _chunk(log).records]
        assert counted(case) == sorted(numbers)
        (home,) = {row["evidence"] for row in rows_of(case, "windows_event")}
        for row in rows_of(case, "evidence"):
            if row["format"] == "evtx" and row["evidence"] != home:
                assert any("counted" in note for note in row["notes"])
                if row["bytes"] and any("continues it" in note for note in row["notes"]):
                    assert original(case.store, row["evidence"], numbers[0]).place.evidence == home


def test_records_that_two_logs_share_count_once_and_others_count_each(log: bytes, tmp_path: Path) -> None:
    other = bytearray(earlier(log, 4))
    last = _chunk(log).records[3]
    other[last.offset + 16] ^= 1  # the time of one record is another
    with opened(tmp_path / "case") as case:
        for name, data in (("a.evtx", earlier(log, 4)), ("b.evtx", bytes(other))):
            (tmp_path / name).write_bytes(data)
            take(case, tmp_path / name)
        numbers = [record.record_id for record in _chunk(log).records[:4]]
        assert counted(case) == sorted([*numbers, numbers[3]])
        notes = [note for row in rows_of(case, "evidence") for note in row["notes"]]
        assert any(note.startswith("3 records of it (") and note.endswith("counted there") for note in notes)


@pytest.fixture(scope="module")
def chunks(shared_data: Path) -> tuple[bytes, list[bytes]]:
    """The file header and three chunks of a real log."""
    for path in sorted((shared_data / "evtx").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                data = archive.read(name) if name.endswith(".evtx") else b""
                pieces = [data[at : at + CHUNK_BYTES] for at in range(FILE_HEADER_BYTES, len(data), CHUNK_BYTES)]
                if len(pieces) >= 3 and all(len(piece) == CHUNK_BYTES and piece.strip(b"\0") for piece in pieces[:3]):
                    return data[:FILE_HEADER_BYTES], pieces[:3]
    raise AssertionError("no log of three chunks")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_log_that_wrapped_between_two_collections_counts_once(
    chunks: tuple[bytes, list[bytes]], tmp_path: Path, together: bool, order: tuple[int, int, int]
) -> None:
    header, (first, second, third) = chunks
    # a ring of two chunks: the third one overwrote the first; a last copy holds the third alone
    versions = (header + first + second, header + third + second, header + third)
    folder = tmp_path / "in"
    folder.mkdir()
    with opened(tmp_path / "case") as case:
        for number, which in enumerate(order):
            (folder / f"{number}.evtx").write_bytes(versions[which])
            if not together:
                take(case, folder / f"{number}.evtx")
        assert not take(case, folder).problems
        expected = [
            record.record_id
            for piece in (first, second, third)
            for record in walk_chunk(0, FILE_HEADER_BYTES, piece).records
        ]
        assert counted(case) == sorted(expected)
        notes = [note for row in rows_of(case, "evidence") for note in row["notes"]]
        assert any("records of it" in note and "they are counted there" in note for note in notes)
        before = case.store.state.parts.keys()
        take(case, folder)
        assert counted(case) == sorted(expected)
        assert {path for path in before if "windows_event" in path} == {
            path for path in case.store.state.parts if "windows_event" in path
        }
