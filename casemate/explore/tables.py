"""The tables of a case as an engine sees them: stored ones with their schemas, and the OCSF views."""

from __future__ import annotations

from collections.abc import Collection

import ibis
import pyarrow as pa

from casemate.case import Case
from casemate.engine.protocol import Engine, StoredTable, StoredTables
from casemate.evidence.readers import READERS
from casemate.schema import (
    annotations,
    artifacts,
    attempts,
    case_tables,
    content,
    decoded,
    findings,
    origins,
    rules,
    tuning,
)
from casemate.schema.ocsf import EVENT_CLASSES, EventClass
from casemate.views import fed_classes, ocsf_tables
from casemate.views.base import EVENT_COLUMNS

DERIVED: dict[str, pa.Schema] = {
    "evidence": case_tables.EVIDENCE,
    "registrations": case_tables.REGISTRATIONS,
    "rejects": case_tables.REJECTS,
    "findings": findings.FINDINGS,
    "finding_records": findings.FINDING_RECORDS,
    "attempts": attempts.ATTEMPTS,
    "attempt_findings": attempts.ATTEMPT_FINDINGS,
    "origins": origins.ORIGINS,
    "origin_categories": origins.ORIGIN_CATEGORIES,
    "origin_files": origins.ORIGIN_FILES,
    "artifacts": artifacts.ARTIFACTS,
    "artifact_looks": artifacts.ARTIFACT_LOOKS,
    "annotations": annotations.ANNOTATIONS,
    "rules": rules.RULES,
    "rule_texts": rules.RULE_TEXTS,
    "suppressed": rules.SUPPRESSED,
    "suppressed_findings": tuning.SUPPRESSED_FINDINGS,
    "suppressed_records": tuning.SUPPRESSED_RECORDS,
    "tuning_effects": tuning.TUNING_EFFECTS,
    "matched": rules.MATCHED,
    "decoded_text": decoded.DECODED_TEXT,
    "content_looks": content.CONTENT_LOOKS,
}
"""Tables every case answers for, with or without rows."""

NATIVE: dict[str, pa.Schema] = {table.name: table.schema for reader in READERS for table in reader.tables}
"""Native tables of the readers this version has."""


def stored_tables(case: Case) -> StoredTables:
    """All tables of `case` now: those every case has, and every native table."""
    declared = {**DERIVED, **NATIVE}
    return StoredTables({name: _stored(case, name, declared.get(name)) for name in sorted({*declared, *case.tables()})})


def _stored(case: Case, name: str, declared: pa.Schema | None) -> StoredTable:
    """One table with the columns this version declares, and after them any that older parts have besides."""
    parts = case.live_parts(name)
    fields = {field.name: field for field in (declared or ())}
    for part in parts:
        fields |= {field.name: field for field in part.schema if field.name not in fields}
    lacking = {}
    paths = case.part_paths(name)
    for part, path in zip(parts, paths, strict=True):
        missing = frozenset(fields) - set(part.schema.names)
        if missing:
            lacking[path] = missing
    return StoredTable(pa.schema(list(fields.values())), tuple(paths), lacking)


def native_filled(stored: StoredTables) -> tuple[str, ...]:
    """Native tables that hold rows, sorted."""
    return tuple(name for name in stored.filled() if name not in DERIVED)


def views(
    engine: Engine,
    stored: StoredTables,
    classes: Collection[EventClass] = EVENT_CLASSES,
    natives: Collection[str] | None = None,
) -> dict[str, ibis.Table]:
    """The OCSF tables over what this case holds; those that no record can be in are left out, unless all are.

    Args:
        classes: only these.
        natives: only of these native tables; of all that hold rows when None.
    """
    filled = [name for name in native_filled(stored) if natives is None or name in natives]
    events = events_there(engine, filled)
    # making an empty table takes longer than reading most
    return ocsf_tables(engine.read, filled, fed_classes(filled, classes, events) or classes, events=events)


def events_there(engine: Engine, filled: Collection[str]) -> dict[str, frozenset[str]]:
    """The events there are in those native tables whose views are in parts: a moment's question that saves many."""
    found = {}
    for name, column in EVENT_COLUMNS.items():
        if name in filled:
            values = engine.collect(engine.read(name).select(column).distinct()).column(column).to_pylist()
            found[name] = frozenset(value for value in values if value is not None)
    return found
