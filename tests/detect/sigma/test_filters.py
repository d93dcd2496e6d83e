"""A filter is ANDed to the rules it is for, and what it takes out stays countable."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR

from casemate.detect.sigma.filters import SUPPRESSED_SUFFIX, FilteredRules, apply_filters, renamed
from casemate.detect.sigma.load import load_rules

RULE = """
title: Archiver
id: 6f3e2987-db24-4c78-a860-b4f4095a7095
name: archiver
logsource: {category: process_creation, product: windows}
detection:
    selection: {Image: rar}
    filter_main: {User: system}
    condition: selection and not 1 of filter_*
"""
OTHER = """
title: Other log source
id: df0841c0-9846-4e9f-ad8a-7df91571771b
logsource: {product: linux, service: sshd}
detection:
    selection: {Image: rar}
    condition: 1 of them
"""
FILTER = """
title: Backup
id: 0e95725d-7320-415d-80f7-004da920fc11
logsource: {category: process_creation, product: windows}
filter:
    rules: [6f3e2987-db24-4c78-a860-b4f4095a7095]
    selection: {User: backup}
    condition: not selection
"""
EVENTS = [
    {"Image": image, "User": user} for image, user in itertools.product(["rar", "zip"], ["backup", "eve", "system"])
]


def filtered(folder: Path, *documents: str) -> FilteredRules:
    for number, document in enumerate(documents):
        (folder / f"{number}.yml").write_text(document)
    return apply_filters(load_rules([folder]))


def holds(node: Any, event: dict[str, str]) -> bool:
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return event.get(node.field) == str(node.value)
    if isinstance(node, ConditionNOT):
        return not holds(node.args[0], event)
    parts = [holds(part, event) for part in node.args]
    return all(parts) if isinstance(node, ConditionAND) else isinstance(node, ConditionOR) and any(parts)


def hits(rule: Any) -> list[tuple[str, str]]:
    trees = [condition.parsed for condition in rule.parsed.detection.parsed_condition]
    return [(event["Image"], event["User"]) for event in EVENTS if any(holds(tree, event) for tree in trees)]


def test_filter_is_anded_and_what_it_takes_out_is_found_by_a_rule_of_its_own(tmp_path: Path) -> None:
    result = filtered(tmp_path, RULE, OTHER, FILTER)
    kept = {rule.id: hits(rule) for rule in result.rules}
    assert kept["6f3e2987-db24-4c78-a860-b4f4095a7095"] == [("rar", "eve")]
    assert kept["df0841c0-9846-4e9f-ad8a-7df91571771b"] == [("rar", user) for user in ("backup", "eve", "system")]
    assert [rule.id for rule in result.suppressed] == ["6f3e2987-db24-4c78-a860-b4f4095a7095" + SUPPRESSED_SUFFIX]
    assert hits(result.suppressed[0]) == [("rar", "backup")]
    assert result.applied == {"6f3e2987-db24-4c78-a860-b4f4095a7095": ("Backup",)}
    assert result.unused == ()


def test_kept_and_suppressed_together_are_the_rule(tmp_path: Path) -> None:
    second = FILTER.replace("Backup", "Eve").replace("fc11", "fc12").replace("User: backup", "User: eve")
    before = hits(load_rules([write(tmp_path / "plain", RULE)]).rules[0])
    result = filtered(tmp_path, RULE, FILTER, second)
    assert sorted(hits(result.rules[0]) + hits(result.suppressed[0])) == sorted(before)
    assert hits(result.rules[0]) == []


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "rule.yml").write_text(text)
    return folder


@pytest.mark.parametrize("rules", ["any", "[archiver]", "archiver", "[]"])
def test_rules_are_named_by_name_or_any(tmp_path: Path, rules: str) -> None:
    document = FILTER.replace("[6f3e2987-db24-4c78-a860-b4f4095a7095]", rules)
    assert set(filtered(tmp_path, RULE, OTHER, document).applied) == {"6f3e2987-db24-4c78-a860-b4f4095a7095"}


def test_wider_log_source_of_a_filter_fits_and_a_narrower_does_not(tmp_path: Path) -> None:
    wide = FILTER.replace("{category: process_creation, product: windows}", "{product: windows}")
    assert filtered(tmp_path, RULE, wide).applied
    narrow = FILTER.replace("product: windows}", "product: windows, service: sysmon}")
    result = filtered(tmp_path, RULE, narrow)
    assert not result.applied
    assert "log source does not fit" in result.unused[0].reason


def test_filter_for_an_unknown_rule_is_listed(tmp_path: Path) -> None:
    result = filtered(tmp_path, OTHER, FILTER)
    assert "not installed" in result.unused[0].reason


def test_same_rules_give_the_same_filtered_rules(tmp_path: Path) -> None:
    first, second = (filtered(tmp_path, RULE, FILTER).rules[0] for _ in range(2))
    assert (first.hash, first.parsed.to_dict()) == (second.hash, second.parsed.to_dict())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("not selection", "not P_selection"),
        ("not 1 of sel_*", "not 1 of P_sel_*"),
        ("not (all of them)", "not (all of P_*)"),
        ("1st and not of_x or any of *_y", "P_1st and not P_of_x or any of P_*_y"),
    ],
)
def test_names_in_conditions(condition: str, expected: str) -> None:
    assert renamed(condition, "P_") == expected
