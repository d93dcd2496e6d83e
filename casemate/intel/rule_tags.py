"""Technique tags of a rule set, held against the installed ATT&CK and ATLAS."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from casemate.intel.attack import Knowledge
from casemate.intel.crosswalk import STATUSES, locate

TAG = re.compile(rb"(?:attack\.(t\d{4}(?:\.\d{3})?)|atlas\.(aml\.t\d{4}(?:\.\d{3})?))(?![\w.])", re.IGNORECASE)
"""A technique as rules tag it, ``attack.t1059.001`` or ``atlas.aml.t0024``."""


@dataclass(frozen=True)
class TagCounts:
    """How many technique tags of a rule set the installed releases know.

    Args:
        tags: all of them, each as often as rules carry it.
        by_status: :data:`casemate.intel.crosswalk.STATUSES` -> tags.
        unmapped: the ids that nothing installed knows, sorted.
    """

    tags: int
    by_status: Mapping[str, int]
    unmapped: tuple[str, ...]


def count_tags(documents: Iterable[bytes], attack: Knowledge | None, atlas: Knowledge | None) -> TagCounts:
    """Locate every technique tag of rule files."""
    found: Counter[str] = Counter()
    for document in documents:
        found.update((attack_id or atlas_id).decode().upper() for attack_id, atlas_id in TAG.findall(document))
    counts = dict.fromkeys(STATUSES, 0)
    unmapped = []
    for identity, number in found.items():
        located = locate(identity, atlas if identity.startswith("AML.") else attack)
        counts[located.status] += number
        if located.status == "unmapped":
            unmapped.append(identity)
    return TagCounts(found.total(), counts, tuple(sorted(unmapped)))
