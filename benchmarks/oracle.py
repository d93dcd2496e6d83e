"""Compare the matcher with the plain evaluator on all real Windows records (takes more than an hour).

    python benchmarks/oracle.py DATA [--thousandths 1000]

DATA is the folder of real evidence; the rules are ``DATA/sigma/rules.zip``.  Prints differences as they
are found and the counts at the end; the exit code is 1 if there is any difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "oracle"))

from sigma_sets import differences, members, oracle_of, read_batches, sample

from casemate.detect.sigma.cache import install_rules, open_matcher


def contents(data: Path) -> Iterator[tuple[str, bytes]]:
    """All EVTX files and all NDJSON files of the simulated attacks."""
    for path in sorted((data / "evtx").glob("*.zip")):
        yield from members(path, ".evtx")
    for path in sorted((data / "otrf").rglob("*.zip")):
        yield from members(path, ".json")


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--thousandths", type=int, default=1000, help="share of the records, chosen by hash")
    options = parser.parse_args()
    rules = options.data / "sigma" / "rules.zip"
    oracle = oracle_of(rules)
    begun, records, agreed, different = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory() as cache:
        matcher = open_matcher(install_rules([rules], Path(cache)).folder, "windows_event")
        for name, data in contents(options.data):
            for table, batch in read_batches(name, data):
                if table != "windows_event":
                    continue
                chosen = sample(batch, name, options.thousandths)
                more, wrong = differences(matcher, oracle, chosen)
                records += chosen.num_rows
                agreed += more
                different += len(wrong)
                for line in wrong:
                    print(f"{name}: {line}")
    print(f"{records} records, {agreed} matches agree, {different} differ, {time.monotonic() - begun:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
