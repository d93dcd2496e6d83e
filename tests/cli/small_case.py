"""A small case for the commands, and a way to run them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casemate.cli import _run

HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]evil[/red]\u202etxt"
"""Sets a window's title, clears the screen, is markup to rich, and reads backwards."""
START = datetime(2026, 3, 2, 1, tzinfo=UTC)
CONN_HEAD = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes"
    "\tconn_state\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\n"
)
RULE = """
title: Login page asked for
id: 6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a11
status: test
logsource: {category: webserver}
detection:
    selection: {cs-uri-stem|contains: login}
    condition: selection
level: low
"""


@dataclass(frozen=True)
class Ran:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The output as one JSON document."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """The output as one JSON document per line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: object) -> Ran:
    """Run a command in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = _run([str(argument) for argument in arguments], debug=False)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Ran(code, *texts)


def write_evidence(folder: Path) -> None:
    """Guessing with a success, a scan, a hostile user agent and file name, one line that cannot be read."""
    folder.mkdir(parents=True)

    def line(seconds: int, process: int, text: str) -> str:
        return f"{(START + timedelta(seconds=seconds)).strftime('%b %e %H:%M:%S')} gw1 sshd[{process}]: {text}\n"

    failed = "Failed password for {} from 203.0.113.9 port 40000 ssh2"
    guesses = [line(5 * number, 1000 + number, failed.format("root")) for number in range(40)]
    guesses.append(line(210, 2000, failed.format(f"invalid user {HOSTILE}")))
    guesses.append(line(220, 2001, "Accepted password for root from 203.0.113.9 port 41001 ssh2"))
    (folder / "auth.log").write_text("".join(guesses))
    scan = [
        f"{START.timestamp() + host}\tC{host}\t198.51.100.7\t{50000 + host}\t10.0.0.{host}\t22\ttcp\t-\t-\t-\t-\tS0\n"
        for host in range(1, 60)
    ]
    (folder / "conn.log").write_text(CONN_HEAD + "".join(scan) + "broken\n")
    request = '192.0.2.4 - - [02/Mar/2026:01:00:0{} +0000] "GET /login?id={} HTTP/1.1" 200 12 "-" "{}"\n'
    (folder / f"{HOSTILE.replace('/', '-')}.log").write_text(
        "".join(request.format(number, number, HOSTILE) for number in range(5))
    )


@dataclass(frozen=True)
class Small:
    """A folder with `evidence`, `case`, `rules.zip`; `investigated` is what making the case printed."""

    folder: Path
    investigated: Ran

    @property
    def case(self) -> Path:
        """The case folder."""
        return self.folder / "case"

    def finding(self) -> str:
        """The id of a finding."""
        return run("query", "SELECT min(id) AS id FROM findings", "--case", self.case, "--json").json()["id"]

    def address(self) -> str:
        """The address of a record of the log with the hostile user name, the last but one."""
        row = run(
            "query", "SELECT evidence, max(record) AS record FROM syslog GROUP BY 1", "--case", self.case, "--json"
        )
        return f"{row.json()['evidence']}:{row.json()['record'] - 1}"
