"""What of a rule is marked, what would have changed an answer, and what is drawn."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from casemate.detect.behaviour import ANALYTICS
from casemate.explore.why_chart import chart
from casemate.explore.why_judged import MEASURES, ONE_IS_ENOUGH, SEVERAL_DECIDE, SLOW_THRESHOLDS, judged, otherwise
from casemate.explore.why_rule import leaves, rule_text, ruled_out
from casemate.explore.why_series import MOST_BUCKETS, Event, drawn

RULE = r"""title: Download
id: 00000000-0000-4000-8000-000000000001
detection:
    selection_img:
        - Image|endswith: '\bitsadmin.exe'
        - OriginalFileName: 'bitsadmin.exe'
    selection_cmd:
        CommandLine|contains:
            - ' /transfer '
            - ' /addfile '
    filter_main_ours:
        User: svc
    condition: all of selection_* and not 1 of filter_main_*
"""
TREE = {
    "events": "Sysmon 1",
    "because": {
        "all": [
            {
                "selection": "selection_img",
                "because": {"field": "Image", "value": "C:\\bitsadmin.exe", "pattern": "*\\bitsadmin.exe"},
            },
            {
                "selection": "selection_cmd",
                "because": {"field": "CommandLine", "value": "x /addfile y", "pattern": "* /addfile *"},
            },
            {"not": "filter_main_ours"},
        ]
    },
}


def marked(text: str, tree: object, state: str = "held") -> list[str]:
    """The pieces of the rule that are marked."""
    shown = rule_text("r.yml", text, "00000000-0000-4000-8000-000000000001", "Download", tree)
    lines = (shown.text or "").split("\n")
    return [lines[mark.line][mark.begin : mark.end] for mark in shown.marks if mark.state == state]


def test_the_parts_that_held_are_marked() -> None:
    assert marked(RULE, TREE) == [
        "selection_img",
        "Image|endswith",
        "'\\bitsadmin.exe'",
        "selection_cmd",
        "CommandLine|contains",
        "' /addfile '",
        "selection_*",
    ]
    assert marked(RULE, TREE, "ruled_out") == ["filter_main_ours", "filter_main_*"]


def test_of_several_documents_the_rule_s_own_is_told() -> None:
    other = "title: Other\nid: 00000000-0000-4000-8000-000000000002\ndetection: {a: {b: c}, condition: a}\n"
    shown = rule_text("r.yml", f"{other}---\n{RULE}", "00000000-0000-4000-8000-000000000001", "Download", TREE)
    assert shown.text == RULE.strip()


def test_an_encoded_value_marks_its_field_alone() -> None:
    text = "detection:\n    s:\n        CommandLine|base64offset|contains: whoami\n    condition: s\n"
    tree = {"because": {"selection": "s", "because": {"field": "CommandLine", "value": "x", "pattern": "*d2hvYW1p*"}}}
    assert marked(text, tree) == ["s", "CommandLine|base64offset|contains", "s"]


@pytest.mark.parametrize(
    "text", ["", ":", "[" * 5_000, "a: [", "detection: 3", "- " * 900, "x" * 300_000, "a: &a [*a]"]
)
def test_texts_that_are_no_rule_are_told_unmarked(text: str) -> None:
    assert marked(text, TREE) == []


@settings(max_examples=80, deadline=None)
@given(
    some.recursive(
        some.one_of(some.none(), some.integers(), some.text(max_size=5)),
        lambda inner: some.one_of(
            some.lists(inner, max_size=3),
            some.dictionaries(some.sampled_from(["all", "any", "because", "selection", "field", "not"]), inner),
        ),
        max_leaves=20,
    )
)
def test_any_tree_can_be_walked(tree: object) -> None:
    list(leaves(tree))
    ruled_out(tree)
    marked(RULE, tree)
    assert isinstance(otherwise("behaviour.guessing", tree), tuple)
    assert isinstance(otherwise("sigma_correlation", tree), tuple)
    judged(tree)


def guessing(failures: int, **more: object) -> dict:
    return {
        "rule": "password_guessing",
        "counts": {"failures": failures, "tries": failures, "slow": 0},
        "thresholds": {"failures_inside": 10, "failures": 5, "burst_gap_seconds": 300},
        "first": "2026-03-01T00:00:00Z",
        "last": "2026-03-01T00:01:00Z",
        **more,
    }


def test_what_would_have_changed_it_is_computed_from_the_threshold() -> None:
    first, second = otherwise("behaviour.guessing", guessing(13))
    assert first == (
        "9 failed tries instead of 13 with no gap above 5 min would not be named so: from 10 on it is (failures_inside)"
    )
    assert second == "the tries stood 5 s apart on average; more than 5 min apart, each would be a burst of its own"


def test_a_correlation_names_its_condition() -> None:
    tree = {"correlation": "event_count", "condition": "gte 10", "value": 26, "timespan": "2m", "group": {"ip": "x"}}
    assert otherwise("sigma_correlation", tree)[0] == (
        "9 instead of 26 within 2m would not be named: the condition is gte 10"
    )


def test_nothing_is_invented_for_an_unknown_behaviour() -> None:
    assert otherwise("behaviour.new", {"rule": "new", "counts": {"a": 3}, "thresholds": {"b": 2}}) == ()


@pytest.mark.parametrize(
    ("rule", "settings_of"),
    [(rule.name, analytic.settings) for analytic in ANALYTICS for rule in analytic.rules],
    ids=[rule.name for analytic in ANALYTICS for rule in analytic.rules],
)
def test_every_behaviour_says_what_decides(rule: str, settings_of: object) -> None:
    assert rule in MEASURES or rule in ONE_IS_ENOUGH or rule in SEVERAL_DECIDE
    thresholds = asdict(settings_of)  # type: ignore[call-overload]
    assert {*re.findall("`(.*?)`", SEVERAL_DECIDE.get(rule, ""))} <= {*thresholds, "decided"}
    for _, threshold, _ in MEASURES.get(rule, ()):
        assert threshold in thresholds
        assert SLOW_THRESHOLDS.get(threshold, threshold) in thresholds or threshold not in SLOW_THRESHOLDS


def test_records_are_not_held_against_a_threshold_of_networks() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    tree = {"rule": "distributed_guessing", "counts": {"networks": 10}, "thresholds": {"networks": 10}}
    series = drawn("x", [Event(start, "records", None)] * 30, judged(tree))
    assert series is not None
    assert (series.threshold, series.moments) == (None, ())


def test_a_series_tells_when_the_threshold_was_reached() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    events = [Event(start + timedelta(seconds=5 * n), "failures", "root") for n in range(13)]
    events.append(Event(start + timedelta(seconds=70), "successes", "root"))
    series = drawn("logons", events, judged(guessing(13)))
    assert series is not None
    assert sum(series.counts["failures"]) == 13
    assert series.reached[-1] == 13
    assert dict(series.moments) == {
        "threshold reached": start + timedelta(seconds=45),
        "success after failure": start + timedelta(seconds=70),
    }
    lines = [line.plain for line in chart(series)]
    assert any(line.startswith("10 needed") for line in lines)
    assert max(map(len, lines)) <= 78


@settings(max_examples=60, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 10**9), some.sampled_from(["failures", "successes", "x"])), min_size=1))
def test_no_event_is_lost_in_a_series(given_events: list[tuple[int, str]]) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    events = [Event(start + timedelta(seconds=at), kind, None) for at, kind in given_events]
    series = drawn("x", events, judged(guessing(13)))
    assert series is not None
    assert sum(map(sum, series.counts.values())) == len(events)
    assert len(series.reached) <= MOST_BUCKETS
    assert list(series.reached) == sorted(series.reached)
    assert all(line.cell_len <= 78 for line in chart(series))
