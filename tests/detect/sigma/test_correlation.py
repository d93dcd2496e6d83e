"""Correlations do what the specification and docs/decisions/0004-correlations.md say."""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from casemate.detect.sigma.correlation import evaluate
from casemate.detect.sigma.correlation_bounds import prepare_document
from casemate.detect.sigma.correlation_compile import compile_correlations
from casemate.detect.sigma.correlation_endpoints import agreed, with_endpoints
from casemate.detect.sigma.correlation_findings import findings
from casemate.detect.sigma.correlation_needs import needed_fields, silent_rules, unfed
from casemate.detect.sigma.load import LoadedRule
from casemate.schema.findings import FINDINGS_WITH_RECORDS, finding_id

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "oracle"))
from correlation_oracle import Match, correlate, text_of  # pyright: ignore[reportMissingImports]

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
BASE_RULES = ("a", "b", "c")


def base_rule(name: str, **more: Any) -> dict[str, Any]:
    return {
        "title": f"Rule {name}",
        "name": name,
        "logsource": {"product": "test"},
        "detection": {"s": {"x": name}, "condition": "s"},
    } | more


def load(*documents: dict[str, Any]) -> list[LoadedRule]:
    loaded = []
    for document in documents:
        kind = SigmaCorrelationRule if "correlation" in document else SigmaRule
        parsed = kind.from_dict(prepare_document(document))
        name = document.get("id") or document["name"]
        loaded.append(LoadedRule(name, f"hash-of-{name}", document.get("file", "rules.yml"), document["title"], parsed))
    return loaded


def correlation(name: str, **body: Any) -> dict[str, Any]:
    if isinstance(body.get("condition"), tuple):
        body["condition"] = text_of(body["condition"])
    return {"title": f"Correlation {name}", "name": name, "correlation": {"timespan": "10s"} | body}


def table(matches: list[Match], fields: tuple[str, ...]) -> pa.Table:
    times = [None if match.time is None else EPOCH + timedelta(seconds=match.time) for match in matches]
    return pa.table(
        {
            "evidence": pa.array([match.evidence for match in matches], pa.string()),
            "record": pa.array([match.record for match in matches], pa.int64()),
            "time": pa.array(times, pa.timestamp("us", tz="UTC")),
        }
        | {name: pa.array([match.fields.get(name) for match in matches], pa.string()) for name in fields}
    )


def run(documents: list[dict[str, Any]], matches: dict[str, list[Match]]) -> pa.Table:
    compiled, refused = compile_correlations(load(*[base_rule(name) for name in BASE_RULES], *documents))
    assert not refused
    needed = needed_fields(compiled)
    tables = {name: table(found, needed.get(name, ())) for name, found in matches.items()}
    evaluated, evidences = evaluate(compiled, tables)
    return findings(evaluated, evidences, silent=silent_rules(compiled))


def records(row: dict[str, Any]) -> set[tuple[str, int]]:
    return {(entry["evidence"], entry["record"]) for entry in row["records"]}


def events(*times: int, **fields: str) -> list[Match]:
    return [Match("log", 100 + index, time, dict(fields)) for index, time in enumerate(times)]


# ---- what a user reads in the specification ----


def test_event_count_needs_enough_events_within_the_timespan_and_not_more_slowly() -> None:
    rule = correlation("burst", type="event_count", rules=["a"], **{"group-by": ["u"]}, condition={"gte": 3})
    assert run([rule], {"a": events(0, 5, 10, u="x")}).num_rows == 1
    assert run([rule], {"a": events(0, 6, 12, 18, 24, u="x")}).num_rows == 0  # never three in ten seconds


def test_window_holds_both_its_ends_and_is_never_stretched() -> None:
    rule = correlation("pair", type="event_count", rules=["a"], **{"group-by": ["u"]}, condition={"gte": 2})
    assert run([rule], {"a": events(0, 10, u="x")}).num_rows == 1
    assert run([rule], {"a": events(0, 11, u="x")}).num_rows == 0


def test_windows_slide_across_clock_boundaries() -> None:
    rule = correlation("pair", type="event_count", rules=["a"], timespan="1h", condition={"gte": 2})
    assert run([rule], {"a": events(3599, 3601)}).num_rows == 1


def test_groups_are_counted_apart_by_all_fields_together() -> None:
    rule = correlation("pair", type="event_count", rules=["a"], **{"group-by": ["u", "h"]}, condition={"gte": 2})
    split = [Match("log", n, n, {"u": "x", "h": str(n % 2)}) for n in range(2)]
    assert run([rule], {"a": split}).num_rows == 0
    both = [Match("log", n, n, {"u": "x", "h": str(n % 2)}) for n in range(4)]
    found = run([rule], {"a": both}).to_pylist()
    assert [json.loads(row["why"])["group"] for row in found] == [{"u": "x", "h": "0"}, {"u": "x", "h": "1"}]


def test_events_without_a_group_value_or_a_time_take_no_part_and_are_counted() -> None:
    document = correlation("pair", type="event_count", rules=["a"], **{"group-by": ["u"]}, condition={"gte": 2})
    compiled, _ = compile_correlations(load(base_rule("a"), document))
    matches = [Match("log", 1, 0, {}), Match("log", 2, 1, {}), Match("log", 3, None, {"u": "x"})]
    evaluated, _ = evaluate(compiled, {"a": table(matches, ("u",))})
    assert len(evaluated[0]) == 0
    assert evaluated[0].events.excluded == {"without a value of a group-by field": 2, "without a time": 1}


def test_a_burst_is_one_finding_with_all_its_records_and_two_bursts_are_two() -> None:
    rule = correlation("burst", type="event_count", rules=["a"], condition={"gt": 2})
    found = run([rule], {"a": events(0, 1, 2, 3, 9, 18, 100, 101, 102)}).to_pylist()
    assert [len(row["records"]) for row in found] == [5, 3]
    assert found[0]["id"] == finding_id("burst", [("log", number) for number in range(100, 105)])
    why = json.loads(found[0]["why"])
    assert (why["value"], why["condition"], why["timespan"]) == (5, "gt 2", "10s")


def test_one_event_that_two_rules_match_counts_once() -> None:
    rule = correlation("pair", type="event_count", rules=["a", "b"], condition={"gte": 2})
    assert run([rule], {"a": events(0), "b": events(0)}).num_rows == 0


def test_range_needs_both_bounds() -> None:
    rule = correlation("range", type="event_count", rules=["a"], condition={"gte": 2, "lt": 4})
    assert run([rule], {"a": events(0, 1)}).num_rows == 1
    five = [Match("log", number, 0) for number in range(5)]
    assert run([rule], {"a": five}).num_rows == 0


def test_threshold_with_a_fraction_is_not_cut() -> None:
    rule = correlation("avg", type="value_avg", rules=["a"], condition={"field": "n", "gte": 0.5})
    assert run([rule], {"a": [Match("log", 1, 0, {"n": "0.4"})]}).num_rows == 0
    assert run([rule], {"a": [Match("log", 1, 0, {"n": "0.5"})]}).num_rows == 1


def test_decimals_sum_exactly() -> None:
    rule = correlation("sum", type="value_sum", rules=["a"], condition={"field": "n", "eq": 0.3})
    parts = [Match("log", 1, 0, {"n": "0.1"}), Match("log", 2, 0, {"n": "0.2"})]
    assert run([rule], {"a": parts}).num_rows == 1


def test_order_is_honoured() -> None:
    rule = correlation("then", type="temporal_ordered", rules=["a", "b"])
    assert run([rule], {"a": events(0), "b": events(5)}).num_rows == 1
    assert run([rule], {"a": events(5), "b": events(0)}).num_rows == 0
    assert run([correlation("both", type="temporal", rules=["a", "b"])], {"a": events(5), "b": events(0)}).num_rows == 1


def test_at_equal_times_the_order_of_the_log_decides() -> None:
    rule = correlation("then", type="temporal_ordered", rules=["a", "b"])
    first, second = [Match("log", 1, 0)], [Match("log", 2, 0)]
    assert run([rule], {"a": first, "b": second}).num_rows == 1
    assert run([rule], {"a": second, "b": first}).num_rows == 0
    assert run([rule], {"a": first, "b": first}).num_rows == 0  # one event is not followed by itself


def test_aliases_join_different_fields() -> None:
    rule = correlation(
        "same address",
        type="temporal",
        rules=["a", "b"],
        aliases={"ip": {"a": "destination.ip", "b": "source.ip"}},
        **{"group-by": ["ip"]},
    )
    left = [Match("log", 1, 0, {"destination.ip": "10.0.0.1", "source.ip": "10.0.0.9"})]
    right = [Match("log", 2, 1, {"source.ip": "10.0.0.1"})]
    assert run([rule], {"a": left, "b": right}).num_rows == 1
    other = [Match("log", 2, 1, {"source.ip": "10.0.0.9"})]
    assert run([rule], {"a": left, "b": other}).num_rows == 0


def test_many_failures_then_success_is_the_example_of_the_specification() -> None:
    many = correlation("many", type="event_count", rules=["a"], **{"group-by": ["User"]}, condition={"gte": 3})
    then = correlation("guessed", type="temporal_ordered", rules=["many", "b"], **{"group-by": ["User"]})
    failures = events(0, 1, 2, User="x")
    success = [Match("auth", 7, 8, {"User": "x"})]
    found = run([many, then], {"a": failures, "b": success}).to_pylist()
    assert [row["rule_id"] for row in found] == ["guessed"]  # "many" only feeds it
    assert records(found[0]) == {("log", 100), ("log", 101), ("log", 102), ("auth", 7)}
    assert (found[0]["source"], found[0]["time"]) == ({"kind": "user", "value": "x"}, EPOCH)
    before = [Match("auth", 7, 1, {"User": "x"})]
    assert run([many, then], {"a": failures, "b": before}).num_rows == 0
    other = [Match("auth", 7, 8, {"User": "y"})]
    assert run([many, then], {"a": failures, "b": other}).num_rows == 0


def test_rules_listed_once_in_a_condition_with_not() -> None:
    rule = correlation("without", type="temporal", condition=("and", "a", ("not", "b")))
    assert run([rule], {"a": events(20), "b": events(0)}).num_rows == 1
    assert run([rule], {"a": events(5), "b": events(0)}).num_rows == 0


def test_severity_and_techniques_come_from_the_rule_or_else_from_those_it_refers_to() -> None:
    low = base_rule("a", level="low", tags=["attack.t1110.001", "attack.credential-access"])
    plain = correlation("plain", type="event_count", rules=["a"], condition={"gte": 1})
    own = plain | {"name": "own", "level": "high", "tags": ["attack.t1110.003", "atlas.aml.t0024"]}
    compiled, _ = compile_correlations(load(low, plain, own))
    assert [(c.severity, c.techniques, c.tactics) for c in compiled] == [
        ("low", ("T1110.001",), ("credential-access",)),
        ("high", ("AML.T0024", "T1110.003"), ()),
    ]
    assert compiled[0].labels_from["severity"] == "references"


def test_generate_lets_the_base_rules_speak() -> None:
    quiet = correlation("quiet", type="event_count", rules=["a", "b"], condition={"gte": 1})
    loud = correlation("loud", type="event_count", rules=["b"], condition={"gte": 1}, generate=True)
    compiled, _ = compile_correlations(load(*map(base_rule, BASE_RULES), quiet, loud))
    assert silent_rules(compiled) == {"a"}


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([correlation("x", type="event_count", rules=["nowhere"], condition={"gte": 1})], "not installed"),
        ([correlation("x", type="temporal", rules=["x", "a"])], "refers to itself"),
        ([correlation("x", type="value_percentile", rules=["a"], condition={"gte": 1, "field": "f"})], "percentile"),
        ([correlation("x", type="event_count", rules=["twice"], condition={"gte": 1})], "2 rules are called"),
    ],
)
def test_what_cannot_be_compiled_is_listed_with_the_reason(documents: list[dict[str, Any]], reason: str) -> None:
    twins = [
        base_rule("twice", id=f"0e95725d-7320-415d-80f7-004da920fc1{number}", file=f"{number}.yml")
        for number in range(2)
    ]
    compiled, refused = compile_correlations(load(base_rule("a"), *twins, *documents))
    assert not compiled
    assert reason in refused[0].reason


def test_findings_have_the_contract_columns_and_no_guessed_endpoints() -> None:
    rule = correlation("pair", type="event_count", rules=["a"], **{"group-by": ["IpAddress", "Computer"]})
    rule["correlation"]["condition"] = {"gte": 2}
    found = run([rule], {"a": events(0, 1, IpAddress="::ffff:192.0.2.7", Computer="ws1")})
    assert found.schema == FINDINGS_WITH_RECORDS
    row = found.to_pylist()[0]
    assert row["source"] == {"kind": "address", "value": "192.0.2.7"}
    assert row["target"] == {"kind": "host", "value": "ws1", "service": None}
    assert run([rule], {"a": events(0, 1, IpAddress="-", Computer="ws1")}).to_pylist()[0]["source"] is None


def test_findings_say_of_target_vector_and_outcome_what_all_records_agree_on() -> None:
    then = correlation("then", type="temporal_ordered", rules=["a", "b"], **{"group-by": ["ip"]})
    compiled, _ = compile_correlations(load(base_rule("a"), base_rule("b"), then))

    def logins(number: int, time: int, event: str) -> pa.Table:
        match = [Match("log", number, time, {"ip": "192.0.2.7"})]
        said = {"source_ip": "192.0.2.7", "host": "gate", "program": "sshd", "event": event, "user": "root"}
        raw = table(match, ("ip",))
        for name, value in said.items():
            raw = raw.append_column(name, pa.array([value], pa.string()))
        return with_endpoints(raw, "syslog")

    evaluated, evidences = evaluate(compiled, {"a": logins(1, 0, "failed"), "b": logins(2, 5, "accepted")})
    row = findings(evaluated, evidences).to_pylist()[0]
    assert row["target"] is not None
    assert (row["target"]["kind"], row["target"]["value"]) == ("host", "gate")
    assert row["vector"] == "credential"
    plain = run([then], {"a": events(0, ip="192.0.2.7"), "b": [Match("log", 2, 5, {"ip": "192.0.2.7"})]}).to_pylist()[0]
    assert (plain["target"], plain["vector"], plain["outcome"]) == (None, "unknown", "unknown")


def test_agreement_needs_all_records_and_the_last_step_decides_the_outcome() -> None:
    one = '{"source":["address","192.0.2.7"],"target":["host","gate","ssh"],"vector":"credential","outcome":"failed"}'
    two = one.replace("failed", "succeeded").replace("ssh", "rdp")
    both = agreed({}, [one, two], [two])
    assert both.source == {"kind": "address", "value": "192.0.2.7"}
    assert both.target == {"kind": "host", "value": "gate", "service": None}
    assert (both.vector, both.outcome) == ("credential", "succeeded")
    assert agreed({}, [one, two], [one, two]).outcome == "unknown"
    somebody_else = two.replace("192.0.2.7", "192.0.2.8")
    assert agreed({}, [one, somebody_else], [somebody_else]).outcome == "unknown"
    elsewhere = one.replace("gate", "lab").replace("credential", "network")
    differing = agreed({}, [one, elsewhere], [one, elsewhere])
    assert (differing.target, differing.vector, differing.outcome) == (None, "unknown", "failed")


def test_correlations_whose_base_rule_did_not_run_are_named() -> None:
    many = correlation("many", type="event_count", rules=["a"], condition={"gte": 3})
    then = correlation("then", type="temporal", rules=["many", "b"])
    compiled, _ = compile_correlations(load(base_rule("a"), base_rule("b"), many, then))
    assert [(one.key, one.reason) for one in unfed(compiled, {"b"})] == [
        ("many", "its rule did not run: 'Rule a'"),
        ("then", "its rule did not run: 'Rule a'"),
    ]
    assert unfed(compiled, {"a", "b"}) == []


# ---- against the plain oracle, on generated events ----

VALUES = st.sampled_from(["1", "2", "3", "10", "-4", "0.5", "1e1", "x", "", " 2", "0x10", None])
GROUPS = st.sampled_from(["p", "q", "", None])


@st.composite
def generated_matches(draw: st.DrawFn) -> dict[str, list[Match]]:
    chosen: dict[str, dict[tuple[str, int], Match]] = {name: {} for name in BASE_RULES}
    times: dict[tuple[str, int], int | None] = {}
    fields: dict[tuple[str, int], dict[str, str]] = {}
    for _ in range(draw(st.integers(0, 14))):
        key = (draw(st.sampled_from(["log1", "log2"])), draw(st.integers(1, 9)))
        name = draw(st.sampled_from(BASE_RULES))
        if key not in times:
            times[key] = draw(st.one_of(st.integers(0, 30), st.integers(0, 4), st.none()))
            values = {"g": draw(GROUPS), "h": draw(GROUPS), "v": draw(VALUES)}
            fields[key] = {field: value for field, value in values.items() if value is not None}
        chosen[name][key] = Match(*key, times[key], fields[key])
    return {name: draw(st.permutations(list(found.values()))) for name, found in chosen.items()}


NUMERIC_BOUNDS = st.one_of(
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte", "eq", "neq"]), st.sampled_from([0, 1, 2, 3, 4, 0.5, 2.5])).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    st.just({"gte": 2, "lte": 3}),
)
GROUP_BY = st.sampled_from([{}, {"group-by": ["g"]}, {"group-by": ["g", "h"]}])
TIMESPANS = st.sampled_from(["1s", "5s", "1m"])
TREES = st.recursive(
    st.sampled_from(BASE_RULES),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=5,
)


@st.composite
def simple_correlation(draw: st.DrawFn, name: str = "one") -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            [
                "event_count",
                "value_count",
                "value_sum",
                "value_avg",
                "value_percentile",
                "value_median",
                "temporal",
                "temporal_ordered",
            ]
        )
    )
    rules = draw(st.lists(st.sampled_from(BASE_RULES), min_size=1, max_size=3, unique=kind != "temporal_ordered"))
    body: dict[str, Any] = {"type": kind, "rules": rules, "timespan": draw(TIMESPANS), **draw(GROUP_BY)}
    if kind in ("temporal", "temporal_ordered"):
        shape = draw(st.sampled_from(["all", "count", "tree"]))
        if shape == "count":
            body["condition"] = draw(NUMERIC_BOUNDS)
        elif shape == "tree":
            del body["rules"]
            body["condition"] = draw(TREES)
    else:
        condition: dict[str, Any] = dict(draw(NUMERIC_BOUNDS))
        if kind != "event_count":
            condition["field"] = "v"
        if kind == "value_percentile":
            condition["percentile"] = draw(st.integers(0, 100))
        body["condition"] = condition
    if draw(st.booleans()) and "group-by" in body:
        body["group-by"] = ["other", *body["group-by"][1:]]
        body["aliases"] = {"other": {"a": "g", "b": "h", "c": "g"}}
    return {"title": name, "name": name, "correlation": body}


def as_sigma(document: dict[str, Any]) -> dict[str, Any]:
    body = dict(document["correlation"])
    if not isinstance(body.get("condition", {}), dict):
        body["condition"] = text_of(body["condition"])
    return document | {"correlation": body}


def compare(documents: dict[str, dict[str, Any]], matches: dict[str, list[Match]], name: str) -> None:
    expected = correlate(documents, matches, name)
    compiled, refused = compile_correlations(load(*map(base_rule, BASE_RULES), *map(as_sigma, documents.values())))
    assert not refused
    needed = needed_fields(compiled)
    evaluated, evidences = evaluate(
        compiled, {rule: table(found, needed.get(rule, ())) for rule, found in matches.items()}
    )
    found = [row for row in findings(evaluated, evidences).to_pylist() if row["rule_id"] == name]
    group_by = documents[name]["correlation"].get("group-by", [])
    got = [(tuple(json.loads(row["why"])["group"][field] for field in group_by), sorted(records(row))) for row in found]
    wanted = [(one.group, sorted(one.records)) for one in expected]
    assert sorted(got) == sorted(wanted)


@settings(max_examples=400, deadline=None)
@given(document=simple_correlation(), matches=generated_matches())
def test_every_type_agrees_with_the_oracle(document: dict[str, Any], matches: dict[str, list[Match]]) -> None:
    compare({"one": document}, matches, "one")


@settings(max_examples=250, deadline=None)
@given(
    inner=simple_correlation("inner"),
    kind=st.sampled_from(["event_count", "value_count", "temporal", "temporal_ordered"]),
    group_by=GROUP_BY,
    timespan=TIMESPANS,
    least=st.integers(1, 3),
    matches=generated_matches(),
)
def test_chained_correlations_agree_with_the_oracle(
    inner: dict[str, Any],
    kind: str,
    group_by: dict[str, Any],
    timespan: str,
    least: int,
    matches: dict[str, list[Match]],
) -> None:
    body: dict[str, Any] = {"type": kind, "rules": ["inner", "b"], "timespan": timespan, **group_by}
    if kind == "event_count":
        body["condition"] = {"gte": least}
    elif kind == "value_count":
        body["condition"] = {"gte": least, "field": "v"}
    outer = {"title": "outer", "name": "outer", "correlation": body}
    compare({"inner": inner, "outer": outer}, matches, "outer")


@pytest.mark.parametrize("seed", range(4))
def test_larger_random_sets_agree_with_the_oracle(seed: int) -> None:
    draw = random.Random(seed)
    known = [
        Match(
            draw.choice(["log1", "log2"]), number, draw.randrange(400), {"g": draw.choice("pq"), "v": str(number % 9)}
        )
        for number in range(150)
    ]
    matches = {name: draw.sample(known, 60) for name in BASE_RULES}
    for kind, condition in [
        ("event_count", {"gte": 7}),
        ("value_count", {"gte": 5, "field": "v"}),
        ("value_sum", {"gt": 40, "field": "v"}),
        ("value_avg", {"lt": 3, "field": "v"}),
        ("value_median", {"gte": 6.5, "field": "v"}),
        ("value_percentile", {"gte": 7.5, "field": "v", "percentile": 90}),
        ("temporal_ordered", None),
        ("temporal_ordered", {"eq": 2}),
    ]:
        body = {"type": kind, "rules": ["a", "b", "c"], "group-by": ["g"], "timespan": "20s"}
        if condition:
            body["condition"] = condition
        compare({"one": {"title": "one", "name": "one", "correlation": body}}, matches, "one")


def test_documents_of_other_kinds_pass_unchanged() -> None:
    for text in ("title: x", "[1, 2]", "correlation: {condition: {gte: 1e999}}", "correlation: [1]"):
        document = yaml.safe_load(text)
        assert prepare_document(document) == document
