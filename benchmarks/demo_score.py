"""How much of the demo's truth is found, over seeds that were not used while developing.

    python benchmarks/demo_score.py [--seeds 1001-1020] [--size 1]

Writes one incident per seed, investigates it with Casemate's own rules, and holds the findings against the
truth (:mod:`casemate.demo.score`).  Prints one JSON object per seed and, last, the medians with the lowest
and the highest value, and which steps were missed and which decoys accused in how many seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

sys.path.remove(str(Path(__file__).resolve().parent))  # sigma.py beside this file is not pySigma

from casemate.case import Case
from casemate.demo.generate import SETTINGS, generate
from casemate.demo.score import Score, score
from casemate.engine.duckdb import DuckDBEngine
from casemate.explore.coverage import case_coverage
from casemate.explore.findings import attributed
from casemate.explore.overview import coverage_document
from casemate.explore.tables import stored_tables
from casemate.intel.store import own_rules
from casemate.investigate.run import Options, investigate


def one(seed: int, size: float, folder: Path, cache: Path) -> Score:
    """Write, investigate and score the incident of one seed."""
    made = generate(folder, seed=seed, size=size, progress=lambda _done, _days: None)
    engine = DuckDBEngine()
    case = Case.create(folder / "case", SETTINGS)
    try:
        investigate(
            case,
            [str(made.evidence)],
            Options(rules=(own_rules(),), cache=cache),
            engine,
            who="benchmark",
            clock=lambda: datetime.now(UTC),
        )
        engine.use(stored_tables(case))
        seen = coverage_document(case, case_coverage(case, now=datetime.now(UTC)))
        return score(made.truth, attributed(engine), seen)
    finally:
        engine.close()
        case.close()


def counts(result: Score) -> dict[str, int]:
    """The numbers of one score."""
    verdicts = Counter(step.verdict for step in result.steps)
    return {
        "steps": len(result.steps),
        "found": verdicts["found"],
        "missed": verdicts["missed"],
        "not_yet_covered": verdicts["not yet covered"],
        **{hole.label: int(hole.found) for hole in result.holes},
        "clocks_accused": len(result.clocks_accused),
        "decoys": len(result.decoys),
        "decoys_accused": sum(decoy.found > 0 for decoy in result.decoys),
        "ordinary_records": result.benign_records,
        "ordinary_accused": sum(result.ordinary.values()),
        "noise_records": result.noise.records if result.noise else 0,
        "noise_accused": result.noise.found if result.noise else 0,
    }


def main() -> None:
    """Score all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1001-1020", help="first and last")
    parser.add_argument("--size", type=float, default=1.0)
    options = parser.parse_args()
    first, last = map(int, options.seeds.split("-"))
    rows: list[dict[str, int]] = []
    missed: Counter[str] = Counter()
    accused: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(first, last + 1):
            with tempfile.TemporaryDirectory() as folder:
                result = one(seed, options.size, Path(folder) / "demo", Path(cache))
            rows.append(counts(result))
            missed.update(step.label for step in result.steps if step.verdict == "missed")
            accused.update(decoy.label for decoy in result.decoys if decoy.found)
            print(json.dumps({"seed": seed, **rows[-1]}), flush=True)
    print(
        json.dumps(
            {
                "seeds": options.seeds,
                "size": options.size,
                "median_lowest_highest": {
                    name: [statistics.median(values), min(values), max(values)]
                    for name in rows[0]
                    for values in [[row[name] for row in rows]]
                },
                "missed_in_seeds": dict(missed.most_common()),
                "decoys_accused_in_seeds": dict(accused.most_common()),
            }
        )
    )


if __name__ == "__main__":
    main()
