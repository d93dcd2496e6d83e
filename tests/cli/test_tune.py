"""The commands tune, intel diff, and the options --profile and --profile-rules, as users meet them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from small_case import RULE, Small, run

from casemate.cli.schemas import published

LOGIN = "6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a11"


@pytest.fixture(scope="module")
def own(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the small case, investigated with one rule of its own, and a data folder of its own."""
    folder = tmp_path_factory.mktemp("tuned")
    shutil.copytree(small.case, folder / "case")
    shutil.copy(small.folder / "rules.zip", folder / "rules.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASEMATE_HOME", str(folder / "home"))
        made = run("investigate", small.folder / "evidence", "--case", folder / "case", "--rules", folder / "rules.zip")
        assert made.code == 0, made.err
        yield folder


def valid(name: str, document: object) -> None:
    jsonschema.validate(json.loads(json.dumps(document)), published(name))


def test_from_trying_to_removing(own: Path) -> None:
    case = ("--case", own / "case")
    rule = ("--rule", "Login page asked for", "--where", "c-ip: 192.0.2.4")
    tried = run("tune", "test", *case, *rule, "--json")
    assert tried.code == 0, tried.err
    valid("tune_test", tried.json())
    assert tried.json()["findings"] == 5
    added = run(
        "tune", "add", *case, *rule, "--reason", "uptime check", "--until", "2099-01-01", "--by", "ann", "--json"
    )
    assert added.code == 0, added.err
    valid("tune_change", added.json())
    assert added.json()["findings_before"] - added.json()["findings"] == 5
    again = run("tune", "add", *case, *rule, "--reason", "other words", "--until", "never")
    assert (again.code, "there already" in again.err) == (2, True)
    listed = run("tune", "list", *case, "--json").json()
    valid("tune_list", listed)
    [one] = listed["tunings"]
    assert (one["state"], one["findings"], one["who"]) == ("active", 5, "ann")
    shown = yaml.safe_load(run("tune", "show", one["id"][:6], *case).out)
    assert shown["filter"] == {"rules": [LOGIN], "selection": {"c-ip": "192.0.2.4"}, "condition": "not selection"}
    gone = run("show", "findings", *case, "--suppressed", "--json").lines()
    assert {(row["rule_id"], row["reason"], row["record_count"]) for row in gone} == {(LOGIN, "uptime check", 1)}
    valid("suppressed_finding", gone[0])
    assert "suppressed by" in run("show", "findings", *case, "--suppressed").out
    summary = run("show", "summary", *case, "--json").json()
    valid("summary", summary)
    assert (summary["suppressed"], summary["tuning"]["in_force"]) == (5, 1)
    assert "5 suppressed" in run("show", "summary", *case).out
    assert run("rerun", *case, "-q").out.startswith("VERIFIED")
    assert run("custody", "verify", *case).code == 0
    removed = run("tune", "remove", one["id"][:6], *case, "--reason", "it moved", "--json")
    valid("tune_change", removed.json())
    assert removed.json()["findings"] == added.json()["findings_before"]
    assert run("tune", "list", *case, "--json").json() == {"tunings": [], "core_assets": [], "suppressed": 0}


def test_each_change_stands_in_custody_with_who_and_why(own: Path) -> None:
    lines = [json.loads(line) for line in (own / "case" / "custody.jsonl").read_text().splitlines()]
    said = [line["facts"] for line in lines if line["facts"].get("about") == "tuning"]
    assert [(one["action"], one["who"] != "") for one in said] == [("add", True), ("remove", True)]
    assert said[0]["tuning"]["reason"] == "uptime check"
    assert said[1]["reason"] == "it moved"


def test_a_tuning_of_the_site_holds_for_every_case(own: Path) -> None:
    case = ("--case", own / "case")
    made = run(
        "tune", "severity", *case, "--rule", LOGIN, "--set", "critical", "--reason", "a lure", "--site", "--json"
    )
    assert made.json()["severities_changed"] == 5
    other = own / "other"
    source = own.parent / "site.log"
    source.write_text('192.0.2.9 - - [02/Mar/2026:01:00:00 +0000] "GET /login HTTP/1.1" 200 12 "-" "x"\n')
    run("investigate", source, "--case", other, "--rules", own / "rules.zip", "-q")
    assert [row["severity"] for row in run("show", "findings", "--case", other, "--json").lines()] == ["critical"]
    taken = run("tune", "remove", made.json()["tuning"]["id"], *case, "--reason", "no more")
    assert taken.code == 0, taken.err
    assert run("tune", "list", *case, "--json").json()["tunings"] == []
    run("investigate", source, "--case", other, "--rules", own / "rules.zip", "-q")
    assert [row["severity"] for row in run("show", "findings", "--case", other, "--json").lines()] == ["low"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--where", "c-ip: a"), "--rule"),
        (("--rule", "nobody", "--where", "c-ip: a"), "knows no rule"),
        (("--rule", LOGIN, "--where", "nonsense"), "FIELD: VALUE"),
        (("--from", "/nowhere.yml"), "no such rule file"),
    ],
)
def test_wrong_usage_is_one_line(own: Path, words: tuple[str, ...], said: str) -> None:
    ran = run("tune", "add", "--case", own / "case", *words, "--reason", "r", "--until", "never")
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_what_a_rule_update_changes_on_a_case(own: Path, tmp_path: Path) -> None:
    stricter = RULE.replace("contains: login", "endswith: nowhere").replace("low", "high")
    news = (
        RULE.replace(LOGIN, "6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a12")
        .replace("Login page", "Any page")
        .replace("login", "/")
    )
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("a.yml", stricter)
        archive.writestr("b.yml", news)
    ran = run("intel", "diff", own / "rules.zip", tmp_path / "new.zip", "--case", own / "case", "--json")
    assert ran.code == 0, ran.err
    found = ran.json()
    valid("intel_diff", found)
    assert (found["added"], found["changed"], found["removed"], found["metadata"]) == (1, 1, 0, 0)
    assert (found["case"]["gained"], found["case"]["lost"]) == (5, 5)
    assert [one["parts"] for one in found["rules"] if one["change"] == "changed"] == [["detection", "level"]]
    assert (
        "5 findings gained" in run("intel", "diff", own / "rules.zip", tmp_path / "new.zip", "--case", own / "case").out
    )


def test_metadata_is_told_apart(own: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yml").write_text(RULE.replace("status: test", "status: stable"))
    found = run("intel", "diff", own / "rules.zip", tmp_path / "new.yml", "--case", own / "case", "--json").json()
    assert (found["changed"], found["metadata"], found["case"]["gained"], found["case"]["lost"]) == (0, 1, 0, 0)


def test_a_version_that_is_not_there_is_wrong_usage(own: Path) -> None:
    ran = run("intel", "diff", "2020", own / "rules.zip")
    assert (ran.code, "installed: none" in ran.err) == (2, True)


def test_profiles_choose_rules_and_are_counted(own: Path) -> None:
    status = run("intel", "status", "--json").json()
    valid("intel_status", status)
    counts = next(row["profiles"] for row in status["datasets"] if row["name"] == "casemate")
    assert 0 < counts["core"] <= counts["extended"] <= counts["hunting"] <= counts["all"]
    assert "rules per profile" in run("intel", "status").out
    source = own.parent / "profile.log"
    source.write_text('192.0.2.9 - - [02/Mar/2026:01:00:00 +0000] "GET /login HTTP/1.1" 200 12 "-" "x"\n')
    case = ("--case", own / "profiled")
    assert run("investigate", source, *case, "--profile", "loud", "-q").code == 2
    assert run("investigate", source, *case, "--profile", "core", "-q").code == 0
    assert run("show", "rules", *case, "--json").json()["loaded"] == counts["core"]
    assert run("rerun", *case, "-q").out.startswith("VERIFIED")


def test_time_per_rule_and_field(own: Path) -> None:
    ran = run(
        "investigate",
        own / "rules.zip",
        "--case",
        own / "case",
        "--rules",
        own / "rules.zip",
        "--profile-rules",
        "-q",
        "--json",
    )
    assert ran.code == 0, ran.err
    times = ran.json()["rule_times"]
    valid("rule_times", times)
    assert [(one["rule_id"], one["matches"]) for one in times["rules"]] == [(LOGIN, 5)]
    assert {one["field"] for one in times["fields"]} == {"path"}
    parts = ("fields_seconds", "keywords_seconds", "rules_seconds", "rest_seconds")
    assert sum(times[name] for name in parts) == pytest.approx(times["seconds"])
