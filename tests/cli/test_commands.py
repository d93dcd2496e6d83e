"""Each command: what it prints for people and machines, its examples, its exit codes, and hostile text."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from small_case import HOSTILE, Ran, Small, run

from casemate import cli
from casemate.cli.app import application
from casemate.cli.schemas import published

ROOT = Path(__file__).resolve().parents[2]
HARMLESS = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]*")


def conforms(name: str, documents: list[Any]) -> None:
    """Each follows the published schema and has no key that is not published."""
    schema = published(name)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert documents
    for document in documents:
        validator.validate(document)
        assert "properties" not in schema or set(document) == set(schema["properties"])


LISTS: dict[str, tuple[str, list[str]]] = {
    "finding": ("finding", ["show", "findings"]),
    "attempt": ("attempt", ["show", "attempts"]),
    "measure": ("measure", ["show", "measures"]),
    "query": ("row", ["query", "SELECT * FROM findings"]),
    "rows": ("row", ["show", "rows", "findings.by_severity"]),
}
DOCUMENTS: dict[str, tuple[str, list[str]]] = {
    "summary": ("summary", ["show", "summary"]),
    "coverage": ("coverage", ["show", "coverage"]),
    "rules": ("rules", ["show", "rules"]),
    "custody": ("custody_verify", ["custody", "verify"]),
    "doctor": ("doctor", ["doctor"]),
}


@pytest.mark.parametrize("name", LISTS)
def test_json_lines_follow_their_schema(small: Small, name: str) -> None:
    schema, words = LISTS[name]
    ran = run(*words, "--case", small.case, "--json")
    assert (ran.code, ran.err) == (0, "")
    conforms(schema, ran.lines())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_documents_follow_their_schema(small: Small, name: str) -> None:
    schema, words = DOCUMENTS[name]
    ran = run(*words, "--case", small.case, "--json")
    assert (ran.code, ran.err) == (0, "")
    conforms(schema, [ran.json()])


def test_investigate_prints_the_summary_and_counts_every_record(small: Small) -> None:
    conforms("summary", [small.investigated.json()])
    evidence = small.investigated.json()["evidence"]
    assert evidence == {"files": 3, "records": 107, "kept": 106, "rejected": 1}
    assert small.investigated.json()["attempts"]["by_outcome"]["succeeded"] == 1


def test_record_prints_what_was_received(small: Small) -> None:
    address = small.address()
    told = run("record", address, "--case", small.case, "--around", 1, "--json").lines()
    conforms("record", told)
    assert [item["id"] for item in told][1] == address
    assert HOSTILE in told[1]["content"]
    original = (small.folder / "evidence" / "auth.log").read_bytes()
    raw = run("record", address, "--case", small.case, "--raw")
    assert raw.out.encode() == original[told[1]["offset"] :][: told[1]["length"]]


def test_intel_tells_what_is_installed(small: Small) -> None:
    installed = run("intel", "update", "sigma", "--from", small.folder / "rules.zip", "--json")
    assert installed.code == 0, installed.err
    jsonschema.validate(installed.json(), published("intel_update"))
    assert installed.json()[0]["new"]
    conforms("intel_status", [run("intel", "status", "--json").json()])
    failed = run("intel", "update", "sigma", "--from", small.folder / "nowhere.zip", "--json")
    assert (failed.code, failed.err.count("\n")) == (2, 1)


def test_the_demo_follows_its_schema(tmp_path: Path) -> None:
    ran = run("demo", "--folder", tmp_path / "demo", "--size", 0.1, "--json")
    assert ran.code == 0, ran.err
    conforms("demo", [ran.json()])


# for people

PEOPLE: list[list[str]] = [
    ["show", "summary"],
    ["show", "findings"],
    ["show", "attempts"],
    ["custody", "verify"],
]


@pytest.mark.parametrize("words", PEOPLE, ids=" ".join)
def test_output_for_people_fits_80_columns(small: Small, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich: as on a terminal
    ran = run(*words, "--case", small.case)
    assert ran.code == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ran.out).splitlines()
    assert 0 < len(lines) <= 40
    assert [line for line in lines if len(line) > 80 and "casemate " not in line] == []


EVERYTHING: list[list[str]] = [
    *PEOPLE,
    ["coverage"],
    ["coverage", "--why", "Private SSH Key Read"],
    ["show", "rules"],
    ["show", "measures"],
    ["show", "rows", "evidence.files"],
    ["show", "rows", "evidence.rejected"],
    ["query", "SELECT user_name, status FROM authentication"],
    ["query", 'SELECT 1 AS "\x1b[2J[bold]", path FROM registrations'],
    ["query", "SELECT \x1b[2J[/red] FROM nowhere"],
    ["query", "SELECT * FROM (SELECT http_request_user_agent FROM http_activity)"],
]


@pytest.mark.parametrize("words", EVERYTHING, ids=lambda words: " ".join(words[:2]))
def test_hostile_text_does_nothing_to_a_terminal(small: Small, words: list[str]) -> None:
    ran = run(*words, "--case", small.case)
    assert ran.code in (0, 2)
    for text in (ran.out, ran.err):
        assert all(HARMLESS.fullmatch(line) for line in text.split("\n")), repr(text)


def test_markup_in_evidence_is_printed_as_it_is(small: Small) -> None:
    for words in (
        ["query", "SELECT user_name FROM authentication WHERE user_name <> 'root'"],
        ["record", small.address()],
        ["record", small.address(), "--around", "1"],
    ):
        ran = run(*words, "--case", small.case)
        assert "[red]evil[/red]" in ran.out
        assert all(HARMLESS.fullmatch(line) for line in ran.out.split("\n"))


def test_hostile_names_in_errors_are_harmless(small: Small, tmp_path: Path) -> None:
    odd = tmp_path / f"{HOSTILE.replace('/', '-')}.gz"
    odd.write_bytes(b"\x1f\x8b\x08\x00 not gzip at all")
    for words in (
        ["investigate", odd, "--case", tmp_path / "case", "--quiet"],
        ["investigate", tmp_path / HOSTILE, "--case", tmp_path / "other"],
        ["show", HOSTILE],
        ["show", "summary", "--case", HOSTILE],
        ["show", "findings", "--case", small.case, "--severity", HOSTILE],
    ):
        ran = run(*words)
        assert ran.code in (0, 2, 3), words
        assert all(HARMLESS.fullmatch(line) for line in f"{ran.out}\n{ran.err}".split("\n")), words


# queries of the OCSF tables


def test_queries_know_the_event_classes(small: Small) -> None:
    def ask(sql: str) -> list[Any]:
        ran = run("query", sql, "--case", small.case, "--json")
        assert ran.code == 0, ran.err
        return ran.lines()

    assert ask("SELECT count(*) AS n, min(dst_endpoint_port) AS port FROM Network_Activity") == [{"n": 59, "port": 22}]
    assert ask('SELECT status, count(*) AS n FROM "AUTHENTICATION" GROUP BY 1 ORDER BY 1') == [
        {"status": "Failure", "n": 41},
        {"status": "Success", "n": 1},
    ]
    assert ask("SELECT * FROM email_activity") == ask("SELECT * FROM dns_activity") == []
    named = ask("SELECT DISTINCT table_name AS t FROM information_schema.columns ORDER BY 1")
    assert {"network_activity", "api_activity", "email_activity", "zeek_conn", "findings"} <= {
        row["t"] for row in named
    }
    columns = ask("SELECT column_name AS c FROM information_schema.columns WHERE table_name = 'email_activity'")
    assert [row["c"] for row in columns][-1] == "email_subject"
    joined = "SELECT f.title, n.status FROM findings f JOIN finding_records r ON r.finding = f.id "
    joined += "JOIN network_activity n ON n.evidence = r.evidence AND n.record = r.record"
    assert len(ask(joined)) == 59


# help and examples


def commands() -> Iterator[tuple[str, str]]:
    """Every command and its example."""

    def walk(command: Any, words: list[str]) -> Iterator[tuple[str, str]]:
        children = getattr(command, "commands", None)
        if children:
            if words and command.invoke_without_command:
                yield " ".join(words), command.epilog or ""
            for name, child in children.items():
                yield from walk(child, [*words, name])
        else:
            yield " ".join(words), command.epilog or ""

    return walk(typer.main.get_command(application()), [])


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    ran = run(*name.split(), "--help")
    assert ran.code == 0
    assert f"casemate {name}" in " ".join(ran.out.split())
    assert "Example: casemate" in " ".join(ran.out.split())
    assert max(map(len, ran.out.splitlines())) <= 80


def at_the_gate() -> None:
    """What the examples of ``gate`` name: a model, a policy, a key, a signature and an audit record."""
    Path("model").mkdir()
    Path("model/config.json").write_text('{"model_type": "x"}')
    Path("gate.toml").write_text("[destinations.cluster]\napprovals = 0\n")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    Path("signer.pem").write_bytes(secret)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    Path("signer.pub").write_bytes(public)
    assert run("gate", "sign", "model", "--private-key", "signer.pem").code == 0
    assert run("gate", "check", "model", "--policy", "gate.toml", "--destination", "cluster").code == 0


ENDLESS = ("demo", "gate serve")
"""Commands whose examples take long, or go on until somebody ends them."""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ENDLESS])
def test_examples_work(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    if name not in ("init", "investigate"):
        shutil.copytree(small.case, "CASE")
    Path("logs").mkdir()
    shutil.copy(small.folder / "evidence" / "conn.log", "logs/conn.evtx")
    shutil.copy(small.folder / "rules.zip", "triage.zip")
    Path("downloads").mkdir()
    for model in ("model.pkl", "downloads/model.pkl"):
        Path(model).write_bytes(pickle.dumps({"layers": [1, 2]}))
    if name.startswith("gate "):
        pytest.importorskip("model_signing")
        at_the_gate()
    replaced = {
        "/evidence": str(small.folder / "evidence"),
        "3fa1c2:1042": small.address(),
        "3fa1c2d4": small.finding(),
        "~/Downloads/sigma_all_rules.zip": str(small.folder / "rules.zip"),
        "old-rules.zip": str(small.folder / "rules.zip"),
        "new-rules.zip": str(small.folder / "rules.zip"),
    }
    examples = re.split(r"\s+or(?:, [a-z ]+:)?\s+(?=casemate )", COMMANDS[name].removeprefix("Example: "))
    for example in examples:
        program, *words = shlex.split(example)
        assert program == "casemate"
        ran = run(*(replaced.get(word, word) for word in words))
        assert ran.code == 0, f"{example}: {ran.err}"
        assert ran.out


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text().replace("\\|", "|")
    documented = set()
    for group, words in re.findall(r"^\| `casemate (\w+(?: request)?)(?: ([a-z|]+))?", page, re.MULTILINE):
        documented |= {f"{group} {word}".strip() for word in words.split("|")}
    assert documented == set(COMMANDS)


# exit codes


def test_the_answer_no_is_1(small: Small, tmp_path: Path) -> None:
    case = tmp_path / "case"
    shutil.copytree(small.case, case)
    part = next((case / "tables").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    ran = run("custody", "verify", "--case", case, "--json")
    assert ran.code == 1
    conforms("custody_verify", [ran.json()])
    assert part.name in ran.json()["problems"][0]["where"]
    again = run("investigate", small.folder / "evidence", "--case", small.case, "--fail-on", "high", "--quiet")
    assert again.code == 1
    assert "succeeded" in again.out


def test_wrong_use_is_2_and_one_line(small: Small, tmp_path: Path) -> None:
    for words in (
        ["bogus"],
        ["query", "--bogus"],
        ["query", "SELECT 1"],
        ["query", "DELETE FROM findings", "--case", small.case],
        ["query", "SELECT * FROM nowhere", "--case", small.case],
        ["show", "summary", "--case", tmp_path / "nowhere"],
        ["show", "findings", "--case", small.case, "--severity", "purple"],
        ["show", "rows", "no.measure", "--case", small.case],
        ["record", "zz:1", "--case", small.case],
        ["record", f"{small.address()}9", "--case", small.case],
        ["investigate", tmp_path / "nowhere", "--case", tmp_path / "new"],
        ["investigate", tmp_path, "--own", "nonet", "--case", tmp_path / "new"],
        ["init", small.case],
    ):
        ran = run(*words)
        assert ran.code == 2, (words, ran.err)
        assert ran.err.startswith("casemate: ")
        assert ran.err.count("\n") == 1
        assert "Traceback" not in ran.err


def test_own_networks_that_are_none_are_told_by_the_option_that_named_them(tmp_path: Path) -> None:
    ran = run("investigate", tmp_path, "--own", "10.0.0.0/99", "--case", tmp_path / "new")
    assert ran.err.startswith("casemate: --own: '10.0.0.0/99'")
    assert not (tmp_path / "new").exists()


def test_what_stands_in_the_way_is_3(small: Small) -> None:
    import fcntl

    with (small.case / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = run("investigate", small.folder / "evidence", "--case", small.case, "--quiet")
        assert ran.code == 3
        assert "another process" in ran.err
        assert run("show", "findings", "--case", small.case).code == 0


def test_a_bug_of_ours_is_4(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: list[str]) -> int:
        raise KeyError("\x1b[2Jsomething")

    monkeypatch.setattr("casemate.cli.app.run", broken)
    ran = run("doctor")
    assert ran.code == 4
    assert ran.err.startswith("casemate: a bug of ours (KeyError")
    assert "\x1b" not in ran.err


# as a process


def process(small: Small, line: str) -> Ran:
    """Run a line of shell in which `casemate` is this one and CASE the small case."""
    program = f'casemate() {{ {shlex.quote(sys.executable)} -c "from casemate.cli import main; main()" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", program + line],
        capture_output=True,
        text=True,
        env={**os.environ, "CASE": str(small.case)},
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_closed_pipe_is_quiet_and_never_says_done(small: Small) -> None:
    many = "SELECT * FROM range(300000) t(number_of_a_row)"
    ran = process(small, f'casemate query "{many}" --case "$CASE" --json | head -1; exit ${{PIPESTATUS[0]}}')
    assert (ran.code, ran.err) == (141, "")
    assert ran.out.count("\n") == 1


def test_codes_reach_the_shell(small: Small) -> None:
    assert process(small, "casemate --version").out.startswith("casemate ")
    assert process(small, 'casemate query "SELECT" --case "$CASE"').code == 2


def test_debug_shows_where(small: Small) -> None:
    with pytest.raises(Exception, match="no case here"):
        cli._run(["show", "summary", "--case", str(small.folder)], debug=True)
