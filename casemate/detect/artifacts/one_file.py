"""One content looked at in this process: what the child (:mod:`casemate.detect.artifacts.child`) does for each file."""

from __future__ import annotations

import hashlib

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Rule, Verdict
from casemate.detect.artifacts.identify import inspect_content
from casemate.detect.artifacts.inspection import REASONS_KEPT, Budget, Findings, Inspection, Options, TooMuchError
from casemate.detect.artifacts.judge import in_order, verdict_of

HASHED_ANYWAY = 64 * 1024 * 1024
"""A file up to this size is hashed even where its tensors are not looked at."""

OUT_OF_MEMORY = Rule("limit.memory", "unscannable", None, "a loader may read what there was no memory for here")


def inspect_file(content: Content, options: Options | None = None) -> Verdict:
    """The verdict on one content, in this process; for hostile files use :func:`casemate.detect.artifacts.scan.scan`.

    Never raises for any bytes.
    """
    options = options or Options()
    findings = Findings()
    inspection = Inspection(content, inspect_content, Budget(options), findings)
    try:
        inspect_content(content, inspection)
    except TooMuchError as limit:
        inspection.report(limit.rule, str(limit))
    except MemoryError:
        inspection.report(OUT_OF_MEMORY, "the memory allowed for one file is used up")
    except RecursionError:
        inspection.report(OUT_OF_MEMORY, "it is nested too deeply to be read")
    reasons = in_order(findings.reasons)
    return Verdict(
        path=content.name,
        verdict=verdict_of(reasons),
        reasons=tuple(reasons[:REASONS_KEPT]),
        format="+".join(dict.fromkeys(findings.formats)) or "unknown",
        sha256=_hash(content) if options.full or not findings.skipped or content.size <= HASHED_ANYWAY else None,
        bytes=content.size,
        bytes_skipped=findings.skipped,
        reasons_left_off=max(0, len(reasons) - REASONS_KEPT),
    )


def _hash(content: Content) -> str:
    if isinstance(content.buffer, bytes) and content.size == len(content.buffer):
        return hashlib.sha256(content.buffer).hexdigest()
    digest = hashlib.sha256()
    for block in content.blocks():
        digest.update(block)
    return digest.hexdigest()
