"""Rule packs: which rules of a set each profile has."""

from __future__ import annotations

from pathlib import Path

import pytest

from casemate.detect.sigma.profiles import PROFILES, chosen_files, profile_counts
from casemate.detect.sigma.rule_files import RuleFile, read_rule_files
from casemate.errors import BadInput

RULE = """title: {name}
id: {name}
status: {status}
logsource: {{product: linux}}
detection: {{keywords: [x], condition: keywords}}
level: {level}
"""


def rule(name: str, status: str, level: str, folder: str = "rules") -> RuleFile:
    return RuleFile(f"{folder}/{name}.yml", RULE.format(name=name, status=status, level=level).encode())


FILES = [
    rule("sure", "stable", "critical"),
    rule("middling", "test", "medium"),
    rule("young", "experimental", "high"),
    rule("threat", "test", "high", "rules-emerging-threats/2026"),
    rule("hunt", "test", "high", "rules-threat-hunting"),
    rule("low", "test", "low"),
    rule("old", "deprecated", "high"),
]


def names(profile: str, files: list[RuleFile] = FILES) -> list[str]:
    return [Path(file.name).stem for file in chosen_files(files, profile)]


def test_each_profile_holds_the_one_before_it() -> None:
    assert names("core") == ["sure"]
    assert names("extended") == ["sure", "middling", "young", "threat"]
    assert names("hunting") == ["sure", "middling", "young", "threat", "hunt", "low"]
    assert names("all") == [Path(file.name).stem for file in FILES]
    assert profile_counts(FILES) == {"core": 1, "extended": 4, "hunting": 6, "all": 7}


def test_a_tag_says_the_purpose_where_the_folder_does_not() -> None:
    tagged = RuleFile(
        "x.yml", RULE.format(name="x", status="test", level="high").encode() + b"tags:\n  - detection.threat-hunting\n"
    )
    assert not chosen_files([tagged], "core")
    assert chosen_files([tagged], "hunting") == [tagged]


def test_a_file_of_several_rules_keeps_those_that_fit() -> None:
    both = RuleFile("two.yml", b"---\n".join(file.content or b"" for file in (FILES[0], FILES[5])))
    [kept] = chosen_files([both], "core")
    assert b"id: sure" in (kept.content or b"")
    assert b"id: low" not in (kept.content or b"")


def test_a_correlation_brings_the_rules_it_looks_at() -> None:
    correlation = RuleFile(
        "c.yml",
        b"title: c\nstatus: test\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [low]\n  timespan: 1h\n"
        b"  condition: {gte: 3}\n",
    )
    assert names("core", [*FILES, correlation]) == ["sure", "low", "c"]


def test_what_does_not_say_its_level_is_kept() -> None:
    odd = [
        RuleFile("flow.yml", b"{title: x, detection: {a: {b: c}, condition: a}}"),
        RuleFile("broken.yml", None, "no"),
    ]
    assert chosen_files(odd, "core") == odd


def test_an_unknown_profile_is_wrong_usage() -> None:
    with pytest.raises(BadInput, match="core, extended, hunting, all"):
        chosen_files(FILES, "loud")


def test_the_public_rules_fall_into_all_profiles(shared_data: Path) -> None:
    files = read_rule_files([shared_data / "sigma" / "rules.zip"])
    counts = [profile_counts(files)[name] for name in PROFILES]
    assert counts == sorted(counts)
    assert counts[-1] == 3754
    assert 1000 < counts[0] < 2000
