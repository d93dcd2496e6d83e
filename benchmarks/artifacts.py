"""Casemate beside other scanners of models, on the same files.

    python benchmarks/artifacts.py --benign FOLDER [--peer picklescan=/env/bin/picklescan ...] [--speed]

Corpora: ``evasions`` (benchmarks/artifacts_corpus.py), ``scanners`` (the test files of two scanners, by
``--scanners FOLDER``; the truth is in their names) and ``benign`` (files really made with the frameworks, by
benchmarks/artifacts_benign.py in an environment that has them).  Peers run as their own users do, one process per
file, and are believed by their exit status: what holds a file up counts as found.  ``missed`` is a bad file that
passes, ``held up`` a benign one that does not.  With ``--speed`` 2,000 small pickles (24 MB) are read once by each,
in seconds of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifacts_corpus import write

from casemate.detect.artifacts.scan import scan

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "picklescan": ("-p", "{path}"),
    "modelscan": ("-p", "{path}"),
    "fickling": ("--check-safety", "{path}"),
    "modelaudit": ("scan", "{path}"),
}
"""How each peer is asked about one file or folder; exit status 0 lets it pass."""
BAD_NAMES = ("malicious", "GHSA-", "unsafe", "dns_", "cloudpickle", "keyerror", "type-", "types_", "io_", "logging_",
             "urllib_", "sys_module", "pytorch_magic")  # fmt: skip
BENIGN_NAMES = ("benign0", "int_array", "object_array", "new_pytorch", "pytorch_model")
SMALL_FILES = 2000
PEER_SECONDS = 120
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Keeps peers from telling their makers what they were asked, which takes longer than the scan without a network."""


def files_of(arguments: argparse.Namespace, scratch: Path) -> dict[str, tuple[list[Path], list[Path]]]:
    """(bad, benign) files by corpus."""
    table = write(scratch / "evasions")
    found = {"evasions": ([scratch / "evasions" / name for name, *_ in table], [])}
    if arguments.scanners:
        files = [path for path in sorted(arguments.scanners.rglob("*")) if path.is_file()]
        found["scanners"] = (
            [path for path in files if path.name.startswith(BAD_NAMES)],
            [path for path in files if path.name.startswith(BENIGN_NAMES)],
        )
    if arguments.benign:
        found["benign"] = ([], [path for path in sorted(arguments.benign.rglob("*")) if path.is_file()])
    return found


def ours(paths: Sequence[Path]) -> dict[Path, str]:
    """Casemate's verdicts."""
    return {Path(verdict.path): verdict.verdict for verdict in scan(list(paths))}


def theirs(name: str, command: str, paths: Sequence[Path], workers: int) -> dict[Path, str]:
    """``passed``, ``held up`` or ``crashed`` by exit status."""

    def ask(path: Path) -> str:
        given = [command, *(word.format(path=path) for word in ARGUMENTS[name])]
        try:
            done = subprocess.run(
                given, capture_output=True, timeout=PEER_SECONDS, cwd="/", env={**os.environ, **QUIET}
            )
        except subprocess.TimeoutExpired:
            return "crashed"
        return "passed" if done.returncode == 0 else "held up" if done.returncode > 0 else "crashed"

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(paths, pool.map(ask, paths), strict=True))


def small_pickles(folder: Path) -> int:
    """2,000 small pickles of protocols 2 and 4; how many bytes they have."""
    folder.mkdir()
    size = 0
    for index in range(SMALL_FILES):
        chance = random.Random(index)
        layers = [
            {"name": f"layer.{number}", "weights": [chance.random() for _ in range(10)], "act": "relu", "on": True,
             "shape": (chance.randrange(1000), chance.randrange(10)), "tags": {"a", "b"}, "bias": None}
            for number in range(78)
        ]  # fmt: skip
        data = pickle.dumps({"layers": layers}, 4 if index % 2 else 2)
        size += len(data)
        (folder / f"{index}.pkl").write_bytes(data)
    return size


def processor_seconds(command: Sequence[str]) -> float:
    """What a command and its children take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print one JSON object per scanner and corpus, then every miss of ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scanners", type=Path)
    parser.add_argument("--benign", type=Path)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in arguments.peer)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for corpus, (bad, benign) in files_of(arguments, scratch).items():
            verdicts = ours([*bad, *benign])
            print(json.dumps({
                "scanner": "casemate", "corpus": corpus, "bad": Counter(verdicts[path] for path in bad),
                "benign": Counter(verdicts[path] for path in benign),
            }))  # fmt: skip
            for path in bad:
                if verdicts[path] == "safe":
                    print(f"missed: {path.name}")
            for path in benign:
                if verdicts[path] != "safe":
                    print(f"{verdicts[path]}, benign: {path.name}")
            for name, command in peers.items():
                said = theirs(name, command, [*bad, *benign], arguments.workers)
                print(json.dumps({
                    "scanner": name, "corpus": corpus, "bad": Counter(said[path] for path in bad),
                    "benign": Counter(said[path] for path in benign),
                }), flush=True)  # fmt: skip
        if arguments.speed:
            size = small_pickles(scratch / "small")
            given = [sys.executable, "-c", "from casemate.cli import main; main()", "scan", str(scratch / "small")]
            seconds = {"casemate": processor_seconds(given)}
            for name, command in peers.items():
                if name != "fickling":  # it takes one file at a time
                    seconds[name] = processor_seconds(
                        [command, *(word.format(path=scratch / "small") for word in ARGUMENTS[name])]
                    )
            print(json.dumps({"bytes": size, "processor_seconds": seconds}))


if __name__ == "__main__":
    main()
