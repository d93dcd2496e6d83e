"""``custody verify``: every changed, missing or added byte is found, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from casemate.case import Case
from casemate.errors import CaseDamaged
from casemate.evidence.blobs import kept, left_in_place, write_blob
from casemate.evidence.verify import CUT_LINES, verify

SCHEMA = pa.schema([pa.field("evidence", pa.string(), nullable=False), pa.field("User", pa.string())])


def rows(count: int) -> pa.RecordBatch:
    return pa.record_batch({"evidence": ["e"] * count, "User": [f"u{number}" for number in range(count)]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small case: two tables, a log and its continuation, a file left in place."""
    left = tmp_path / "left.log"
    left.write_bytes(b"left where it is\n" * 20)
    with Case.create(tmp_path / "case") as case:
        stage = case.stage()
        stage.write("events", SCHEMA, [rows(20)])
        stage.write("others", SCHEMA, [rows(3)])
        path = stage.blob_path()
        older = kept(write_blob(path, io.BytesIO(b"some evidence\n" * 30)))
        stage.add_blob(older, path)
        case.commit(stage, facts={"phase": "ingest"})
        stage = case.stage()
        path = stage.blob_path()
        digest = hashlib.sha256(b"some evidence\n" * 30)
        stage.add_blob(kept(write_blob(path, io.BytesIO(b"and more\n"), digest), continues=older), path)
        content = left.read_bytes()
        stage.add_blob(left_in_place(hashlib.sha256(content).hexdigest(), len(content), left), None)
        case.commit(stage)
        case.log("note", {"text": "the end"})
    return tmp_path / "case"


def checked_files(root: Path) -> list[Path]:
    unchecked = {"lock", "case.toml"}
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name not in unchecked)


def test_a_sound_case_holds_and_the_limit_of_the_check_is_said(root: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    result = verify(root, lambda *step: seen.append(step))
    assert result.holds
    assert result.problems == ()
    assert result.notes == (CUT_LINES,)
    assert (result.lines, result.parts, result.blobs) == (4, 2, 3)
    assert seen[-1][0] == result.bytes


def test_each_flipped_removed_or_added_byte_is_found_where_it_is(root: Path) -> None:
    random = Random(5)
    files = checked_files(root)
    assert len(files) == 6  # log, manifest, two parts, two blobs
    for path in files:
        whole = path.read_bytes()
        count = min(len(whole), 60)
        for position in {0, 1, len(whole) - 1, *random.sample(range(len(whole)), count)}:
            flipped = bytearray(whole)
            flipped[position] ^= 1 << random.randrange(8)
            removed = whole[:position] + whole[position + 1 :]
            added = whole[:position] + bytes([random.randrange(256)]) + whole[position:]
            for changed in (bytes(flipped), removed, added):
                path.write_bytes(changed)
                problems = verify(root).problems
                name = str(path.relative_to(root))
                assert any(name in problem.where for problem in problems), (name, position)
        path.write_bytes(whole)
    assert verify(root).holds


def test_each_missing_file_is_found(root: Path) -> None:
    for path in checked_files(root):
        if path.name == "custody.jsonl":
            continue
        whole = path.read_bytes()
        path.unlink()
        assert [problem.where for problem in verify(root).problems] == [str(path.relative_to(root))]
        path.write_bytes(whole)
    (root / "custody.jsonl").unlink()
    with pytest.raises(CaseDamaged):
        verify(root)


@pytest.mark.parametrize(
    "name", ["stray", "tables/stray", "tables/events/part-000009-000.parquet", "evidence/x.zst", "evidence/d/f", "n/f"]
)
def test_an_added_file_is_found(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"")
    assert any(name.startswith(problem.where) for problem in verify(root).problems)


def test_added_links_are_found_and_not_followed(root: Path) -> None:
    (root / "tables" / "link").symlink_to("/")
    assert [problem.where for problem in verify(root).problems] == ["tables/link"]


def test_a_link_or_pipe_in_place_of_a_file_is_found(root: Path) -> None:
    for path in checked_files(root):
        if path.name == "custody.jsonl":
            continue
        whole = path.read_bytes()
        path.rename(root.parent / "moved")
        path.symlink_to(root.parent / "moved")
        assert [problem.where for problem in verify(root).problems] == [str(path.relative_to(root))], path
        path.unlink()
        os.mkfifo(path)
        assert str(path.relative_to(root)) in {problem.where for problem in verify(root).problems}
        path.unlink()
        path.write_bytes(whole)


def test_files_for_people_may_change(root: Path) -> None:
    (root / "report.html").write_text("<p>")
    (root / "derived").mkdir()
    (root / "derived" / "index.duckdb").write_bytes(b"x")
    (root / "staging" / "stage-x").mkdir()
    (root / "case.toml").write_text((root / "case.toml").read_text() + "# a remark\n")
    assert verify(root).holds


@pytest.mark.parametrize(
    "change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other"), lambda path: path.mkdir(0o700)]
)
def test_a_file_left_in_place_that_changed_or_vanished_is_found(root: Path, change: Callable[[Path], None]) -> None:
    left = root.parent / "left.log"
    if change.__code__.co_names[0] == "mkdir":
        left.unlink()
    change(left)
    (problem,) = verify(root).problems
    assert "left in place" in problem.where
    assert str(left) in problem.where


def test_a_file_left_in_place_may_grow(root: Path) -> None:
    with (root.parent / "left.log").open("ab") as stream:
        stream.write(b"more\n")
    assert verify(root).holds


def test_damage_of_a_beginning_is_said_once(root: Path) -> None:
    blobs = Case.open(root).blobs
    older = next(blob for blob in blobs.values() if blob.path and blob.continues is None)
    path = root / str(older.path)
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    result = verify(root)
    assert [problem.where for problem in result.problems] == [older.path]
    assert any("was not checked" in note for note in result.notes)


def test_whole_lines_cut_from_the_end_are_the_known_limit(root: Path) -> None:
    lines = (root / "custody.jsonl").read_bytes().splitlines(keepends=True)
    (root / "custody.jsonl").write_bytes(b"".join(lines[:-1]))
    result = verify(root)
    assert result.holds
    assert CUT_LINES in result.notes


def test_a_copy_that_cannot_be_written_can_be_verified(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy2)
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert verify(tmp_path / "copy").holds
