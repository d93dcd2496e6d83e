"""Looking around in the records of a case."""

from __future__ import annotations

from casemate.cli.schemas.words import COUNT, NULL_TEXT, SHA256, TEXT, TIME, TRUTH, Schema, an_object, one_of, or_null
from casemate.explore.pivots import FIELDS

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "logon": (
        "casemate show logons --json, one line per user, source, host, service and kind of logon",
        an_object(
            user=NULL_TEXT,
            domain=NULL_TEXT,
            source=NULL_TEXT,
            host=NULL_TEXT,
            service=NULL_TEXT,
            kind=NULL_TEXT,
            product=NULL_TEXT,
            successes=COUNT,
            failures=COUNT,
            unknown=COUNT,
            first=TIME,
            last=TIME,
            first_success=TIME,
            failures_before_success=or_null(COUNT),
        ),
    ),
    "pivot": (
        "casemate show pivots --json, one line per value",
        an_object(kind=one_of(*FIELDS), value=TEXT, findings=COUNT, hosts=COUNT, records=COUNT, first=TIME, last=TIME),
    ),
    "stack": (
        "casemate show stack FIELD --json, one line per value",
        an_object(value=TEXT, hosts=COUNT, records=COUNT, example_host=NULL_TEXT, first=TIME, last=TIME),
    ),
    "timeline": (
        "casemate show timeline --json, one line per record and event class",
        an_object(
            time=TIME,
            class_name=TEXT,
            product=NULL_TEXT,
            host=NULL_TEXT,
            user=NULL_TEXT,
            source=NULL_TEXT,
            target=NULL_TEXT,
            status=NULL_TEXT,
            activity=NULL_TEXT,
            what=NULL_TEXT,
            evidence=SHA256,
            record=COUNT,
        ),
    ),
    "process": (
        "casemate show tree PID --json, one line per launch, from the root down",
        an_object(
            host=NULL_TEXT,
            time=TIME,
            pid=COUNT,
            parent_pid=or_null(COUNT),
            path=NULL_TEXT,
            command=NULL_TEXT,
            user=NULL_TEXT,
            evidence=SHA256,
            record=COUNT,
            depth=COUNT,
            asked=TRUTH,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
