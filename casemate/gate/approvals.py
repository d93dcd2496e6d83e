"""Approvals: who agreed that an artefact may pass.

A file holds one JSON object a line, which ``casemate gate approve`` writes::

    {"artifact": <digest>, "by": <name>, "time": <UTC>, "destination": <name or null>}

An approval is for one content: a changed byte needs new ones.  Names are what the
caller says they are; who may write the file is a matter of its permissions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from casemate.errors import BadInput
from casemate.gate.artifact import read_small

MOST_BYTES = 16 << 20


def names(path: Path | None, by: Sequence[str], digest: str, destination: str | None) -> tuple[str, ...]:
    """The names of all who approved this content for this destination, each once.

    Raises:
        BadInput: the file is no list of approvals.
    """
    found = {name.strip() for name in by if name.strip()}
    if path is not None:
        for number, line in enumerate(read_small(path, MOST_BYTES).decode("utf-8", "replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                approval = json.loads(line)
                fits = approval["artifact"] == digest and approval.get("destination") in (None, destination)
                name = str(approval["by"]).strip()
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BadInput(f"line {number} is no approval", where=str(path)) from None
            if fits and name:
                found.add(name)
    return tuple(sorted(found))


def line(digest: str, by: str, time: str, destination: str | None) -> bytes:
    """One approval as it is written."""
    return json.dumps({"artifact": digest, "by": by, "time": time, "destination": destination}).encode() + b"\n"
