"""One verdict per file.

:func:`inspect_file` looks at one content in this process; :func:`scan` finds files and has each looked at by a child
process behind limits (:mod:`casemate.detect.artifacts.child`).
"""

from __future__ import annotations

import hashlib

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Rule, Verdict
from casemate.detect.artifacts.identify import inspect_content
from casemate.detect.artifacts.inspection import REASONS_KEPT, Budget, Findings, Inspection, Options, TooMuchError
from casemate.detect.artifacts.judge import in_order, verdict_of

OUT_OF_MEMORY = Rule("limit.memory", "unscannable", None, "a loader may read what there was no memory for here")


def inspect_file(content: Content, options: Options | None = None) -> Verdict:
    """The verdict on one content, in this process; for hostile files use :func:`scan`.

    Never raises for any bytes.
    """
    findings = Findings()
    inspection = Inspection(content, inspect_content, Budget(options or Options()), findings)
    try:
        inspect_content(content, inspection)
    except TooMuchError as limit:
        inspection.report(limit.rule, str(limit))
    except MemoryError:
        inspection.report(OUT_OF_MEMORY, "the memory allowed for one file is used up")
    reasons = in_order(findings.reasons)
    return Verdict(
        path=content.name,
        verdict=verdict_of(reasons),
        reasons=tuple(reasons[:REASONS_KEPT]),
        format="+".join(findings.formats) or "unknown",
        sha256=hashlib.sha256(content.whole()).hexdigest(),
        bytes=content.size,
        bytes_skipped=findings.skipped,
        reasons_left_off=max(0, len(reasons) - REASONS_KEPT),
    )
