"""What the command line spares itself, in a process of its own as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import sys
from casemate.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print(code or 0, "pandas" in sys.modules)
import pandas, pyarrow
print(pandas.Series([1]).sum())
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    log = folder / "auth.log"
    log.write_text(
        "".join(
            f"2026-03-01T10:00:{second:02d}Z host1 sshd[9]: Failed password for root from 192.0.2.9 port 5022 ssh2\n"
            for second in range(40)
        )
    )
    _run("investigate", str(log), "--case", str(folder / "case"), "-q")
    return folder / "case"


def _run(*arguments: str) -> list[str]:
    environment = {name: text for name, text in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    assert "leaked" not in done.stderr
    return done.stdout.splitlines()[-2:]


@pytest.mark.parametrize("command", ["summary", "findings", "attempts", "logons", "timeline"])
def test_looking_at_a_case_does_not_wait_for_pandas(case: Path, command: str) -> None:
    said, later = _run("show", command, "--case", str(case))
    assert said == "0 False"
    assert later == "1", "who wants pandas gets it"


def test_investigating_does_not_wait_for_pandas(case: Path, tmp_path: Path) -> None:
    said, _ = _run("investigate", str(case.parent / "auth.log"), "--case", str(tmp_path / "case"), "-q")
    assert said == "0 False"
