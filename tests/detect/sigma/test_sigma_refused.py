"""Odd, broken and unsupported rules: the others run, and each is listed with its reason."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from casemate.cli import main
from casemate.detect.sigma.cache import install_rules
from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.load import parse_rule_files
from casemate.detect.sigma.match import TableMatcher
from casemate.detect.sigma.rule_files import RuleFile
from casemate.errors import BadInput

ID = "10000000-0000-4000-8000-{:012d}"


def rule(number: int, detection: str, *, more: str = "", source: str = "product: linux\n  service: sshd") -> str:
    """A rule whose selection is the given YAML line."""
    return f"""title: rule {number}
id: {ID.format(number)}
{more}logsource:
  {source}
detection:
  sel:
    {detection}
  condition: sel
level: low
"""


GOOD = rule(0, "message|contains: Failed password")
LOG = b"".join(
    b"Nov  5 10:00:%02d host sshd[1]: Failed password for root from 203.0.113.9 port 4 ssh2\n" % number
    for number in range(5)
)


class Command:
    """Runs commands and keeps what they print."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = self._capfd.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, with a home of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Command(capfd)


def investigated(command: Command, tmp_path: Path, rules: Path) -> tuple[int, str]:
    """Exit code and error output of an investigation of :data:`LOG` with some rules."""
    log = tmp_path / "auth.log"
    log.write_bytes(LOG)
    code, _, error = command("investigate", str(log), "--case", str(tmp_path / "case"), "--rules", str(rules), "--json")
    return code, error


ODD = {
    "lookahead.yml": (rule(1, "message|re: '(?=Failed)F'").encode(), "not_compiled", "Zero-width assertions"),
    "backreference.yml": (rule(2, r"message|re: '(s)\1'").encode(), "not_compiled", "Back-references"),
    "placeholder.yml": (rule(3, "message|expand: '%who%'").encode(), "not_compiled", "%who%"),
    "modifier.yml": (rule(4, "message|nonsense: a").encode(), "not_compiled", "Unknown modifier"),
    "unknown_source.yml": (rule(5, "a: b", source="product: toaster").encode(), "no_reader", "toaster"),
    "empty.yml": (rule(6, "").replace("  sel:\n    \n  condition: sel\n", "").encode(), "not_compiled", "detection"),
    "no_condition.yml": (rule(7, "a: b").replace("  condition: sel\n", "").encode(), "not_compiled", "condition"),
    "duplicate.yml": (rule(0, "a: b").encode(), "not_compiled", "another rule with this id"),
    "latin1.yml": (rule(8, "a: caf\xe9").encode("latin-1"), "not_read", "not readable as YAML"),
    "tabs.yml": (rule(9, "a: b").replace("    a: b", "\ta: b").encode(), "not_read", "not readable as YAML"),
    "list.yml": (b"- a\n- b\n", "not_read", "no mapping"),
    "text.yml": (b"hello", "not_read", "no mapping"),
    "settings.yml": (b"name: x\nvalue: 1\n", "not_read", "no detection"),
    "nul.yml": (b"title: \x00\n", "not_read", "not readable as YAML"),
    "deep.yml": (b"[" * 100_000, "not_read", "nested more than"),
    "deprecated.yml": (
        rule(10, "message|contains: Failed", more="status: deprecated\n").encode(),
        "ran",
        "status is deprecated",
    ),
    "unsupported.yml": (
        rule(11, "message|contains: Failed", more="status: unsupported\n").encode(),
        "ran",
        "status is unsupported",
    ),
    "own_id.yml": (
        rule(12, "message|contains: Failed").replace(f"id: {ID.format(12)}", "id: mine").encode(),
        "ran",
        "UUID",
    ),
    "windows.yml": (rule(13, "a: b", source="product: windows").encode(), "no_records", "no record of windows"),
}


def test_each_odd_rule_is_listed_with_its_reason_and_the_others_run(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "_good.yml").write_text(GOOD)
    (folder / "bom.yml").write_bytes(b"\xef\xbb\xbf" + rule(20, "message|contains: Failed").encode())
    without_id = rule(21, "message|contains: Failed").replace(f"id: {ID.format(21)}\n", "")
    (folder / "crlf_without_id.yml").write_bytes(without_id.replace("\n", "\r\n").encode())
    for name, (content, _, _) in ODD.items():
        (folder / name).write_bytes(content)
    assert investigated(command, tmp_path, folder)[0] == 0
    report = orjson.loads(command("show", "rules", "--case", str(tmp_path / "case"), "--json")[1])
    rows = {row["path"]: row for row in (*report["not_run"], *report["noted"])}
    assert report["loaded"] == len(ODD) + 3
    for name, (_, state, reason) in ODD.items():
        assert (name, rows[name]["state"]) == (name, state)
        assert reason.lower() in rows[name]["reason"].lower(), (name, rows[name]["reason"])
    assert not {"_good.yml", "bom.yml", "crlf_without_id.yml"} & set(rows)
    shown = command("show", "findings", "--case", str(tmp_path / "case"), "--json")[1].splitlines()
    found = [one["rule_id"] for one in map(orjson.loads, shown) if one["detector"] == "sigma"]
    assert found.count(ID.format(0)) == found.count(ID.format(20)) == found.count("mine") == 5
    assert sum(one.startswith("sha256:") for one in found) == 5


def test_a_path_without_any_rule_is_wrong_usage_in_one_line(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    with pytest.raises(BadInput, match="holds no rule file"):
        install_rules([folder], tmp_path / "cache")
    (folder / "notes.yml").write_text("a: b\n")
    with pytest.raises(BadInput, match="holds no Sigma rule"):
        install_rules([folder], tmp_path / "cache")
    code, error = investigated(command, tmp_path, folder)
    assert (code, len(error.strip().splitlines())) == (2, 1)
    assert "no detection" in error


def test_documents_around_an_unreadable_one_are_used() -> None:
    content = "---\n".join([rule(1, "a: b"), "title: [\n", rule(2, "a: '---'"), "\tx: y\n", rule(3, "a: b")])
    found = parse_rule_files([RuleFile("many.yml", content.encode())])
    assert [one.title for one in found.rules] == ["rule 1", "rule 2", "rule 3"]
    assert [one.reason.split(" is not")[0] for one in found.errors] == ["part 2 of the file", "part 4 of the file"]


def test_five_thousand_rules_in_one_file_run() -> None:
    content = "---\n".join(
        rule(number, f"message|{('contains', 're')[number % 2]}: word{number}x", more=f"description: {'d' * 200}\n")
        for number in range(5_000)
    )
    found = parse_rule_files([RuleFile("many.yml", content.encode())])
    assert (len(found.rules), len(found.errors)) == (5_000, 0)
    compiled = compile_rules(found.rules)
    assert not compiled.refused
    assert TableMatcher(compiled, "syslog").databases()


@pytest.mark.parametrize("value", ["a" * 20_000, "*" + "é" * 9_000 + "*", "a" + "?" * 4_000, "a*" * 3_000])
def test_a_pattern_too_long_for_the_engine_is_answered_another_way(value: str) -> None:
    found = parse_rule_files([RuleFile("long.yml", rule(1, f"message|contains: '{value}'").encode())])
    compiled = compile_rules(found.rules)
    assert not compiled.refused
    assert TableMatcher(compiled, "syslog").databases() is not None


def test_rules_that_are_no_keys_of_a_file_system_are_listed(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "link.yml").symlink_to(tmp_path / "nowhere.yml")
    (tmp_path / "folder.yml").mkdir()
    installed = install_rules([tmp_path], tmp_path / "cache")
    assert [one.path for one in installed.rules.rules] == ["good.yml"]
