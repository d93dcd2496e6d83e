"""The public rules on real records: stated match counts, and the plain evaluator's answers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import yaml
from sigma_oracle import Oracle
from sigma_sets import differences, members, oracle_of, read_batches, sample, sampled

from casemate.detect.sigma.cache import InstalledRules, install_rules, open_matcher
from casemate.detect.sigma.kernel import findings_of
from casemate.detect.sigma.match import TableMatcher

SHARE = 20
"""Thousandths of the simulated attacks' records that the plain evaluator looks at."""
STATED_COUNT_IS_NOT_SIGMAS = {"8fbf3271-1ef6-4e94-8210-03c2317947f6": 3}
"""Cases whose stated count is not what the rule says: three of six records (procdump.exe,
procdump64.exe, procdump64a.exe) end as the rule asks, the case states one."""


@pytest.fixture(scope="module")
def windows(installed: InstalledRules) -> TableMatcher:
    return open_matcher(installed.folder, "windows_event")


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Oracle:
    return oracle_of(shared_data / "sigma" / "rules.zip")


def test_every_regression_case_has_its_match_count(shared_data: Path, installed: InstalledRules) -> None:
    matchers: dict[str, TableMatcher] = {}
    wrong: list[str] = []
    cases = 0
    with zipfile.ZipFile(shared_data / "sigma" / "regression.zip") as archive:
        names = set(archive.namelist())
        for info_name in sorted(name for name in names if name.endswith("/info.yml")):
            info = yaml.safe_load(io.BytesIO(archive.read(info_name)))
            rule = info["rule_metadata"][0]["id"]
            folder = info_name.rsplit("/", 1)[0] + "/"
            count = (info.get("regression_tests_info") or [{}])[0].get("match_count")
            count = STATED_COUNT_IS_NOT_SIGMAS.get(rule, count)
            for name in sorted(one for one in names if one.startswith(folder) and one.endswith((".evtx", ".raw"))):
                found = 0
                for table, batch in read_batches(name, archive.read(name)):
                    matcher = matchers.setdefault(table, open_matcher(installed.folder, table))
                    found += findings_of(matcher, batch).column("rule_id").to_pylist().count(rule)
                cases += 1
                if found != count and not (count is None and found):
                    wrong.append(f"{name}: {found} instead of {count}")
    assert not wrong
    assert cases > 90


def test_a_warm_start_is_quick_and_the_same(installed: InstalledRules, shared_data: Path) -> None:
    again = install_rules([shared_data / "sigma" / "rules.zip"], installed.folder.parent)
    assert installed.cold
    assert not again.cold
    assert again.rules == installed.rules


@pytest.mark.parametrize("archive", ["EVTX-ATTACK-SAMPLES", "DeepBlueCLI", "EVTX-to-MITRE-Attack", "YamatoSecurity"])
def test_the_plain_evaluator_agrees_on_event_logs(
    shared_data: Path, windows: TableMatcher, oracle: Oracle, archive: str
) -> None:
    agreed, wrong = 0, []
    for name, data in members(shared_data / "evtx" / f"{archive}.zip", ".evtx"):
        for table, batch in read_batches(name, data):
            if table == "windows_event":
                more, differing = differences(windows, oracle, sample(batch, name, 40 if batch.num_rows > 50 else 600))
                agreed += more
                wrong += differing
    assert not wrong[:20]
    assert agreed > 0


def test_the_plain_evaluator_agrees_on_a_sample_of_simulated_attacks(
    shared_data: Path, windows: TableMatcher, oracle: Oracle
) -> None:
    agreed, wrong = 0, []
    for path in sorted((shared_data / "otrf" / "atomic").rglob("*.zip")):
        for name, data in members(path, ".json"):
            for table, batch in sampled(name, data, SHARE):
                if table == "windows_event":
                    more, differing = differences(windows, oracle, batch)
                    agreed += more
                    wrong += differing
    assert not wrong[:20]
    assert agreed > 0
