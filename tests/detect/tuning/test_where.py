"""The short form of conditions, and that pySigma reads what it becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.detect.sigma.load import parse_rule_files
from casemate.detect.sigma.rule_files import RuleFile
from casemate.detect.tuning.tunings import as_yaml
from casemate.detect.tuning.where import parse_where
from casemate.errors import BadInput


def read(*conditions: str) -> dict[str, object]:
    return parse_where(conditions)


def test_terms_joined_by_and_stand_in_one_selection() -> None:
    assert read(r"Image|endswith: \backup.exe and User: svc_backup") == {
        "selection": {r"Image|endswith": r"\backup.exe", "User": "svc_backup"},
        "condition": "not selection",
    }


def test_several_conditions_must_all_hold() -> None:
    assert read("EventID: 4624", "User: a")["selection"] == {"EventID": 4624, "User": "a"}


def test_a_field_named_twice_is_asked_twice() -> None:
    found = read("User|contains: a and User|contains: b")
    assert found["condition"] == "not (selection and selection_2)"


def test_an_exception_is_negated() -> None:
    assert read("User: a and not Image: b") == {
        "selection": {"User": "a"},
        "exception": {"Image": "b"},
        "condition": "not (selection and not exception)",
    }


def test_lists_quotes_numbers_and_null() -> None:
    found = read('a: [1, \'x, y\', "q\\"q", null] and b: "c and d: e" and c: \'C:\\dir\\\'')
    assert found["selection"] == {"a": [1, "x, y", 'q"q', None], "b": "c and d: e", "c": "C:\\dir\\"}


def test_and_within_a_value_is_text() -> None:
    assert read(r"CommandLine|contains: copy this and C:\that and more")["selection"] == {
        "CommandLine|contains": r"copy this and C:\that and more"
    }


def test_leading_zeros_stay_text() -> None:
    assert read("code: 007")["selection"] == {"code": "007"}


@pytest.mark.parametrize("text", ["", "no field", "field:", "field: [a", "field: [a,,b]", 'field: "a" b', ": x"])
def test_what_cannot_be_read_is_said_in_one_line(text: str) -> None:
    with pytest.raises(BadInput) as told:
        read(text)
    assert "\n" not in str(told.value)


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
FIELDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)


@given(st.dictionaries(FIELDS, st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_quoted_values_come_through_pysigma_unchanged(wanted: dict[str, list[str]]) -> None:
    def quoted(value: str) -> str:
        return "'" + value.replace("'", "_") + "'"

    text = " and ".join(f"{field}: [{', '.join(map(quoted, values))}]" for field, values in wanted.items())
    detection = parse_where([text])
    assert detection["selection"] == {
        field: [value.replace("'", "_") for value in values] for field, values in wanted.items()
    }
    document = {"title": "t", "logsource": {"product": "linux"}, "filter": {"rules": "any", **detection}}
    parsed = parse_rule_files([RuleFile("f.yml", as_yaml(document).encode())])
    assert not parsed.errors
    assert len(parsed.filters) == 1


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_where([text])
    except BadInput:
        return
    assert found["condition"].startswith("not ")
