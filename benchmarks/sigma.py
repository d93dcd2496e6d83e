"""How fast raw Windows JSON becomes findings: the whole run, cold and warm, at several sizes.

    python benchmarks/sigma.py DATA [--sizes 1,3,10] [--workers 1]

DATA is the folder of real evidence: all NDJSON of ``DATA/otrf`` is unpacked (size N: N copies, each a
content of its own), the Windows rules are those of ``DATA/sigma/rules.zip``.  ``casemate investigate``
takes it in and matches it; beside it DuckDB copies the 42 most used fields to Parquet (:data:`COPY`).
CPU is user and system time of all processes of a run, memory their resident sets together, sampled.
Run ``benchmarks/oracle.py`` first: figures mean nothing where the matcher is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import psutil

FIELDS = 42
COPY = (
    "COPY (SELECT {fields} FROM read_json([{files}], format='newline_delimited', ignore_errors=true, "
    "columns={{{columns}}})) TO '{target}' (FORMAT parquet, COMPRESSION lz4)"
)
"""What DuckDB does: the most used fields as VARCHAR, nothing kept of the others, bad lines unnoticed."""


def unpack(data: Path, folder: Path, size: int) -> list[Path]:
    """All NDJSON files, `size` times; each copy comes from other hosts, so that no content is there twice."""
    files = []
    for archive in sorted((data / "otrf").rglob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            for member in sorted(name for name in opened.namelist() if name.endswith(".json")):
                content = opened.read(member)
                for copy in range(size):
                    target = folder / f"{len(files):05d}.json"
                    target.write_bytes(_of_other_hosts(content, copy))
                    files.append(target)
    return files


def _of_other_hosts(content: bytes, copy: int) -> bytes:
    if not copy:
        return content
    name = b'"Hostname":"'
    changed = content.replace(name, name + b"copy%d-" % copy)
    return changed if changed != content else content.replace(b"{", b'{"copy":"%d",' % copy, 1)


def most_used(files: list[Path]) -> list[str]:
    """The fields that most records have, by the first 200 records of each file, unique ignoring case."""
    counted: Counter[str] = Counter()
    for file in files:
        with file.open("rb") as stream:
            for _, line in zip(range(200), stream, strict=False):
                try:
                    counted.update(list(orjson.loads(line)))
                except (orjson.JSONDecodeError, TypeError):
                    continue
    unique: dict[str, str] = {}
    for name, _ in counted.most_common():
        unique.setdefault(name.lower(), name)
    return list(unique.values())[:FIELDS]


def run(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds and peak MiB of a command with all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            try:
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in family))
            except psutil.Error:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if code:
        raise SystemExit(f"{command[0]} ended with {code}")
    return {"wall": round(time.monotonic() - begun, 2), "cpu": round(cpu, 2), "peak_mib": round(peak / 2**20)}


def duckdb_copy(files: list[Path], fields: list[str], target: Path) -> dict[str, float]:
    """The comparison: DuckDB alone, in a process of its own."""
    statement = COPY.format(
        fields=", ".join(f'"{name}"' for name in fields),
        files=", ".join(f"'{file}'" for file in files),
        columns=", ".join(f"'{name}': 'VARCHAR'" for name in fields),
        target=target,
    )
    script = target.with_suffix(".sql")
    script.write_text(statement)
    code = "import duckdb, sys; duckdb.connect().execute(open(sys.argv[1]).read())"
    return run([sys.executable, "-c", code, str(script)])


STAGES = """
import json, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.investigate.run import Options, investigate
from casemate.settings import Settings

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

marks = [("start", 0.0)]

def stage(name, _done, _total):
    if marks[-1][0] != name:
        marks.append((name, cpu()))

evidence, rules, case, cache = map(Path, sys.argv[1:])
engine = DuckDBEngine()
opened = Case.create(case, Settings(name="benchmark"))
stage("ingest", 0, 0)
investigate(opened, [evidence], Options(rules=(rules,), cache=cache), engine, who="benchmark",
            clock=lambda: datetime.now(UTC), stages=stage)
marks.append(("end", cpu()))
print(json.dumps({name: round(after - begun, 2) for (name, begun), (_, after) in zip(marks, marks[1:])}))
"""
"""Runs the same investigation without the command line, and says what CPU each stage took."""


def stages(evidence: Path, rules: Path, case: Path, cache: Path) -> dict[str, float]:
    """CPU seconds by stage: start of Python, ingest, rules, behaviour, attempts."""
    command = [sys.executable, "-c", STAGES, *map(str, (evidence, rules, case, cache))]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """What the figures of one size say: whole run to DuckDB's copy, and matching to reading."""
    copied = result["duckdb_copy"]["cpu"]
    by_stage = result["stages_warm"]
    return {
        "warm_run_to_copy": round(result["rules_warm"]["cpu"] / copied, 2),
        "first_run_to_copy": round(result["first_run"]["cpu"] / copied, 2),
        "rules_to_ingest": round(by_stage["rules"] / by_stage["ingest"], 2),
    }


def main() -> None:
    """Print one JSON object per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", default="1,3,10")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rules = options.data / "sigma" / "rules.zip"
    casemate = shutil.which("casemate") or str(Path(sys.executable).with_name("casemate"))
    first: tuple[int, float] | None = None
    for size in (int(one) for one in options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["CASEMATE_HOME"] = str(folder / "home")  # no compiled rules yet: the first run is cold
            evidence = folder / "evidence"
            evidence.mkdir()
            files = unpack(options.data, evidence, size)
            result: dict[str, Any] = {"size": size, "bytes": sum(file.stat().st_size for file in files)}
            base = [
                casemate,
                "investigate",
                str(evidence),
                "--rules",
                str(rules),
                "--workers",
                str(options.workers),
                "-q",
            ]
            result["first_run"] = run([*base, "--case", str(folder / "one")])
            result["rules_warm"] = run([*base, "--case", str(folder / "two")])
            result["duckdb_copy"] = duckdb_copy(files, most_used(files), folder / "copy.parquet")
            result["stages_warm"] = stages(evidence, rules, folder / "three", folder / "home" / "compiled")
            result["ratios"] = ratios(result)
            if first is None:
                first = (size, result["rules_warm"]["cpu"])
            growth = result["rules_warm"]["cpu"] / first[1] / (size / first[0])
            result["growth_to_linear"] = round(growth, 2)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
