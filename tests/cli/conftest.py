"""The small case, made by the command line."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator

import pytest
from small_case import RULE, START, Small, run, write_evidence


@pytest.fixture(scope="session", autouse=True)
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data folder of its own and a terminal of 80 columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASEMATE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("COLUMNS", "80")
        patch.delenv("CASEMATE_DEBUG", raising=False)
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, settled: None) -> Small:
    """The small case; do not write to it."""
    folder = tmp_path_factory.mktemp("small")
    write_evidence(folder / "evidence")
    with zipfile.ZipFile(folder / "rules.zip", "w") as archive:
        archive.writestr("rules/web/login.yml", RULE)
    year = START.timestamp() + 86_400
    os.utime(folder / "evidence" / "auth.log", (year, year))
    made = run("investigate", folder / "evidence", "--case", folder / "case", "--own", "10.0.0.0/8", "--json")
    assert made.code == 0, made.err
    return Small(folder, made)
