"""The original text of records, for reading: masked, shortened, at most a few thousand at once."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import CasemateError
from casemate.explore.tables import native_filled, stored_tables
from casemate.export.content import reason
from casemate.masking import mask, mask_value
from casemate.schema.native import FIXED_NAMES

TEXT_CHARACTERS = 1_500
READ_BYTES = 16_384
"""Bytes of a record that are read: masked as a whole, so that no secret is cut in two, then shortened."""
BINARY_TABLES = frozenset({"windows_event"})
EVTX_RECORD = b"**\x00\x00"


@dataclass(frozen=True)
class Original:
    """One record as the report shows it: where it stands and its text, masked; `note` says what was left out."""

    address: str
    table: str
    path: str
    text: str
    note: str | None = None


def originals(case: Case, addresses: list[str]) -> dict[str, Original]:
    """The originals of these records, by address; those that cannot be read any more say so."""
    if not addresses:
        return {}
    stored = stored_tables(case)
    engine = DuckDBEngine()
    engine.use(stored)
    pairs = [address.rpartition(":") for address in addresses]
    wanted = ibis.memtable(
        pa.table(
            {"evidence": [one[0] for one in pairs], "record": pa.array([int(one[2]) for one in pairs], pa.int64())}
        )
    )
    rows: list[dict[str, Any]] = []
    try:
        for name in native_filled(stored):
            table = engine.read(name)
            columns = table.columns if name in BINARY_TABLES else ["evidence", "record", "offset", "length"]
            held = table.semi_join(wanted, ["evidence", "record"]).select(*columns)
            rows += [{"table": name, **row} for row in engine.collect(held).to_pylist()]
        paths = _paths(engine, sorted({one[0] for one in pairs}))
    finally:
        engine.close()
    rows.sort(key=lambda row: (row["evidence"], row["offset"]))
    found: dict[str, Original] = {}
    evidence, stream = None, None
    for row in rows:
        address = f"{row['evidence']}:{row['record']}"
        if address in found:
            continue
        try:
            if row["evidence"] != evidence:
                if stream is not None:
                    stream.close()
                stream = None
                evidence = row["evidence"]
                stream = case.source(evidence).open()
            if stream is None:
                continue
            stream.seek(row["offset"])
            content = stream.read(min(row["length"], READ_BYTES))
        except (CasemateError, OSError) as error:
            found[address] = Original(
                address, row["table"], paths.get(row["evidence"], ""), "", f"not readable: {error}"
            )
            continue
        found[address] = _original(address, row, content, paths.get(row["evidence"], ""))
    if stream is not None:
        stream.close()
    return found


def _original(address: str, row: dict[str, Any], content: bytes, path: str) -> Original:
    if row["table"] in BINARY_TABLES and content.startswith(EVTX_RECORD):
        text = "\n".join(f"{name}: {value}" for name, value in _fields(row))
        note = "binary; its fields as read"
    else:
        text = mask(content.decode("utf-8", "backslashreplace"))
        note = None
    left = row["length"] - len(content)
    if left > 0 or len(text) > TEXT_CHARACTERS:
        note = f"{note + '; ' if note else ''}shortened, {row['length']:,} bytes in all"
    return Original(address, row["table"], path, text[:TEXT_CHARACTERS], note)


def _fields(row: dict[str, Any]) -> list[tuple[str, str]]:
    skipped = {"table", "rest", *FIXED_NAMES}
    fields = [(name, mask_value(value, name)) for name, value in row.items() if value and name not in skipped]
    rest = mask_value(reason(row["rest"])) if row.get("rest") else {}
    return [*fields, *((name, str(value)) for name, value in (rest.items() if isinstance(rest, dict) else ()))]


def _paths(engine: DuckDBEngine, evidence: list[str]) -> dict[str, str]:
    """A path of each evidence as it was registered, with the name inside its archive."""
    table = engine.read("registrations")
    held = table.semi_join(ibis.memtable({"evidence": evidence}), "evidence").order_by(["evidence", "path"])
    found: dict[str, str] = {}
    for row in engine.collect(held).to_pylist():
        member = f" > {row['member_path']}" if row["member_path"] else ""
        found.setdefault(row["evidence"], mask(f"{row['path']}{member}"))
    return found
