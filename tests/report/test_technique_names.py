"""A technique is named by the installed release, by the crosswalk if that is older, or said to be unknown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casemate.intel.attack import Knowledge, Technique
from casemate.report.matrix import technique_name

BEFORE_THE_SPLIT = Knowledge(
    "attack",
    "18.1",
    "2025-11-12",
    {
        one.id: one
        for one in (
            Technique("T1562", "Impair Defenses", ("defense-evasion",)),
            Technique("T1562.001", "Disable or Modify Tools", ("defense-evasion",), "T1562"),
        )
    },
)


@pytest.mark.parametrize(
    ("technique", "name"),
    [
        ("T1562.001", "Impair Defenses: Disable or Modify Tools"),
        ("T1685", "Disable or Modify Tools"),
        ("T9999", "(not in the installed release)"),
        ("AML.T0024", None),
    ],
)
def test_names(technique: str, name: str | None) -> None:
    given: Any = SimpleNamespace(attack=BEFORE_THE_SPLIT, atlas=None)
    assert technique_name(technique, given) == name
