"""Pickles hidden in bytes that belong to nothing: behind text, before or after an archive, in a hole."""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import EMBED_MALWARE, Reason, Rule
from casemate.detect.artifacts.inspection import Findings, Inspection
from casemate.detect.artifacts.pickle.machine import interpret
from casemate.detect.artifacts.pickle.streams import judge_trace

MOST_CANDIDATES = 2000
MOST_OPCODES = 5000
SEARCHED_BYTES = 256 * 1024 * 1024

EMBEDDED = Rule("pickle.embedded", "malicious", EMBED_MALWARE, "a loader that starts reading there runs it")

_BEGINNING = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\]}()cX\x8cKJMNG\x88\x89C\x8f])"  # PROTO and an opcode that may follow it
    rb"|[ci][A-Za-z_][\w.]{0,80}\n[A-Za-z_][\w.]{0,80}\n"  # GLOBAL and INST
    rb"|[\x8c].[A-Za-z_][\w.]{1,80}\x94?\x8c"  # two strings for STACK_GLOBAL
    rb"|[SV]['\"]?[A-Za-z_][\w.]{0,80}['\"]?\n"
)


def hunt(content: Content, spans: list[tuple[int, int]], inspection: Inspection) -> None:
    """Report pickles in the spans that would do harm if a loader began there."""
    left = MOST_CANDIDATES
    for begin, end in spans:
        stop = content.begin + min(end, begin + SEARCHED_BYTES)
        position = content.begin + begin
        while left > 0:
            match = _BEGINNING.search(content.buffer, position, stop)
            if match is None:
                break
            left -= 1
            position = match.start() + 1
            reason = _harm(content, inspection, match.start())
            if reason is not None:
                at = match.start() - content.begin
                inspection.report(EMBEDDED, f"a pickle at {at}: {reason.text}", at, effect=reason.loader_effect)
                break


def _harm(content: Content, inspection: Inspection, position: int) -> Reason | None:
    trace = interpret(content.buffer, position, content.end, MOST_OPCODES)
    if not trace.events:
        return None
    aside = inspection.aside(content, Findings())
    judge_trace(trace, content, aside, only_harm=True)
    return next((reason for reason in aside.findings.reasons if reason.code.startswith("pickle.")), None)
