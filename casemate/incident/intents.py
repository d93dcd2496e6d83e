"""The intent of findings as an Ibis expression, from the project's one table of tactics.

An attempt has the furthest intent any of its findings shows: a source that scans and then copies
data out has come for the data.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# (what an Ibis value can do depends on its table, which is known at run time only)
import ibis
import ibis.expr.types as ir

from casemate.intel.tactics import RANKED_INTENTS, TACTIC_INTENTS


def intent_rank(tactics: ir.ArrayValue) -> ir.IntegerValue:
    """Index into :data:`casemate.intel.tactics.RANKED_INTENTS` of the furthest intent among tactic names.

    Equal to :func:`casemate.intel.tactics.intent_of` for names as findings hold them (lower case, hyphens).
    """
    named = tactics.fill_null(ibis.literal([], type="array<string>"))
    branches = []
    for rank, intent in enumerate(RANKED_INTENTS[:-1]):
        for tactic in sorted(name for name, meaning in TACTIC_INTENTS.items() if meaning == intent):
            branches.append((named.contains(tactic), rank))
    return ibis.cases(*branches, else_=len(RANKED_INTENTS) - 1).cast("int64")
