"""``casemate coverage``: what it prints, why a rule could not judge, and requests as custody lines."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from small_case import HOSTILE, Small, run

from casemate.cli.schemas import published


@pytest.fixture
def case(small: Small, tmp_path: Path) -> Path:
    copied = tmp_path / "case"
    shutil.copytree(small.case, copied)
    return copied


def test_show_coverage_is_the_same_answer(small: Small) -> None:
    asked, shown = (run(*words, "--case", small.case, "--json") for words in (["coverage"], ["show", "coverage"]))
    assert (asked.code, asked.err) == (0, "")
    assert asked.json() == shown.json()
    schema = published("coverage")
    jsonschema.Draft202012Validator(schema).validate(asked.json())
    assert set(asked.json()) == set(schema["properties"])
    assert run("show", "summary", "--case", small.case, "--json").json()["coverage"] == asked.json()


def test_the_answer_is_worth_something_and_names_a_blind_spot(small: Small) -> None:
    told = run("coverage", "--case", small.case, "--json").json()
    assert told["blind_spot"]["says"] in told["worth"]
    assert told["clocks"]["answer"].startswith("cannot be measured")
    assert {"zeek_conn", "syslog"} <= set(told["unnumbered"])
    people = run("coverage", "--case", small.case)
    assert people.code == 0
    assert told["blind_spot"]["says"] in " ".join(people.out.split())
    assert HOSTILE not in people.out


def test_one_host_or_source(small: Small) -> None:
    told = run("coverage", "--case", small.case, "--source", "zeek", "--json").json()
    assert {one["table"] for one in told["streams"]} == {"zeek_conn"}
    nothing = run("coverage", "--case", small.case, "--host", "nowhere")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)


def test_why_says_what_a_rule_needs_and_lacks(small: Small) -> None:
    ran = run("coverage", "--case", small.case, "--why", "path traversal", "--json")
    assert ran.code == 0, ran.err
    told = ran.json()
    jsonschema.Draft202012Validator(published("coverage_rule")).validate(told)
    assert told["title"] == "Path Traversal In A Request"
    assert [one["table"] for one in told["looked_at"]]
    by_id = run("coverage", "--case", small.case, "--why", told["rule_id"][:8], "--json").json()
    assert by_id == told
    assert told["answer"] in " ".join(run("coverage", "--case", small.case, "--why", told["rule_id"]).out.split())
    for wanted in ("no such rule", "", HOSTILE):
        assert run("coverage", "--case", small.case, "--why", wanted).code == 2


def test_a_request_is_made_listed_and_answered(case: Path) -> None:
    asked = run(
        *("coverage", "request", "add", "--case", case, "--of", "Vendor", "--what", f"VPN logs {HOSTILE}"),
        *("--from", "2026-03-01", "--to", "2026-03-05T12:00:00Z", "--promised", "2026-03-20", "--json"),
    )
    assert (asked.code, asked.err) == (0, "")
    jsonschema.Draft202012Validator(published("coverage_request")).validate(asked.json())
    assert (asked.json()["state"], asked.json()["promised"]) == ("overdue", "2026-03-21T00:00:00Z")
    lost = run("coverage", "--case", case, "--json").json()["answers"]["lost_or_elsewhere"]
    assert [one["how"] for one in lost if one["what"].startswith("VPN")] == ["asked_for"]
    [evidence, *_] = json.loads(
        run("query", "SELECT evidence FROM evidence", "--case", case, "--json").out.split("\n")[0]
    ).values()
    came = run("coverage", "request", "received", 1, "--case", case, "--evidence", evidence[:12], "--json").json()
    assert (came["state"], came["evidence"]) == ("received", [evidence])
    [listed] = run("coverage", "request", "list", "--case", case, "--json").lines()
    assert listed == came
    people = run("coverage", "request", "list", "--case", case).out
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]*", people)
    assert run("custody", "verify", "--case", case).code == 0
    lines = [json.loads(line) for line in (case / "custody.jsonl").read_text().splitlines()]
    assert [line["facts"]["about"] for line in lines[-2:]] == ["coverage_request", "coverage_received"]
    assert all(line["facts"]["by"] for line in lines[-2:])


@pytest.mark.parametrize(
    "words",
    [
        ["coverage"],
        ["coverage", "request", "received", "7", "--case", "CASE"],
        ["coverage", "request", "add", "--case", "CASE", "--of", "", "--what", "x"],
        ["coverage", "request", "add", "--case", "CASE", "--of", "v", "--what", "x", "--promised", "soon"],
        ["coverage", "request", "add", "--case", "CASE", "--of", "v", "--what", "x", "--from", "2026-02-02", "--to",
         "2026-02-01"],
        ["coverage", "--json", "request", "list", "--case", "CASE"],
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(case: Path, words: list[str]) -> None:
    ran = run(*(str(case) if word == "CASE" else word for word in words))
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
