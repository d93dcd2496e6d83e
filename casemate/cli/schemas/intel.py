"""``casemate intel``."""

from __future__ import annotations

from casemate.cli.schemas.shapes import SOURCE, TARGET
from casemate.cli.schemas.words import (
    COUNT,
    ID,
    NULL_TEXT,
    SHA256,
    TEXT,
    TIME,
    TRUTH,
    Schema,
    an_object,
    counts,
    listed,
    one_of,
    or_null,
)
from casemate.intel.crosswalk import STATUSES
from casemate.intel.origins_sources import KINDS as ORIGIN_KINDS
from casemate.intel.origins_store import DATED_BY
from casemate.intel.store import DATASETS, OWN_RULES
from casemate.schema.findings import SEVERITIES

DIFFERENT_FINDING = an_object(
    id=ID,
    rule_id=TEXT,
    title=TEXT,
    severity=one_of(*SEVERITIES),
    time=TIME,
    source=or_null(SOURCE),
    target=or_null(TARGET),
)

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "intel_status": (
        "casemate intel status --json",
        an_object(
            folder=TEXT,
            datasets=listed(
                an_object(
                    name=one_of(OWN_RULES, *DATASETS),
                    installed=TRUTH,
                    version=NULL_TEXT,
                    dated=NULL_TEXT,
                    source=NULL_TEXT,
                    fetched_at=NULL_TEXT,
                    sha256=or_null(SHA256),
                    counts=or_null(counts()),
                    kept_versions=COUNT,
                    age_days=or_null({"type": "integer"}),
                    stale=or_null(TRUTH),
                    profiles=or_null(counts()),
                    technique_tags=or_null(
                        an_object(tags=COUNT, **dict.fromkeys(STATUSES, COUNT), unmapped_ids=listed(TEXT))
                    ),
                )
            ),
            origins=listed(
                an_object(
                    source=TEXT,
                    title=TEXT,
                    kind=one_of(*ORIGIN_KINDS),
                    age_days=COUNT,
                    stale=TRUTH,
                    versions=listed(
                        an_object(
                            version=TEXT,
                            dated=TEXT,
                            dated_by=one_of(*DATED_BY),
                            came_from=TEXT,
                            fetched_at=TEXT,
                            sha256=SHA256,
                            counts=counts(),
                        )
                    ),
                )
            ),
        ),
    ),
    "intel_diff": (
        "casemate intel diff --json",
        an_object(
            old=an_object(name=TEXT, rules=COUNT),
            new=an_object(name=TEXT, rules=COUNT),
            added=COUNT,
            changed=COUNT,
            removed=COUNT,
            metadata=COUNT,
            rules=listed(
                an_object(
                    id=TEXT,
                    title=TEXT,
                    kind=TEXT,
                    path=TEXT,
                    change=one_of("added", "changed", "removed", "metadata"),
                    parts=listed(TEXT),
                    level_before=NULL_TEXT,
                    level=NULL_TEXT,
                )
            ),
            case=or_null(
                an_object(
                    gained=COUNT,
                    lost=COUNT,
                    same=COUNT,
                    severity_changed=COUNT,
                    rules=listed(an_object(rule_id=TEXT, title=TEXT, change=TEXT, gained=COUNT, lost=COUNT)),
                    first_gained=listed(DIFFERENT_FINDING),
                    first_lost=listed(DIFFERENT_FINDING),
                    not_compiled=listed(an_object(rule_id=TEXT, reason=TEXT)),
                )
            ),
        ),
    ),
    "intel_update": (
        "casemate intel update --json",
        listed(
            an_object(
                name={**TEXT, "description": f"{', '.join(DATASETS)}, or origins/SOURCE"},
                new=TRUTH,
                version=NULL_TEXT,
                sha256=or_null(SHA256),
                counts=or_null(counts()),
                error=NULL_TEXT,
            )
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
