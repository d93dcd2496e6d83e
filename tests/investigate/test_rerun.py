"""``casemate rerun``: the kept evidence gives the same rows again, or it is said which differ."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
from whole_run import command

from casemate.case import Case
from casemate.cli.schemas import published
from casemate.engine.duckdb import DuckDBEngine
from casemate.explore.runs import last_run
from casemate.intel.store import home
from casemate.investigate.rerun import Rerun, compare, rerun, rules_of_run
from casemate.investigate.run import Options

RULE = """
title: Password accepted
id: 0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a01
logsource: {product: linux, service: sshd}
detection: {keywords: [Accepted], condition: keywords}
level: medium
"""
TOUCHED = dt.datetime(2019, 3, 1, tzinfo=dt.UTC).timestamp()


def ssh_lines(minute: int, count: int) -> bytes:
    """Lines without a year: only the file's date tells it."""
    failed = "Feb  3 04:{:02d}:{:02d} gw1 sshd[{}]: Failed password for root from 203.0.113.9 port 40000 ssh2\n"
    lines = [failed.format(minute, second, 100 + second) for second in range(count)]
    lines.append(f"Feb  3 04:{minute:02d}:59 gw1 sshd[9]: Accepted password for root from 203.0.113.9 port 4 ssh2\n")
    return "".join(lines).encode()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (TOUCHED, TOUCHED))
    return path


@pytest.fixture(scope="module", autouse=True)
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASEMATE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, settled: None) -> Path:
    """A case of three runs: an archive with members, duplicates, a log cut in a line that grew, a strange file."""
    top = tmp_path_factory.mktemp("grown")
    folder, path = top / "evidence", top / "case"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/auth.log", ssh_lines(10, 30))
        archive.writestr(
            "in/web.log.gz",
            gzip.compress(b'192.0.2.4 - - [02/Mar/2019:01:00:00 +0000] "GET / HTTP/1.1" 200 1\n', mtime=0),
        )
    rules = put(top / "rules" / "rule.yml", RULE.encode()).parent

    def investigate() -> None:
        ran = command("investigate", folder, "--case", path, "--rules", rules, "--quiet", "--json")
        assert ran.code == 0, ran.err

    put(folder / "triage.zip", packed.getvalue())
    whole = ssh_lines(20, 25) + ssh_lines(30, 20)
    put(folder / "secure.log", whole[:2500])
    put(folder / "copy.log", ssh_lines(10, 30))
    put(folder / "odd.bin", bytes(range(256)) * 20)
    investigate()
    put(folder / "secure.log", whole)
    investigate()
    put(folder / "late" / "secure.log", ssh_lines(40, 10))
    investigate()
    shutil.rmtree(folder)
    return path


@pytest.fixture
def grown(made: Path, tmp_path: Path) -> Path:
    """A copy of that case to change."""
    shutil.copytree(made, tmp_path / "case")
    return tmp_path / "case"


def again(path: Path, tmp_path: Path, workers: int = 1) -> Rerun:
    with Case.open(path) as case, Case.create(tmp_path / "again", case.settings) as second:
        facts = last_run(case)
        assert facts is not None
        options = Options(rules_of_run(facts).paths, home() / "compiled", workers=workers)
        return rerun(case, facts, second, options, DuckDBEngine(), clock=lambda: dt.datetime(2027, 1, 1, tzinfo=dt.UTC))


def test_a_case_that_grew_gives_the_same_rows_from_what_it_keeps(grown: Path) -> None:
    ran = command("rerun", "--case", grown, "--diff", "--quiet", "--json")
    document = json.loads(ran.out)
    jsonschema.validate(document, published("rerun"))
    assert document["identical"], [table for table in document["tables"] if not table["identical"]]
    assert ran.code == 0
    assert document["run"] == document["run_again"]
    assert document["findings"] > 2
    tables = {table["table"]: table["rows"] for table in document["tables"]}
    assert "registrations" not in tables
    assert tables["evidence"] == 8  # zip, two members, gz content, secure.log twice, odd, late
    assert document["notes"] == []


def test_the_verdict_for_people_is_one_line(grown: Path) -> None:
    ran = command("rerun", "--case", grown, "--quiet")
    assert ran.code == 0
    assert ran.out.decode().startswith("VERIFIED ")
    assert ran.out.decode().endswith(" findings identical\n")


def test_workers_do_not_matter(grown: Path, tmp_path: Path) -> None:
    assert again(grown, tmp_path, workers=2).identical


def test_the_order_of_files_does_not_matter(tmp_path: Path, investigator) -> None:
    files = [put(tmp_path / "evidence" / f"{name}.log", ssh_lines(number, 20)) for number, name in enumerate("abcd")]
    one, _ = investigator(*files, name="one")
    other, _ = investigator(*reversed(files), name="other")
    with Case.open(one) as first, Case.open(other) as second:
        compared = compare(first, second)
    assert [table.table for table in compared if not table.identical] == []


def test_other_settings_are_told_with_the_first_rows_that_differ(grown: Path) -> None:
    settings = grown / "case.toml"
    settings.write_text(settings.read_text() + "\n[limits]\nline_bytes = 80\n")
    ran = command("rerun", "--case", grown, "--diff", "--quiet")
    assert ran.code == 1
    said = ran.out.decode()
    assert "DIFFERENT" in said
    assert "note: settings or evidence changed since the last run" in said
    assert "syslog: " in said
    assert len(said.splitlines()) < 150


def test_a_row_that_was_changed_is_named(tmp_path: Path, grown: Path) -> None:
    with Case.open(grown) as case:
        (part, *_) = case.part_paths("syslog")
        table = pq.read_table(part)
        row = table.slice(3, 1).to_pylist()[0]
        changed = table.to_pylist()
        changed[3]["host"] = "elsewhere"
        pq.write_table(type(table).from_pylist(changed, schema=table.schema), part)
    found = again(grown, tmp_path)
    (different,) = [item for item in found.tables if not item.identical]
    assert (different.table, different.missing, different.added) == ("syslog", 1, 1)
    assert different.first_missing[0]["host"] == "elsewhere"
    assert different.first_added[0]["record"] == row["record"]


def test_rules_that_changed_since_are_said(grown: Path, tmp_path: Path) -> None:
    other = put(tmp_path / "other" / "rule.yml", RULE.replace("medium", "high").encode())
    ran = command("rerun", "--case", grown, "--quiet", "--rules", other)
    assert ran.code == 3
    assert "rules are not those of the last run" in ran.said
    kept = put(tmp_path / "kept" / "rule.yml", RULE.encode())
    assert command("rerun", "--case", grown, "--quiet", "--rules", kept).code == 0


def test_nothing_to_compare_with_is_said(tmp_path: Path) -> None:
    Case.create(tmp_path / "empty").close()
    ran = command("rerun", "--case", tmp_path / "empty", "--quiet")
    assert ran.code == 2
    assert "no run" in ran.said


def test_evidence_left_in_place_that_changed_is_said(tmp_path: Path) -> None:
    log = put(tmp_path / "logs" / "a.log", ssh_lines(1, 20))
    case = tmp_path / "case"
    assert command("investigate", log, "--case", case, "--by-reference", "--quiet").code == 0
    assert command("rerun", "--case", case, "--quiet").code == 0
    put(log, ssh_lines(2, 20))
    ran = command("rerun", "--case", case, "--quiet")
    assert ran.code == 3
    assert "registered" in ran.said
