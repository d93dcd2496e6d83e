"""``casemate doctor`` says what is missing for what; a shell completes commands and options."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from small_case import Small, run

from casemate.cli import doctor


def checks(*words: object) -> tuple[int, dict[str, dict]]:
    ran = run("doctor", "--json", *words)
    return ran.code, {check["name"]: check for check in json.loads(ran.out)["checks"]}


@pytest.fixture
def installed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """All modules import: what is tested is what doctor makes of what it sees."""
    monkeypatch.setattr(doctor, "_imports", lambda modules: dict.fromkeys(modules))


def test_it_names_what_is_absent_and_for_what_but_is_content(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEMATE_HOME", str(tmp_path))
    code, found = checks("--case", small.case)
    assert code == 0
    assert found["sigma"]["well"] is False  # nothing is installed in this data folder
    assert found["sigma"]["remedy"] == "casemate intel update sigma"
    assert found["case"]["well"] is True
    assert all(check["well"] for check in found.values() if check["needed"])


@pytest.mark.usefixtures("installed_only")
def test_a_missing_library_that_all_work_needs_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "hyperscan":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    code, found = checks()
    assert code == 1
    assert found["hyperscan"]["purpose"] == "matching rules at speed"
    assert "not fit to work" in run("doctor").out


@pytest.mark.usefixtures("installed_only")
def test_without_java_only_spark_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    code, found = checks()
    assert code == 0
    assert (found["Java"]["well"], found["Java"]["purpose"]) == (False, "Spark")


def test_a_library_that_is_there_and_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_one.py").write_text("raise OSError('no such processor')")
    (tmp_path / "crashing_one.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor._imports(["json", "broken_one", "crashing_one", "csv"])
    assert found["json"] is None
    assert found["csv"] is None
    assert "no such processor" in (found["broken_one"] or "")
    assert "ends when it is loaded" in (found["crashing_one"] or "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_options(tmp_path: Path) -> None:
    program = tmp_path / "casemate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from casemate.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = """
        eval "$(_CASEMATE_COMPLETE=source_bash casemate)"
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _casemate_completion casemate; echo "${COMPREPLY[*]}"; }
        try casemate custody seal --time
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.splitlines() == ["--timestamp"], done.stderr


@pytest.mark.parametrize(("shell", "more"), [("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})])
def test_zsh_and_fish_are_answered_in_their_own_way(shell: str, more: dict[str, str]) -> None:
    environment = {
        **os.environ, "_CASEMATE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "casemate custody ver", **more,
    }  # fmt: skip
    words = [sys.executable, "-c", "from casemate.cli import main; main()"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert "verify" in done.stdout
    assert "Find any changed" in done.stdout
