"""Files found, read in a fenced child process, and judged; whatever a file does to that process is its verdict."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from artifact_samples import BAD, GOOD, codes, zipped

from casemate.detect.artifacts.contract import Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.scan import scan
from casemate.errors import BadInput

MIB = 1024 * 1024


def scanned(*paths: Path, **options: object) -> dict[str, Verdict]:
    return {Path(found.path).name: found for found in scan(paths, Options(**options))}  # type: ignore[arg-type]


def test_every_file_below_a_folder_has_one_verdict(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "bad.pkl").write_bytes(BAD)
    (tmp_path / "good.pt").write_bytes(zipped(("a/data.pkl", GOOD)))
    (tmp_path / "empty.bin").touch()
    found = scanned(tmp_path)
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        "bad.pkl": "malicious",
        "empty.bin": "safe",
        "good.pt": "safe",
    }
    assert found["bad.pkl"].bytes == len(BAD)
    assert found["bad.pkl"].sha256 is not None
    assert len({verdict.confined for verdict in found.values()}) == 1


def test_what_is_no_regular_file_is_told_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "good.pkl").write_bytes(GOOD)
    (tmp_path / "link.pkl").symlink_to(tmp_path / "good.pkl")
    (tmp_path / "folder-link").symlink_to(tmp_path / "folder")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    found = scanned(tmp_path)
    assert {name: sorted(codes(verdict)) for name, verdict in found.items()} == {
        "pipe": ["file.special"],
        "good.pkl": [],
        "link.pkl": [],
        "folder-link": ["file.link"],
        "nowhere": ["file.unreadable"],
    }
    assert scanned(Path("/dev/zero"))["zero"].verdict == "unscannable"


def test_a_missing_path_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        list(scan([tmp_path / "absent"]))


def test_time_and_memory_run_out_for_one_file_only(tmp_path: Path) -> None:
    (tmp_path / "a-slow.pkl").write_bytes(b"N0" * 8_000_000 + b".")
    (tmp_path / "b-large.pkl").write_bytes(b"](" + b"}" * 8_000_000)
    (tmp_path / "c-bad.pkl").write_bytes(BAD)
    found = scanned(tmp_path, seconds=1, memory_bytes=150 * MIB)
    assert codes(found["a-slow.pkl"]) == {"scan.died"}
    assert found["a-slow.pkl"].verdict == "unscannable"
    assert found["b-large.pkl"].verdict == "unscannable"
    assert found["c-bad.pkl"].verdict == "malicious"


def test_what_was_handed_over_together_with_a_deadly_file_keeps_its_verdicts(tmp_path: Path) -> None:
    for name in ("a.pkl", "b.pkl", "d.pkl"):
        (tmp_path / name).write_bytes(BAD)
    (tmp_path / "c-slow.pkl.gz").write_bytes(gzip.compress(b"N0" * 30_000_000 + b".", 1))
    (tmp_path / "e.pkl").write_bytes(b"N.")
    found = scanned(tmp_path, seconds=1)
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        "a.pkl": "malicious",
        "b.pkl": "malicious",
        "c-slow.pkl.gz": "unscannable",
        "d.pkl": "malicious",
        "e.pkl": "safe",
    }
    assert codes(found["c-slow.pkl.gz"]) == {"scan.died"}
    assert all(verdict.sha256 for name, verdict in found.items() if name != "c-slow.pkl.gz")


def test_a_sparse_file_is_judged_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "sparse.pkl"
    path.write_bytes(BAD)
    os.truncate(path, 400 * MIB)
    assert scanned(path, memory_bytes=200 * MIB, seconds=60)["sparse.pkl"].verdict == "malicious"


def test_the_reading_process_can_neither_write_nor_connect(tmp_path: Path) -> None:
    """What a parser could be made to do is refused by the kernel, where it can."""
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(f"""
            import os, socket, subprocess, sys
            from casemate.fence import limit_reader, no_network, read_only
            limit_reader(memory_bytes=1 << 30)
            drawn = read_only([sys.prefix, sys.base_prefix, "/usr", "/lib"]) & no_network()
            done = []
            for name, act in {{
                "write": lambda: open({str(tmp_path / "canary")!r}, "w"),
                "read": lambda: open({str(Path(__file__))!r}).read(),
                "socket": lambda: socket.socket(),
                "run": lambda: subprocess.run(["/bin/true"]),
            }}.items():
                try:
                    act()
                    done.append(name)
                except OSError:
                    pass
            print(drawn, done)
        """)],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split(maxsplit=1)  # fmt: skip
    if outcome[0] != "True":
        pytest.skip("this kernel draws no fence")
    assert outcome[1].strip() == "[]"
    assert not (tmp_path / "canary").exists()


def test_the_command_prints_verdicts_and_ends_with_their_code(tmp_path: Path) -> None:
    (tmp_path / "bad.pkl").write_bytes(BAD)
    (tmp_path / "odd.pkl").write_bytes(GOOD[:-1])
    code = "from casemate.cli import main; main()"
    command = [sys.executable, "-c", code, "scan"]

    def call(*more: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *map(str, more)], capture_output=True, text=True, timeout=120)

    told = call(tmp_path, "--json")
    assert told.returncode == 1
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(Path(row["path"]).name, row["verdict"]) for row in rows] == [
        ("bad.pkl", "malicious"),
        ("odd.pkl", "unscannable"),
    ]
    assert rows[0]["reasons"][0]["code"] == "pickle.calls"
    assert call(tmp_path / "odd.pkl", "--fail-on", "malicious").returncode == 0
    shown = call(tmp_path)
    assert "MALICIOUS" in shown.stdout
    assert "echo canary" in shown.stdout
    assert "1 malicious, 1 unscannable" in shown.stdout
    (tmp_path / os.fsdecode(b"\xff\n.pkl")).write_bytes(b"\x80\x04\x8c\x03\xed\xa0\x80\x8c\x01a\x93.")
    odd = call(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.pkl"), "--json")
    assert json.loads(odd.stdout)["path"].endswith("\\udcff\n.pkl")
    missing = call(tmp_path / "absent")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "no such file" in missing.stderr


def test_the_scanners_own_test_files_are_told_apart(shared_data: Path) -> None:
    """Truth: the names of the files of two scanners' tests."""
    found = scanned(shared_data / "artifacts")
    bad = [
        verdict
        for name, verdict in found.items()
        if name.startswith(("malicious", "GHSA-", "unsafe", "dns_", "cloudpickle", "keyerror", "type-", "types_",
                            "io_", "logging_", "urllib_", "sys_module", "pytorch_magic"))
    ]  # fmt: skip
    assert len(bad) > 90
    assert [verdict.path for verdict in bad if verdict.verdict != "malicious"] == []
    good = [
        verdict.verdict
        for name, verdict in found.items()
        if name.startswith(("benign0", "int_array", "object_array", "new_pytorch", "pytorch_model"))
    ]
    assert good == ["safe"] * 11


def test_pickles_of_ordinary_size_are_read_quickly(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps([{"name": f"row {index}", "value": index} for index in range(50_000)]))
    assert scanned(path, seconds=5)["large.pkl"].verdict == "safe"
