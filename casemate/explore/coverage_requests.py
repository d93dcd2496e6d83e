"""Evidence asked for elsewhere: what was asked of whom, promised for when, and received.

Requests are custody lines (kind ``note``), never changed afterwards: ``coverage_request`` with its number, and
``coverage_received`` with the evidence that came.  The state of a request is read from these lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from casemate.case import CUSTODY, Case
from casemate.errors import BadInput
from casemate.evidence.custody import intact_lines

REQUEST, RECEIVED = "coverage_request", "coverage_received"
LONGEST = 4_000
"""Most characters of one text."""
STATES = ("open", "overdue", "received")


@dataclass(frozen=True)
class Request:
    """One request.  Times are UTC; `begin` and `end` are what the evidence should cover.

    Args:
        of: who was asked; `what`: for what.
        promised: when it was promised, or None.
        asked_at, asked_by, note: of the request.
        evidence: ids of what was received; `received_at` and `received_by` of the last that came.
    """

    number: int
    of: str
    what: str
    begin: datetime | None
    end: datetime | None
    promised: datetime | None
    note: str | None
    asked_at: datetime
    asked_by: str
    evidence: tuple[str, ...] = ()
    received_at: datetime | None = None
    received_by: str | None = None

    def state(self, now: datetime) -> str:
        """One of :data:`STATES`."""
        if self.received_at is not None:
            return "received"
        return "overdue" if self.promised is not None and self.promised < now else "open"


def requests(case: Case) -> tuple[Request, ...]:
    """All requests of a case, in the order in which they were made."""
    found: dict[int, Request] = {}
    for line in intact_lines(case.path / CUSTODY):
        about = line.facts.get("about") if line.kind == "note" else None
        if about == REQUEST:
            facts, number = line.facts, len(found) + 1
            found[number] = Request(
                number=number,
                of=_text(facts.get("of")),
                what=_text(facts.get("what")),
                begin=_moment(facts.get("from")),
                end=_moment(facts.get("to")),
                promised=_moment(facts.get("promised")),
                note=_text(facts.get("note")) or None,
                asked_at=_moment(line.time) or datetime.min.replace(tzinfo=UTC),
                asked_by=_text(facts.get("by")),
            )
        elif about == RECEIVED and line.facts.get("request") in found:
            request = found[line.facts["request"]]
            came = tuple(dict.fromkeys((*request.evidence, *map(_text, line.facts.get("evidence") or ()))))
            by = _text(line.facts.get("by"))
            found[request.number] = replace(request, evidence=came, received_at=_moment(line.time), received_by=by)
    return tuple(found.values())


def add_request(
    case: Case,
    *,
    of: str,
    what: str,
    begin: datetime | None,
    end: datetime | None,
    promised: datetime | None,
    note: str | None,
    by: str,
) -> Request:
    """Write down a request; `case` is open for writing.

    Raises:
        BadInput: a text is empty or too long, or `begin` is not before `end`.
    """
    for name, text in (("--of", of), ("--what", what), ("--note", note)):
        if text is not None and not (text.strip() and len(text) <= LONGEST):
            raise BadInput("is empty" if not text.strip() else f"is longer than {LONGEST} characters", where=name)
    if begin is not None and end is not None and begin >= end:
        raise BadInput("is not after --from", where="--to")
    times = {"from": begin, "to": end, "promised": promised}
    written = {name: time.astimezone(UTC).isoformat() if time else None for name, time in times.items()}
    case.log("note", {"about": REQUEST, "of": of, "what": what, **written, "note": note, "by": by})
    return requests(case)[-1]


def receive(case: Case, number: int, evidence: Sequence[str], *, by: str) -> Request:
    """Write down that `evidence` (ids, or unique beginnings) came in answer to a request.

    Raises:
        BadInput: there is no such request or evidence.
    """
    if not 1 <= number <= len(requests(case)):
        raise BadInput(f"no request {number}", hint="'casemate coverage request list' shows them")
    ids = list(dict.fromkeys(case.evidence(beginning) for beginning in evidence))
    case.log("note", {"about": RECEIVED, "request": number, "evidence": ids, "by": by})
    return requests(case)[number - 1]


def request_json(request: Request, now: datetime) -> dict[str, Any]:
    """One request as ``casemate coverage request list --json`` prints it."""
    return {
        "request": request.number,
        "state": request.state(now),
        "of": request.of,
        "what": request.what,
        "from": request.begin,
        "to": request.end,
        "promised": request.promised,
        "note": request.note,
        "asked_at": request.asked_at,
        "asked_by": request.asked_by,
        "received_at": request.received_at,
        "received_by": request.received_by,
        "evidence": list(request.evidence),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
    except ValueError:
        return None
