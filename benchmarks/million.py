"""What a case of a million findings costs to look at, to report and to export.

    python benchmarks/million.py [--findings 1000000] [--small 2000] [--folder DIR] [--only COMMAND] [--rerun]

Writes Windows events as Winlogbeat ships them (logons, refused logons, started programs; all invented), with
rules that fire on nearly each, and investigates them: once with so many findings, once with few.  Then runs
each command on both cases in a process of its own.  The small case costs what starting Python, its libraries
and the engine costs; what is above it is the price of size.  Prints one JSON object per command: ``seconds``
and ``cpu`` (user and system) on the large case, the same on the small one, ``more`` (their difference in CPU
seconds), and the peak resident memory of both in MiB.

``--rerun`` instead investigates the demo, runs ``rerun`` on the case, and prints the ratio of their CPU times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from casemate.cli import main; main()"]
START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = {"refused": "EventID: 4625", "entered": "EventID: 4624", "started": "EventID: 4688"}
PROGRAMS = 400
RULE = """title: {name} {number}
id: 00000000-0000-4000-8000-{number:012d}
status: test
level: low
logsource: {{product: windows, service: security}}
detection:
  selection:
    {condition}
    'SubjectUserName|endswith': '{ending}'
  condition: selection
"""
LOOKS: tuple[tuple[str, ...], ...] = (
    ("why", "FINDING"),
    ("show", "logons"),
    ("show", "stack", "process_name"),
    ("show", "timeline", "--limit", "50"),
    ("show", "pivots"),
    ("show", "summary"),
    ("report", "--out", "OUT"),
    *(("export", "--to", target, "--out", "OUT")
      for target in ("timesketch", "navigator", "ecs", "ocsf", "splunk", "csv", "parquet")),
)  # fmt: skip


def events(count: int) -> Iterator[str]:
    """So many events, one a second, each with a user whose last digit a rule looks for."""
    chance = random.Random(1)
    for number in range(count):
        at = START + timedelta(seconds=number)
        user, host = f"user{number % 977}", f"host{number % 211}"
        event = (4625, 4624, 4624, 4688)[number % 4]
        data = {"SubjectUserName": user, "SubjectDomainName": "LAB"}
        if event == 4688:
            program = rf"C:\Tools\tool{int(chance.expovariate(0.02)) % PROGRAMS}.exe"
            data |= {
                "NewProcessName": program,
                "CommandLine": f"{program} {number % 5000}",
                "NewProcessId": hex(number),
            }
        else:
            data |= {"TargetUserName": user, "LogonType": "3", "IpAddress": f"10.1.{number % 199}.{number % 251}",
                     "IpPort": str(49_152 + number % 16_000)}  # fmt: skip
        body = {
            "@timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "winlog": {
                "channel": "Security", "provider_name": "Microsoft-Windows-Security-Auditing",
                "event_id": str(event), "computer_name": host, "record_id": number, "event_data": data,
            },
        }  # fmt: skip
        yield json.dumps(body, separators=(",", ":")) + "\n"


def write(folder: Path, count: int) -> None:
    """Evidence and rules."""
    (folder / "evidence").mkdir(parents=True)
    (folder / "rules").mkdir()
    with (folder / "evidence" / "security.ndjson").open("w") as stream:
        stream.writelines(events(count))
    for kind, (name, condition) in enumerate(RULES.items()):
        for ending in range(10):
            text = RULE.format(name=name, number=10 * kind + ending, condition=condition, ending=ending)
            (folder / "rules" / f"{name}{ending}.yml").write_text(text)


def run(*words: str, home: Path) -> dict[str, float]:
    """Run one command: seconds, CPU seconds, peak resident MiB; its children count too."""
    child = (
        "import json, resource, subprocess, sys, time\n"
        "begun = time.monotonic()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "if done.returncode not in (0, 1): sys.exit(done.stderr.decode())\n"
        "print(json.dumps({'seconds': time.monotonic() - begun, 'cpu': used.ru_utime + used.ru_stime,"
        " 'mib': used.ru_maxrss / 1024}))\n"
    )
    environment = {**os.environ, "CASEMATE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", child, *PROGRAM, *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return {name: round(value, 2) for name, value in json.loads(done.stdout).items()}


def build(folder: Path, count: int, home: Path) -> dict[str, float]:
    """A case of so many findings below `folder`, and what it cost."""
    write(folder, count)
    words = ("investigate", str(folder / "evidence"), "--case", str(folder / "case"), "--quiet")
    return run(*words, "--rules", str(folder / "rules"), home=home)


def first_finding(case: Path) -> str:
    """The id of one finding."""
    words = ["query", "SELECT id FROM findings ORDER BY id LIMIT 1", "--case", str(case), "--json"]
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout.splitlines()[0])["id"])


def look(folder: Path, count: int, small: int, home: Path, only: str) -> None:
    """Every command on both cases."""
    for name, findings in (("small", small), ("large", count)):
        if not (folder / name / "case").exists():
            print(
                json.dumps({"command": f"investigate, {findings:,}", **build(folder / name, findings, home)}),
                flush=True,
            )
    ids = {name: first_finding(folder / name / "case") for name in ("small", "large")}
    for words in (words for words in LOOKS if " ".join(words).startswith(only)):
        costs = {}
        for name in ("small", "large"):
            given = [{"FINDING": ids[name], "OUT": str(folder / "out")}.get(word, word) for word in words]
            costs[name] = run(*given, "--case", str(folder / name / "case"), home=home)
        small_cost, large = costs["small"], costs["large"]
        more = round(large["cpu"] - small_cost["cpu"], 2)
        print(json.dumps({"command": " ".join(words), **large, "small": small_cost, "more": more}), flush=True)


def rerun(folder: Path, home: Path) -> None:
    """The demo, investigated and investigated again."""
    from casemate.demo.generate import generate
    from casemate.intel.store import own_rules

    made = generate(folder / "demo")
    case = str(folder / "demo" / "case")
    first = run("investigate", str(made.evidence), "--case", case, "--quiet", "--rules", str(own_rules()), home=home)
    again = run("rerun", "--case", case, home=home)
    print(json.dumps({"first": first, "rerun": again, "ratio": round(again["cpu"] / first["cpu"], 2)}))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, help="keep the cases here, and use those that are there")
    parser.add_argument("--only", default="", help="only commands that begin so, for example export")
    parser.add_argument("--rerun", action="store_true")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        if options.rerun:
            rerun(folder, home)
        else:
            look(folder, options.findings, options.small, home, options.only)
    print(json.dumps({"took_seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    main()
