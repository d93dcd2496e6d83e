"""A model's folder judged as a whole: what a configuration tells a loader to import is held against the file it names.

Each file keeps its own verdict; a configuration that names a module of its folder (``auto_map``, ``custom_pipelines``)
is as bad as that module, since a loader that follows the one runs the other.  Bytes of no known format that an ONNX
model beside them names as its tensors are owned by it, as a storage is by its pickle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePath

from casemate.detect.artifacts.contract import SEVERITIES, SUPPLY_CHAIN_MODEL, Reason, Verdict

TENSORS = re.compile(r"external_data in '([^'/\\\\]+)' (?:to its end|up to byte (\d+))")
"""How a reason of the code ``onnx.external_data`` tells which file beside the model holds tensors, and up to where."""
ALIGNED_BYTES = 65536
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
        if waiting or _modules(verdict) or _is_unknown(verdict):
            waiting.append(verdict)
        else:
            yield verdict
    yield from _settled(waiting, known)


def _is_unknown(verdict: Verdict) -> bool:
    """Whether nothing is against it but that its format is not known."""
    return bool(verdict.reasons) and all(reason.code == "format.unknown" for reason in verdict.reasons)


def _named_tensors(files: dict[str, Verdict]) -> dict[str, int | None]:
    """Files that a model of the folder names as tensors, and up to where it reads them."""
    found: dict[str, int | None] = {}
    for verdict in files.values():
        for reason in verdict.reasons:
            match = TENSORS.match(reason.text) if reason.code == "onnx.external_data" else None
            if match:
                found[match[1]] = int(match[2]) if match[2] else None
    return found


def _as_tensors(verdict: Verdict, reached: int | None) -> Verdict:
    """The verdict on bytes that a model beside them names as its tensors: nothing runs them, whatever they are."""
    if reached is not None and not 0 <= verdict.bytes - reached < ALIGNED_BYTES:
        return verdict
    reason = Reason("onnx.tensors", "a model beside it names these bytes as tensors", "note", "", None, None,
                    "reads them as numbers")  # fmt: skip
    return replace(verdict, verdict="safe", format="onnx_tensors", reasons=(reason,))


def _modules(verdict: Verdict) -> list[str]:
    found = []
    for reason in verdict.reasons:
        if reason.code in NAMING:
            found += _MODULE.findall(reason.text)
    return found


def _settled(verdicts: list[Verdict], files: dict[str, Verdict]) -> Iterator[Verdict]:
    tensors = _named_tensors(files) if any(map(_is_unknown, verdicts)) else {}
    for verdict in verdicts:
        if PurePath(verdict.path).name in tensors and _is_unknown(verdict):
            yield _as_tensors(verdict, tensors[PurePath(verdict.path).name])
            continue
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
