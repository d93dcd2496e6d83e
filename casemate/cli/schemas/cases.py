"""A case as a whole: made, verified, packed, investigated again, handed on."""

from __future__ import annotations

from casemate.cli.schemas.shapes import SUMMARY
from casemate.cli.schemas.words import (
    ANY_OBJECT,
    COUNT,
    NULL_TEXT,
    NUMBER,
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
from casemate.export.run import SCOPES, TARGETS

STAMP = an_object(
    file=TEXT, time=TIME, accuracy_seconds=or_null(NUMBER), authority=NULL_TEXT, serial=TEXT, proven=TRUTH
)
STEP = an_object(
    label=TEXT,
    title=TEXT,
    technique=NULL_TEXT,
    verdict=one_of("found", "missed", "not yet covered"),
    records=COUNT,
    found=COUNT,
    by=listed(TEXT),
)

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "custody_verify": (
        "casemate custody verify --json",
        an_object(
            verified=TRUTH,
            problems=listed(an_object(where=TEXT, what=TEXT)),
            notes=listed(TEXT),
            custody_lines=COUNT,
            parts=COUNT,
            blobs=COUNT,
            bytes=COUNT,
            head=TEXT,
            timestamps=listed(an_object(**STAMP["properties"], lines=COUNT)),
        ),
    ),
    "init": ("casemate init --json", an_object(case=TEXT, settings=TEXT)),
    "doctor": (
        "casemate doctor --json",
        an_object(
            well=TRUTH,
            checks=listed(
                an_object(name=TEXT, well=TRUTH, seen=TEXT, needed=TRUTH, purpose=NULL_TEXT, remedy=NULL_TEXT)
            ),
        ),
    ),
    "case_pack": (
        "casemate case pack|unpack --json",
        an_object(place=TEXT, files=COUNT, bytes=COUNT, archive_bytes=or_null(COUNT), head=SHA256, notes=listed(TEXT)),
    ),
    "custody_seal": (
        "casemate custody seal --json",
        an_object(
            key=TEXT,
            made=TRUTH,
            case=or_null(SHA256),
            lines=or_null(COUNT),
            head=or_null(SHA256),
            time=TIME,
            file=NULL_TEXT,
            timestamp=or_null(an_object(**STAMP["properties"], url=TEXT)),
            note=NULL_TEXT,
        ),
    ),
    "rerun": (
        "casemate rerun --json",
        an_object(
            identical=TRUTH,
            run=TEXT,
            run_again=TEXT,
            evidence=COUNT,
            findings=COUNT,
            notes=listed(TEXT),
            tables=listed(
                an_object(
                    table=TEXT,
                    identical=TRUTH,
                    rows=COUNT,
                    rows_again=COUNT,
                    hash=SHA256,
                    hash_again=SHA256,
                    missing=COUNT,
                    added=COUNT,
                    first_missing=listed(ANY_OBJECT),
                    first_added=listed(ANY_OBJECT),
                )
            ),
        ),
    ),
    "export": (
        "casemate export --json",
        an_object(
            to=one_of(*TARGETS),
            only=one_of(*SCOPES),
            findings=COUNT,
            records=COUNT,
            files=listed(an_object(path=TEXT, bytes=COUNT, sha256=SHA256)),
            notes=listed(TEXT),
        ),
    ),
    "report": (
        "casemate report --json",
        an_object(path=TEXT, bytes=COUNT, sha256=SHA256, findings=COUNT, findings_in_detail=COUNT, records_shown=COUNT),
    ),
    "demo": (
        "casemate demo --json",
        an_object(
            folder=TEXT,
            records=COUNT,
            score=an_object(
                steps=listed(STEP),
                decoys_accused=listed(STEP),
                decoys=COUNT,
                ordinary_accused=counts(),
                benign_records=COUNT,
                missing_logs_seen=TRUTH,
                holes=listed(an_object(label=TEXT, title=TEXT, found=TRUTH, said=NULL_TEXT)),
                clocks_accused=listed(TEXT),
                noise=or_null(
                    an_object(title=TEXT, records=COUNT, found=COUNT, by=listed(TEXT), where=TEXT, reason=TEXT)
                ),
            ),
            summary=SUMMARY,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
