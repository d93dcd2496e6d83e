"""The whole job under kills, full disks, second writers and torn lines: nothing is lost, the next run completes.

``benchmarks/faults.py`` does the same many times over.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_run import (
    OUTSIDE_THE_HASHES,
    assert_sound,
    command,
    finish,
    mixed_evidence,
    row_hashes,
    running,
    start,
)

from casemate.case import Case
from casemate.demo.generate import Demo
from casemate.evidence.custody import intact_lines

OWN = ("--own", "10.0.0.0/8", "--own", "192.0.2.0/24")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def evidence(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_evidence(demo, tmp_path_factory.mktemp("mixed") / "in")


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASEMATE_HOME", str(home))


@pytest.fixture(scope="module")
def undisturbed(evidence: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case of a run that nothing disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "case"
    done = finish(start("investigate", evidence, "--case", path, *OWN, "--json", home=home))
    assert (done.code, done.err) == (0, "")
    assert_sound(path)
    return path


@pytest.fixture(scope="module")
def hashes(undisturbed: Path) -> dict[str, str]:
    found = row_hashes(undisturbed)
    assert {"findings", "finding_records", "attempts", "syslog", "cloudtrail", "zeek_conn"} <= set(found)
    return found


def custody_lines(path: Path) -> int:
    try:
        return (path / "custody.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def assert_completed_by(path: Path, evidence: Path, hashes: dict[str, str]) -> None:
    """The case opens and verifies as it is, and the same command again completes it."""
    if custody_lines(path):
        assert command("custody", "verify", "--case", path).code == 0
    done = command("investigate", evidence, "--case", path, *OWN, "--json")
    assert (done.code, done.err) == (0, "")
    assert_sound(path)
    assert row_hashes(path) == hashes
    assert list((path / "staging").iterdir()) == []


def test_kills_at_any_point_of_the_job_lose_nothing(
    evidence: Path, home: Path, undisturbed: Path, hashes: dict[str, str], tmp_path: Path
) -> None:
    chance = random.Random(5)
    path = tmp_path / "case"
    last = custody_lines(undisturbed)
    # after the case was made, during the intake, during detection, while attempts are built
    for reached in (0, 1, 2, last - 3, last - 2):
        with running("investigate", evidence, "--case", path, *OWN, home=home) as child:
            while custody_lines(path) < reached and child.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.3))
            child.kill()
        if custody_lines(path):
            assert command("custody", "verify", "--case", path).code == 0
    assert_completed_by(path, evidence, hashes)


def test_workers_of_a_killed_run_end_and_disturb_nothing(
    evidence: Path, home: Path, hashes: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "case"
    with running("investigate", evidence, "--case", path, *OWN, "--workers", "2", home=home) as child:
        while not any((path / "staging").glob("*/*")) and child.poll() is None:
            time.sleep(0.005)
        child.kill()
    assert_completed_by(path, evidence, hashes)
    deadline = time.monotonic() + 10
    while left := processes_of(child.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def processes_of(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, belongs = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(belongs) == session and state != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("workers", ["2"])
def test_an_interrupted_run_says_one_line_and_goes_on(
    workers: str, evidence: Path, home: Path, hashes: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "case"
    child = start("investigate", evidence, "--case", path, *OWN, "--workers", workers, home=home)
    while not any((path / "staging").glob("*/*")) and child.poll() is None:
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    stopped = finish(child)
    assert stopped.code == 3
    assert "interrupted; run the same command again" in stopped.said
    assert_completed_by(path, evidence, hashes)


@pytest.mark.parametrize("limit", [2_000, 60_000])
def test_a_full_quota_is_said_and_the_next_run_completes(
    limit: int, evidence: Path, home: Path, hashes: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "case"

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    stopped = finish(start("investigate", evidence, "--case", path, *OWN, home=home, before=starve))
    assert stopped.code == 3, stopped
    assert "free some space" in stopped.said
    assert_completed_by(path, evidence, hashes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(mount)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(made, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_said_and_with_more_space_the_next_run_completes(
    small_disk: Path, evidence: Path, hashes: dict[str, str]
) -> None:
    stopped = command("investigate", evidence, "--case", small_disk / "case", *OWN)
    assert stopped.code == 3
    assert "free some space" in stopped.said
    assert command("custody", "verify", "--case", small_disk / "case").code == 0
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert_completed_by(small_disk / "case", evidence, hashes)


def test_a_second_writer_is_refused_with_one_line(undisturbed: Path, evidence: Path) -> None:
    with Case.open(undisturbed, write=True):
        refused = command("investigate", evidence, "--case", undisturbed)
        assert command("show", "summary", "--case", undisturbed, "--json").code == 0
    assert refused.code == 3
    assert f"another process (pid {os.getpid()}) is writing to this case" in refused.said


def test_readers_are_answered_while_a_writer_works(evidence: Path, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "case"
    asked = 0
    with running("investigate", evidence, "--case", path, *OWN, "--json", home=home) as child:
        while custody_lines(path) < 2 and child.poll() is None:
            time.sleep(0.01)
        while child.poll() is None:
            for words in (
                ("show", "summary", "--json"),
                ("query", "SELECT count(*) AS n FROM evidence", "--json"),
                ("custody", "verify"),
            ):
                answer = command(*words, "--case", path)
                assert answer.code == 0, answer
                assert answer.err == ""
                asked += 1
        assert child.returncode == 0
    assert asked >= 3
    assert_sound(path)


@pytest.mark.parametrize("lines", [1, 3])
def test_a_torn_end_of_the_custody_log_costs_one_run(
    lines: int, undisturbed: Path, evidence: Path, hashes: dict[str, str], tmp_path: Path
) -> None:
    """The last line is torn, or `lines` - 1 whole lines were lost with the machine's power as well."""
    path = tmp_path / "case"
    shutil.copytree(undisturbed, path)
    log = path / "custody.jsonl"
    written = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(written[:-lines]) + written[-lines][:-40])
    with Case.open(path) as case:
        assert case.tables()
    done = command("investigate", evidence, "--case", path, *OWN, "--json")
    assert (done.code, done.err) == (0, "")
    assert_sound(path)
    assert row_hashes(path) == hashes


def test_order_and_workers_do_not_change_the_tables(evidence: Path, hashes: dict[str, str], tmp_path: Path) -> None:
    files = sorted(evidence.iterdir(), reverse=True)
    path = tmp_path / "case"
    for chosen in (files[::2], files[1::2]):
        done = command("investigate", *chosen, "--case", path, *OWN, "--workers", "2", "--json")
        assert (done.code, done.err) == (0, "")
    assert_sound(path)
    assert row_hashes(path) == hashes


def test_running_again_with_nothing_new_changes_nothing_and_is_quick(
    undisturbed: Path, evidence: Path, tmp_path: Path
) -> None:
    path = tmp_path / "case"
    shutil.copytree(undisturbed, path)

    def live() -> dict[str, list]:
        with Case.open(path) as case:
            return {table: case.live_parts(table) for table in case.tables() if table not in OUTSIDE_THE_HASHES}

    before, lines = live(), custody_lines(path)
    begun = time.process_time()
    again = command("investigate", evidence, "--case", path, *OWN, "--json")
    assert again.code == 0
    assert time.process_time() - begun < 8
    assert live() == before
    added = list(intact_lines(path / "custody.jsonl"))[lines:]
    assert [line.facts.get("facts", line.facts).get("phase") for line in added] == ["ingest", None]
    shown = json.loads(command("show", "summary", "--case", path, "--json").out)
    assert shown == json.loads(command("show", "summary", "--case", undisturbed, "--json").out)
    # what takes long to find out of the coverage is left to "show summary"
    short = json.loads(again.out)
    assert short["coverage"].keys() == shown["coverage"].keys()
    there = {name for name, value in short["coverage"].items() if value is not None}
    assert {"blind_spot", "worth"} <= there
    assert {name: shown["coverage"][name] for name in there} == {name: short["coverage"][name] for name in there}
    assert shown | {"coverage": None} == short | {"coverage": None}
