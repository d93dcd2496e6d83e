"""The first screen, its measures and the rules of a run."""

from __future__ import annotations

from casemate.cli.schemas.shapes import RULE, SUMMARY
from casemate.cli.schemas.words import COUNT, NULL_TEXT, TEXT, Schema, an_object, counts, listed, or_null

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "summary": ("casemate show summary --json, casemate investigate --json", SUMMARY),
    "rules": (
        "casemate show rules --json",
        an_object(rule_set=NULL_TEXT, loaded=COUNT, ran=COUNT, not_run=listed(RULE), noted=listed(RULE)),
    ),
    "measure": (
        "one line of casemate show measures --json",
        an_object(measure=TEXT, version=COUNT, value=or_null({"anyOf": [COUNT, counts()]}), definition=TEXT),
    ),
}
"""By file name: which output it is of, and the schema."""
