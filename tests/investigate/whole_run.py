"""The command line as users meet it, and what must hold of a case whatever happened to it.

Commands run in this process where that is enough (:func:`command`) and in one of their own where
they are to be killed or starved (:func:`start`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from casemate.case import Case
from casemate.cli import _run
from casemate.demo.generate import Demo
from casemate.evidence.verify import verify

OUTSIDE_THE_HASHES = {"registrations"}
ENTRY = "from casemate.cli import main; main()"


@dataclass(frozen=True)
class Outcome:
    """What one command gave."""

    code: int
    out: bytes
    err: str

    @property
    def said(self) -> str:
        """The one line on standard error; fails if there are more."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def command(*words: str | Path) -> Outcome:
    """Run one command in this process."""
    out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
    with redirect_stdout(out), redirect_stderr(err):
        code = _run([str(word) for word in words], False)
        out.flush()
        err.flush()
    written = [stream.buffer.getvalue() for stream in (out, err)]  # type: ignore[attr-defined]
    return Outcome(code, written[0], written[1].decode())


def start(*words: str | Path, home: Path, before: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """Begin one command in a process (and process group) of its own; `before` limits what it may do."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"CASEMATE_HOME": str(home), "PYTHONPYCACHEPREFIX": str(home / "pycache"), "COLUMNS": "80"}
    if before is not None:  # Python does not notice when a limit cuts its compiled files off, and trips over them later
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        preexec_fn=before,
    )


def finish(child: subprocess.Popen[bytes], seconds: float = 120) -> Outcome:
    """Wait for a command that was begun."""
    out, err = child.communicate(timeout=seconds)
    return Outcome(child.returncode, out, err.decode())


@contextmanager
def running(*words: str | Path, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process of its own that is gone afterwards."""
    child = start(*words, home=home)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def mixed_evidence(demo: Demo, folder: Path) -> Path:
    """A folder of mixed logs from the demo: about 12,000 records, some packed twice."""
    folder.mkdir(parents=True)
    chosen = [
        demo.evidence / "bastion01" / "auth.log",
        demo.evidence / "notebook01" / "nginx" / "access.log",
        *sorted((demo.evidence / "winlogbeat").iterdir())[60:64],
        *(path for day in (2, 3, 4) for path in sorted((demo.evidence / "zeek" / f"2026-05-0{day}").iterdir())),
    ]
    for path in chosen:
        (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    with zipfile.ZipFile(folder / "trails.zip", "w") as archive:
        for path in sorted((demo.evidence / "cloudtrail").iterdir())[50:60]:
            archive.write(path, path.name)
    return folder


def row_hashes(path: Path) -> dict[str, str]:
    """Hash of the rows of every table but the registrations."""
    with Case.open(path) as case:
        return {table: case.row_hash(table) for table in case.tables() if table not in OUTSIDE_THE_HASHES}


def rows_of(path: Path, table: str, *columns: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with Case.open(path) as case:
        parts = case.part_paths(table)
    return [row for part in parts for row in pq.read_table(part, columns=list(columns) or None).to_pylist()]


def assert_sound(path: Path) -> None:
    """The case verifies, nothing of its evidence was lost, and findings rest on records that are there."""
    found = verify(path)
    assert found.holds, found.problems
    kept: dict[str, int] = {}
    rejected: dict[str, int] = {}
    addresses: set[tuple[str, int]] = set()
    with Case.open(path) as case:
        for table in case.tables():
            schema = case.schema(table)
            if schema is None or not {"evidence", "record", "offset", "length"} <= set(schema.names):
                continue
            for part in case.part_paths(table):
                read = pq.read_table(part, columns=["evidence", "record"])
                for evidence, record in zip(read["evidence"].to_pylist(), read["record"].to_pylist(), strict=True):
                    if table != "rejects":
                        addresses.add((evidence, record))
                    if table != "artifacts":  # whole contents, whose records are counted apart
                        counts = rejected if table == "rejects" else kept
                        counts[evidence] = counts.get(evidence, 0) + 1
    for row in rows_of(path, "evidence"):
        assert row["records"] == row["kept"] + row["rejected"], row
        assert row["kept"] == kept.pop(row["evidence"], 0), row
        assert row["rejected"] == rejected.pop(row["evidence"], 0), row
    assert not kept
    assert not rejected
    findings = {row["id"] for row in rows_of(path, "findings", "id")}
    rests = rows_of(path, "finding_records")
    assert {row["finding"] for row in rests} == findings
    assert {(row["evidence"], row["record"]) for row in rests} <= addresses
    joined = [row["finding"] for row in rows_of(path, "attempt_findings")]
    assert sorted(joined) == sorted(findings)
