"""Traces of a content judged into reasons of its inspection."""

from __future__ import annotations

from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Reason, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.machine import Trace
from casemate.detect.artifacts.pickle.opcodes import Blob
from casemate.detect.artifacts.pickle.verdicts import COMPUTED_IMPORT, judge


def judge_trace(trace: Trace, content: Content, inspection: Inspection, *, only_harm: bool = False) -> None:
    """Report what the trace would do; with `only_harm` no more than what is malicious for sure.

    The bytes that `only_harm` is for are opcodes to an unlikely loader only, so names that it would compute count for
    nothing: they come from a memo that was written for another reading.
    """

    def report(rule: Rule, text: str, offset: int, effect: str | None) -> None:
        if not only_harm or (rule.severity == "malicious" and rule is not COMPUTED_IMPORT):
            inspection.report(rule, text, offset - content.begin, effect=effect)

    def inner(label: str, value: Any, offset: int) -> None:
        name = f"{label} at {offset - content.begin}"
        if isinstance(value, Blob):
            inspection.inner(content.part(name, value.offset - content.begin, value.size))
        else:
            inspection.inner(Content.of(name, bytes(value)))

    judge(trace, report, inner)


def harm_in(content: Content, inspection: Inspection) -> list[Reason]:
    """The malicious reasons that looking at `content` gives; it is not part of the inspection otherwise."""
    aside = inspection.aside(content)
    aside.look()
    return [reason for reason in aside.findings.reasons if reason.severity == "malicious"]
