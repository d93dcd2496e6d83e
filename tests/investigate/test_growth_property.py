"""A log that grew at any line gives the findings of one that was read at once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from whole_run import rows_of

RULES = """
title: {title}
id: 0d1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0b0{number}
logsource: {{{logsource}}}
detection:
  selection: {{{selection}}}
  condition: selection
level: low
"""
MADE = (
    RULES.format(title="wget", number=1, logsource="product: linux, service: auditd", selection="exe: /usr/bin/wget"),
    RULES.format(title="secrets", number=2, logsource="product: kubernetes, service: audit", selection="verb: list"),
)
SOURCES = ("198.51.100.7", "203.0.113.9")


def sshd(choices: list[int]) -> bytes:
    """Tries of two sources, several in one second, sessions of one or two lines, some that get in."""
    lines = []
    for number, choice in enumerate(choices):
        source, second = SOURCES[choice % 2], number // 3
        head = f"May  1 10:{second // 60:02}:{second % 60:02} web sshd[{choice % 5}]:"
        said = (
            "Invalid user a",
            "Failed password for invalid user a",
            "Failed password for root",
            "Accepted password for root",
        )
        end = "" if choice % 7 < 1 else " ssh2"
        lines.append(f"{head} {said[min(choice % 7, 3) if choice % 7 < 6 else 2]} from {source} port 5{end}\n")
    return "".join(lines).encode()


def auditd(choices: list[int]) -> bytes:
    """Events of several records, and logins."""
    lines = []
    for number, choice in enumerate(choices):
        head = f"msg=audit(1700000000.{number // 3:03}:{number // 3}):"
        login = (
            f'type=USER_{("AUTH", "LOGIN")[choice % 2]} {head} pid={choice % 3} uid=0 msg=\'op=login acct="root" '
            f'exe="/usr/sbin/sshd" hostname=? addr={SOURCES[choice % 2]} terminal=ssh res=failed\'\n'
        )
        part = (
            f'type=SYSCALL {head} arch=c000003e syscall=59 success=yes pid=7 comm="wget" exe="/usr/bin/wget"\n',
            f'type=EXECVE {head} argc=1 a0="wget"\n',
            f'type=PATH {head} item=0 name="/etc/shadow"\n',
        )[number % 3]
        lines.append(part if choice % 4 else login)
    return "".join(lines).encode()


def kubernetes(choices: list[int]) -> bytes:
    """Requests at their last stage."""
    return b"".join(
        json.dumps(
            {
                "kind": "Event",
                "apiVersion": "audit.k8s.io/v1",
                "auditID": f"x{number}",
                "stage": "ResponseComplete",
                "verb": ("list", "get")[choice % 2],
                "requestURI": "/api/v1/secrets",
                "user": {"username": "u"},
                "sourceIPs": [SOURCES[choice % 2]],
                "requestReceivedTimestamp": "2024-01-01T00:00:00.000000Z",
            }
        ).encode()
        + b"\n"
        for number, choice in enumerate(choices)
    )


def found(path: Path) -> Counter[Any]:
    """Findings, with their records by file name and number."""
    paths = {row["evidence"]: Path(row["path"]).name for row in rows_of(path, "registrations")}
    records: dict[str, set[tuple[str, int]]] = {}
    for row in rows_of(path, "finding_records"):
        records.setdefault(row["finding"], set()).add((paths[row["evidence"]], row["record"]))
    return Counter(
        (row["title"], repr(row["source"]), repr(row["target"]), row["outcome"], frozenset(records[row["id"]]))
        for row in rows_of(path, "findings")
    )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("log", [sshd, auditd, kubernetes])
def test_a_log_that_grew_at_any_line_gives_the_findings_of_one_run(
    log: Callable[[list[int]], bytes], seed: int, investigator: Any, tmp_path: Path
) -> None:
    drawn = random.Random(seed)
    content = log([drawn.randrange(1_000) for _ in range(60)])
    lines = content.splitlines(keepends=True)
    cuts = sorted(drawn.sample(range(1, len(lines)), 2))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yml").write_text("---".join(MADE))
    grown = tmp_path / "grown"
    for cut in (*cuts, len(lines)):
        (tmp_path / "in.log").write_bytes(b"".join(lines[:cut]))
        investigator(tmp_path / "in.log", name="grown", rules=(tmp_path / "rules",))
    whole, _ = investigator(tmp_path / "in.log", name="whole", rules=(tmp_path / "rules",))
    assert found(whole)
    assert found(grown) == found(whole)
