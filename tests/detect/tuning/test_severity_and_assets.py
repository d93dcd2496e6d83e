"""Severities are changed, said and undone exactly; core assets are found by what names them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.detect.tuning.assets import CoreAssets
from casemate.detect.tuning.severity import Change, one_step_up, with_changes, without_changes
from casemate.settings import Asset, parse_settings

CHANGES = [Change("low", "tuning", "id", 'why "so"'), Change("medium", "core_asset", "dc01", "it names dc01")]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), PLAIN), st.booleans())
def test_undoing_gives_back_the_very_text(why: dict[str, object], spaced: bool) -> None:
    text = json.dumps(why, ensure_ascii=False, separators=(", ", ": ") if spaced else (",", ":"))
    if text.startswith('{"tuned":'):
        return
    changed = with_changes(text, "high", CHANGES)
    assert json.loads(changed)["tuned"]["severity_was"] == "high"
    assert without_changes(changed, "medium") == (text, "high")


def test_untouched_findings_stay() -> None:
    assert without_changes('{"events":1}', "low") == ('{"events":1}', "low")


def test_one_step() -> None:
    assert [one_step_up(one) for one in ("informational", "high", "critical")] == ["low", "critical", "critical"]


@pytest.mark.parametrize(
    ("text", "value", "named"),
    [
        ("DC01", "dc01.lab.internal", True),
        ("DC01", "dc011", False),
        ("dc01", "mydc01", False),
        ("10.0.0.0/24", "10.0.0.7", True),
        ("10.0.0.1", "10.0.0.10", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("2001:db8::/32", "2001:db8::1%eth0", True),
        ("lab-checkpoints", "arn:aws:s3:::lab-checkpoints/run-7", True),
        ("lab-checkpoints", "arn:aws:s3:::lab-checkpoints-old", False),
        ("s3://models", "S3://MODELS/a", True),
    ],
)
def test_what_names_an_asset(text: str, value: str, named: bool) -> None:
    assert (CoreAssets([Asset("it", match=(text,))]).named(value) == "it") is named


def test_an_asset_without_texts_is_named_by_its_name() -> None:
    assert CoreAssets([Asset("gw1")]).named("gw1") == "gw1"


def test_both_forms_of_core_assets_in_case_toml() -> None:
    settings = parse_settings({"assets": {"core": ["dc01"]}, "core": [{"name": "x", "match": ["y"]}]})
    assert [(one.name, one.match) for one in settings.core] == [("x", ("y",)), ("dc01", ("dc01",))]
