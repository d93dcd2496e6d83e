"""``casemate tune``, and what rules cost."""

from __future__ import annotations

from casemate.cli.schemas.shapes import RAISED, SOURCE, TARGET
from casemate.cli.schemas.words import (
    ANY_OBJECT,
    COUNT,
    ID,
    NULL_TEXT,
    SECONDS,
    TEXT,
    TIME,
    Schema,
    an_object,
    counts,
    listed,
    one_of,
    or_null,
)
from casemate.detect.tuning.tunings import ABOUT as TUNING_ABOUT
from casemate.detect.tuning.tunings import KINDS as TUNING_KINDS
from casemate.detect.tuning.tunings import SCOPES as TUNING_SCOPES
from casemate.explore.tunings import STATES as TUNING_STATES
from casemate.schema.findings import SEVERITIES

TUNING = an_object(
    id=TEXT,
    kind=one_of(*TUNING_KINDS),
    scope=one_of(*TUNING_SCOPES),
    about=one_of(*TUNING_ABOUT),
    rules=listed(TEXT),
    log_source={"type": "object", "additionalProperties": TEXT},
    detection=or_null(ANY_OBJECT),
    severity=NULL_TEXT,
    reason=TEXT,
    until=or_null({**TEXT, "format": "date"}),
    who=TEXT,
    at=TIME,
    filter={**ANY_OBJECT, "description": "the tuning as a Sigma filter"},
)
LISTED_TUNING = an_object(**TUNING["properties"], state=one_of(*TUNING_STATES), findings=COUNT, note=NULL_TEXT)
RETUNED = an_object(
    action=one_of("added", "removed"),
    tuning=TUNING,
    run=TEXT,
    findings_before=COUNT,
    findings=COUNT,
    suppressed=COUNT,
    severities_changed=COUNT,
    correlations_pending=NULL_TEXT,
)

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "rule_times": (
        "the key rule_times of casemate investigate --profile-rules --json",
        an_object(
            statement=TEXT,
            seconds=SECONDS,
            fields_seconds=SECONDS,
            keywords_seconds=SECONDS,
            rules_seconds=SECONDS,
            rest_seconds=SECONDS,
            fields=listed(
                an_object(table=TEXT, field=TEXT, seconds=SECONDS, values=COUNT, patterns=COUNT, rules=COUNT)
            ),
            rules=listed(an_object(rule_id=TEXT, title=TEXT, seconds=SECONDS, batches=COUNT, matches=COUNT)),
        ),
    ),
    "tune_change": ("casemate tune add|severity|remove --json", RETUNED),
    "tune_list": (
        "casemate tune list --json",
        an_object(tunings=listed(LISTED_TUNING), core_assets=listed(RAISED), suppressed=COUNT),
    ),
    "tune_show": ("casemate tune show --json", LISTED_TUNING),
    "tune_test": (
        "casemate tune test --json",
        an_object(
            tuning=TUNING,
            findings=COUNT,
            of_rule=COUNT,
            by_severity=counts(),
            verdicts=counts(),
            true_verdicts=COUNT,
            first=listed(
                an_object(
                    id=ID,
                    time=TIME,
                    severity=one_of(*SEVERITIES),
                    title=TEXT,
                    source=or_null(SOURCE),
                    target=or_null(TARGET),
                    verdict=NULL_TEXT,
                )
            ),
            correlations=COUNT,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
