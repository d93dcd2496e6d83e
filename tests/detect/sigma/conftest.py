"""Lets the tests of this folder import the plain evaluator."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from casemate.detect.sigma.cache import InstalledRules, install_rules

sys.path.append(str(Path(__file__).parents[2] / "oracle"))


@pytest.fixture(scope="session")
def installed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledRules:
    """The public rule set, compiled once per session."""
    return install_rules([shared_data / "sigma" / "rules.zip"], tmp_path_factory.mktemp("public"))
