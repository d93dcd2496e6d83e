"""A case over months: logs that grow, late files, other rules; each record counts once everywhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from whole_run import assert_sound, row_hashes, rows_of

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.evidence.custody import intact_lines
from casemate.investigate import phases
from casemate.investigate.run import RunReport
from casemate.settings import Settings

RULE = """
title: {title}
id: {id}
logsource:
  product: linux
  service: sshd
detection:
  keywords:
    - '{word}'
  condition: keywords
level: {level}
tags: [attack.initial-access, attack.t1078]
"""
ACCEPTED = RULE.format(
    title="Password accepted", id="0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a01", word="Accepted password", level="medium"
)
FAILED = RULE.format(title="Password refused", id="0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a02", word="Failed", level="low")
CORRELATION = """
---
title: Many refusals
id: 0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a03
correlation:
  type: event_count
  rules: [0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a02]
  generate: true
  timespan: 10m
  condition:
    gte: 5
level: high
"""
BEGIN = dt.datetime(2026, 5, 4, 6, 0, 0, tzinfo=dt.UTC)
GUESSER = "203.0.113.9"


def line(minutes: float, message: str, port: int = 40_000) -> bytes:
    time = (BEGIN + dt.timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    return f"{time} bastion01 sshd[{port}]: {message}\n".encode()


def failed(minutes: float, source: str = GUESSER, user: str = "root") -> bytes:
    return line(minutes, f"Failed password for {user} from {source} port 40000 ssh2")


def accepted(minutes: float, source: str = "10.0.0.7", user: str = "anna") -> bytes:
    return line(minutes, f"Accepted password for {user} from {source} port 40000 ssh2")


GUESSES = b"".join(failed(minute / 10) for minute in range(60))
LOG = accepted(-30) + GUESSES + accepted(20) + accepted(40, source=GUESSER, user="root") + accepted(300)


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, ...]:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "accepted.yml").write_text(ACCEPTED)
    (folder / "failed.yml").write_text(FAILED + CORRELATION)
    return (folder,)


def without(rows: list[dict[str, Any]], *names: str) -> list[str]:
    return sorted(repr({name: value for name, value in row.items() if name not in names}) for row in rows)


def said(path: Path) -> dict[str, Any]:
    """What a case says, whatever the evidence ids are."""
    title = {row["id"]: row["title"] for row in rows_of(path, "findings")}
    evidence = rows_of(path, "evidence", "kept", "rejected", "records")
    return {
        "counts": {name: sum(row[name] for row in evidence) for name in ("kept", "rejected", "records")},
        "records": without(rows_of(path, "syslog"), "evidence"),
        "findings": without(rows_of(path, "findings"), "id"),
        "finding_records": sorted((title[row["finding"]], row["record"]) for row in rows_of(path, "finding_records")),
        "attempts": without(rows_of(path, "attempts"), "id"),
    }


@pytest.mark.parametrize(
    ("cuts", "packed"),
    [
        pytest.param([LOG.rindex(b" port 40000 ssh2")], False, id="inside a line that matches already"),
        pytest.param([LOG.index(accepted(20)), len(LOG) - 1], True, id="after a line and before a line end"),
    ],
)
def test_a_log_that_grew_counts_once_everywhere(
    cuts: list[int], packed: bool, investigator, rules: tuple[Path, ...], tmp_path: Path
) -> None:
    log = tmp_path / ("auth.log.gz" if packed else "auth.log")

    def grow(end: int) -> tuple[Path, RunReport]:
        log.write_bytes(gzip.compress(LOG[:end], mtime=0) if packed else LOG[:end])
        return investigator(log, name="grown", rules=rules)

    for cut in cuts:
        grow(cut)
    grown, report = grow(len(LOG))
    assert_sound(grown)
    whole, fresh = investigator(log, name="whole", rules=rules)
    assert said(grown) == said(whole)
    assert (report.rules.findings, report.rules.correlations, report.behaviour_findings, report.attempts) == (
        fresh.rules.findings, fresh.rules.correlations, fresh.behaviour_findings, fresh.attempts,
    )  # fmt: skip
    assert fresh.rules.findings == 64
    assert fresh.rules.correlations
    assert fresh.behaviour_findings


@pytest.mark.parametrize(
    ("indent", "cut"), [(None, b"DeleteTrail"), (1, b"DeleteTrail"), (1, b'   "eventName": "DeleteTrail')]
)
def test_a_file_that_is_read_again_from_its_beginning_leaves_no_stale_finding(
    indent: int | None, cut: bytes, investigator, tmp_path: Path
) -> None:
    """An array cut while it was copied and then whole: its records are those of the whole file, once."""
    events = [
        {
            "eventVersion": "1.08",
            "eventTime": (BEGIN + dt.timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "cloudtrail.amazonaws.com",
            "eventName": name,
            "awsRegion": "eu-north-1",
            "sourceIPAddress": GUESSER,
            "userIdentity": {"type": "IAMUser", "userName": "mallory", "accountId": "000000000000"},
            "eventID": f"00000000-0000-4000-8000-00000000000{number}",
            "recipientAccountId": "000000000000",
        }
        for number, name in enumerate(("DescribeTrails", "StopLogging", "DeleteTrail", "DescribeTrails"))
    ]
    content = json.dumps({"Records": events}, indent=indent).encode()
    trail = tmp_path / "trail.json"
    trail.write_bytes(content[: content.index(cut)])
    _, first = investigator(trail, name="grown")
    assert first.rules.findings == 1
    trail.write_bytes(content)
    grown, second = investigator(trail, name="grown")
    assert second.rules.findings == 2
    assert_sound(grown)
    assert sorted(row["kept"] for row in rows_of(grown, "matched")) == [0, 4]
    whole, _ = investigator(trail, name="whole")
    for table in ("findings", "finding_records", "attempts", "attempt_findings", "cloudtrail"):
        assert row_hashes(grown)[table] == row_hashes(whole)[table]


def test_other_evidence_keeps_its_findings_when_a_log_grew(
    investigator, rules: tuple[Path, ...], tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / f"host{number}.log").write_bytes(accepted(number, source=f"10.0.0.{number}")[:-20])
    path, _ = investigator(*(tmp_path / f"host{number}.log" for number in range(4)), rules=rules)
    before = {row["id"] for row in rows_of(path, "findings")}
    assert len(before) == 4
    with (tmp_path / "host2.log").open("ab") as log:
        log.write(accepted(2, source="10.0.0.2")[-20:])
    path, report = investigator(tmp_path / "host2.log", rules=rules)
    after = {row["id"] for row in rows_of(path, "findings")}
    assert (report.rules.findings, len(after), len(after & before)) == (4, 4, 3)
    assert_sound(path)


def test_a_late_file_that_bridges_two_attempts_merges_them(
    investigator, rules: tuple[Path, ...], tmp_path: Path
) -> None:
    """Refusals 50 minutes apart are two attempts; those between them, handed in later, make it one."""
    (tmp_path / "early.log").write_bytes(failed(0) + failed(5))
    (tmp_path / "late.log").write_bytes(failed(55) + failed(60))
    (tmp_path / "between.log").write_bytes(failed(25) + failed(30))
    only = (rules[0] / "failed.yml",)

    def attempts(path: Path) -> list[dict[str, Any]]:
        return [row for row in rows_of(path, "attempts") if row["source"]["value"] == GUESSER]

    path, _ = investigator(tmp_path / "early.log", tmp_path / "late.log", name="late", rules=only)
    assert len(attempts(path)) == 2
    path, _ = investigator(tmp_path / "between.log", name="late", rules=only)
    (merged,) = attempts(path)
    assert merged["ended"] - merged["started"] == dt.timedelta(minutes=60)
    assert_sound(path)
    together, _ = investigator(
        *(tmp_path / f"{name}.log" for name in ("between", "early", "late")), name="together", rules=only
    )
    assert row_hashes(path) == row_hashes(together)


def test_another_gap_gives_other_attempts_of_the_same_findings(
    investigator, rules: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_bytes(failed(0) + failed(50))
    path, report = investigator(tmp_path / "a.log", rules=rules)
    assert report.attempts == 2
    text = (path / "case.toml").read_text()
    (path / "case.toml").write_text(text.replace("gap_minutes = 30", "gap_minutes = 60"))
    path, report = investigator(rules=rules)
    assert (report.rules.findings, report.attempts) == (2, 1)
    assert_sound(path)


def test_another_rule_set_replaces_all_findings_of_the_old(
    investigator, rules: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "auth.log").write_bytes(LOG)
    path, both = investigator(tmp_path / "auth.log", name="changing", rules=rules)
    first = row_hashes(path)
    path, one = investigator(tmp_path / "auth.log", name="changing", rules=(rules[0] / "accepted.yml",))
    assert (both.rules.findings, one.rules.findings, one.rules.correlations) == (64, 4, 0)
    assert both.rules.correlations > 0
    assert both.rules.rule_set != one.rules.rule_set
    sigma = {row["title"] for row in rows_of(path, "findings") if row["detector"] == "sigma"}
    assert sigma == {"Password accepted"}
    assert len(rows_of(path, "rules")) == 1
    assert_sound(path)
    fresh, _ = investigator(tmp_path / "auth.log", name="fresh", rules=(rules[0] / "accepted.yml",))
    assert row_hashes(path) == row_hashes(fresh)
    path, _ = investigator(tmp_path / "auth.log", name="changing", rules=rules)
    assert row_hashes(path) == first


def test_another_version_of_the_matcher_evaluates_old_evidence_again(
    investigator, rules: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth.log").write_bytes(LOG)
    path, _ = investigator(tmp_path / "auth.log", rules=rules)
    before = row_hashes(path)

    def phases_since(lines: int) -> list[str]:
        logged = list(intact_lines(path / "custody.jsonl"))
        return [line.facts["facts"]["phase"] for line in logged[lines:] if line.kind == "commit"]

    lines = len(list(intact_lines(path / "custody.jsonl")))
    investigator(rules=rules)
    assert phases_since(lines) == []
    for module in ("rules", "behaviour", "attempts"):
        monkeypatch.setattr(f"casemate.investigate.{module}.code_of", lambda *modules: "another version")
    investigator(rules=rules)
    assert phases_since(lines) == ["sigma", "sigma_correlation", "behaviour", "attempts"]
    assert row_hashes(path) == before
    assert_sound(path)


def test_the_version_of_code_is_that_of_its_source(tmp_path: Path) -> None:
    from types import ModuleType

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "matcher.py").write_text("X = 1\n")
    module = ModuleType("package")
    module.__file__, module.__path__ = str(package / "__init__.py"), [str(package)]
    first = phases.code_of(module)
    assert phases.code_of(module) == first
    (package / "notes.txt").write_text("not code")
    assert phases.code_of(module) == first
    (package / "matcher.py").write_text("X = 2\n")
    assert phases.code_of(module) != first


def test_only_parts_with_new_evidence_are_matched_again(
    investigator, rules: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.log").write_bytes(LOG)
    investigator(tmp_path / "old.log", rules=rules)
    (tmp_path / "new.log").write_bytes(accepted(500))
    asked: list[Path] = []

    class Watching(DuckDBEngine):
        def map_batches(self, source, kernel, schema, *, columns=None, parts=None):
            if type(kernel).__name__ == "FindingsWithDecoded":
                asked.extend(parts or ())
            return super().map_batches(source, kernel, schema, columns=columns, parts=parts)

    path, report = investigator(tmp_path / "new.log", rules=rules, engine=Watching())
    assert report.rules.findings == 65
    with Case.open(path) as case:
        assert len(case.part_paths("syslog")) == 2
        assert asked == case.part_paths("syslog")[1:]


def test_settings_are_taken_up_at_the_next_run(investigator, rules: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "auth.log").write_bytes(LOG)
    settings = dataclasses.replace(Settings(), own=("203.0.113.0/24",))
    path, _ = investigator(tmp_path / "auth.log", name="own", rules=rules, settings=settings)
    text = (path / "case.toml").read_text()
    (path / "case.toml").write_text(text.replace("203.0.113.0/24", "10.0.0.0/8"))
    path, _ = investigator(name="own", rules=rules)
    other, _ = investigator(
        tmp_path / "auth.log", name="other", rules=rules, settings=dataclasses.replace(settings, own=("10.0.0.0/8",))
    )
    assert row_hashes(path) == row_hashes(other)
