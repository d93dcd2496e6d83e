"""Tunings on a case: what goes is kept and counted, and comes back exactly when a tuning ends."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from whole_run import rows_of

from casemate.case import CUSTODY, Case
from casemate.detect.tuning.overlay import added, case_tunings, removed
from casemate.detect.tuning.tunings import Tuning
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput
from casemate.explore.overview import case_summary
from casemate.explore.runs import last_run
from casemate.explore.summary import summary
from casemate.investigate.rerun import compare, rerun, rules_of_run, tunings_of_run
from casemate.investigate.retune import Proposal, Retuned, preview, propose, retune
from casemate.investigate.rule_update import case_effect, differences, read_side
from casemate.investigate.run import Options, investigate
from casemate.settings import Asset, Settings
from casemate.triage import Change, mark

LOGIN = "6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a11"
FAILED = "0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a02"
MANY = "0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a03"
GUESSING = "casemate.behaviour.password_guessing_outside"
RULES = f"""
title: Login page asked for
id: {LOGIN}
status: test
logsource: {{category: webserver}}
detection: {{selection: {{cs-uri-stem|contains: login}}, condition: selection}}
level: low
---
title: Password refused
id: {FAILED}
logsource: {{product: linux, service: sshd}}
detection: {{keywords: [Failed password], condition: keywords}}
level: informational
---
title: Many passwords refused
id: {MANY}
correlation: {{type: event_count, rules: [{FAILED}], group-by: [source_ip], timespan: 10m, condition: {{gte: 10}}}}
level: high
"""
SETTINGS = Settings(own=("10.0.0.0/8",))
TODAY = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)


def write_evidence(folder: Path) -> Path:
    """30 refused passwords from one address, 12 from another; logins asked for by three addresses."""
    folder.mkdir()
    ssh = [
        f"2026-03-02T01:{number // 10:02d}:{number % 10 * 5:02d}+00:00 gw1 sshd[{number}]: "
        f"Failed password for root from {'203.0.113.9' if number < 30 else '198.51.100.3'} port 40000 ssh2\n"
        for number in range(42)
    ]
    (folder / "auth.log").write_text("".join(ssh))
    web = '192.0.2.{} - - [02/Mar/2026:01:00:{:02d} +0000] "GET /login?id={} HTTP/1.1" 200 12 "-" "check"\n'
    (folder / "access.log").write_text("".join(web.format(number % 3 + 4, number, number) for number in range(9)))
    return folder


class Desk:
    """One case, and the ways to work on it."""

    def __init__(self, folder: Path, cache: Path, settings: Settings | None = None) -> None:
        """Make the case with `settings`, or open the one that is there."""
        self.path = folder / "case"
        self.now = TODAY
        (folder / "rules.yml").write_text(RULES)
        self.options = Options((folder / "rules.yml",), cache, home=folder / "home")
        self.engine = DuckDBEngine()
        self.case = Case.open(self.path, write=True) if settings is None else Case.create(self.path, settings)
        if settings is not None:
            self.run(write_evidence(folder / "evidence"))

    def clock(self) -> dt.datetime:
        return self.now

    def run(self, *evidence: Path) -> None:
        investigate(self.case, evidence, self.options, self.engine, who="tester", clock=self.clock)

    def proposal(self, rule: str | None, *where: str, **other: Any) -> Tuning:
        given = Proposal(rule, where, None, "suppress", None, "case", "known", None, "ann")
        return propose(self.case, self.engine, dataclasses.replace(given, **other), self.options.cache, self.now)

    def add(self, rule: str, *where: str, **other: Any) -> Retuned:
        self.case.log("note", added(self.proposal(rule, *where, **other)))
        return retune(self.case, self.engine, self.options, clock=self.clock)

    def remove_all(self) -> Retuned:
        for one in case_tunings(self.path / CUSTODY):
            self.case.log("note", removed(one, "ben", "over"))
        return retune(self.case, self.engine, self.options, clock=self.clock)

    def hashes(self) -> dict[str, str]:
        return {table: self.case.row_hash(table) for table in self.case.tables() if table != "registrations"}

    def count(self, rule: str, table: str = "findings") -> int:
        return sum(row["rule_id"] == rule for row in rows_of(self.path, table, "rule_id"))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Path:
    """The folder of a case that was investigated once."""
    folder = tmp_path_factory.mktemp("first")
    Desk(folder, compiled_rules, SETTINGS).case.close()
    return folder


@pytest.fixture
def desk(first: Path, tmp_path: Path, compiled_rules: Path) -> Iterator[Desk]:
    """A copy of that case."""
    shutil.copytree(first / "case", tmp_path / "case")
    made = Desk(tmp_path, compiled_rules)
    yield made
    made.case.close()


def test_what_is_suppressed_stays_counted_and_listed_with_its_reason(desk: Desk) -> None:
    assert desk.count(LOGIN) == 9
    done = desk.add("Login page asked for", "c-ip: 192.0.2.4")
    assert (done.before - done.after, done.suppressed) == (3, 3)
    assert desk.count(LOGIN) == 6
    gone = rows_of(desk.path, "suppressed_findings")
    assert {(row["rule_id"], row["reason"], row["source"]["value"]) for row in gone} == {(LOGIN, "known", "192.0.2.4")}
    assert {row["finding"] for row in rows_of(desk.path, "suppressed_records")} == {row["id"] for row in gone}
    assert {row["finding"] for row in rows_of(desk.path, "finding_records")} == {
        row["id"] for row in rows_of(desk.path, "findings")
    }
    told = summary(case_summary(desk.case))
    assert told["suppressed"] == 3
    assert told["tuning"] == {"in_force": 1, "suppressed": 3, "severities_changed": 0, "core_assets": []}


def test_removing_gives_back_the_tables_as_they_were(desk: Desk) -> None:
    before = desk.hashes()
    desk.add(LOGIN, "c-ip|cidr: 192.0.2.4/31")
    desk.add(LOGIN, kind="severity", severity="critical")
    desk.add(GUESSING, "source: 203.0.113.9")
    desk.add(FAILED, "source_ip: 203.0.113.9")
    assert desk.hashes() != before
    desk.remove_all()
    assert desk.hashes() == before


def test_any_order_of_adding_and_removing_ends_where_the_same_tunings_end(desk: Desk) -> None:
    given = [
        (LOGIN, ("c-ip: 192.0.2.4",), {}),
        (LOGIN, ("c-ip: [192.0.2.4, 192.0.2.5]",), {}),
        (MANY, ("source: 203.0.113.9",), {"kind": "severity", "severity": "low"}),
        (GUESSING, ("finding.outcome: failed",), {"kind": "severity", "severity": "critical"}),
    ]
    desk.add(given[1][0], *given[1][1])
    desk.add(given[2][0], *given[2][1], **given[2][2])
    wanted = desk.hashes()
    desk.remove_all()
    for rule, where, other in random.Random(3).sample(given, len(given)):
        desk.add(rule, *where, **other)
    desk.remove_all()
    desk.add(given[1][0], *given[1][1])
    desk.add(given[2][0], *given[2][1], **given[2][2])
    assert desk.hashes() == wanted


def test_an_expired_tuning_ends_with_the_next_run(desk: Desk) -> None:
    before = desk.hashes()
    desk.add(LOGIN, "c-ip: 192.0.2.4", until="2026-07-02")
    desk.now = TODAY + dt.timedelta(days=1)
    desk.run()
    assert desk.count(LOGIN) == 6
    desk.now = TODAY + dt.timedelta(days=2)
    desk.run()
    assert desk.hashes() == before


def test_a_day_that_is_over_is_refused(desk: Desk) -> None:
    with pytest.raises(BadInput, match="is over"):
        desk.proposal(LOGIN, "c-ip: 192.0.2.4", until="2026-06-30")


def test_a_severity_says_what_it_was_and_why(desk: Desk) -> None:
    desk.add(LOGIN, "c-ip: 192.0.2.4", kind="severity", severity="high", reason="a honeypot")
    [changed] = {
        (row["severity"], row["why"][:9])
        for row in rows_of(desk.path, "findings")
        if row["severity"] == "high" and row["rule_id"] == LOGIN
    }
    assert changed == ("high", '{"tuned":')
    why = next(json.loads(row["why"]) for row in rows_of(desk.path, "findings") if row["why"].startswith('{"tuned":'))
    assert why["tuned"]["severity_was"] == "low"
    assert why["tuned"]["changes"][0]["why"] == "a honeypot"
    assert why["because"]


def test_a_core_asset_raises_by_one_step_and_is_named(tmp_path: Path, compiled_rules: Path) -> None:
    settings = dataclasses.replace(SETTINGS, core=(Asset("gateway", match=("gw1",)),))
    desk = Desk(tmp_path, compiled_rules, settings)
    raised = [row for row in rows_of(desk.path, "findings") if row["rule_id"] == MANY]
    assert {row["severity"] for row in raised} == {"critical"}
    assert json.loads(raised[0]["why"])["tuned"]["changes"] == [
        {"to": "critical", "by": "core_asset", "name": "gateway", "why": "it names the core asset gateway"}
    ]
    [told] = summary(case_summary(desk.case))["tuning"]["core_assets"]
    assert told["name"] == "gateway"
    desk.case.close()


def test_a_behaviour_is_tuned_by_account_and_by_its_counts(desk: Desk) -> None:
    seen = desk.count(GUESSING)
    assert seen == 2
    tried = preview(
        desk.case, desk.engine, desk.proposal(GUESSING, "account: root and counts.tries|gte: 20"), desk.options.cache
    )
    assert tried.findings <= seen
    desk.add(GUESSING, "source|cidr: 203.0.113.0/24")
    assert desk.count(GUESSING) == seen - 1
    assert desk.count(GUESSING, "suppressed_findings") == 1


def test_a_base_rule_thins_out_what_its_correlation_sees(desk: Desk) -> None:
    before = desk.hashes()
    assert desk.count(MANY) == 2
    assert desk.count(FAILED) == 0
    done = desk.add(FAILED, "source_ip: 203.0.113.9")
    assert desk.count(MANY) == 1
    assert done.correlations_pending is None
    assert desk.count(FAILED, "suppressed") == 30
    assert summary(case_summary(desk.case))["suppressed"] == 30
    desk.remove_all()
    assert desk.hashes() == before


def test_trying_changes_nothing_and_says_what_people_said(desk: Desk) -> None:
    before = desk.hashes()
    [first, *_] = sorted(row["id"] for row in rows_of(desk.path, "findings") if row["source"]["value"] == "192.0.2.4")
    mark(desk.case, [first], Change(verdict="true").checked(), "ann")
    tried = preview(desk.case, desk.engine, desk.proposal(LOGIN, "c-ip: 192.0.2.4"), desk.options.cache)
    assert (tried.findings, tried.of_rule, dict(tried.verdicts), dict(tried.by_severity)) == (
        3,
        9,
        {"true": 1},
        {"low": 3},
    )
    assert [row["verdict"] for row in tried.first].count("true") == 1
    assert {name: hash_ for name, hash_ in desk.hashes().items() if name != "annotations"} == before


def test_evidence_that_comes_later_is_tuned_too(desk: Desk, tmp_path: Path) -> None:
    desk.add(LOGIN, "c-ip: 192.0.2.4")
    more = tmp_path / "more.log"
    more.write_text('192.0.2.4 - - [03/Mar/2026:01:00:00 +0000] "GET /login HTTP/1.1" 200 12 "-" "check"\n')
    desk.run(more)
    assert desk.count(LOGIN) == 6
    assert desk.count(LOGIN, "suppressed_findings") == 4
    desk.remove_all()
    assert desk.count(LOGIN) == 10


def test_a_log_that_grows_takes_its_suppressed_findings_along(desk: Desk, tmp_path: Path) -> None:
    before = desk.hashes()
    desk.add(LOGIN, "c-ip: 192.0.2.4")
    line = '192.0.2.4 - - [03/Mar/2026:01:00:0{} +0000] "GET /login HTTP/1.1" 200 12 "-" "check"\n'
    log = tmp_path / "growing.log"
    log.write_text(line.format(1) + line.format(2)[:-1])
    desk.run(log)
    log.write_text(line.format(1) + line.format(2) + line.format(3))
    desk.run(log)
    gone = rows_of(desk.path, "suppressed_findings")
    assert len(gone) == len({row["id"] for row in gone}) == 6
    assert {row["finding"] for row in rows_of(desk.path, "suppressed_records")} == {row["id"] for row in gone}
    desk.remove_all()
    assert desk.count(LOGIN) == 12
    assert desk.hashes() != before


def test_a_tuning_outlives_a_rule_update_and_says_when_its_rule_is_gone(desk: Desk) -> None:
    desk.add(LOGIN, "c-ip: 192.0.2.4")
    file = desk.options.rules[0]
    file.write_text(RULES.replace("contains: login", "endswith: /login"))
    desk.run()
    assert (desk.count(LOGIN), desk.count(LOGIN, "suppressed_findings")) == (6, 3)
    file.write_text(RULES.split("---\n", 1)[1])
    desk.run()
    assert desk.count(LOGIN, "suppressed_findings") == 0
    assert list((last_run(desk.case) or {})["tunings_without_effect"].values()) == [
        "the case has no such rule of this log source"
    ]
    file.write_text(RULES)
    desk.run()
    assert (desk.count(LOGIN), desk.count(LOGIN, "suppressed_findings")) == (6, 3)


def test_a_rerun_uses_the_tunings_of_the_run(desk: Desk, tmp_path: Path) -> None:
    desk.add(LOGIN, "c-ip: 192.0.2.4", until="2026-07-02")
    desk.add(FAILED, "source_ip: 203.0.113.9")
    desk.add(GUESSING, kind="severity", severity="critical")
    facts = last_run(desk.case) or {}
    later = TODAY + dt.timedelta(days=900)
    with Case.create(tmp_path / "again", desk.case.settings) as again:
        options = Options(rules_of_run(facts).paths, desk.options.cache, tunings=tunings_of_run(facts))
        found = rerun(desk.case, facts, again, options, desk.engine, clock=lambda: later)
        assert [table.table for table in compare(desk.case, again) if not table.identical] == []
    assert found.identical
    assert found.run == found.run_again
    assert not found.notes


def test_a_filter_of_ones_own(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "filter.yml"
    file.write_text(
        "title: uptime\nlogsource: {category: webserver}\nfilter:\n  rules: any\n  check: {c-ip: 192.0.2.4}\n"
        "  other: {c-ip: 192.0.2.5}\n  condition: not 1 of them\n"
    )
    tuning = desk.proposal(None, file=file)
    desk.case.log("note", added(tuning))
    retune(desk.case, desk.engine, desk.options, clock=desk.clock)
    assert desk.count(LOGIN) == 3


@pytest.mark.parametrize(
    ("rule", "where", "said"),
    [
        ("no such rule", ("a: b",), "knows no rule"),
        (LOGIN, (), "say which findings"),
        (GUESSING, ("Image: x",), "no field 'Image'"),
        (LOGIN, ("c-ip: a and finding.source: b",), "in one tuning"),
        (LOGIN, ("c-ip|nonsense: a",), "not a Sigma filter"),
        (LOGIN, ("c-ip|re: '('",), "cannot be used|not a Sigma filter"),
    ],
)
def test_what_cannot_be_is_refused(desk: Desk, rule: str, where: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        desk.proposal(rule, *where)


@pytest.mark.parametrize(
    ("old", "new", "gained", "lost"),
    [
        ("gte: 10", "gte: 20", 0, 1),  # the correlation itself
        ("keywords: [Failed password]", "keywords: [nothing]", 0, 2),  # the rule it looks at
        ("title: Many passwords refused", "title: Many refused", 0, 0),  # metadata
        ("contains: login", "contains: id=3", 0, 9),  # asked of the path, which holds no query
    ],
)
def test_what_another_version_of_the_rules_changes(
    desk: Desk, tmp_path: Path, old: str, new: str, gained: int, lost: int
) -> None:
    other = tmp_path / "other.yml"
    other.write_text(RULES.replace(old, new))
    before, after = read_side(str(desk.options.rules[0])), read_side(str(other))
    found = differences(before, after)
    effect = case_effect(desk.case, desk.engine, before, after, found, desk.options.cache, {})
    assert len(found) == 1
    assert (effect.gained, effect.lost) == (gained, lost)
