"""EVTX: what was walked is kept or rejected, and what a cut file lost is said."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import evtx as evtx_package
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.evidence.readers import evtx
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.evtx_chunks import CHUNK_BYTES, FILE_HEADER_BYTES, decodable, walk_chunk
from casemate.evidence.readers.number_runs import NumberRuns


class Content:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def read(data: bytes) -> tuple[list[dict[str, Any]], list[Reject], Tally]:
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for item in evtx.read(Content(data), ReadContext("x.evtx", datetime(2024, 1, 1, tzinfo=UTC))):
        if isinstance(item, Rows):
            rows.extend(item.batch.to_pylist())
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            assert item.records == len(rows) + len(rejects)
            numbers = [row["record"] for row in rows] + [reject.record for reject in rejects]
            assert len(set(numbers)) == len(numbers)
            return rows, rejects, item
    raise AssertionError("no tally")


def members(shared_data: Path) -> Iterator[tuple[str, bytes]]:
    archives = [*sorted((shared_data / "evtx").glob("*.zip")), shared_data / "sigma/regression.zip"]
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith(".evtx"):
                    yield name, opened.read(name)


@cache
def sample(shared_data: Path) -> bytes:
    """A real log of several chunks, all of them full of records."""
    return next(data for _, data in members(shared_data) if len(data) >= FILE_HEADER_BYTES + 4 * CHUNK_BYTES)


def test_every_real_file_reads_as_the_package_reads_it(shared_data: Path) -> None:
    files = 0
    for name, data in members(shared_data):
        rows, rejects, _ = read(data)
        expected = [r["event_record_id"] for r in evtx_package.PyEvtxParser(io.BytesIO(data)).records_json() if r]
        assert sorted(row["record"] for row in rows) == sorted(expected), name
        assert not rejects, name
        assert all(row["Provider_Name"] and row["EventID"] and row["time"] for row in rows), name
        for row in rows:
            record = data[row["offset"] : row["offset"] + row["length"]]
            assert struct.unpack_from("<4sIQ", record) == (b"**\x00\x00", row["length"], row["record"])
        files += 1
    assert files == 411


def test_a_file_cut_inside_a_chunk_keeps_what_is_whole_and_says_what_is_missing(shared_data: Path) -> None:
    data = sample(shared_data)
    whole, _, _ = read(data)
    cut = FILE_HEADER_BYTES + CHUNK_BYTES + 30_000
    assert not list_silently(data[:cut], len(whole))
    rows, rejects, tally = read(data[:cut])
    expected = [row for row in whole if row["offset"] + row["length"] <= cut]
    assert rows == expected
    assert len(rows) > 20
    assert [(r.offset + r.length, r.reason) for r in rejects] == [(cut, "the file ends inside this record")]
    following = whole[len(rows)]
    assert (rejects[0].record, rejects[0].offset) == (following["record"], following["offset"])
    said = " ".join(tally.notes)
    assert "The file ends in chunk 1" in said
    assert f"records {expected[-1]['record'] + 1}-" in said
    assert "chunks are missing" in said or "are missing at its end" in said


def list_silently(data: bytes, whole: int) -> bool:
    """Whether the package alone reads all of a cut file (it does not, and says nothing)."""
    try:
        return len(list(evtx_package.PyEvtxParser(io.BytesIO(data)).records_json())) == whole
    except RuntimeError:
        return False


def test_a_record_with_damaged_content_is_rejected_and_its_neighbours_are_kept(shared_data: Path) -> None:
    data = bytearray(sample(shared_data))
    whole, _, _ = read(bytes(data))
    victim = whole[10]
    data[victim["offset"] + 24 : victim["offset"] + 60] = b"\xff" * 36
    rows, rejects, tally = read(bytes(data))
    assert victim["record"] in [reject.record for reject in rejects]
    assert len(rows) >= len(whole) - 8
    assert "checksum of its records is wrong" in " ".join(tally.notes)


def test_a_damaged_record_header_costs_one_record(shared_data: Path) -> None:
    data = bytearray(sample(shared_data))
    whole, _, _ = read(bytes(data))
    victim = whole[12]
    data[victim["offset"] : victim["offset"] + 8] = b"\x00" * 8
    rows, rejects, tally = read(bytes(data))
    assert [r.offset for r in rejects] == [victim["offset"]]
    assert rejects[0].length == victim["length"]
    assert rejects[0].record == 10**18 + victim["offset"]
    assert len(rows) == len(whole) - 1
    assert f"absent: {victim['record']}" in " ".join(tally.notes)


def test_a_removed_chunk_is_a_hole_in_the_record_numbers(shared_data: Path) -> None:
    data = sample(shared_data)
    begin = FILE_HEADER_BYTES + CHUNK_BYTES
    whole, _, _ = read(data)
    gone = [row["record"] for row in whole if begin <= row["offset"] < begin + CHUNK_BYTES]
    _, rejects, tally = read(data[:begin] + data[begin + CHUNK_BYTES :])
    assert not rejects
    assert f"{len(gone)} record numbers between the first and the last are absent: {min(gone)}-{max(gone)}" in " ".join(
        tally.notes
    )


def test_a_repeated_chunk_gets_numbers_of_its_own(shared_data: Path) -> None:
    data = sample(shared_data)
    chunk = data[FILE_HEADER_BYTES : FILE_HEADER_BYTES + CHUNK_BYTES]
    whole, _, _ = read(data)
    rows, _, tally = read(data + chunk)
    repeated = [row for row in rows if row["record"] >= 10**18]
    assert len(rows) == len(whole) + len(repeated)
    assert all(row["record"] == 10**18 + row["offset"] for row in repeated)
    assert f"{len(repeated)} records without a number of their own" in " ".join(tally.notes)


def test_garbage_where_a_chunk_should_be_is_rejected_with_its_place(shared_data: Path) -> None:
    data = sample(shared_data)
    begin = FILE_HEADER_BYTES + CHUNK_BYTES
    rows, rejects, _ = read(data[:begin] + b"\x41" * CHUNK_BYTES + data[begin + CHUNK_BYTES :])
    assert rows
    assert [(r.offset, r.length, r.reason) for r in rejects] == [(begin, CHUNK_BYTES, "not a chunk of an event log")]


def test_the_dirty_flag_is_noted(shared_data: Path) -> None:
    data = bytearray(sample(shared_data))
    data[120] |= 1
    _, _, tally = read(bytes(data))
    assert any("dirty" in note for note in tally.notes)
    assert any("checksum of the file header" not in note for note in tally.notes)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_is_accounted_for(shared_data: Path, data: st.DataObject) -> None:
    whole = sample(shared_data)[: FILE_HEADER_BYTES + 2 * CHUNK_BYTES]
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            place = data.draw(st.integers(0, len(content) - 1))
            patch = data.draw(st.binary(min_size=1, max_size=16))
            content[place : place + len(patch)] = patch[: len(content) - place]
    read(bytes(content))


@given(st.binary(max_size=300), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_any_bytes_as_a_chunk_are_walked(content: bytes, kind: int) -> None:
    head = [
        b"",
        b"ElfChnk\x00",
        b"ElfChnk\x00".ljust(512, b"\x01"),
        b"ElfChnk\x00".ljust(512, b"\x00") + b"**\x00\x00",
    ][kind]
    data = (head + content).ljust(CHUNK_BYTES, b"\x00")[:CHUNK_BYTES]
    chunk = walk_chunk(0, 4096, data)
    decodable(chunk)
    spans = sorted([(r.offset, r.length) for r in chunk.records] + [(d.offset, d.length) for d in chunk.damage])
    for (offset, length), (following, _) in pairwise(spans):
        assert offset + length <= following


@given(st.lists(st.integers(0, 30)))
def test_runs_are_sets(numbers: list[int]) -> None:
    runs = NumberRuns()
    seen: set[int] = set()
    for number in numbers:
        assert runs.add(number) == (number not in seen)
        seen.add(number)
    assert [n for first, last in runs.runs() for n in range(first, last + 1)] == sorted(seen)
    if seen:
        absent = [n for first, last in runs.holes() for n in range(first, last + 1)]
        assert absent == [n for n in range(min(seen), max(seen)) if n not in seen]


@pytest.mark.parametrize("data", [b"", b"ElfFile\x00", b"ElfFile\x00".ljust(4096, b"\x00"), b"\x00" * 70_000])
def test_an_empty_or_headless_file_is_no_error(data: bytes) -> None:
    rows, rejects, _ = read(data)
    assert not rows
    assert not rejects
