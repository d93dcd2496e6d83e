"""Does a case built on a cluster hold the same rows as one built here?  For every set of real evidence.

    python benchmarks/engines.py DATA [--only SET]... [--results FILE]

Each set is investigated twice with Casemate's own rules: on DuckDB, and on Spark with two worker processes
(``local-cluster[2,1,1024]``); the canonical row hashes of every table but the registrations are compared.  Prints
one line per set.  With ``--results`` each line is also appended to a file, and sets that stand in it as equal are
not run again: an interrupted run goes on where it was.  The exit code is 1 if any set differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# the benchmark beside this one that is called sigma.py would hide the package of that name
sys.path = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

from casemate.case import Case  # noqa: E402
from casemate.engine.duckdb import DuckDBEngine  # noqa: E402
from casemate.engine.protocol import Engine  # noqa: E402
from casemate.engine.spark import SparkEngine  # noqa: E402
from casemate.intel.store import own_rules  # noqa: E402
from casemate.investigate.run import Options, investigate  # noqa: E402
from casemate.settings import Settings  # noqa: E402

SETS: dict[str, str] = {
    "linux": "linux",
    "cloud": "cloud",
    "evtx": "evtx",
    "sigma-regression": "sigma/regression.zip",
    "zeek-wrccdc": "zeek/wrccdc",
    "zeek-rolling-hourly": "zeek/rolling-hourly",
    "pcap": "pcap",
    "mail": "mail",
    "artifacts": "artifacts",
    "otrf-atomic-aws": "otrf/atomic/aws",
    "otrf-atomic-windows": "otrf/atomic/windows",
    "otrf-compound": "otrf/compound",
}
"""Name of a set -> its file or folder below the folder of data; the small ones first."""

UNCOMPARED = frozenset({"registrations"})
"""Tables that say when evidence was received, which is another time in the second case."""
MASTER = "local-cluster[2,1,1024]"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Built:
    """A case built on one engine: rows and hash by table, and what it took."""

    hashes: dict[str, str]
    rows: dict[str, int]
    seconds: float


def build(evidence: Path, folder: Path, cache: Path, engine: Engine) -> Built:
    """Investigate `evidence` in a new case on `engine`."""
    begun = time.monotonic()
    with Case.create(folder, Settings(name="engines")) as case:
        options = Options(rules=(own_rules(),), cache=cache)
        investigate(case, [evidence], options, engine, who="benchmark", clock=lambda: RECEIVED)
        tables = [table for table in case.tables() if table not in UNCOMPARED]
        hashes = {table: case.row_hash(table) for table in tables}
        rows = {table: sum(part.rows for part in case.live_parts(table)) for table in tables}
    return Built(hashes, rows, round(time.monotonic() - begun, 1))


def compare(name: str, here: Built, there: Built) -> dict[str, Any]:
    """One line of the result."""
    tables = sorted({*here.hashes, *there.hashes})
    differing = [table for table in tables if here.hashes.get(table) != there.hashes.get(table)]
    return {
        "set": name,
        "equal": not differing,
        "tables": len(tables),
        "rows": sum(here.rows.values()),
        "findings": here.rows.get("findings", 0),
        "differing": {table: [here.rows.get(table, 0), there.rows.get(table, 0)] for table in differing},
        "seconds": [here.seconds, there.seconds],
    }


def known(results: Path | None) -> set[str]:
    """The sets that a file of results calls equal already."""
    if results is None or not results.exists():
        return set()
    lines = [json.loads(line) for line in results.read_text().splitlines() if line.strip()]
    return {line["set"] for line in lines if line["equal"]}


def main() -> None:
    """Print one JSON object per set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", action="append", choices=sorted(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--results", type=Path, metavar="FILE")
    options = parser.parse_args()
    done = known(options.results)
    wanted = [name for name in options.only or SETS if name not in done and (options.data / SETS[name]).exists()]
    if not wanted:
        return
    differs = False
    with tempfile.TemporaryDirectory(prefix="casemate-engines-") as scratch:
        here, there = DuckDBEngine(), SparkEngine(master=MASTER)
        try:
            for name in wanted:
                folder = Path(scratch) / name
                folder.mkdir()
                cache = Path(scratch) / "compiled"
                evidence = options.data / SETS[name]
                built = [build(evidence, folder / one.name, cache, one) for one in (here, there)]
                result = compare(name, *built)
                differs |= not result["equal"]
                print(json.dumps(result), flush=True)
                if options.results is not None:
                    with options.results.open("a") as stream:
                        stream.write(json.dumps(result) + "\n")
        finally:
            there.close()
            here.close()
    if differs:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
