"""JSON Schemas of every ``--json`` output, by command; ``scripts/document`` writes them to ``docs/schemas/``."""

from __future__ import annotations

from casemate.cli.schemas import cases, coverage, findings, gate, intel, look, origins, records, summary, tune
from casemate.cli.schemas.words import DESCRIPTION, DIALECT, Schema

SCHEMAS: dict[str, tuple[str, Schema]] = {
    **summary.SCHEMAS,
    **coverage.SCHEMAS,
    **findings.SCHEMAS,
    **look.SCHEMAS,
    **records.SCHEMAS,
    **cases.SCHEMAS,
    **tune.SCHEMAS,
    **intel.SCHEMAS,
    **origins.SCHEMAS,
    **gate.SCHEMAS,
}
"""By file name: which output it is of, and the schema."""


def published(name: str) -> Schema:
    """The schema of that name as it is published."""
    title, schema = SCHEMAS[name]
    return {"$schema": DIALECT, "title": title, "description": DESCRIPTION, **schema}
