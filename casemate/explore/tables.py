"""The tables of a case as an engine sees them: stored ones with their schemas, and the OCSF views."""

from __future__ import annotations

import ibis
import pyarrow as pa

from casemate.case import Case
from casemate.engine.protocol import Engine, StoredTable, StoredTables
from casemate.evidence.readers import READERS
from casemate.schema import attempts, case_tables, findings, rules
from casemate.views import ocsf_tables

DERIVED: dict[str, pa.Schema] = {
    "evidence": case_tables.EVIDENCE,
    "registrations": case_tables.REGISTRATIONS,
    "rejects": case_tables.REJECTS,
    "findings": findings.FINDINGS,
    "finding_records": findings.FINDING_RECORDS,
    "attempts": attempts.ATTEMPTS,
    "attempt_findings": attempts.ATTEMPT_FINDINGS,
    "rules": rules.RULES,
    "suppressed": rules.SUPPRESSED,
    "matched": rules.MATCHED,
}
"""Tables every case answers for, with or without rows."""

NATIVE: dict[str, pa.Schema] = {table.name: table.schema for reader in READERS for table in reader.tables}
"""Native tables of the readers this version has."""


def stored_tables(case: Case) -> StoredTables:
    """All tables of `case` now: those every case has, and every native table."""
    schemas = {**DERIVED, **NATIVE}
    for name in case.tables():
        schema = case.schema(name)
        if schema is not None:
            schemas[name] = schema
    return StoredTables(
        {name: StoredTable(schema, tuple(case.part_paths(name))) for name, schema in sorted(schemas.items())}
    )


def native_filled(stored: StoredTables) -> tuple[str, ...]:
    """Native tables that hold rows, sorted."""
    return tuple(name for name in stored.filled() if name not in DERIVED)


def views(engine: Engine, stored: StoredTables) -> dict[str, ibis.Table]:
    """The OCSF tables over what this case holds; classes without any row are empty tables."""
    return ocsf_tables(engine.read, native_filled(stored))
