"""The runs of a case, as its custody log tells them."""

from __future__ import annotations

from typing import Any

from casemate.case import CUSTODY, Case
from casemate.evidence.custody import intact_lines


def last_run(case: Case) -> dict[str, Any] | None:
    """Facts of the last run that came to its end, or None."""
    found = None
    for line in intact_lines(case.path / CUSTODY):
        if line.kind == "note" and line.facts.get("about") == "run":
            found = dict(line.facts)
    return found
