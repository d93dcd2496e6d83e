"""A model's folder judged as a whole: what a configuration tells a loader to import is held against the file it names.

Each file keeps its own verdict; a configuration that names a module of its folder (``auto_map``, ``custom_pipelines``)
is as bad as that module, since a loader that follows the one runs the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePath

from casemate.detect.artifacts.contract import SEVERITIES, SUPPLY_CHAIN_MODEL, Reason, Verdict

NAMING = frozenset({"hub.auto_map"})
"""Codes of reasons that name a module of the same folder."""
_MODULE = re.compile(r"names '([A-Za-z_][\w./]*?)\.[A-Za-z_]\w*'")


def judged_together(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """The verdicts in their order, folder by folder, with what the files of one folder make of each other.

    At most one folder's verdicts are held back, and only while a configuration in it waits for its modules.
    """
    folder: PurePath | None = None
    known: dict[str, Verdict] = {}
    waiting: list[Verdict] = []
    for verdict in verdicts:
        parent = PurePath(verdict.path).parent
        if parent != folder:
            yield from _settled(waiting, known)
            folder, waiting, known = parent, [], {}
        known[PurePath(verdict.path).name] = verdict
        if waiting or _modules(verdict):
            waiting.append(verdict)
        else:
            yield verdict
    yield from _settled(waiting, known)


def _modules(verdict: Verdict) -> list[str]:
    found = []
    for reason in verdict.reasons:
        if reason.code in NAMING:
            found += _MODULE.findall(reason.text)
    return found


def _settled(verdicts: list[Verdict], files: dict[str, Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        for module in dict.fromkeys(_modules(verdict)):
            named = files.get(module.rpartition(".")[2] + ".py") or files.get(module + ".py")
            if named is not None and named.verdict == "malicious":
                worst = named.reasons[0]
                reason = Reason(
                    "hub.bad_module",
                    f"it names {PurePath(named.path).name}, which is malicious: {worst.text}"[:500],
                    "malicious",
                    "",
                    None,
                    SUPPLY_CHAIN_MODEL,
                    worst.loader_effect,
                )
                reasons = sorted((reason, *verdict.reasons), key=lambda item: -SEVERITIES.index(item.severity))
                verdict = replace(verdict, verdict="malicious", reasons=tuple(reasons))
        yield verdict
