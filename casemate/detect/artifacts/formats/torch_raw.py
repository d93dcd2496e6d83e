"""PyTorch archives with tensors as plain bytes under names of their own: ``torch.export`` (.pt2), ``torch.package``.

Source: ``torch/export/pt2_archive/_package.py`` (``data/weights/model_weights_config.json`` says which member is which
tensor), ``torch/_export/serde/schema.py`` (numbers of types), ``torch/package/package_exporter.py`` (storages lie in
``.data/<key>.storage``, referred to by the persistent ids of the pickles).  A member is owned without being read where
it has the size that is said of it; everything else is looked at like any member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import prod
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.pickle.storages import storages_of

MOST_CONFIG = 256 << 20
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 29: 1, 30: 1,
              31: 1, 32: 1}  # fmt: skip
_CONFIG = re.compile(r"(?:^|/)data/(?:weights|constants)/\w+_config\.json$")
_STORAGE = re.compile(r"(?:^|/)\.data/(?P<key>\w+)\.storage$")


def has_layout(names: Sequence[str]) -> bool:
    """Whether the members' names are those of such an archive."""
    return any(_CONFIG.search(name) for name in names) or any(name.endswith(".data/extern_modules") for name in names)


def inspect_members(members: Sequence[Content], inspection: Inspection) -> None:
    """Look at every member but the tensors."""
    sizes = _exported(members) | _packaged(members, inspection)
    for member in members:
        if member.size and member.size in sizes.get(member.name, ()):
            inspection.skip(member.size)
        else:
            inspection.inner(member)


def _exported(members: Sequence[Content]) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for member in members:
        if not _CONFIG.search(member.name) or member.size > MOST_CONFIG:
            continue
        try:
            entries = json.loads(member.whole())["config"].values()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        folder = member.name.rpartition("/")[0]
        for entry in entries:
            if isinstance(entry, dict) and entry.get("use_pickle") is not True:
                sizes = _sizes(entry.get("tensor_meta"))
                name = f"{folder}/{entry.get('path_name')}"
                found[name] = found.get(name, frozenset()) | sizes
    return found


def _sizes(about: Any) -> frozenset[int]:
    """The bytes that a tensor may take: packed densely, or as far as its strides reach."""
    if not isinstance(about, dict):
        return frozenset()
    item = ITEM_BYTES.get(about["dtype"]) if isinstance(about.get("dtype"), int) else None
    sides, strides = _numbers(about.get("sizes")), _numbers(about.get("strides"))
    if item is None or sides is None or strides is None or len(sides) != len(strides):
        return frozenset()
    reach = 1 + sum((side - 1) * stride for side, stride in zip(sides, strides, strict=True)) if all(sides) else 0
    return frozenset({prod(sides) * item, reach * item})


def _numbers(value: Any) -> list[int] | None:
    if not isinstance(value, list):
        return None
    found = [part.get("as_int") if isinstance(part, dict) else part for part in value]
    numbers = [part for part in found if isinstance(part, int) and not isinstance(part, bool) and part >= 0]
    return numbers if len(numbers) == len(found) else None


def _packaged(members: Sequence[Content], inspection: Inspection) -> dict[str, frozenset[int]]:
    storages: dict[str, int] = {}
    if not any(_STORAGE.search(member.name) for member in members):
        return {}
    for member in members:
        if member.name.endswith(".pkl"):
            trace = interpret(member.buffer, member.begin, member.end, inspection.options.opcodes)
            storages |= {key: one.bytes for key, one in storages_of(trace.events).items() if one.bytes is not None}
    named = ((member.name, _STORAGE.search(member.name)) for member in members)
    return {name: frozenset({storages[match["key"]]}) for name, match in named if match and match["key"] in storages}
