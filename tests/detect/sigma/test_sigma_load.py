"""Rule files: nothing is dropped silently, nothing hostile gets far."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from casemate.detect.sigma.cache import install_rules, open_matcher
from casemate.detect.sigma.load import load_rules, parse_rule_files
from casemate.detect.sigma.rule_files import RuleFile
from casemate.errors import BadInput, CannotFinish

RULE = """
title: One
id: 11111111-1111-4111-8111-111111111111
logsource: {product: windows}
detection: {sel: {Image: x}, condition: sel}
tags: [attack.t1059.001, attack.credential-access, nonsense]
level: high
"""


def test_folders_archives_and_files_give_the_same_rules(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "one.yml").write_text(RULE)
    (folder / "notes.txt").write_text("no rule")
    with zipfile.ZipFile(tmp_path / "rules.zip", "w") as archive:
        archive.write(folder / "one.yml", "deep/one.yml")
    sets = [load_rules([path]) for path in (folder, tmp_path / "rules.zip", folder / "one.yml")]
    assert [[rule.id for rule in found.rules] for found in sets] == [["11111111-1111-4111-8111-111111111111"]] * 3
    assert len({found.hash for found in sets}) == 1
    assert sets[0].rules[0].notes  # the tag without a namespace


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"title: [", "not readable as YAML"),
        (b"a: b", "not a Sigma rule"),
        (b"- a", "no mapping"),
        (b"title: x\ntitle: y\ndetection: {}", "Duplicate key"),
        (b"[" * 100_000, "nested more than"),
        (RULE.replace("Image: x", "Image|nonsense: x").encode(), "Unknown modifier"),
        (RULE.replace("Image: x", "'Image|re': '('").encode(), "Regular expression"),
        (RULE.replace("logsource", "logs").encode(), "log source"),
    ],
)
def test_what_is_no_rule_is_listed_with_its_reason(content: bytes, reason: str) -> None:
    found = parse_rule_files([RuleFile("bad.yml", content), RuleFile("good.yml", RULE.encode())])
    assert len(found.rules) == 1
    assert len(found.errors) == 1
    assert reason.lower() in found.errors[0].reason.lower()


def test_a_second_rule_with_the_same_id_is_listed() -> None:
    found = parse_rule_files([RuleFile("a.yml", RULE.encode()), RuleFile("b.yml", RULE.replace("One", "Two").encode())])
    assert [rule.path for rule in found.rules] == ["a.yml"]
    assert found.errors[0].reason == "another rule with this id is already loaded from a.yml"


def test_a_path_that_does_not_exist_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        load_rules([tmp_path / "none"])


def test_a_damaged_cache_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(RULE)
    installed = install_rules([tmp_path / "one.yml"], tmp_path / "cache")
    patterns = installed.folder / "windows_event.json"
    patterns.write_bytes(patterns.read_bytes() + b" ")
    with pytest.raises(CannotFinish):
        open_matcher(installed.folder, "windows_event")
    assert install_rules([tmp_path / "one.yml"], tmp_path / "cache").cold
    (installed.folder / "rules.json").write_bytes(b"{}")
    assert install_rules([tmp_path / "one.yml"], tmp_path / "cache").cold
