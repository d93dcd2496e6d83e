"""Values of placeholders in Sigma rules: from the settings, a file or the command line; a rerun repeats them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole_run import command

from casemate.detect.sigma.placeholders import given_placeholders, read_placeholders
from casemate.errors import BadInput
from casemate.settings import Placeholder

RULE = r"""
title: Process of an administrator
id: 5c5d6c3e-0b3a-4a0e-9d0b-55aa5a5a0001
logsource: {category: process_creation, product: windows}
detection:
    sel:
        User|expand: '%administrators%'
        CommandLine|contains|expand: ':?%tools%\'
    condition: sel
level: high
"""


@pytest.fixture(autouse=True)
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled_rules: Path) -> Path:
    """One rule, four processes, and a data folder of its own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "compiled").symlink_to(compiled_rules)
    monkeypatch.setenv("CASEMATE_HOME", str(home))
    (tmp_path / "rule.yml").write_text(RULE)
    lines = [
        {
            "Provider_Name": "Microsoft-Windows-Sysmon",
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "EventID": 1,
            "@timestamp": f"2026-05-01T10:00:0{number}Z",
            "User": user,
            "CommandLine": command_line,
        }
        for number, (user, command_line) in enumerate(
            [
                ("LAB\\adm-eve", "C:\\Tools\\x.exe"),
                ("LAB\\eve", "C:\\Tools\\x.exe"),
                ("LAB\\root", "D:\\kit\\y.exe"),
                ("LAB\\adm-bob", "C:\\Other\\x.exe"),
            ]
        )
    ]
    (tmp_path / "events.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def investigate(folder: Path, *words: str | Path, name: str = "case") -> None:
    ran = command(
        "investigate", folder / "events.json", "--case", folder / name, "--rules", folder / "rule.yml", "-q", *words
    )
    assert ran.code == 0, ran.err


def found(folder: Path, name: str = "case") -> list[int]:
    """Numbers of the records with a finding."""
    lines = command("show", "findings", "--case", folder / name, "--json").out.splitlines()
    return sorted(int(record.split(":")[1]) for line in lines for record in json.loads(line)["records"])


def state(folder: Path) -> tuple[str, str]:
    """State and reason of the rule."""
    document = json.loads(command("show", "rules", "--case", folder / "case", "--json").out)
    (rule,) = document["not_run"]
    return rule["state"], rule["reason"]


def test_values_from_the_command_line_the_settings_and_a_file(settled: Path) -> None:
    investigate(settled)
    assert found(settled) == []
    assert state(settled) == (
        "not_compiled",
        "no values are given for the placeholders %administrators%, %tools%: give them with "
        "[sigma.placeholders] in case.toml or --placeholder administrators=VALUE",
    )
    investigate(settled, "--placeholder", "administrators=*\\\\adm-*", "--placeholder", "%tools%=tools")
    assert found(settled) == [1]
    settings = settled / "case" / "case.toml"
    settings.write_text(settings.read_text() + '\n[sigma.placeholders]\nadministrators = ["LAB?adm-eve", "*root"]\n')
    pipeline = settled / "pipeline.yml"
    pipeline.write_text("name: lab\nvars:\n  tools: [other, kit]\ntransformations:\n- type: value_placeholders\n")
    investigate(settled, "--placeholders", pipeline)
    assert found(settled) == [3]


def test_a_rerun_repeats_the_values_of_the_run(settled: Path) -> None:
    investigate(settled, "--placeholder", "administrators=*adm*", "--placeholder", "tools=tools")
    settings = settled / "case" / "case.toml"
    settings.write_text(settings.read_text() + '\n[sigma.placeholders]\nadministrators = "nobody"\n')
    ran = command("rerun", "--case", settled / "case", "--quiet", "--json")
    document = json.loads(ran.out)
    assert document["identical"]
    assert document["findings"] == 1
    assert document["notes"] == ["settings or evidence changed since the last run that came to its end"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--placeholder", "tools"), "'tools' is not NAME=VALUE"),
        (("--placeholder", "=x"), "'' cannot be the name of a placeholder"),
        (("--placeholders", "missing.yml"), "cannot be read"),
        (("--placeholders", "rule.yml"), "placeholder 'logsource' must be a text or number"),
        (("--placeholders", "events.json"), "is not YAML"),
    ],
)
def test_wrong_use_is_one_line(
    settled: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], message: str
) -> None:
    monkeypatch.chdir(settled)
    ran = command("investigate", "events.json", "--case", "case", "--rules", "rule.yml", *words)
    assert ran.code == 2
    assert message in ran.said


def test_a_file_of_names_and_values(tmp_path: Path) -> None:
    path = tmp_path / "values.yml"
    path.write_text("ids: [4624, '4625']\nhost: dc01\n")
    assert read_placeholders(path) == (Placeholder("host", ("dc01",)), Placeholder("ids", ("4624", "4625")))
    assert given_placeholders([Placeholder("host", ("a", "b"))], [path], ["ids=1"]) == {
        "host": ("dc01",),
        "ids": ("1",),
    }
    path.write_text("host: {deep: [1]}\n")
    with pytest.raises(BadInput, match="must be a text or number"):
        read_placeholders(path)
    path.write_text("host: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(BadInput, match="is not YAML"):
        read_placeholders(path)
