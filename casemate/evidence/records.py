"""Any record of the case as it stands in the evidence, by its address ``evidence:record``.

The tables say where a record lies (kept records and rejected ones alike), the evidence gives the
bytes.  An address outlives a growing log: a record of the older content is found under the newer
evidence too, and a last line that was unfinished is found where it is whole now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from casemate.engine.lookup import among, rows_at, rows_where
from casemate.engine.store import Store
from casemate.errors import BadInput, CaseDamaged
from casemate.evidence.blobs import source_of
from casemate.evidence.continuing import ADDRESSED
from casemate.evidence.known import EVIDENCE_TABLE, REGISTRATIONS_TABLE, rows
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.reading import REJECTS_TABLE
from casemate.limits import MIB

ARTIFACTS_TABLE = "artifacts"
"""Contents that are one record each, whatever reader may have read them as text as well."""
SHOWN_CANDIDATES = 8
FIRST_WINDOW = 64
READ_BYTES = MIB
ARTIFACT_BYTES = MIB
"""Bytes that are told of an artefact, which may be larger than memory; ``record --raw`` writes all of it."""


@dataclass(frozen=True)
class RecordPlace:
    """Where one record stands.

    Args:
        evidence, record: its address.
        table: the native table that holds it, or ``rejects``.
        offset, length: bytes of the whole content of the evidence, without a line end.
        reason: why it was rejected; None for a kept record.
    """

    evidence: str
    record: int
    table: str
    offset: int
    length: int
    reason: str | None = None


@dataclass(frozen=True)
class OriginalRecord:
    """A record exactly as it stands in the evidence.

    Args:
        place: its address and position.
        content: the bytes, without a line end; of an artefact the first :data:`ARTIFACT_BYTES`.
        sha256: hash of the whole record.
        path: a path under which the evidence was registered.
        member_path: the name inside the container at `path`, if it came out of one.
        format: of the evidence.
        others: further places with the same number (only damaged evidence has them).
    """

    place: RecordPlace
    content: bytes
    sha256: str
    path: str
    member_path: str | None
    format: str
    others: tuple[RecordPlace, ...] = ()


def parse_address(address: str) -> tuple[str, int]:
    """``evidence:record`` as beginning of a hash and record number.

    Raises:
        BadInput: it is not of that form.
    """
    evidence, colon, number = address.strip().rpartition(":")
    if not colon or not evidence or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise BadInput("is not an address of a record", where=repr(address), hint="write it as <evidence>:<record>")
    return evidence, int(number)


def find_evidence(store: Store, beginning: str) -> str:
    """The evidence whose hash begins so.

    Raises:
        BadInput: none does, or several (they are listed).
    """
    wanted = beginning.strip().lower()
    found = sorted(sha256 for sha256 in store.state.blobs if sha256.startswith(wanted)) if wanted else []
    if not found:
        raise BadInput(f"no evidence in this case begins with '{beginning}'")
    if len(found) > 1:
        listed = ", ".join(sha256[: len(wanted) + 8] for sha256 in found[:SHOWN_CANDIDATES])
        more = f" and {len(found) - SHOWN_CANDIDATES} more" if len(found) > SHOWN_CANDIDATES else ""
        raise BadInput(f"'{beginning}' is the beginning of {len(found)} pieces of evidence: {listed}{more}")
    return found[0]


def original(store: Store, beginning: str, record: int, *, readers: Sequence[ReaderSpec] = READERS) -> OriginalRecord:
    """The record `record` of the evidence whose hash begins with `beginning`.

    Raises:
        BadInput: there is no such evidence or record.
        CaseDamaged, UnreadableEvidence: the bytes are not there any more.
    """
    evidence = find_evidence(store, beginning)
    facts = _evidence_facts(store)
    places = _places_along(store, evidence, record, facts, readers)
    if not places:
        raise BadInput(f"evidence {evidence[:12]} has no record {record}", hint=_hint(facts.get(evidence)))
    return _read(store, places[0], places[1:], facts)


def find_place(store: Store, beginning: str, record: int, *, readers: Sequence[ReaderSpec] = READERS) -> RecordPlace:
    """Where the record `record` of the evidence whose hash begins with `beginning` stands; its bytes are not read.

    Raises:
        BadInput: there is no such evidence or record.
    """
    evidence = find_evidence(store, beginning)
    facts = _evidence_facts(store)
    places = _places_along(store, evidence, record, facts, readers)
    if not places:
        raise BadInput(f"evidence {evidence[:12]} has no record {record}", hint=_hint(facts.get(evidence)))
    return places[0]


def around(
    store: Store, place: RecordPlace, count: int, *, readers: Sequence[ReaderSpec] = READERS
) -> list[OriginalRecord]:
    """The record at `place` with up to `count` records of its evidence before and after it, in order."""
    facts = _evidence_facts(store)
    chain = _chain(place.evidence, facts)
    window = max(FIRST_WINDOW, 2 * count)
    while True:
        low, high = place.record - window, place.record + window
        near = [found for sha256 in chain for found in _places(store, sha256, low, high, facts, readers)]
        near.sort(key=lambda found: (found.record, found.offset))
        before = [found for found in near if (found.record, found.offset) < (place.record, place.offset)]
        after = [found for found in near if (found.record, found.offset) > (place.record, place.offset)]
        if (len(before) >= count and len(after) >= count) or window > 1 << 40:
            break
        window *= 64
    chosen = [*before[max(0, len(before) - count) :], place, *after[:count]]
    return [_read(store, found, [], facts) for found in chosen]


def content_of(store: Store, place: RecordPlace) -> Iterator[bytes]:
    """The bytes of a record piece by piece: a rejected line may be larger than memory.

    Raises:
        CaseDamaged, UnreadableEvidence: they are not there any more.
    """
    left = place.length
    with source_of(store.root, store.state.blobs, place.evidence).open() as stream:
        stream.seek(place.offset)
        while left:
            data = stream.read(min(left, READ_BYTES))
            if not data:
                raise CaseDamaged("the evidence ends before the record does", where=f"{place.evidence}:{place.record}")
            left -= len(data)
            yield data


@dataclass(frozen=True)
class _Facts:
    format: str
    records: int
    continues: str | None


def _evidence_facts(store: Store) -> dict[str, _Facts]:
    columns = ["evidence", "format", "records", "continues"]
    return {sha256: _Facts(*facts) for sha256, *facts in rows(store, EVIDENCE_TABLE, columns)}


def _hint(facts: _Facts | None) -> str | None:
    if facts is None:
        return None
    if not facts.records:
        return f"it is of format {facts.format} and holds no records"
    return f"it is of format {facts.format} and holds {facts.records:,} records"


def _chain(evidence: str, facts: dict[str, _Facts]) -> list[str]:
    """The evidence, what it continues, and what continues it: one log at different times."""
    chain: list[str] = []
    at: str | None = evidence
    while at is not None and at in facts and at not in chain:
        chain.append(at)
        at = facts[at].continues
    later = {evidence}
    for sha256, known in facts.items():  # in the order of arrival, so one pass follows a chain forward
        if known.continues in later and sha256 not in chain:
            later.add(sha256)
            chain.append(sha256)
    return chain


def _places_along(
    store: Store, evidence: str, record: int, facts: dict[str, _Facts], readers: Sequence[ReaderSpec]
) -> list[RecordPlace]:
    for sha256 in _chain(evidence, facts):
        places = _places(store, sha256, record, record, facts, readers)
        if places:
            return places
    return []


def _places(
    store: Store, evidence: str, low: int, high: int, facts: dict[str, _Facts], readers: Sequence[ReaderSpec]
) -> list[RecordPlace]:
    """Records of one evidence numbered `low` to `high`; only parts whose statistics allow it are read."""
    # not with dataset filters: the module for them takes longer to import than the rest to answer
    ranges = {evidence: ((low, high),)}
    found: list[RecordPlace] = []
    for table in _tables(store, facts.get(evidence), readers):
        columns = ["record", "offset", "length", *(["reason"] if table == REJECTS_TABLE else [])]
        for batch in rows_at(store.part_paths(table), ranges, columns):
            for row in batch.to_pylist():
                found.append(
                    RecordPlace(evidence, row["record"], table, row["offset"], row["length"], row.get("reason"))
                )
    return sorted(_once(found), key=lambda place: (place.record, place.offset))


def _once(found: Sequence[RecordPlace]) -> list[RecordPlace]:
    """Each place once: rows of several tables may rest on one record, as a packet and the connection it begins."""
    places: dict[tuple[int, int, int], RecordPlace] = {}
    for place in found:
        places.setdefault((place.record, place.offset, place.length), place)
    return list(places.values())


def _tables(store: Store, facts: _Facts | None, readers: Sequence[ReaderSpec]) -> list[str]:
    """Tables in which records of that format can be."""
    filled = store.tables()
    reader = next((reader for reader in readers if facts is not None and reader.format == facts.format), None)
    if reader is not None:
        wanted = {REJECTS_TABLE, ARTIFACTS_TABLE, *(table.name for table in reader.tables)}
        return [table for table in filled if table in wanted]
    schemas = {table: store.schema(table) for table in filled}
    return [table for table, schema in schemas.items() if schema is not None and set(schema.names) >= ADDRESSED]


def _read(store: Store, place: RecordPlace, others: Sequence[RecordPlace], facts: dict[str, _Facts]) -> OriginalRecord:
    if place.table == ARTIFACTS_TABLE:
        content, digest = _beginning(store, place), place.evidence
    else:
        content = b"".join(content_of(store, place))
        digest = hashlib.sha256(content).hexdigest()
    path, member_path = _registered(store, place.evidence)
    known = facts.get(place.evidence)
    return OriginalRecord(
        place=place,
        content=content,
        sha256=digest,
        path=path,
        member_path=member_path,
        format=known.format if known is not None else "unknown",
        others=tuple(others),
    )


def _beginning(store: Store, place: RecordPlace) -> bytes:
    with source_of(store.root, store.state.blobs, place.evidence).open() as stream:
        return stream.read(min(place.length, ARTIFACT_BYTES))


def _registered(store: Store, evidence: str) -> tuple[str, str | None]:
    """The first registration of an evidence."""
    columns = ["evidence", "path", "member_path"]
    for batch in rows_where(store.part_paths(REGISTRATIONS_TABLE), "evidence", among([evidence]), columns):
        for row in batch.to_pylist():
            return row["path"], row["member_path"]
    return "", None
