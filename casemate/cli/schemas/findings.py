"""Findings, attempts, why a finding was made, and what people said of them."""

from __future__ import annotations

from typing import Any

from casemate.cli.schemas.shapes import SOURCE, TARGET
from casemate.cli.schemas.words import (
    ADDRESS,
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
from casemate.explore.findings import RECORDS_SHOWN
from casemate.schema.annotations import SUBJECT_KINDS, VERDICTS
from casemate.schema.attempts import INTENTS
from casemate.schema.findings import CONFIDENCES, OUTCOMES, SEVERITIES, VECTORS

OUTCOME = one_of(*OUTCOMES)
VERDICT = or_null(one_of(*VERDICTS))
ANNOTATION = an_object(
    verdict=VERDICT,
    duplicate_of=NULL_TEXT,
    note=NULL_TEXT,
    tags=listed(TEXT),
    marked_by=TEXT,
    marked_at=TIME,
    inherited_from=NULL_TEXT,
)
PART = an_object(field=TEXT, wanted=listed(TEXT), value=NULL_TEXT, more=COUNT)
NEIGHBOUR = an_object(id=ADDRESS, time=NULL_TEXT, text=TEXT, findings=listed(ID))
STATED: dict[str, Any] = {  # what a finding states, wherever it is shown
    "id": ID,
    "time": TIME,
    "time_end": TIME,
    "detector": TEXT,
    "rule_id": TEXT,
    "rule_version": TEXT,
    "title": TEXT,
    "severity": one_of(*SEVERITIES),
    "techniques": listed(TEXT),
    "tactics": listed(TEXT),
    "source": or_null(SOURCE),
    "target": or_null(TARGET),
    "vector": one_of(*VECTORS),
    "outcome": OUTCOME,
    "confidence": one_of(*CONFIDENCES),
}
WHY = an_object(
    **STATED,
    suppressed_by=NULL_TEXT,
    suppressed_because=NULL_TEXT,
    annotation=or_null(ANNOTATION),
    rule={
        **an_object(
            path=NULL_TEXT,
            text=NULL_TEXT,
            detection=or_null(listed(COUNT, minItems=2, maxItems=2)),
            marks=listed(an_object(line=COUNT, begin=COUNT, end=COUNT, state=one_of("held", "ruled_out"))),
        ),
        "description": "The rule as written; lines count from 1, columns from 0; detection: first and last line",
    },
    because={"description": "the tree of what matched where, as findings.why"},
    values=listed(
        an_object(
            selection=NULL_TEXT,
            field=NULL_TEXT,
            column=NULL_TEXT,
            patterns=listed(TEXT),
            value=NULL_TEXT,
            decoded=or_null(an_object(steps=listed(TEXT), text=TEXT, limit_hit=NULL_TEXT)),
        )
    ),
    nearly=listed(an_object(name=TEXT, filter=NULL_TEXT, held=listed(PART), missing=PART)),
    otherwise=listed(TEXT),
    events=listed(an_object(time=TIME, id=ADDRESS, matched=listed(TEXT))),
    series=or_null(
        an_object(
            of=TEXT,
            begin=TIME,
            bucket_seconds=COUNT,
            counts=counts(listed(COUNT)),
            measure=TEXT,
            reached=listed(COUNT),
            threshold=or_null({"type": "number"}),
            moments=listed(an_object(what=TEXT, time=TIME)),
            cut=TRUTH,
        )
    ),
    also=listed(an_object(id=ID, rule_id=TEXT, title=TEXT, severity=one_of(*SEVERITIES), detector=TEXT, records=COUNT)),
    records=listed(
        an_object(
            id=ADDRESS,
            table=TEXT,
            time=TIME,
            path=TEXT,
            member_path=NULL_TEXT,
            format=TEXT,
            offset=COUNT,
            length=COUNT,
            sha256=SHA256,
            content=NULL_TEXT,
            fields=counts(TEXT),
            before=listed(NEIGHBOUR),
            after=listed(NEIGHBOUR),
        )
    ),
    addresses=listed(ADDRESS, maxItems=1000),
    record_count=COUNT,
    notes=listed(TEXT),
)
MARKED = an_object(
    kind=one_of(*SUBJECT_KINDS),
    subject=TEXT,
    **ANNOTATION["properties"],
    line=COUNT,
    present=TRUTH,
)
FINDING = an_object(
    **STATED,
    why={**TEXT, "description": "JSON text: the tree of what matched where"},
    records=listed(ADDRESS, maxItems=RECORDS_SHOWN),
    record_count=COUNT,
    annotation=or_null(ANNOTATION),
)

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "finding": ("one line of casemate show findings --json", FINDING),
    "suppressed_finding": (
        "one line of casemate show findings --suppressed --json",
        an_object(**FINDING["properties"], tuning=TEXT, reason=TEXT),
    ),
    "attempt": (
        "one line of casemate show attempts --json",
        an_object(
            id=ID,
            source=SOURCE,
            scope=an_object(kind=TEXT, value=NULL_TEXT),
            vector=one_of(*VECTORS),
            started=TIME,
            ended=TIME,
            intent=one_of(*INTENTS),
            outcome=OUTCOME,
            findings={"type": "integer", "minimum": 1},
            gap_seconds=COUNT,
            finding_ids=listed(ID),
            annotation=or_null(ANNOTATION),
        ),
    ),
    "why": ("casemate why --json", WHY),
    "annotation": ("one line of casemate show annotations --json", MARKED),
    "mark_line": (
        "one line of casemate show annotations --history --json",
        an_object(
            line=COUNT,
            time=TIME,
            by=TEXT,
            cleared=TRUTH,
            verdict=VERDICT,
            duplicate_of=NULL_TEXT,
            note=NULL_TEXT,
            tags=listed(TEXT),
            untags=listed(TEXT),
            subjects=listed(an_object(kind=one_of(*SUBJECT_KINDS), subject=TEXT)),
        ),
    ),
    "mark": (
        "casemate mark --json",
        an_object(
            marked=listed(an_object(kind=one_of(*SUBJECT_KINDS), subject=TEXT, annotation=or_null(ANNOTATION))),
            following=COUNT,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
