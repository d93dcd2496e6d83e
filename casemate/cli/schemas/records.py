"""Rows of a query, and records."""

from __future__ import annotations

from casemate.cli.schemas.words import ADDRESS, ANY_OBJECT, COUNT, NULL_TEXT, SHA256, TEXT, Schema, an_object

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "row": ("one line of casemate query --json, casemate show rows --json: keys are the columns", ANY_OBJECT),
    "record": (
        "one line of casemate record --json",
        an_object(
            id=ADDRESS,
            table=NULL_TEXT,
            path=TEXT,
            member_path=NULL_TEXT,
            format=TEXT,
            offset=COUNT,
            length=COUNT,
            sha256=SHA256,
            rejected=NULL_TEXT,
            content=TEXT,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
