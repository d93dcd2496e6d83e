"""The demo: the same seed gives the same bytes, its labels name the right records, its score is honest."""

from __future__ import annotations

import ast
import datetime as dt
import gzip
import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import casemate.demo
from casemate.case import Case
from casemate.cli import _run
from casemate.demo.generate import Demo, generate
from casemate.demo.score import score
from casemate.engine.duckdb import DuckDBEngine
from casemate.explore.coverage import case_coverage
from casemate.explore.findings import attributed
from casemate.explore.overview import coverage_document
from casemate.explore.tables import stored_tables


def contents(demo: Demo) -> Iterator[bytes]:
    for path in sorted(demo.evidence.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.fixture(scope="session")
def truth(demo: Demo) -> dict:
    return json.loads(demo.truth.read_text())


def test_the_same_seed_gives_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    again = generate(tmp_path, seed=4, size=0.1)
    assert [hashlib.sha256(data).digest() for data in contents(again)] == [
        hashlib.sha256(data).digest() for data in contents(demo)
    ]
    assert again.truth.read_bytes() == demo.truth.read_bytes()


def test_another_seed_is_another_incident(demo: Demo, tmp_path: Path) -> None:
    other = generate(tmp_path, seed=5, size=0.1)
    assert other.truth.read_bytes() != demo.truth.read_bytes()


def test_at_full_size_it_has_about_300000_records_of_which_98_percent_are_benign(tmp_path: Path) -> None:
    full = generate(tmp_path, seed=9)
    stated = json.loads(full.truth.read_text())
    attack = sum(len(numbers) for step in stated["steps"] for numbers in step["records"].values())
    assert 250_000 <= full.records <= 350_000
    assert attack / full.records <= 0.02
    assert abs(stated["clock"]["seconds"]) == 41 * 60


def test_every_step_and_every_decoy_has_records(truth: dict) -> None:
    assert len(truth["steps"]) == len(truth["decoys"])
    assert all(step["records"] for step in [*truth["steps"], *truth["decoys"]])


def test_labels_name_the_records_they_mean(demo: Demo, truth: dict) -> None:
    by_hash = {hashlib.sha256(data).hexdigest(): data for data in contents(demo)}
    guessing = next(step for step in truth["steps"] if step["label"] == "guessing")
    lines = [
        by_hash[content].split(b"\n")[record - 1]
        for content, records in guessing["records"].items()
        for record in records
    ]
    assert len(lines) > 500
    assert all(b"198.18.44." in line or b"198.18.45." in line for line in lines)
    staging = next(step for step in truth["steps"] if step["label"] == "staging")
    calls = [
        json.loads(by_hash[content])["Records"][record - 1]
        for content, records in staging["records"].items()
        if truth["files"][content].startswith("cloudtrail")
        for record in records
    ]
    assert calls
    assert {call["eventName"] for call in calls} == {"GetObject"}


def test_records_are_numbered_without_a_hole_but_for_what_was_lost(demo: Demo) -> None:
    numbers: dict[str, list[int]] = {}
    cleared = None
    for path in sorted((demo.evidence / "winlogbeat").iterdir()):
        for line in path.read_text().splitlines():
            told = json.loads(line)["winlog"]
            numbers.setdefault(told["computer_name"], []).append(told["record_id"])
            cleared = told["record_id"] if told["event_id"] == "1102" else cleared
    for computer, seen in numbers.items():
        holes = [(one, other) for one, other in pairwise(seen) if other != one + 1]
        assert len(holes) == computer.startswith("jump01")
        assert all(other == cleared for _, other in holes)


def test_generator_and_detectors_share_no_code() -> None:
    folder = Path(casemate.demo.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            assert not any(
                name.startswith(("casemate.detect", "casemate.incident", "casemate.intel")) for name in names
            ), path


def test_an_investigation_finds_the_incident_and_accuses_nobody_else(demo: Demo, investigator) -> None:
    path, report = investigator(demo.evidence)
    assert report.intake.records == demo.records == report.intake.kept
    engine = DuckDBEngine()
    with Case.open(path) as case:
        engine.use(stored_tables(case))
        seen = coverage_document(case, case_coverage(case, now=dt.datetime.now(dt.UTC)))
        result = score(demo.truth, attributed(engine), seen)
        assert result.noise is not None
        assert result.noise.found > 300
        tuned = ["--rule", result.noise.by[0], "--where", result.noise.where, "--reason", result.noise.reason]
    assert _run(["tune", "add", "--case", str(path), *tuned, "--until", "never"], debug=False) == 0
    with Case.open(path) as case:
        engine.use(stored_tables(case))
        quiet = score(demo.truth, attributed(engine), seen)
    # the tuning takes the noise out and nothing of the attack
    assert quiet.noise is not None
    assert quiet.noise.found == 0
    assert quiet.steps == result.steps
    assert {hole.label for hole in result.holes if hole.found} == {"missing-logs", "cleared-log", "wrong-clock"}
    assert result.clocks_accused == ()
    verdicts = {step.label: step.verdict for step in result.steps}
    assert verdicts.pop("vendor") == "not yet covered"
    verdicts.pop("egress")  # an upload rule may see its command, the volume is not judged yet
    assert set(verdicts.values()) == {"found"}
    assert [decoy.label for decoy in result.decoys if decoy.found] == []
    assert sum(result.ordinary.values()) <= result.benign_records / 1_000


def test_a_finding_on_a_decoy_is_counted_against_us(demo: Demo, truth: dict) -> None:
    content, records = next(iter(truth["decoys"][0]["records"].items()))
    wrong = {"title": "wrong", "severity": "high", "records": [f"{content}:{records[0]}", f"{'0' * 64}:1"]}
    clocks = {"offsets": [{"one": "bastion01", "other": "zeek", "seconds": 900.0, "verdict": "disagree"}]}
    result = score(demo.truth, [wrong], {"clocks": clocks})
    assert [decoy.found for decoy in result.decoys[:1]] == [1]
    assert dict(result.ordinary) == {"wrong": 1}
    assert result.clocks_accused == ("bastion01, zeek",)
    assert not any(hole.found for hole in result.holes)
    assert {step.verdict for step in result.steps} == {"missed", "not yet covered"}
