"""One faulty document does not take others with it, and nothing is judged by what was never looked for."""

from __future__ import annotations

import pytest

from casemate.detect.sigma.build import build_rules
from casemate.detect.sigma.compiled import CompiledRules
from casemate.detect.sigma.rule_files import RuleFile

FAILED = """
title: Failed
name: failed
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, service: security}
detection: {s: {EventID: 4625}, condition: s}
"""
OPENED = """
title: Opened
name: opened
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, service: security}
detection: {s: {EventID: 4624}, condition: s}
"""
FILTER = """
title: Filter
name: filter
id: 00000000-0000-4000-8000-000000000003
logsource: {product: windows, service: security}
filter: {rules: any, own: {User: svc}, condition: not own}
"""
WITHOUT = """
title: Never opened
name: never
id: 00000000-0000-4000-8000-000000000004
correlation: {type: temporal, timespan: 1h, condition: failed and not opened}
"""


def built(*documents: str) -> tuple[CompiledRules, dict[str, str]]:
    """Compiled rules, and the reasons of those refused by title."""
    rules, _ = build_rules([RuleFile("rules.yml", "---".join(documents).encode())], {})
    return rules, {one.title or "": one.reason for one in rules.refused}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (("condition: not own", "condition: not other"), "the condition names 'other'"),
        (("User: svc", "User|expand: '%unset%'"), "no values are given for the placeholder %unset%"),
        (("User: svc", "User|re: '(?=x)'"), "the regular expression '(?=x)' is not supported"),
    ],
)
def test_a_rule_does_not_fall_with_its_filter(fault: tuple[str, str], reason: str) -> None:
    rules, refused = built(FAILED, FILTER.replace(*fault))
    assert [rule.title for rule in rules.rules] == ["Failed"]
    assert refused["Filter"].startswith(reason)
    assert refused["Filter"].endswith("(the rules it is for run without it)")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (("condition: s}", "condition: s and t}"), "the condition names 't'"),
        (("EventID: 4624", "EventID|nosuch: 4624"), "Unknown modifier 'nosuch'"),
        (("EventID: 4624", "User|expand: '%unset%'"), "no values are given"),
    ],
)
def test_a_correlation_over_a_rule_that_cannot_be_evaluated_is_refused_and_says_why(
    fault: tuple[str, str], reason: str
) -> None:
    rules, refused = built(FAILED, OPENED.replace(*fault), WITHOUT)
    assert refused["Never opened"].startswith(f"the rule 'opened' it refers to cannot be used: {reason}")
    assert [(rule.title, rule.finding) for rule in rules.rules] == [("Failed", True)]  # it feeds nothing: it speaks


def test_what_can_be_evaluated_feeds_the_correlation() -> None:
    rules, refused = built(FAILED, OPENED, WITHOUT, FILTER)
    assert not refused
    assert {rule.finding for rule in rules.rules} == {False}


def test_wrong_references_say_what_they_name() -> None:
    _, refused = built(
        FAILED,
        FILTER.replace("rules: any", "rules: [never]"),
        WITHOUT.replace("failed and not opened", "failed and filter"),
    )
    assert refused["Never opened"] == "the rule 'filter' it refers to cannot be used: it is a filter"
    assert refused["Filter"] == "'never' is a correlation: a filter is for the rules it refers to"
    aliases = "rules: [failed], group-by: [ip], aliases: {ip: {nobody: IpAddress}}}"
    _, refused = built(FAILED, WITHOUT.replace("condition: failed and not opened}", aliases))
    assert refused["Never opened"] == "its alias 'ip' names the rule 'nobody', which is not installed"


def test_parts_that_are_no_mappings_are_named() -> None:
    for key, value in (("correlation", "[1]"), ("filter", ""), ("detection", "text"), ("logsource", "windows")):
        document = (
            f"title: Odd\nlogsource: {{product: windows}}\ndetection: {{s: {{a: b}}, condition: s}}\n{key}: {value}"
        )
        if key in ("detection", "logsource"):
            document = "\n".join(line for line in document.splitlines() if not line.startswith(f"{key}: {{"))
        assert built(FAILED, f"\n{document}\n")[1]["Odd"] == f"its '{key}' is no mapping"


def test_documents_that_share_an_id_by_an_old_collection_all_run() -> None:
    shared = (
        "\naction: global\ntitle: Shared\nid: 00000000-0000-4000-8000-00000000000a\ndetection: {condition: s}\n",
        "\nlogsource: {product: windows, service: security}\ndetection: {s: {EventID: 1}}\n",
        "\nlogsource: {product: windows, service: system}\ndetection: {s: {EventID: 2}}\n",
        "\naction: repeat\ndetection: {s: {EventID: 3}}\n",
    )
    rules, refused = built(*shared)
    assert not refused
    first = "00000000-0000-4000-8000-00000000000a"
    assert [rule.id for rule in rules.rules] == [first, f"{first}#2", f"{first}#3"]
    assert [bool(rule.notes) for rule in rules.rules] == [False, True, True]
    again, refused = built(FAILED, FAILED)
    assert (len(again.rules), refused["Failed"]) == (1, "the same rule is already loaded from rules.yml")
