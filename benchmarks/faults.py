"""Kill, starve, interrupt and tear the main job many times over; afterwards nothing may be missing.

    python benchmarks/faults.py [--kills 40] [--interrupts 10] [--quotas 10] [--writers 10] [--torn 10]
                                [--size 0.3]

The evidence is the demo's.  Each round disturbs ``casemate investigate`` in a process of its own at a
random moment (or file size, or byte of the custody log), or lets a second process write to the same
case.  After each the case must verify, and once a run has come to its end the hashes of all rows must
be those of an undisturbed run.  Prints the rounds, what each had reached, and the failures; the exit
code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "investigate"))

from whole_run import Outcome, assert_sound, finish, row_hashes, start  # type: ignore[import-not-found]

from casemate.demo.generate import generate
from casemate.evidence.custody import intact_lines
from casemate.evidence.verify import verify

DISTURBED_RUNS = 6
"""Runs of one case that are disturbed before one may come to its end."""


@dataclass
class Job:
    """The undisturbed run that all others are held against."""

    evidence: Path
    home: Path
    workers: int
    chance: random.Random
    hashes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    largest: int = 0
    failures: list[str] = field(default_factory=list)

    def words(self, case: Path) -> list[str]:
        """The command."""
        return ["investigate", str(self.evidence), "--case", str(case), "--workers", str(self.workers), "--json"]

    def undisturbed(self, case: Path) -> None:
        """Run once and remember what it gave."""
        finish(start(*self.words(case), home=self.home), 3600)  # compiles the rules
        shutil.rmtree(case)
        begun = time.monotonic()
        done = finish(start(*self.words(case), home=self.home), 3600)
        self.seconds = time.monotonic() - begun
        if done.code:
            raise SystemExit(f"the undisturbed run failed: {done.err}")
        assert_sound(case)
        self.hashes = row_hashes(case)
        self.largest = max(path.stat().st_size for path in case.rglob("*") if path.is_file())

    def fail(self, what: str) -> None:
        """Print and count a failure."""
        print(f"FAILED {what}", flush=True)
        self.failures.append(what)

    def check(self, case: Path, label: str, *, torn: bool = False) -> None:
        """A disturbed case verifies as it is."""
        if not (case / "custody.jsonl").exists() or not (case / "custody.jsonl").stat().st_size:
            return
        problems = [problem for problem in verify(case).problems if not torn]
        if problems:
            self.fail(f"{label}: {problems[0].where}: {problems[0].what}")

    def complete(self, case: Path, label: str) -> None:
        """The next run completes, with the rows of an undisturbed one."""
        done = finish(start(*self.words(case), home=self.home), 3600)
        if done.code:
            self.fail(f"{label}: the next run gave {done.code}: {done.err.strip()}")
            return
        try:
            assert_sound(case)
        except AssertionError as error:
            self.fail(f"{label}: {error}")
        found = row_hashes(case)
        different = sorted(table for table in self.hashes if found.get(table) != self.hashes[table])
        if different or set(found) != set(self.hashes):
            self.fail(f"{label}: other rows in {', '.join(different) or sorted(found)}")


def reached(case: Path) -> str:
    """The phase of the last commit."""
    phases = ["nothing"]
    if (case / "custody.jsonl").exists():
        for line in intact_lines(case / "custody.jsonl"):
            phases.append(line.facts.get("facts", {}).get("phase", line.kind) if line.kind == "commit" else line.kind)
    return phases[-1]


def disturb(job: Job, root: Path, rounds: int, how: str, act: Callable[[Path], Outcome | None]) -> None:
    """Disturb a case again and again until it has come through, then take a new one."""
    seen: Counter[str] = Counter()
    case, runs = root / f"{how}-0", 0
    for number in range(rounds):
        outcome = act(case)
        seen[f"{reached(case)}{'' if outcome is None else f' (exit {outcome.code})'}"] += 1
        job.check(case, f"{how} {number}")
        runs += 1
        if runs == DISTURBED_RUNS or number == rounds - 1 or reached(case) == "note":
            job.complete(case, f"{how} {number}")
            shutil.rmtree(case)
            case, runs = root / f"{how}-{number + 1}", 0
    print(
        f"{how}: {rounds} rounds; reached " + ", ".join(f"{name} {count}" for name, count in seen.most_common()),
        flush=True,
    )


def signalled(job: Job, which: signal.Signals) -> Callable[[Path], Outcome | None]:
    """Send the whole process group a signal at a random moment of the run."""

    def act(case: Path) -> Outcome | None:
        child = start(*job.words(case), home=job.home)
        time.sleep(job.chance.uniform(0.2, 1.0) * job.seconds)
        if which is signal.SIGINT:
            os.killpg(child.pid, which)
        else:
            child.kill()
        done = finish(child, 600)
        if which is signal.SIGINT and done.code not in (0, 3, -signal.SIGINT):
            job.fail(f"interrupt: exit {done.code}: {done.err.strip()}")
        return done if which is signal.SIGINT else None

    return act


def starved(job: Job) -> Callable[[Path], Outcome | None]:
    """Let no file grow beyond a random size."""

    def act(case: Path) -> Outcome | None:
        limit = int(10 ** job.chance.uniform(2.5, len(str(job.largest)) - 0.5))
        quota = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # noqa: E731
        done = finish(start(*job.words(case), home=job.home, before=quota), 600)
        if done.code not in (0, 3) or (done.code == 3 and len(done.err.splitlines()) != 1):
            job.fail(f"quota of {limit}: exit {done.code}: {done.err.strip()}")
        return done

    return act


def doubled(job: Job) -> Callable[[Path], Outcome | None]:
    """Begin a second run on the same case while the first works: one of the two is refused in one line."""

    def act(case: Path) -> Outcome | None:
        first = start(*job.words(case), home=job.home)
        time.sleep(job.chance.uniform(0.0, 0.9) * job.seconds)
        second = finish(start(*job.words(case), home=job.home), 3600)
        outcomes = [finish(first, 3600), second]
        refused = [one for one in outcomes if one.code]
        if len(refused) > 1 or any(one.code not in (2, 3) or len(one.err.splitlines()) != 1 for one in refused):
            job.fail(f"two writers: {[(one.code, one.err.strip()) for one in outcomes]}")
        return None

    return act


def torn(job: Job, root: Path, rounds: int, whole: Path) -> None:
    """Cut the custody log at a random byte of its second half."""
    for number in range(rounds):
        case = root / f"torn-{number}"
        shutil.copytree(whole, case)
        log = (case / "custody.jsonl").read_bytes()
        (case / "custody.jsonl").write_bytes(log[: job.chance.randrange(len(log) // 2, len(log))])
        job.check(case, f"torn {number}", torn=True)
        job.complete(case, f"torn {number}")
        shutil.rmtree(case)
    print(f"torn: {rounds} rounds")


def main() -> int:
    """Run all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--quotas", type=int, default=10)
    parser.add_argument("--writers", type=int, default=10, help="second writers")
    parser.add_argument("--torn", type=int, default=10)
    parser.add_argument("--size", type=float, default=0.3, help="size of the demo, 0.1 to 100")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the demo and of the random moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        made = generate(root / "demo", seed=options.seed, size=options.size)
        job = Job(made.evidence, root / "home", options.workers, random.Random(options.seed))
        job.undisturbed(root / "whole")
        print(f"undisturbed: {made.records:,} records, {job.seconds:.1f} s, {len(job.hashes)} tables")
        disturb(job, root, options.kills, "killed", signalled(job, signal.SIGKILL))
        disturb(job, root, options.interrupts, "interrupted", signalled(job, signal.SIGINT))
        disturb(job, root, options.quotas, "starved", starved(job))
        disturb(job, root, options.writers, "second writer", doubled(job))
        torn(job, root, options.torn, root / "whole")
    print(f"{len(job.failures)} failures")
    return 1 if job.failures else 0


if __name__ == "__main__":
    sys.exit(main())
