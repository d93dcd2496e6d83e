"""The records that a finding rests on: their addresses, rows, originals and neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from casemate.case import Case
from casemate.engine.lookup import Ranges, among, rows_at, rows_where, runs_of
from casemate.evidence.records import ARTIFACTS_TABLE, OriginalRecord, RecordPlace, find_place
from casemate.explore.why_model import Neighbour, ShownRecord
from casemate.schema.native import FIXED_NAMES

ADDRESSES = 1_000
"""Most record addresses told; ``record_count`` says how many there are."""
NEIGHBOURS = 2
"""Records before and after the first one."""
TEXT_BYTES = 16_384
"""Most of a record's text; as with every cut, its length is told."""
BINARY = b"**\x00\x00"
"""How a record of a Windows event log begins."""
PACKET_TABLES = ("packet", "smb1_message")
"""Records of these tables are packets as captured."""
LAST = datetime.max.replace(tzinfo=UTC)


def members_of(case: Case, finding: str, table: str) -> Ranges:
    columns = ["finding", "evidence", "record"]
    held: dict[str, list[int]] = {}
    for batch in rows_where(case.part_paths(table), "finding", among([finding]), columns):
        for evidence, record in zip(
            batch.column("evidence").to_pylist(), batch.column("record").to_pylist(), strict=True
        ):
            held.setdefault(evidence, []).append(record)
    return {evidence: runs_of(numbers) for evidence, numbers in sorted(held.items())}


def first_addresses(members: Ranges) -> list[str]:
    addresses: list[str] = []
    for evidence, runs in members.items():
        for first, last in runs:
            room = ADDRESSES - len(addresses)
            addresses += [f"{evidence}:{number}" for number in range(first, min(last + 1, first + room))]
    return addresses


def ranges_of(addresses: Iterable[str]) -> Ranges:
    held: dict[str, list[int]] = {}
    for address in addresses:
        evidence, _, record = address.rpartition(":")
        held.setdefault(evidence, []).append(int(record))
    return {evidence: runs_of(numbers) for evidence, numbers in held.items()}


def place_of(case: Case, address: str) -> RecordPlace:
    evidence, _, record = address.rpartition(":")
    return find_place(case.store, evidence, int(record))


def rows_of(case: Case, places: Sequence[RecordPlace]) -> dict[RecordPlace, pa.RecordBatch]:
    """Records as stored in their native tables."""
    found: dict[RecordPlace, pa.RecordBatch] = {}
    for table in dict.fromkeys(place.table for place in places):
        schema = case.schema(table)
        if schema is None or "time" not in schema.names:
            continue
        mine = {(one.evidence, one.record, one.offset): one for one in places if one.table == table}
        ranges = ranges_of(f"{evidence}:{record}" for evidence, record, _ in mine)
        for batch in rows_at(case.part_paths(table), ranges, schema.names):
            keys = zip(*(batch.column(name).to_pylist() for name in ("evidence", "record", "offset")), strict=True)
            found |= {mine[key]: batch.slice(number, 1) for number, key in enumerate(keys) if key in mine}
    return found


def record_of(
    case: Case, place: RecordPlace, near: Sequence[OriginalRecord], rows: Mapping[RecordPlace, pa.RecordBatch]
) -> ShownRecord:
    row = rows.get(place)
    here = next(number for number, one in enumerate(near) if one.place == place)
    own = near[here]
    fields = fields_of(row) if row is not None else {}
    time = row.to_pylist()[0]["time"] if row is not None else None
    beside = [*near[:here], *near[here + 1 :]]
    told = _neighbours(case, beside, rows)
    return ShownRecord(
        id=f"{place.evidence}:{place.record}",
        table=place.table,
        time=None if time is None else time.isoformat().replace("+00:00", "Z"),
        path=own.path,
        member_path=own.member_path,
        format=own.format,
        offset=place.offset,
        length=place.length,
        sha256=own.sha256,
        content=None if _is_binary(own) else own.content[:TEXT_BYTES].decode("utf-8", "backslashreplace"),
        fields=fields,
        before=tuple(told[:here]),
        after=tuple(told[here:]),
    )


def _is_binary(record: OriginalRecord) -> bool:
    """Whether a record's bytes are no text: binary XML of Windows, packets, artefacts."""
    return record.content.startswith(BINARY) or record.place.table in (*PACKET_TABLES, ARTIFACTS_TABLE)


def _neighbours(
    case: Case, beside: Sequence[OriginalRecord], rows: Mapping[RecordPlace, pa.RecordBatch]
) -> list[Neighbour]:
    told = []
    ranges = ranges_of(f"{one.place.evidence}:{one.place.record}" for one in beside)
    fired: dict[str, list[str]] = {}
    columns = ["finding", "evidence", "record"]
    for batch in rows_at(case.part_paths("finding_records"), ranges, columns) if ranges else ():
        for row in batch.to_pylist():
            fired.setdefault(f"{row['evidence']}:{row['record']}", []).append(row["finding"])
    for one in beside:
        address = f"{one.place.evidence}:{one.place.record}"
        row = rows.get(one.place)
        time = row.to_pylist()[0]["time_raw"] if row is not None else None
        if _is_binary(one) and row is not None:
            text = " ".join(f"{name}={value}" for name, value in fields_of(row).items())
        else:
            text = one.content[:TEXT_BYTES].decode("utf-8", "backslashreplace")
        told.append(Neighbour(address, time, text, tuple(sorted(fired.get(address, ())))))
    return told


def fields_of(row: pa.RecordBatch) -> dict[str, str]:
    """Fields of one record by name, those of ``rest`` among them."""
    values = row.to_pylist()[0]
    found = {
        name: str(value)
        for name, value in values.items()
        if value is not None and name not in FIXED_NAMES and name != "rest"
    }
    rest = json_of(values.get("rest") or "{}")
    if isinstance(rest, Mapping):
        found |= {
            str(name): value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in rest.items()
            if value is not None
        }
    return found


def times_of(case: Case, addresses: Sequence[str]) -> dict[str, datetime]:
    """The times of records that have one."""
    ranges = ranges_of(addresses)
    times: dict[str, datetime] = {}
    for table in case.tables() if ranges else ():
        schema = case.schema(table)
        if schema is None or not {"evidence", "record", "time", "offset"} <= set(schema.names):
            continue
        for batch in rows_at(case.part_paths(table), ranges, ["evidence", "record", "time"]):
            for row in batch.to_pylist():
                if row["time"] is not None:
                    times[f"{row['evidence']}:{row['record']}"] = row["time"]
    return times


def json_of(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
