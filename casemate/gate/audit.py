"""The audit record: every decision is one line of JSON, written through to the disk, and what the protocol costs.

A line is what :meth:`casemate.gate.decide.Decision.as_dict` gives, with ``previous``, the SHA-256 of the line before
(64 zeros for the first): a line that was changed or taken out shows.  It is evidence like any log: ``casemate
investigate`` reads it as JSON lines.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from casemate.errors import BadInput, CannotFinish

FIRST = "0" * 64
TAIL = 1 << 20
LINE_BYTES = 16 << 20


def write(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Append a record; gives it as it was written.

    Raises:
        CannotFinish: it cannot be written, so nothing may pass.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise CannotFinish(f"the decision cannot be written down: {error.strerror}", where=str(path)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL, max(0, size - TAIL))
        last = tail.rstrip(b"\n").rpartition(b"\n")[2]
        chained = {**record, "previous": hashlib.sha256(last).hexdigest() if last else FIRST}
        line = json.dumps(chained, sort_keys=False).encode() + b"\n"
        os.write(descriptor, b"\n" + line if tail and not tail.endswith(b"\n") else line)
        os.fsync(descriptor)
    except OSError as error:
        raise CannotFinish(f"the decision cannot be written down: {error.strerror}", where=str(path)) from None
    finally:
        os.close(descriptor)
    return chained


@dataclass(frozen=True)
class Broken:
    """A line that does not follow from the one before, or is no record."""

    line: int
    what: str


def read(path: Path) -> tuple[list[dict[str, Any]], list[Broken]]:
    """All records of an audit file, and the places where its chain is broken.

    Raises:
        BadInput: it cannot be read.
    """
    records: list[dict[str, Any]] = []
    broken: list[Broken] = []
    previous = FIRST
    for number, line in enumerate(_lines(path), 1):
        try:
            record = json.loads(line)
            if record["event"] != "gate_decision" or not isinstance(record["rules"], list):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            broken.append(Broken(number, "it is no decision of the gate"))
        else:
            records.append(record)
            if record.get("previous") != previous:
                broken.append(Broken(number, "it does not follow from the line before"))
        previous = hashlib.sha256(line).hexdigest()
    return records, broken


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while line := stream.readline(LINE_BYTES):
                if line.strip():
                    yield line.rstrip(b"\n")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None


def cost(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the protocol costs: time added per artefact, share held back, and both by rule.

    ``only`` counts the artefacts that this rule alone held back: what its removal would let pass.
    """
    seconds = sorted(float(record["seconds"]) for record in records)
    refused = [record for record in records if not record["allowed"]]
    rules: dict[str, dict[str, Any]] = {}
    for record in records:
        for result in record["rules"]:
            entry = rules.setdefault(result["rule"], {"asked": 0, "held_back": 0, "only": 0, "seconds": 0.0})
            entry["asked"] += 1
            entry["seconds"] += float(result["seconds"])
            if not result["passed"]:
                entry["held_back"] += 1
                entry["only"] += record["refused_by"] == [result["rule"]]
    for entry in rules.values():
        entry["share_held_back"] = round(entry["held_back"] / entry["asked"], 4)
        entry["seconds"] = round(entry["seconds"], 6)
        entry["seconds_per_artifact"] = round(entry["seconds"] / entry["asked"], 6)
    return {
        "decisions": len(records),
        "held_back": len(refused),
        "share_held_back": round(len(refused) / len(records), 4) if records else None,
        "bytes": sum(int(record["bytes"]) for record in records),
        "seconds": round(sum(seconds), 6),
        "seconds_per_artifact": {
            "mean": round(sum(seconds) / len(seconds), 6) if seconds else None,
            "median": round(median(seconds), 6) if seconds else None,
            "p95": round(seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))], 6) if seconds else None,
            "most": round(seconds[-1], 6) if seconds else None,
        },
        "rules": rules,
    }
