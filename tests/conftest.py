"""Fixtures that every test may use."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from casemate.case import Case
from casemate.demo.generate import SETTINGS, Demo, generate
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine
from casemate.intel.store import own_rules
from casemate.investigate.run import Options, RunReport, investigate
from casemate.settings import Settings

# CI runs the same examples each time, so that a change fails for what it changed; elsewhere every run tries new ones
hypothesis_settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis_settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers: the tests of a file stay together, and all that need the cluster share one."""
    for item in items:
        group = "spark" if "spark" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real evidence beside the project; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real evidence is not here: {SHARED_DATA} does not exist")
    return SHARED_DATA


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's evidence and truth at a tenth of its size."""
    return generate(tmp_path_factory.mktemp("demo"), seed=4, size=0.1)


@pytest.fixture(scope="session")
def compiled_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled rules, shared by the tests of one run."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A Spark cluster with two worker processes on this machine; one for the whole test run."""
    pytest.importorskip("pyspark", reason="Spark is not installed (casemate[spark])")
    if shutil.which("java") is None:
        pytest.skip("no Java runtime for Spark")
    from casemate.engine.spark import SparkEngine

    engine = SparkEngine(master="local-cluster[2,1,1024]")
    yield engine
    engine.close()


class Investigator:
    """Investigates evidence in a case of its own, as the command line does."""

    def __init__(self, folder: Path, compiled: Path) -> None:
        self.folder = folder
        self.compiled = compiled

    def __call__(
        self,
        *evidence: str | Path,
        name: str = "case",
        engine: Engine | None = None,
        rules: tuple[Path, ...] | None = None,
        settings: Settings = SETTINGS,
        workers: int = 1,
    ) -> tuple[Path, RunReport]:
        """The case folder and the run's report; the same `name` goes on with the same case."""
        path = self.folder / name
        opened = Case.open(path, write=True) if path.exists() else Case.create(path, settings)
        options = Options(rules=rules or (own_rules(),), cache=self.compiled, workers=workers)
        with opened as case:
            report = investigate(
                case,
                list(evidence),
                options,
                engine or DuckDBEngine(),
                who="tester",
                clock=lambda: dt.datetime(2026, 7, 1, tzinfo=dt.UTC),
            )
        return path, report


@pytest.fixture
def investigator(tmp_path: Path, compiled_rules: Path) -> Investigator:
    """Investigates evidence in a case of its own."""
    return Investigator(tmp_path, compiled_rules)
