"""What is spilled to disk is gone when its process is, however it ended, and no living process loses any."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.scratch import PREFIX, ScratchFolder, delete_left_behind

SPILLING = """
import sys
from casemate.engine.duckdb import DuckDBEngine
engine = DuckDBEngine(memory_bytes=64 << 20)
rows = engine._connection.con.execute("SELECT range AS n, hash(range) AS h FROM range(6000000) ORDER BY h")
rows.fetchone()
print("spilled", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.name.startswith(PREFIX))


def test_what_a_killed_process_spilled_is_deleted_by_the_next_one(temporary: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", SPILLING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"spilled\n"
    (left,) = folders(temporary)
    living = DuckDBEngine()
    assert list(left.iterdir()), "nothing was spilled, or taken from a living process"
    child.kill()
    child.communicate()
    assert left.exists()
    second = DuckDBEngine()
    assert not left.exists()
    assert len(folders(temporary)) == 2
    living.close()
    second.close()
    assert folders(temporary) == []


def test_links_and_files_of_that_name_are_left_alone(temporary: Path) -> None:
    kept = temporary / "kept"
    (kept / "inside").mkdir(parents=True)
    (temporary / f"{PREFIX}link").symlink_to(kept)
    (temporary / f"{PREFIX}file").write_text("x")
    assert delete_left_behind(temporary) == 0
    assert (kept / "inside").exists()
    assert (temporary / f"{PREFIX}file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_folders_of_another_user_are_left_alone(temporary: Path) -> None:
    theirs = temporary / f"{PREFIX}theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    assert delete_left_behind(temporary) == 0
    assert theirs.exists()


def test_an_engine_that_is_forgotten_leaves_nothing(temporary: Path) -> None:
    folder = ScratchFolder()
    (folder.path / "spilled").write_bytes(b"x")
    del folder
    assert folders(temporary) == []
