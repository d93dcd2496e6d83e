"""Pickles hidden in bytes that belong to nothing: behind text, before or after an archive, in a hole."""

from __future__ import annotations

import base64
import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import EMBED_MALWARE, Reason, Rule
from casemate.detect.artifacts.inspection import Findings, Inspection
from casemate.detect.artifacts.pickle.callables import Standing, known, renamed
from casemate.detect.artifacts.pickle.opcodes import Call
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.pickle.streams import harm_in, judge_trace

MOST_CANDIDATES = 2000
MOST_OPCODES = 5000
SEARCHED_BYTES = 256 * 1024 * 1024

ENCODED = Rule("pickle.encoded", "malicious", EMBED_MALWARE, "a loader that decodes the text runs it")
EMBEDDED = Rule("pickle.embedded", "malicious", EMBED_MALWARE, "a loader that starts reading there runs it")

_BASE64 = re.compile(
    # the first letters of pickles of every protocol, and of zlib, gzip, bzip2, xz and zstd
    rb"(?<![A-Za-z0-9+/_-])(?:gA[I-V]|Y[0-3]|KG|KS|fX|XX|KE|Vm|Uy|jA|eJ|eN|H4sI|Qlpo|/Td6|_Td6|KLUv)"
    rb"[A-Za-z0-9+/_-]{24,}={0,2}"
)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
MOST_RUNS = 2000

_BEGINNING = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\]}()cX\x8cKJMNG\x88\x89C\x8f])"  # PROTO and an opcode that may follow it
    rb"|[ci][A-Za-z_][\w.]{0,80}\n[A-Za-z_][\w.]{0,80}\n"  # GLOBAL and INST
    rb"|[\x8c].[A-Za-z_][\w.]{1,80}\x94?\x8c"  # two strings for STACK_GLOBAL
    rb"|[SV]['\"]?[A-Za-z_][\w.]{0,80}['\"]?\n"
)

_IN_TEXT = re.compile(
    # GLOBAL, or INST with what it is given since the mark
    rb"(?:c|\((?:[SVIFL][^\n]{0,4000}\n){0,20}i)(?P<module>[A-Za-z_][\w.]{0,80})\n(?P<name>[A-Za-z_][\w.]{0,80})\n"
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


def hunt_in_text(content: Content, inspection: Inspection) -> None:
    """Report pickles of protocols 0 and 1 that stand somewhere in a text: a loader that passes over it runs them.

    Words alone are none (``cos`` and ``system`` may follow each other in a list): something must be called.
    """
    if content.head(2) in (b"\xff\xfe", b"\xfe\xff"):  # or no text at all
        hunt(content, [(0, content.size)], inspection)
    left = MOST_CANDIDATES
    stop = content.begin + min(content.size, SEARCHED_BYTES)
    for match in _IN_TEXT.finditer(content.buffer, content.begin, stop):
        module, name = (part.decode("latin-1") for part in match.group("module", "name"))
        if known(*renamed(module, name)).standing is Standing.UNKNOWN:
            continue
        left -= 1
        if left < 0:
            return
        trace = interpret(content.buffer, match.start(), content.end, MOST_OPCODES)
        if not any(isinstance(event, Call) for event in trace.events):
            continue
        reason = _harm(content, inspection, match.start())
        if reason is not None:
            at = match.start() - content.begin
            inspection.report(EMBEDDED, f"a pickle at {at}: {reason.text}", at, effect=reason.loader_effect)
            return


def hunt_encoded(content: Content, spans: list[tuple[int, int]], inspection: Inspection) -> None:
    """Report pickles that stand in the spans as base64, plain or compressed.

    Formats of text call it with the spans of their strings; whoever reads such text decodes it before loading.
    """
    left = MOST_RUNS
    for begin, end in spans:
        for match in _BASE64.finditer(
            content.buffer, content.begin + begin, content.begin + min(end, begin + SEARCHED_BYTES)
        ):
            left -= 1
            if left < 0:
                return
            decoded = _decoded(match.group())
            at = match.start() - content.begin
            if decoded is None:
                continue
            inner = Content.of(f"base64 at {at}", decoded)
            for reason in harm_in(inner, inspection)[:1]:
                inspection.report(ENCODED, f"base64 at {at}: {reason.text}", at, effect=reason.loader_effect)


def _decoded(text: bytes) -> bytes | None:
    plain = text.translate(_URL_SAFE)
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4])
    except ValueError:
        return None


def _harm(content: Content, inspection: Inspection, position: int) -> Reason | None:
    trace = interpret(content.buffer, position, content.end, MOST_OPCODES)
    if not trace.events:
        return None
    aside = inspection.aside(content, Findings())
    judge_trace(trace, content, aside, only_harm=True)
    return next((reason for reason in aside.findings.reasons if reason.code.startswith("pickle.")), None)
