"""The bounds of a correlation's condition, kept exactly as the rule writes them.

The specification lets a condition have two bounds ("101 to 200": ``gt: 100`` and ``lte: 200``);
pySigma 1.5 refuses that, and cuts ``gte: 0.5`` to 0.  :func:`prepare_document` puts the bounds
where pySigma passes them on untouched; the loader calls it on every document before parsing.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")
BOUNDS_ATTRIBUTE = "casemate_bounds"
BOUND = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?")
"""A bound that is read exactly; pySigma judges any other."""


def prepare_document(document: Any) -> Any:
    """A rule document (parsed YAML) as pySigma can take it without loss.

    The numeric bounds of a correlation's condition are kept, exactly as written, under the custom
    attribute :data:`BOUNDS_ATTRIBUTE`, and one of them is left for pySigma.  Anything else,
    also what is not a correlation at all, comes back unchanged.
    """
    if not isinstance(document, dict) or not isinstance(document.get("correlation"), dict):
        return document
    condition = document["correlation"].get("condition")
    if not isinstance(condition, dict):
        return document
    bounds = [(name, str(condition[name])) for name in OPERATORS if name in condition]
    if not bounds or not all(BOUND.fullmatch(text) for _, text in bounds):
        return document
    left = {name: value for name, value in condition.items() if name not in OPERATORS} | {
        bounds[0][0]: int(Fraction(bounds[0][1]))
    }
    correlation = document["correlation"] | {"condition": left}
    return document | {"correlation": correlation, BOUNDS_ATTRIBUTE: [list(bound) for bound in bounds]}
