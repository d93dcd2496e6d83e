"""``casemate show origins``."""

from __future__ import annotations

from casemate.cli.schemas.shapes import ORIGINS
from casemate.cli.schemas.words import ANY_OBJECT, TEXT, Schema, an_object, listed, or_null

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "origins": ("casemate show origins --json", or_null(ORIGINS)),
    "origins_address": (
        "casemate show origins --address ADDRESS --json",
        or_null(
            an_object(
                address=TEXT,
                as_looked_up={**listed(ANY_OBJECT), "description": "its rows of the table origins, one per span"},
                blocks=listed(an_object(source=TEXT, dated=TEXT, came_from=TEXT, block=TEXT, says=ANY_OBJECT)),
            )
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
