"""What a signature is made of, and what it says.

A signature holds *invariants* (what the tool cannot do without: they follow from the weakness or from the tool's own
protocol) and *constants* (what the published tool happens to send).  A match lists every one of them with what was
seen, so that nobody has to work out again why something was called what it was called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

KNOWN, MODIFIED, UNKNOWN_TOOL = "known tool", "modified variant", "same weakness, unknown tool"
RESULTS = (KNOWN, MODIFIED, UNKNOWN_TOOL)
INVARIANT, CONSTANT, PREPARATION = "invariant", "constant", "preparation"


@dataclass(frozen=True)
class Feature:
    """One thing a tool does.

    Args:
        name: stable.
        kind: ``invariant`` of the weakness, ``preparation`` the tool needs, or ``constant`` of the published tool.
        states: what is looked for.
        because: why the tool needs it, or where the constant is from.
        source: the publication or document it is from.
    """

    name: str
    kind: str
    states: str
    because: str
    source: str


@dataclass(frozen=True)
class Seen:
    """One feature in one event: whether it agrees (None: cannot be told), and what was seen."""

    feature: Feature
    agrees: bool | None
    seen: str


@dataclass(frozen=True)
class Signature:
    """One tool; `weakness` and `weakness_title` name what is left when it was not this tool."""

    name: str
    title: str
    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    features: tuple[Feature, ...]
    weakness: str
    weakness_title: str
    version: str = "1"
    checked: str = ""
    """On what it was checked: a signature without a capture of the tool says so."""

    def rule_id(self, result: str) -> str:
        """The rule id of findings with a result: an unknown tool is not called by the name of a known one."""
        return f"casemate.signature.{self.weakness if result == UNKNOWN_TOOL else self.name}"


@dataclass(frozen=True)
class Event:
    """One use of a tool, or of the weakness it uses.

    Args:
        signature: the signature.
        result: one of :data:`RESULTS`.
        outcome, because: as in findings, and the evidence for it in one sentence.
        confidence: as in findings.
        seen: every feature.
        evidence, records: what it rests on.
        source, target, port: who used it against whom.
    """

    signature: Signature
    result: str
    outcome: str
    because: str
    confidence: str
    seen: tuple[Seen, ...]
    evidence: str
    records: tuple[int, ...]
    source: str
    target: str
    port: str
    time: datetime | None
    time_end: datetime | None
    connections: tuple[str, ...] = field(default=())


def verdict(seen: Sequence[Seen], *, weakness: bool, tool: bool) -> str | None:
    """What a list of features amounts to.

    Args:
        weakness: whether the invariants of the weakness hold together.
        tool: whether what only this kind of tool does was seen as well.
    """
    if not weakness:
        return None
    if not tool:
        return UNKNOWN_TOOL
    return KNOWN if all(one.agrees is not False for one in seen) else MODIFIED
