"""``casemate coverage``."""

from __future__ import annotations

from casemate.cli.schemas.shapes import COVERAGE, REQUEST
from casemate.cli.schemas.words import COUNT, NULL_TEXT, TEXT, Schema, an_object, counts, listed, one_of, or_null
from casemate.schema.rules import STATES

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "coverage": ("casemate coverage --json, casemate show coverage --json", COVERAGE),
    "coverage_rule": (
        "casemate coverage --why RULE --json",
        an_object(
            rule_id=NULL_TEXT,
            title=NULL_TEXT,
            path=TEXT,
            severity=NULL_TEXT,
            log_source=NULL_TEXT,
            state=one_of(*STATES),
            reason=NULL_TEXT,
            techniques=listed(TEXT),
            looked_at=listed(
                an_object(events=TEXT, table=TEXT, where=listed(TEXT), records=COUNT, fields=counts(or_null(COUNT)))
            ),
            records=or_null(COUNT),
            missing_fields=listed(TEXT),
            refers_to=listed(TEXT),
            findings=COUNT,
            answer=TEXT,
        ),
    ),
    "coverage_request": (
        "casemate coverage request add|received --json, one line of casemate coverage request list --json",
        REQUEST,
    ),
}
"""By file name: which output it is of, and the schema."""
