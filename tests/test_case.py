"""A case on disk: one writer, readers that never wait, kills and full disks that lose nothing."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from casemate.case import Case
from casemate.engine.compaction import compact
from casemate.engine.parts import StagedPart, write_part
from casemate.errors import BadInput, CannotFinish, CaseDamaged, CaseLocked
from casemate.evidence.blobs import kept, write_blob
from casemate.evidence.verify import verify
from casemate.settings import Asset, Placeholder, Settings, Vendor, format_settings, read_settings

SCHEMA = pa.schema([pa.field("record", pa.int64(), nullable=False), pa.field("text", pa.string())])
STEPS = 12
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import test_case
print(flush=True)
test_case.run(test_case.Path(sys.argv[2]))
"""


def batch(step: int, rows: int = 500) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"record": step * rows + row, "text": f"step {step} row {row % 7}"} for row in range(rows)], schema=SCHEMA
    )


def content(step: int) -> bytes:
    return b"evidence of step %d\n" % step * 2000


def take_step(case: Case, step: int) -> None:
    """One commit with a part of each of two tables and a blob; every fourth step compacts."""
    stage = case.stage()
    stage.write("events", SCHEMA, [batch(step)])
    stage.write("others", SCHEMA, [batch(step, 3)])
    path = stage.blob_path()
    stage.add_blob(kept(write_blob(path, io.BytesIO(content(step)))), path)
    case.commit(stage, facts={"step": step})
    if step % 4 == 3:
        compact(case.store, "events", most={1 << 20: 2})


def run(root: Path) -> None:
    """Do all steps that are not done yet, as an interrupted investigation would."""
    with Case.open(root, write=True) as case:
        for step in range(STEPS):
            if hashlib.sha256(content(step)).hexdigest() not in case.blobs:
                take_step(case, step)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("undisturbed") / "case"
    Case.create(root).close()
    run(root)
    with Case.open(root) as case:
        return {table: case.row_hash(table) for table in case.tables()}


def assert_complete(root: Path, hashes: dict[str, str]) -> None:
    with Case.open(root) as case:
        assert {table: case.row_hash(table) for table in case.tables()} == hashes
        for step in range(STEPS):
            with case.source(hashlib.sha256(content(step)).hexdigest()).open() as stream:
                assert stream.read() == content(step)
    assert verify(root).problems == ()


# creating, opening, settings


def test_a_new_case_is_empty_and_sound(tmp_path: Path) -> None:
    with Case.create(tmp_path / "deep" / "case", Settings(name="a case")) as case:
        assert case.tables() == ()
        assert case.schema("events") is None
    with Case.open(tmp_path / "deep" / "case") as case:
        assert case.settings.name == "a case"
    assert verify(tmp_path / "deep" / "case").holds


def test_a_case_is_not_made_over_something_else(tmp_path: Path) -> None:
    Case.create(tmp_path / "case").close()
    with pytest.raises(BadInput, match="a case already"):
        Case.create(tmp_path / "case")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    with pytest.raises(BadInput, match="not empty"):
        Case.create(tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="not a folder"):
        Case.create(tmp_path / "file")
    with pytest.raises(BadInput, match="no case here"):
        Case.open(tmp_path / "other")


def test_an_interrupted_creation_can_be_repeated(tmp_path: Path) -> None:
    Case.create(tmp_path).close()
    (tmp_path / "custody.jsonl").write_bytes((tmp_path / "custody.jsonl").read_bytes()[:50])
    with pytest.raises(BadInput, match="not completely made"):
        Case.open(tmp_path)
    Case.create(tmp_path).close()
    assert verify(tmp_path).holds


def test_settings_survive_writing_and_reading(tmp_path: Path) -> None:
    settings = Settings(
        name='quotes " and \\ and ü',
        tlp="red",
        own=("192.0.2.0/24", "2001:db8::/32"),
        zone="Europe/Berlin",
        gap_minutes=45,
        core=(Asset("weights", "bucket", ("s3://weights", 'odd "name"')), Asset("jump host")),
        vendors=(Vendor("Support Ltd", ("vendor1",)),),
        placeholders=(Placeholder('a "b"', ("x", "*\\y")), Placeholder("b", ("1",))),
        limits=Settings().limits.from_settings({"line_bytes": 1000, "query_seconds": 1.5}),
    )
    (tmp_path / "case.toml").write_text(format_settings(settings))
    assert read_settings(tmp_path / "case.toml") == settings
    (tmp_path / "case.toml").write_text(format_settings(Settings()))
    assert read_settings(tmp_path / "case.toml") == Settings()
    (tmp_path / "case.toml").write_text("")
    assert read_settings(tmp_path / "case.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae = 'x'", "unknown setting 'nmae'"),
        ("name = 3", "'name' must be text"),
        ("own = ['10.0.0.1/8']", "'own'"),
        ("own = '10.0.0.0/8'", "'own' must be a list"),
        ("tlp = 'pink'", "must be one of"),
        ("[attempts]\ngap_minutes = 0", "from 1 to"),
        ("[attempts]\ngap_minutes = '30'", "whole number"),
        ("[clock]\nzone = '../../etc/passwd'", "not a time zone"),
        ("[clock]\nzone = 'Mars/Base'", "not a time zone"),
        ("[limits]\nline_byte = 3", "unknown limit 'line_byte'"),
        ("[[core]]\nkind = 'host'", "'core.name'"),
        ("[[core]]\nname = 'x'\nkind = 'planet'", "must be one of"),
        ("core = 3", "tables"),
        ("[sigma.placeholders]\nadmins = true", "'admins' must be a text or number"),
        ("[sigma.placeholders]\nadmins = []", "'admins' must have from 1"),
        ("[sigma]\nplaceholder = {}", "unknown setting 'sigma.placeholder'"),
        ("limits = 3", "must be a table"),
        ("= broken", "is not TOML"),
        ("\xff", "is not TOML"),
    ],
)
def test_a_wrong_setting_gives_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "case.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as caught:
        read_settings(tmp_path / "case.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "case.toml" in str(caught.value)


def test_evidence_is_found_by_a_unique_beginning(tmp_path: Path) -> None:
    with Case.create(tmp_path / "case") as case:
        for step in range(40):
            stage = case.stage()
            path = stage.blob_path()
            stage.add_blob(kept(write_blob(path, io.BytesIO(content(step)))), path)
            case.commit(stage)
        wanted = hashlib.sha256(content(3)).hexdigest()
        assert case.evidence(wanted[:12].upper()) == wanted
        assert case.evidence(wanted) == wanted
        for wrong in ("", "zz", wanted[:-1] + "g", "f" * 64):
            with pytest.raises(BadInput):
                case.evidence(wrong)
        first = {name[0] for name in case.blobs}
        assert any(len([name for name in case.blobs if name[0] == digit]) > 1 for digit in first)
        with pytest.raises(BadInput, match="more digits"):
            case.evidence(next(d for d in first if len([name for name in case.blobs if name[0] == d]) > 1))


# one writer, many readers


def test_a_second_writer_is_told_who_writes_and_readers_go_on(tmp_path: Path) -> None:
    with Case.create(tmp_path / "case") as case:
        take_step(case, 0)
        with pytest.raises(CaseLocked, match=str(os.getpid())):
            Case.open(tmp_path / "case", write=True)
        script = "import sys; from casemate.case import Case, Path; Case.open(Path(sys.argv[1]), write=True)"
        other = subprocess.run([sys.executable, "-c", script, str(tmp_path / "case")], capture_output=True, text=True)
        assert "CaseLocked" in other.stderr
        with Case.open(tmp_path / "case") as reader:
            assert len(reader.live_parts("events")) == 1
            take_step(case, 1)
            assert len(reader.live_parts("events")) == 1
            reader.refresh()
            assert len(reader.live_parts("events")) == 2
            with pytest.raises(Exception, match="not open for writing"):
                reader.commit(None)
    with Case.open(tmp_path / "case", write=True):
        pass


def test_the_lock_dies_with_the_writer_and_not_with_its_forked_children(tmp_path: Path) -> None:
    case = Case.create(tmp_path / "case")
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"!")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(ready, 1)
        case.close()
        Case.open(tmp_path / "case", write=True).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_readers_see_whole_commits_while_a_writer_works(tmp_path: Path) -> None:
    root = tmp_path / "case"
    Case.create(root).close()
    writer = subprocess.Popen([sys.executable, "-c", RUN, str(Path(__file__).parent), str(root)])
    seen = set()
    while writer.poll() is None:
        with Case.open(root) as case:
            tables = {table: sum(part.rows for part in case.live_parts(table)) for table in ("events", "others")}
            assert tables["events"] * 3 == tables["others"] * 500
            seen.add(tables["events"])
        assert verify(root).problems == ()
    assert writer.returncode == 0
    assert verify(root).holds
    assert len(seen) > 1


# kills


def test_kills_at_random_points_lose_nothing(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    root = tmp_path / "case"
    Case.create(root).close()
    random = Random(11)
    kills = 0
    for _ in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(Path(__file__).parent), str(root)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0, 0.12))
        child.kill()
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
        with Case.open(root) as case:
            sum(part.rows for part in case.live_parts("events"))
        assert verify(root).problems == ()
    assert kills
    run(root)
    assert_complete(root, undisturbed)


STOPPED_AT = ("fsync", "replace", "rename", "unlink", "open", "ftruncate", "rmdir", "mkdir")


def _stop_after(calls: int) -> None:
    """Make this process end, as if killed, before its n-th call that changes the disk."""
    left = [calls]

    def stopping(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return function(*arguments, **named)

        return call

    for name in STOPPED_AT:
        setattr(os, name, stopping(getattr(os, name)))
    os.write = stopping(os.write)


def test_a_stop_before_any_single_step_of_a_commit_loses_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template"
    with Case.create(template) as case:
        take_step(case, 0)
        take_step(case, 1)
    part = write_part(tmp_path, "events", SCHEMA, [batch(2)])
    write_blob(tmp_path / "blob", io.BytesIO(content(2)))

    def last_step(case: Case) -> None:
        stage = case.stage()
        copied = shutil.copy(part.file, stage.folder)
        stage.add_parts([StagedPart(part.table, str(copied), part.rows, part.bytes, part.sha256, part.schema)])
        path = stage.blob_path()
        stage.add_blob(kept(write_blob(path, io.BytesIO(content(2)))), path)
        case.commit(stage, remove=case.live_parts("others"))

    expected, stops, status = None, 0, -1
    for calls in range(200):
        root = tmp_path / f"case{calls}"
        shutil.copytree(template, root)
        child = os.fork()
        if child == 0:
            try:
                _stop_after(calls)
                last_step(Case.open(root, write=True))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert verify(root).problems == (), calls
        with Case.open(root, write=True) as case:
            if hashlib.sha256(content(2)).hexdigest() not in case.blobs:
                last_step(case)
            hashes = {table: case.row_hash(table) for table in case.tables()}
            expected = expected or hashes
            assert hashes == expected, calls
        result = verify(root)
        assert result.problems == ()
        assert len(result.notes) == 1
        shutil.rmtree(root)
        if status == 0:
            break
        stops += 1
    assert stops > 15
    assert status == 0


def test_a_torn_last_line_is_cut_and_the_run_completed(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    root = tmp_path / "case"
    Case.create(root).close()
    run(root)
    log = root / "custody.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    assert any("custody.jsonl" in problem.where for problem in verify(root).problems)
    with Case.open(root) as case:
        assert case.tables() == ("events", "others")
    run(root)
    assert_complete(root, undisturbed)


# full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    root = small_disk / "case"
    with Case.create(root) as case:
        take_step(case, 0)
        before = {table: case.row_hash(table) for table in case.tables()}
        noise = os.urandom(400_000)

        def fill() -> None:
            for number in range(20):
                stage = case.stage()
                path = stage.blob_path()
                stage.add_blob(kept(write_blob(path, io.BytesIO(noise[number:]))), path)
                case.commit(stage)

        with pytest.raises(CannotFinish, match="free some space"):
            fill()
    assert verify(root).problems == ()
    with Case.open(root, write=True) as case:
        assert {table: case.row_hash(table) for table in case.tables()} == before
        take_step(case, 1)
    assert verify(root).problems == ()


@pytest.mark.parametrize("limit", [0, 100, 1000, 5_000, 20_000])
def test_a_quota_reached_anywhere_loses_nothing(tmp_path: Path, limit: int) -> None:
    root = tmp_path / "case"
    with Case.create(root) as case:
        take_step(case, 0)
        before = {table: case.row_hash(table) for table in case.tables()}

        def write_much() -> None:
            stage = case.stage()
            stage.write("events", SCHEMA, [pa.record_batch({"record": [1], "text": [os.urandom(30_000).hex()]})])
            case.commit(stage)

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(CannotFinish) as caught:
                write_much()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "free some space" in str(caught.value)
        assert {table: case.row_hash(table) for table in case.tables()} == before
        take_step(case, 1)
    assert verify(root).problems == ()


def test_the_log_does_not_fit_any_more(tmp_path: Path) -> None:
    root = tmp_path / "case"
    with Case.create(root) as case:
        take_step(case, 0)
        stage = case.stage()
        stage.write("events", SCHEMA, [batch(1, 5)])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((root / "custody.jsonl").stat().st_size + 30, hard))
        try:
            with pytest.raises(CannotFinish, match="free some space"):
                case.commit(stage)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(case.live_parts("events")) == 1
        assert verify(root).problems == ()
        case.commit(stage)
        assert len(case.live_parts("events")) == 2
    assert verify(root).problems == ()


# hostile folders


@pytest.mark.parametrize("name", ["case.toml", "custody.jsonl", "lock", "evidence", "tables", "staging"])
def test_a_link_in_a_case_is_not_followed(tmp_path: Path, name: str) -> None:
    root, outside = tmp_path / "case", tmp_path / "outside"
    with Case.create(root) as case:
        take_step(case, 0)
    (root / name).rename(outside)
    (root / name).symlink_to(outside)
    before = sorted(outside.rglob("*")) if outside.is_dir() else outside.read_bytes()
    with pytest.raises(CaseDamaged):
        Case.open(root, write=True)
    if name != "lock":
        with pytest.raises(CaseDamaged):
            Case.open(root)
    assert before == (sorted(outside.rglob("*")) if outside.is_dir() else outside.read_bytes())


def test_cleaning_up_deletes_links_and_not_what_they_point_to(tmp_path: Path) -> None:
    root = tmp_path / "case"
    with Case.create(root) as case:
        take_step(case, 0)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    for place in ("tables/link", "tables/events/link", "evidence/link", "staging/link"):
        (root / place).symlink_to(precious)
    (root / "manifest").unlink()
    (root / "manifest").symlink_to(precious / "file")
    Case.open(root, write=True).close()
    assert (precious / "file").read_bytes() == b""
    assert not (root / "manifest").is_symlink()
    assert verify(root).holds


def test_a_pipe_as_custody_log_does_not_hang(tmp_path: Path) -> None:
    root = tmp_path / "case"
    Case.create(root).close()
    (root / "custody.jsonl").unlink()
    os.mkfifo(root / "custody.jsonl")
    with pytest.raises((CaseDamaged, BadInput)):
        Case.open(root)


def test_a_wrong_or_missing_manifest_is_rebuilt(tmp_path: Path) -> None:
    root = tmp_path / "case"
    with Case.create(root) as case:
        take_step(case, 0)
    right = (root / "manifest").read_bytes()
    for wrong in (None, b"", b"{}", right + b" "):
        (root / "manifest").unlink()
        if wrong is not None:
            (root / "manifest").write_bytes(wrong)
        assert not verify(root).holds
        Case.open(root, write=True).close()
        assert (root / "manifest").read_bytes() == right
