"""The page of all behaviour analytics: how each works, what it can say, its thresholds (``scripts/document``)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from casemate.detect.behaviour import ANALYTICS, Analytic

INTRODUCTION = """# Behaviours

Made by `scripts/document` from the code; do not edit. Findings of an analytic have the detector `behaviour.<name>`;
`casemate why FINDING` prints the counts and thresholds they were judged by, `casemate tune` takes the rule ids below.
"""


def behaviours_page() -> str:
    """One section for each analytic, in the order in which they run."""
    return "\n".join([INTRODUCTION, *(line for analytic in ANALYTICS for line in _section(analytic))]) + "\n"


def _section(analytic: Analytic) -> Iterator[str]:
    module = inspect.getmodule(analytic.judge)
    text = inspect.cleandoc(module.__doc__ or "") if module is not None else ""
    text = re.sub(r":[a-z]+:`(?:[a-z_]+\.)*([A-Za-z_]+)`", r"`\1`", text).replace("``", "`")
    yield from (f"## {analytic.name}", "", text, "")
    yield from ("| rule | says | severity | technique | what was seen |", "|---|---|---|---|---|")
    for rule in analytic.rules:
        techniques = ", ".join(rule.techniques)
        yield f"| `{rule.rule_id}` | {rule.title} | {rule.severity} | {techniques} | {rule.means} |"
    yield ""
    if is_dataclass(analytic.settings) and fields(analytic.settings):
        shown = (
            f"`{field.name}` {_shown(getattr(analytic.settings, field.name))}" for field in fields(analytic.settings)
        )
        yield from (f"Thresholds: {', '.join(shown)}.", "")


def _shown(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"({', '.join(f'`{field.name}` {_shown(getattr(value, field.name))}' for field in fields(value))})"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
