"""Evasions: harmless canaries in every form that is known to pass some scanner.

    python benchmarks/artifacts_corpus.py FOLDER       writes one file per evasion and table.csv
    python benchmarks/artifacts_corpus.py --score      writes them to a temporary folder and scans them

The files are assembled from opcodes and bytes; nothing here loads one.  ``runs`` says whether a usual loader would run
code; what only misleads or cannot be read must not be called ``safe``.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifacts_assembler import call, named, pickled
from artifacts_calls import CALLS
from artifacts_containers import CONTAINERS
from artifacts_forms import FORMS

from casemate.detect.artifacts.scan import scan

COLUMNS = ("file", "class", "advisory", "runs")


def corpus() -> list[tuple[str, str, str | None, bool, bytes]]:
    """(file name, class, advisory, whether it runs code, content) of every evasion."""
    rows = [
        (f"call-{index:03}-{module}.{name}.pkl", "callable", advisory, True, pickled(call(named(module, name), *given)))
        for index, (module, name, given, advisory) in enumerate(CALLS)
    ]
    rows += [(f"{kind}-{name}", kind, None, runs, content) for kind, name, runs, content in (*FORMS, *CONTAINERS)]
    return rows


def write(folder: Path) -> list[tuple[str, str, str | None, bool]]:
    """Write all files and ``table.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = corpus()
    for name, _, _, _, content in rows:
        (folder / name).write_bytes(content)
    table = [(name, kind, advisory, runs) for name, kind, advisory, runs, _ in rows]
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *table])
    return table


def score(folder: Path) -> int:
    """Scan the corpus and print every miss; the number of files called safe."""
    table = write(folder)
    found = {Path(verdict.path).name: verdict for verdict in scan([folder / name for name, *_ in table])}
    by_class: dict[str, Counter[str]] = {}
    for name, kind, _, runs in table:
        verdict = found[name].verdict
        by_class.setdefault(kind, Counter())[verdict] += 1
        if verdict == "safe" or (runs and verdict != "malicious"):
            print(f"{verdict:12} {name}: {'; '.join(f'{r.code} {r.text}' for r in found[name].reasons)[:200]}")
    for kind, counts in by_class.items():
        print(f"{kind:12} {dict(counts)}")
    running = [name for name, _, _, runs in table if runs]
    named_so = sum(found[name].verdict == "malicious" for name in running)
    print(f"{len(table)} evasions; of {len(running)} that run code {named_so} malicious")
    return sum(verdict.verdict == "safe" for verdict in found.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--score", action="store_true")
    given = parser.parse_args()
    if given.folder is not None and not given.score:
        print(f"{len(write(given.folder))} files in {given.folder}")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            sys.exit(1 if score(given.folder or Path(scratch)) else 0)
