"""A case made on DuckDB holds when a cluster investigates its evidence again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from whole_run import command

from casemate.cli import rerun as rerun_command
from casemate.engine.protocol import Engine


@pytest.mark.spark
def test_a_cluster_verifies_a_case_made_here(tmp_path: Path, spark: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASEMATE_HOME", str(tmp_path / "home"))
    failed = "2026-03-01T04:00:{:02d}+00:00 gw1 sshd[{}]: Failed password for root from 203.0.113.9 port 4 ssh2\n"
    log, case = tmp_path / "auth.log", tmp_path / "case"
    log.write_text("".join(failed.format(second, second + 1) for second in range(30)))
    made = command("investigate", log, "--case", case, "--quiet")
    assert made.code == 0, made.err

    asked = []

    def one_session(name: str, workers: int) -> Engine:
        """The session of the test run: a second one in the same process would take it over and close it."""
        asked.append(name)
        return cast(Engine, Kept(spark))

    monkeypatch.setattr(rerun_command, "make_engine", one_session)
    again = command("rerun", "--case", case, "--engine", "spark", "--quiet", "--json")
    assert again.code == 0, again.err
    answer = json.loads(again.out)
    assert (asked, answer["identical"], answer["evidence"]) == (["spark"], True, 1)
    assert answer["findings"] > 0


class Kept:
    """An engine that is not closed by whoever uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def close(self) -> None:
        """Nothing: the session is the test run's."""
