"""The evasions of benchmarks/artifacts_corpus.py: none is safe, and those that run code are malicious."""

from __future__ import annotations

import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifact_samples import verdict

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def evasions() -> Iterator[list[tuple[str, str, str | None, bool, bytes]]]:
    before = list(sys.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the corpus has members of the same name on purpose
        made: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "artifacts_corpus.py"))
        yield made["corpus"]()
    sys.path[:] = before


def test_no_evasion_is_called_safe(evasions: list[tuple[str, str, str | None, bool, bytes]]) -> None:
    assert len(evasions) >= 150
    found = {name: verdict(content, name).verdict for name, _, _, _, content in evasions}
    assert [name for name, word in found.items() if word == "safe"] == []
    assert [name for name, _, _, runs, _ in evasions if runs and found[name] != "malicious"] == []
