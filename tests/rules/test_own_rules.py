"""Each rule of our own matches the records it says it matches, and none of those it says it passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from casemate.detect.sigma.cache import InstalledRules, install_rules
from casemate.detect.sigma.kernel import SigmaMatches
from casemate.explore.tables import NATIVE
from casemate.intel.store import own_rules

RULES = sorted(own_rules().rglob("*.yml"))


@pytest.fixture(scope="session")
def installed(compiled_rules: Path) -> InstalledRules:
    return install_rules([own_rules()], compiled_rules)


def matched(installed: InstalledRules, rule: dict[str, Any], records: list[dict[str, str]]) -> set[int]:
    table = rule["examples"]["table"]
    schema = NATIVE[table]
    rows = [
        {name: record.get(name) for name in schema.names}
        | {"evidence": "e" * 64, "record": number, "offset": 0, "length": 1}
        for number, record in enumerate(records)
    ]
    unknown = {name for record in records for name in record} - set(schema.names)
    assert not unknown, f"fields that {table} does not have"
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    kernel = SigmaMatches(str(installed.folder), table, (rule["id"],))
    return set(kernel.build()(batch).column("record").to_pylist())


def test_there_are_at_least_thirty() -> None:
    assert len(RULES) >= 30


def test_every_rule_compiles(installed: InstalledRules) -> None:
    assert not installed.rules.refused
    assert not installed.rules.unread


@pytest.mark.parametrize("path", RULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_its_examples_hold(installed: InstalledRules, path: Path) -> None:
    rule = yaml.safe_load(path.read_text())
    wanted, unwanted = rule["examples"]["match"], rule["examples"]["pass"]
    assert wanted
    assert unwanted
    assert matched(installed, rule, wanted) == set(range(len(wanted)))
    assert matched(installed, rule, unwanted) == set()
