"""Kill, starve, interrupt and tear the main job many times over; afterwards nothing may be missing.

    python benchmarks/faults.py [--kills 40] [--interrupts 10] [--quotas 10] [--writers 10] [--torn 10]
                                [--disks 10] [--readers 3] [--size 0.3]

The evidence is the demo's.  Each round disturbs ``casemate investigate`` in a process of its own at a
random moment of a random stage (or at a random file size, a full disk, a byte of the custody log), or lets a
second process write to the same case, or others read it.  After each the case must verify, and once a run has
come to its end the hashes of all rows must be those of an undisturbed run.  Prints the rounds, what each had
reached, and the failures; the exit code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "investigate"))

from whole_run import Outcome, assert_sound, finish, row_hashes, start  # type: ignore[import-not-found]

from casemate.demo.generate import generate
from casemate.engine.scratch import delete_left_behind
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
    bytes: int = 0
    largest: int = 0
    stages: list[float] = field(default_factory=list)
    """Seconds before the first line of custody, between it and the second, and so on."""
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
        sizes = [path.stat().st_size for path in case.rglob("*") if path.is_file()]
        self.largest, self.bytes = max(sizes), sum(sizes)
        times = [datetime.fromisoformat(line.time).timestamp() for line in intact_lines(case / "custody.jsonl")]
        starting = max(0.1, self.seconds - (times[-1] - times[0]))
        self.stages = [starting, *(after - before for before, after in pairwise(times))]

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


def lines_of(case: Path) -> int:
    """Lines of custody so far."""
    try:
        return (case / "custody.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for_moment(job: Job, case: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait for a random moment of a random stage that this case has not come through.

    A third of all rounds waits within the intake, a third within detection, a third from the building of attempts
    on, as far as they are still to come.
    """
    there = lines_of(case)
    detection, attempts = 2, len(job.stages) - 2
    part = job.chance.choice([(0, detection), (detection, attempts), (attempts, len(job.stages))])
    stages = [stage for stage in range(*part) if stage >= there] or [min(there, len(job.stages) - 1)]
    stage = job.chance.choices(stages, [max(job.stages[one], 0.02) for one in stages])[0]
    begun = time.monotonic()
    while lines_of(case) < stage and child.poll() is None:
        time.sleep(0.003)
    # a machine that is busy with other things is slower than it was when nothing disturbed the run
    expected = sum(job.stages[there:stage])
    slower = max(1.0, (time.monotonic() - begun) / expected) if expected > 1 else 1.0
    time.sleep(job.chance.uniform(0, job.stages[stage] * slower))


def signalled(job: Job, which: signal.Signals) -> Callable[[Path], Outcome | None]:
    """Send the whole process group a signal at a random moment of the run."""

    def act(case: Path) -> Outcome | None:
        child = start(*job.words(case), home=job.home)
        wait_for_moment(job, case, child)
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


def full_disks(job: Job, root: Path, rounds: int) -> None:
    """Let the disk of the case be full at a random size, then larger (needs root, for a disk in memory)."""
    for number in range(rounds):
        disk = root / f"disk-{number}"
        disk.mkdir()
        size = max(4096, int(job.bytes * job.chance.uniform(0.02, 1.2)))
        made = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if subprocess.run(made, capture_output=True).returncode:
            print("full disk: none can be mounted here", flush=True)
            return
        try:
            done = finish(start(*job.words(disk / "case"), home=job.home), 3600)
            if done.code not in (0, 3) or (done.code == 3 and len(done.err.splitlines()) != 1):
                job.fail(f"disk of {size}: exit {done.code}: {done.err.strip()}")
            print(f"disk of {size:,} bytes: exit {done.code}, reached {reached(disk / 'case')}", flush=True)
            job.check(disk / "case", f"full disk {number}")
            subprocess.run(["mount", "-o", f"remount,size={job.bytes * 8}", str(disk)], check=True)
            job.complete(disk / "case", f"full disk {number}")
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
    print(f"full disk: {rounds} rounds", flush=True)


def read_while_written(job: Job, root: Path, rounds: int) -> None:
    """Ask a case again and again while it is written: every answer comes, and the writer is not disturbed."""
    asked = 0
    questions = (
        ("show", "summary", "--json"),
        ("show", "findings", "--json"),
        ("query", "SELECT count(*) AS n FROM evidence", "--json"),
        ("custody", "verify"),
    )
    for number in range(rounds):
        case = root / f"read-{number}"
        child = start(*job.words(case), home=job.home)
        while lines_of(case) < 2 and child.poll() is None:
            time.sleep(0.01)
        while child.poll() is None:
            words = job.chance.choice(questions)
            answer = finish(start(*words, "--case", str(case), home=job.home), 600)
            asked += 1
            if answer.code or answer.err:
                job.fail(f"reader {number}: {' '.join(words)}: exit {answer.code}: {answer.err.strip()}")
        if finish(child).code:
            job.fail(f"reader {number}: the writer failed")
        job.complete(case, f"reader {number}")
        shutil.rmtree(case)
    print(f"readers: {asked} questions in {rounds} rounds", flush=True)


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
    parser.add_argument("--disks", type=int, default=10, help="full disks")
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--size", type=float, default=0.3, help="size of the demo, 0.1 to 100")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the demo and of the random moments")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background may have it ignored
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        made = generate(root / "demo", seed=options.seed, size=options.size)
        job = Job(made.evidence, root / "home", options.workers, random.Random(options.seed))
        job.undisturbed(root / "whole")
        print(f"undisturbed: {made.records:,} records, {job.seconds:.1f} s, {len(job.hashes)} tables", flush=True)
        disturb(job, root, options.kills, "killed", signalled(job, signal.SIGKILL))
        disturb(job, root, options.interrupts, "interrupted", signalled(job, signal.SIGINT))
        disturb(job, root, options.quotas, "starved", starved(job))
        disturb(job, root, options.writers, "second writer", doubled(job))
        full_disks(job, root, options.disks)
        read_while_written(job, root, options.readers)
        torn(job, root, options.torn, root / "whole")
        if left := delete_left_behind(Path(tempfile.gettempdir())):
            job.fail(f"{left} folders that nobody holds are left in the temporary folder")
    print(f"{len(job.failures)} failures")
    return 1 if job.failures else 0


if __name__ == "__main__":
    sys.exit(main())
