"""Write the demo's evidence and, apart from it, its ground truth."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from casemate.demo import attack, decoys, lab
from casemate.demo.events import Day
from casemate.demo.ordinary import ordinary_day
from casemate.demo.writers import (
    CONN,
    DNS,
    SSH,
    Event,
    Labels,
    LogFile,
    Numbering,
    access_line,
    audit_line,
    json_text,
    origin_csv,
    syslog_line,
    write_array,
    zeek_header,
    zeek_line,
)
from casemate.settings import Asset, Settings, Vendor

Progress = Callable[[int, int], None]

SETTINGS = Settings(
    name=f"{lab.LAB}: demo incident",
    own=(lab.OWN_INSIDE, lab.OWN_OUTSIDE),
    core=(Asset(lab.CORE_BUCKET, "bucket", (lab.CORE_BUCKET,)),),
    vendors=(Vendor("Halden Example Services", (lab.VENDOR_ACCOUNT,)),),
)
"""What the lab would have written into its ``case.toml``."""


@dataclass(frozen=True)
class Demo:
    """Where a generated demo lies.

    Args:
        evidence: folder of log files, to be investigated.
        truth: JSON file with the labelled records of every step and decoy.
        origins: CSV file that registers the outside ranges to invented providers.
        records: how many records were written.
    """

    evidence: Path
    truth: Path
    origins: Path
    records: int


def generate(folder: Path, *, seed: int = 1, size: float = 1.0, progress: Progress | None = None) -> Demo:
    """Write a demo incident.

    Args:
        folder: new or empty folder.
        seed: same seed and size, same bytes.
        size: multiplies ordinary activity (1 is about 300,000 records); the incident stays as it is.
        progress: called with days done and days in all.
    """
    evidence = folder / "evidence"
    labels = Labels()
    growing = _growing_files(evidence)
    carried: dict[str, list[Event]] = {}
    numbering = Numbering()
    # the same incident in all else, whichever way the clock is wrong
    wrong_by = lab.WRONG_BY * random.Random(f"{seed}/clock").choice((-1, 1))  # noqa: S311
    ahead = {lab.WRONG_CLOCK.name: wrong_by}
    for number in range(lab.DAYS):
        date = lab.START + dt.timedelta(days=number)
        day = Day(date, random.Random(f"{seed}/{number}"), ahead)  # noqa: S311 (a reproducible demo, no secret)
        ordinary_day(day, size)
        decoys.decoy_day(day, number)
        attack.attack_day(day, number)
        carried = _write_day(evidence, day, growing, carried, labels, numbering)
        if progress:
            progress(number + 1, lab.DAYS)
    for log, events in carried.items():
        if log in growing:
            growing[log].write(numbering.number(log, events))
    for file in growing.values():
        file.close(labels, evidence)
    truth = folder / "truth.json"
    truth.write_text(json.dumps(_truth(labels, seed, size, wrong_by), indent=1))
    origins = folder / "origins.csv"
    origins.write_text(origin_csv())
    return Demo(evidence, truth, origins, labels.total)


def _growing_files(evidence: Path) -> dict[str, LogFile]:
    """Logs that are one file for the whole time."""
    return {
        "sshd": LogFile(evidence / "bastion01" / "auth.log", syslog_line(lab.DRIFTING_CLOCK.name, lab.DRIFT)),
        "access": LogFile(evidence / "notebook01" / "nginx" / "access.log", access_line),
        "audit": LogFile(evidence / "notebook01" / "audit" / "audit.log", audit_line),
        "kubernetes": LogFile(evidence / "cluster" / "audit.ndjson", json_text),
    }


DAILY: dict[str, tuple[str, str, str]] = {
    "conn": ("zeek", "conn", CONN),
    "dns": ("zeek", "dns", DNS),
    "ssh": ("zeek", "ssh", SSH),
}


def _write_day(
    evidence: Path,
    day: Day,
    growing: dict[str, LogFile],
    carried: dict[str, list[Event]],
    labels: Labels,
    numbering: Numbering,
) -> dict[str, list[Event]]:
    """Write what belongs to this day; events after midnight are carried into the next."""
    midnight = day.date + dt.timedelta(days=1)
    next_day: dict[str, list[Event]] = {}
    stamp = f"{day.date:%Y-%m-%d}"
    for log in sorted({*day.logs, *carried}):
        events = [*carried.get(log, []), *day.logs.get(log, [])]
        # a machine that is down makes no records; what an intruder takes out leaves its numbers missing
        today = [event for event in events if event.time < midnight and not _within(decoys.GAP, log, event.time)]
        today = [event for event in numbering.number(log, today) if not _within(attack.GAP, log, event.time)]
        next_day[log] = [event for event in events if event.time >= midnight]
        if log in growing:
            growing[log].write(today)
        elif log in DAILY:
            folder, path, fields = DAILY[log]
            file = LogFile(
                evidence / folder / stamp / f"{path}.log.gz",
                zeek_line,
                zeek_header(path, fields, day.date),
                compressed=True,
            )
            file.write(today)
            file.close(labels, evidence)
        elif log == "windows":
            file = LogFile(evidence / "winlogbeat" / f"winlogbeat-{stamp}.ndjson", json_text)
            file.write(today)
            file.close(labels, evidence)
        elif log == "cloudtrail" and today:
            write_array(
                evidence / "cloudtrail" / f"000000000000_CloudTrail_eu-north-1_{stamp}.json", today, labels, evidence
            )
    return next_day


def _within(gap: tuple[str, str, float, float], log: str, time: dt.datetime) -> bool:
    """Whether a log of the notebook host is without records then; the attacker's stretch is one of audit alone."""
    _, _, first, last = gap
    logs = ("audit",) if gap == attack.GAP else ("audit", "access")
    return log in logs and lab.START + dt.timedelta(days=first) <= time < lab.START + dt.timedelta(days=last)


def _truth(labels: Labels, seed: int, size: float, wrong_by: dt.timedelta) -> dict[str, object]:
    def gap(stated: tuple[str, str, float, float]) -> dict[str, str]:
        label, title, first, last = stated
        begin, end = (lab.START + dt.timedelta(days=moment) for moment in (first, last))
        return {"label": label, "title": title, "from": begin.isoformat(), "to": end.isoformat()}

    def stated(steps: tuple[attack.Step, ...]) -> list[dict[str, object]]:
        return [
            {
                "label": step.label,
                "title": step.title,
                "technique": step.technique,
                "needs": step.needs,
                "records": labels.records.get(step.label, {}),
            }
            for step in steps
        ]

    return {
        "seed": seed,
        "size": size,
        "records": labels.total,
        "files": labels.files,
        "steps": stated(attack.STEPS),
        "decoys": stated(decoys.DECOYS),
        "gap": gap(attack.GAP),
        "decoy_gap": gap(decoys.GAP),
        "cleared": {
            "title": "the security log of the jump host was cleared",
            "host": lab.JUMP.name,
            "day": f"{lab.START + dt.timedelta(days=attack.CLEARED_ON):%Y-%m-%d}",
        },
        "clock": {
            "title": f"the clock of the jump host is wrong by {lab.WRONG_BY.seconds // 60} minutes",
            "host": lab.WRONG_CLOCK.name,
            "seconds": wrong_by.total_seconds(),
        },
        "decoy_clock": {
            "title": "the clock of the bastion drifts as clocks do",
            "host": lab.DRIFTING_CLOCK.name,
            "seconds": lab.DRIFT.total_seconds(),
        },
        "noise": {
            "title": "the health check of the lab asks the metadata service which kind of machine it runs on",
            "records": labels.records.get("noise", {}),
            "where": f"CommandLine|contains: {lab.HEALTH_QUESTION}",
            "reason": "the health check asks for the kind of machine, nothing else",
        },
    }
