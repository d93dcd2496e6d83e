"""Compare the matcher with the plain evaluator on real Windows records (all of them take about 15 minutes).

    python benchmarks/oracle.py DATA [--share 100] [--state oracle.jsonl] [--seconds N]

DATA is the folder of real evidence; the rules are ``DATA/sigma/rules.zip``.  Differences are printed as
they are found, the counts at the end; the exit code is 1 if there is any difference, 3 if time ran out.
With ``--state`` each finished file is one line there, and files that are in it are not looked at again:
a run that was stopped goes on where it was.  Run it with ``nice`` beside other work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

# in place of this folder, whose sigma.py would hide the package of that name
sys.path.pop(0)
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "oracle"))

from sigma_oracle import Oracle
from sigma_sets import differences, members, oracle_of, sampled

from casemate.detect.sigma.cache import install_rules, open_matcher
from casemate.detect.sigma.match import TableMatcher

BATCH = 500
"""Records between two lines of progress."""


@dataclass(frozen=True)
class Result:
    """One file: records looked at (so many thousandths of all), matches both found, and differences."""

    name: str
    share: int
    records: int
    agreed: int
    different: list[str]


def contents(data: Path) -> Iterator[tuple[str, bytes]]:
    """All EVTX files and all NDJSON files of the simulated attacks, each with a name of its own."""
    for folder, suffix in (("evtx", ".evtx"), ("otrf", ".json")):
        for path in sorted((data / folder).rglob("*.zip")):
            for name, content in members(path, suffix):
                yield f"{path.relative_to(data).as_posix()}/{name}", content


def compare(matcher: TableMatcher, oracle: Oracle, name: str, content: bytes, thousandths: int) -> Result:
    """Compare one file."""
    records, agreed, wrong = 0, 0, list[str]()
    for table, batch in sampled(name, content, thousandths):
        if table != "windows_event":
            continue
        for start in range(0, batch.num_rows, BATCH):
            part = batch.slice(start, BATCH)
            more, differing = differences(matcher, oracle, part)
            records, agreed, wrong = records + part.num_rows, agreed + more, wrong + differing
            print(f"\r{name[-60:]:60} {records:8} records", end="", file=sys.stderr, flush=True)
    return Result(name, thousandths, records, agreed, wrong)


def finished(state: Path | None, thousandths: int) -> dict[str, Result]:
    """Results of an earlier run with the same share, by file; a torn last line is passed over."""
    results: dict[str, Result] = {}
    for line in state.read_text().splitlines() if state is not None and state.exists() else ():
        try:
            result = Result(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if result.share == thousandths:
            results[result.name] = result
    return results


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=100, help="per cent of the records, chosen by hash")
    parser.add_argument("--state", type=Path, help="file of finished results, made if it is not there")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no file after so much CPU time")
    options = parser.parse_args()
    thousandths = round(options.share * 10)
    rules = options.data / "sigma" / "rules.zip"
    results = finished(options.state, thousandths)
    out_of_time = False
    with tempfile.TemporaryDirectory() as cache:
        matcher = open_matcher(install_rules([rules], Path(cache)).folder, "windows_event")
        oracle = oracle_of(rules)
        for name, content in contents(options.data):
            if name in results:
                continue
            if time.process_time() > options.seconds:
                out_of_time = True
                break
            results[name] = compare(matcher, oracle, name, content, thousandths)
            for line in results[name].different:
                print(f"\n{name}: {line}", flush=True)
            if options.state is not None:
                with options.state.open("a") as stream:
                    stream.write(json.dumps(asdict(results[name])) + "\n")
    print(file=sys.stderr)
    records = sum(one.records for one in results.values())
    agreed = sum(one.agreed for one in results.values())
    different = sum(len(one.different) for one in results.values())
    print(
        f"{len(results)} files, {records} records ({options.share:g} % by hash), {agreed} matches agree, "
        f"{different} differ, {time.process_time():.0f} s CPU{', not finished' if out_of_time else ''}"
    )
    return 1 if different else 3 if out_of_time else 0


if __name__ == "__main__":
    sys.exit(main())
