"""Which tunings are in force: folded from the lines of custody logs.

A case's tunings are notes in its own custody log; those of the site are notes in a log of the same kind in
Casemate's data folder (``tuning/custody.jsonl`` beside the installed intelligence).  So each tuning that was ever
added or removed has who, when and why, in lines that cannot be changed unseen, and no rule update touches them.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from casemate.detect.tuning.tunings import Tuning, as_plain, from_plain
from casemate.engine.files import disk_errors
from casemate.errors import BadInput, CaseDamaged
from casemate.evidence.custody import CustodyLine, CustodyLog, intact_lines

ABOUT_TUNING = "tuning"
SITE_LOG = Path("tuning") / "custody.jsonl"


def added(tuning: Tuning) -> dict[str, Any]:
    """Facts of the note that adds a tuning."""
    return {"about": ABOUT_TUNING, "action": "add", "tuning": as_plain(tuning), "who": tuning.who}


def removed(tuning: Tuning, who: str, reason: str) -> dict[str, Any]:
    """Facts of the note that removes a tuning."""
    return {"about": ABOUT_TUNING, "action": "remove", "id": tuning.id, "who": who, "reason": reason}


def fold(lines: Iterable[CustodyLine]) -> tuple[Tuning, ...]:
    """The tunings that were added and not removed, in the order they were added.

    Raises:
        CaseDamaged: a note says it is a tuning and is none.
    """
    found: dict[str, Tuning] = {}
    for line in lines:
        if line.kind != "note" or line.facts.get("about") != ABOUT_TUNING:
            continue
        try:
            if line.facts["action"] == "remove":
                found.pop(line.facts["id"], None)
            else:
                tuning = from_plain(line.facts["tuning"])
                found[tuning.id] = tuning
        except (KeyError, TypeError, ValueError) as error:
            raise CaseDamaged(f"line {line.sequence} holds no tuning that can be read: {error}") from None
    return tuple(found.values())


def case_tunings(log: Path) -> tuple[Tuning, ...]:
    """The tunings of a case, from its custody log."""
    return fold(intact_lines(log))


def site_tunings(home: Path) -> tuple[Tuning, ...]:
    """The tunings of the site; none if there never were any."""
    path = home / SITE_LOG
    return fold(intact_lines(path)) if path.is_file() else ()


def log_for_site(home: Path, facts: Mapping[str, Any], clock: Any) -> None:
    """Append one note to the site's log, which is made if it is not there.

    Raises:
        CaseDamaged: the log is not what was written.
        CannotFinish: it cannot be written.
    """
    path = home / SITE_LOG
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log = CustodyLog(path, clock)
        try:
            for _ in log.replay():
                pass
            log.write("note", facts)
        finally:
            log.close()
    finally:
        os.close(lock)


def overlay(case: Sequence[Tuning], site: Sequence[Tuning], day: dt.date) -> tuple[Tuning, ...]:
    """The tunings in force on a day (UTC): the case's before the site's, each in the order they were added."""
    chosen: dict[str, Tuning] = {}
    for tuning in (*case, *site):
        if tuning.in_force(day):
            chosen.setdefault(tuning.id, tuning)
    return tuple(chosen.values())


def named(tunings: Iterable[Tuning], beginning: str) -> Tuning:
    """The one tuning whose id begins so.

    Raises:
        BadInput: none does, or more than one.
    """
    wanted = beginning.lower()
    found = [one for one in tunings if wanted and one.id.startswith(wanted)]
    if len({one.id for one in found}) != 1:
        what = f"{len(found)} tunings begin with" if found else "no tuning"
        raise BadInput(f"{what} '{beginning}'", hint="'casemate tune list --case CASE' lists them")
    return found[0]
