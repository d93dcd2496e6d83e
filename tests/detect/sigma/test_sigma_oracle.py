"""The matcher says the same as the plain evaluator, on generated rules and records."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sigma_helpers import batch, load
from sigma_oracle import Record, matches

from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.match import TableMatcher

LETTERS = st.sampled_from(["a", "A", "b", "B", "\\", "*", "?", "/", "-", " ", "é", "İ", "ß", "Ω", "\n", "1", ".", '"'])
TEXT = st.text(LETTERS, max_size=5)
VALUES = st.one_of(
    TEXT,
    st.sampled_from(
        [
            "",
            "1",
            "10",
            "-3",
            "2.5",
            "007",
            "10.0.0.7",
            "10.1.2.3",
            "::1",
            "true",
            "2024-03-05T07:08:09Z",
            "1709622489",
            "abab",
        ]
    ),
)
FIELDS = ("Image", "CommandLine", "User", "OddField", "odd.key")
RECORD = st.fixed_dictionaries(
    {},
    optional={
        "Image": VALUES,
        "CommandLine": VALUES,
        "User": VALUES,
        "rest": st.dictionaries(st.sampled_from(["OddField", "oddfield", "odd.key", "Other"]), VALUES, max_size=2),
    },
)
PLAIN_VALUE = st.one_of(
    TEXT, st.integers(-3, 12), st.none(), st.sampled_from(["", "*", "?", "a*", "*b", "a*b", "\\*", "a\\?"])
)
SAFE_REGEX = st.sampled_from(
    ["a", "^a", "b$", "a.b", "[ab]+", "(a|b){2}", "A", "\\\\", "^$", "a\\Z", "\\d+", "é", "^.{3}$", "a?"]
)
MODIFIED = st.one_of(
    st.tuples(
        st.sampled_from(["contains", "startswith", "endswith", "contains|cased", "startswith|cased", "cased"]), TEXT
    ),
    st.tuples(st.sampled_from(["contains|all", "endswith|all"]), st.lists(TEXT, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["re", "re|i", "re|m", "re|s", "re|i|m"]), SAFE_REGEX),
    st.tuples(st.sampled_from(["contains|windash", "windash"]), st.sampled_from([" -a", "-b", "/a", "a"])),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(-3, 12)),
    st.tuples(st.just("cidr"), st.sampled_from(["10.0.0.0/8", "10.0.0.0/24", "::/64"])),
    st.tuples(st.just("exists"), st.booleans()),
    st.tuples(
        st.sampled_from(["fieldref", "fieldref|contains", "fieldref|startswith", "fieldref|endswith"]),
        st.sampled_from(FIELDS),
    ),
    st.tuples(
        st.sampled_from(["base64", "base64offset|contains", "wide|base64offset|contains"]),
        st.sampled_from(["a", "ab", "abc"]),
    ),
    st.tuples(
        st.sampled_from(["hour", "minute", "day", "week", "month", "year"]), st.sampled_from([3, 5, 7, 8, 10, 2024])
    ),
    st.tuples(st.sampled_from(["neq", "contains|neq"]), TEXT),
)


@st.composite
def item(draw: st.DrawFn) -> tuple[str, Any]:
    field = draw(st.sampled_from(FIELDS))
    if draw(st.booleans()):
        return field, draw(
            st.one_of(PLAIN_VALUE, st.lists(PLAIN_VALUE.filter(lambda v: v is not None), min_size=1, max_size=3))
        )
    modifier, value = draw(MODIFIED)
    return f"{field}|{modifier}", value


SELECTION = st.one_of(
    st.lists(item(), min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(dict),
    st.lists(item().map(lambda pair: dict([pair])), min_size=1, max_size=2),
    st.lists(TEXT.filter(bool), min_size=1, max_size=2),
    TEXT.filter(bool).map(lambda text: {"|all": [text, "a"]}),
)
CONDITION = st.sampled_from(
    ["sel1", "not sel1", "sel1 and sel2", "sel1 or sel2", "sel1 and not sel2", "not (sel1 or sel2)", "1 of sel*",
     "all of them", "all of sel* and not 1 of other*", "1 of them", ["sel1", "sel2 and other1"]]
)  # fmt: skip
DETECTION = st.fixed_dictionaries({"sel1": SELECTION, "sel2": SELECTION, "other1": SELECTION, "condition": CONDITION})


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(
    detections=st.lists(DETECTION, min_size=1, max_size=4),
    records=st.lists(RECORD, min_size=1, max_size=8),
    plain=st.booleans(),
)
def test_the_matcher_agrees_with_the_plain_evaluator(
    detections: list[dict[str, Any]], records: list[dict[str, Any]], plain: bool
) -> None:
    rules = load(*detections)
    compiled = compile_rules(rules)
    assert not compiled.refused, compiled.refused
    data = batch(records, columns=("Image", "CommandLine", "User", "rest"), plain=plain)
    matcher = TableMatcher(compiled, "windows_event")
    found = {(matcher.plans[match.plan].rule, int(row)) for match in matcher.match(data).matches for row in match.rows}
    rows = data.to_pylist()
    expected = {
        (number, place)
        for number, rule in enumerate(rules)
        for place, row in enumerate(rows)
        if matches(rule.parsed, Record("windows_event", row))  # type: ignore[arg-type]
    }
    assert found == expected
