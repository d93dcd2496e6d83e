"""ATT&CK and ATLAS in findings, from the tags of rules."""

from __future__ import annotations

import pytest
from sigma_helpers import load

from casemate.detect.sigma.tags import attack_of


@pytest.mark.parametrize(
    ("tag", "techniques", "tactics"),
    [
        ("attack.t1059.001", ("T1059.001",), ()),
        ("attack.T1059", ("T1059",), ()),
        ("attack.credential-access", (), ("credential-access",)),
        ("attack.credential_access", (), ("credential-access",)),
        ("attack.stealth", (), ("stealth",)),
        ("attack.defense-impairment", (), ("defense-impairment",)),
        ("attack.ta0006", (), ("credential-access",)),
        ("attack.ta9999", (), ()),
        ("attack.g0016", (), ()),
        ("attack.s0002", (), ()),
        ("attack.c0028", (), ()),
        ("attack.m1036", (), ()),
        ("atlas.t0024", ("AML.T0024",), ()),
        ("atlas.aml.t0024.001", ("AML.T0024.001",), ()),
        ("aml.t0051", ("AML.T0051",), ()),
        ("attack.aml.t0010", ("AML.T0010",), ()),
        ("atlas.aml.ta0002", (), ()),
        ("atlas.ai-model-access", (), ("ai-model-access",)),
        ("cve.2021-44228", (), ()),
        ("car.2013-07-002", (), ()),
        ("detection.emerging-threats", (), ()),
        ("stp.1u", (), ()),
        ("tlp.amber", (), ()),
        ("d3fend.d3-am", (), ()),
    ],
)
def test_tags_say_techniques_and_tactics(tag: str, techniques: tuple[str, ...], tactics: tuple[str, ...]) -> None:
    (rule,) = load({"detection": {"a": {"Image": "x"}, "condition": "a"}, "tags": [tag]})
    assert attack_of(rule.parsed) == (techniques, tactics)


def test_techniques_and_tactics_are_sorted_and_each_is_said_once() -> None:
    tags = ["attack.t1110", "attack.t1003", "attack.t1110", "attack.ta0006", "attack.credential-access", "bad"]
    (rule,) = load({"detection": {"a": {"Image": "x"}, "condition": "a"}, "tags": tags})
    assert attack_of(rule.parsed) == (("T1003", "T1110"), ("credential-access",))
