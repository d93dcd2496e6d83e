"""A run that is killed at any moment is finished by running it again, with the rows of an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from ingest_case import canonical, opened, take

KILLS = 6
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import casemate.evidence.ingest as ingest
from ingest_case import opened, take
ingest.TASK_BYTES = 20_000
with opened(Path(sys.argv[1])) as case:
    print("begun", flush=True)
    take(case, Path(sys.argv[2]))
print("done", flush=True)
"""


def evidence_folder(folder: Path) -> Path:
    folder.mkdir()
    for number in range(40):
        content = b"".join(b"%d line %d %d\n" % (number, line, line * line) for line in range(1_500))
        (folder / f"{number:02}.log").write_bytes(content)
    with zipfile.ZipFile(folder / "inside.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.log", f"member {number}\n" * 900)
    return folder


def start(case: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(case), str(folder), str(Path(__file__).parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_and_run_again(tmp_path: Path) -> None:
    folder = evidence_folder(tmp_path / "in")
    with opened(tmp_path / "undisturbed") as case:
        take(case, folder)
        whole = canonical(case)
        registrations = len(case.live_parts("registrations"))
        assert registrations

    chance = random.Random(7)
    interrupted = 0
    for _ in range(KILLS):
        with start(tmp_path / "case", folder) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.25))
            child.send_signal(signal.SIGKILL)
            interrupted += "done" not in child.stdout.read()
    assert interrupted
    with opened(tmp_path / "case") as case:
        take(case, folder)
        assert canonical(case) == whole
        again = take(case, folder)
        assert again.evidence == []
        assert list((tmp_path / "case" / "staging").iterdir()) == []
