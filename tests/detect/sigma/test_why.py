"""Why a rule matched: what held, with the values that fitted, and what was ruled out."""

from __future__ import annotations

from typing import Any

import orjson
from sigma_helpers import batch, compiled

from casemate.detect.sigma.kernel import findings_of
from casemate.detect.sigma.match import TableMatcher

SELECTION = {"Image|endswith": ["\\a.exe", "\\b.exe"], "CommandLine|contains|all": ["x", "y"]}


def why(detection: dict[str, Any], record: dict[str, Any], *, source: dict[str, str] | None = None) -> dict[str, Any]:
    """The reason of the one finding of a rule on a record."""
    rules = compiled({"detection": detection, **({"logsource": source} if source else {})})
    table = next(iter(rules.tables))
    found = findings_of(TableMatcher(rules, table), batch([record])).to_pylist()
    assert len(found) == 1
    return orjson.loads(found[0]["why"])


def test_a_selection_shows_each_field_with_its_value_and_the_patterns_that_fitted() -> None:
    reason = why(
        {"sel": SELECTION, "condition": "sel"}, {"Image": "C:\\B.exe", "CommandLine": "X and Y", "Channel": "Security"}
    )
    assert reason["events"] == "any Windows event"
    because = reason["because"]
    assert because["selection"] == "sel"
    parts = {str(part.get("pattern")): part["value"] for part in _leaves(because)}
    assert parts == {"*\\b.exe": "C:\\B.exe", "*x*": "X and Y", "*y*": "X and Y"}


def test_of_alternatives_only_those_that_held_are_shown() -> None:
    detection = {"one": {"Image": "a"}, "two": {"Image": "b"}, "condition": "1 of them"}
    assert why(detection, {"Image": "b"})["because"] == {
        "selection": "two",
        "because": {"field": "Image", "value": "b", "pattern": "b"},
    }


def test_what_was_ruled_out_is_named() -> None:
    detection = {"sel": {"Image": "a"}, "filter": {"User": "x"}, "condition": "sel and not filter"}
    assert {"not": "filter"} in why(detection, {"Image": "a"})["because"]["all"]


def test_a_keyword_names_the_field_it_stands_in() -> None:
    reason = why({"words": ["secret"], "condition": "words"}, {"Image": "a", "rest": {"Odd": "my SECRET"}})
    held = reason["because"]["because"]
    assert (held["column"], held["value"]) == ("rest.Odd", "my SECRET")


def test_absence_and_references_are_said() -> None:
    detection = {"sel": {"User": None, "Image|fieldref": "ParentImage"}, "condition": "sel"}
    leaves = _leaves(why(detection, {"Image": "A", "ParentImage": "a", "User": None})["because"])
    assert {"field": "User", "is": "null"} in leaves
    assert {"field": "Image", "equals": "field ParentImage", "value": "A"} in leaves


def test_a_field_of_another_event_names_its_column_and_what_is_not_recorded() -> None:
    detection = {"sel": {"Image": "a"}, "filter": {"Company": "x"}, "condition": "sel and not filter"}
    record = {"Channel": "Security", "EventID": "4688", "NewProcessName": "a"}
    reason = why(detection, record, source={"product": "windows", "category": "process_creation"})
    assert reason["events"] == "Security 4688"
    assert reason["not_recorded"] == ["Company"]
    assert _leaves(reason["because"])[0]["column"] == "newprocessname"


def test_a_long_value_is_cut_and_says_so() -> None:
    reason = why({"sel": {"Image|contains": "needle"}, "condition": "sel"}, {"Image": "needle" + "x" * 5000})
    value = reason["because"]["because"]["value"]
    assert len(value) < 500
    assert value.endswith("(5006 characters in all)")


def _leaves(node: Any) -> list[dict[str, Any]]:
    if "because" in node:
        return _leaves(node["because"])
    for kind in ("all", "any"):
        if kind in node:
            return [leaf for part in node[kind] for leaf in _leaves(part)]
    return [node]
