"""How a finding's severity changes, said at the beginning of its ``why``, and how the change is undone exactly.

The detectors' own ``why`` stays as it is; ``tuned`` is written in front of its first key, so taking it away gives
back the very text that was there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from casemate.schema.findings import SEVERITIES

PREFIX = '{"tuned":'
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Change:
    """One step: to which severity, by what (``tuning`` or ``core_asset``), its id or name, and why."""

    to: str
    by: str
    name: str
    why: str


def one_step_up(severity: str) -> str:
    """The next severity; ``critical`` stays."""
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]


def with_changes(why: str, was: str, changes: Sequence[Change]) -> str:
    """A ``why`` that says which severity the detector gave and what changed it."""
    told = orjson.dumps({"severity_was": was, "changes": [vars(change) for change in changes]}).decode()
    rest = why[1:]
    return f"{PREFIX}{told}{'' if rest.lstrip().startswith('}') else ','}{rest}"


def without_changes(why: str, severity: str) -> tuple[str, str]:
    """The ``why`` and the severity as the detector gave them.

    Raises:
        ValueError, KeyError, TypeError: it begins like a changed one and is none.
    """
    if not why.startswith(PREFIX):
        return why, severity
    told, end = _DECODER.raw_decode(why, len(PREFIX))
    rest = why[end:]
    return "{" + rest.removeprefix(","), told["severity_was"]
