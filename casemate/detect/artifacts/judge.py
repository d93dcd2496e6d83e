"""From reasons to a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from casemate.detect.artifacts.contract import SEVERITIES, Reason, VerdictWord


def verdict_of(reasons: Sequence[Reason]) -> VerdictWord:
    """The word that the gravest reason gives; nothing but notes is ``safe``."""
    worst = max((SEVERITIES.index(reason.severity) for reason in reasons), default=0)
    severity = SEVERITIES[worst]
    return "safe" if severity == "note" else severity


def in_order(reasons: Sequence[Reason]) -> list[Reason]:
    """The gravest first, each once, otherwise as they were found."""
    return sorted(dict.fromkeys(reasons), key=lambda reason: -SEVERITIES.index(reason.severity))
