"""What is true in a case: the live parts, schemas and blobs, folded from its commits in order.

The store writes commits (:mod:`casemate.engine.store`), some ledger keeps them; this file knows
what they look like and refuses those that name anything outside the case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from casemate.engine.files import BLOB_PATH, PART_PATH
from casemate.engine.parts import Part, schema_from_json, schema_to_json
from casemate.errors import CaseDamaged


@dataclass(frozen=True)
class Blob:
    """Where the content of one evidence lies.

    Args:
        evidence: SHA-256 of the whole content, hex.
        begin: offset in the content at which the bytes kept here begin; 0 unless it `continues`.
        bytes: length of the content kept here; the whole content is ``begin + bytes`` long.
        continues: the evidence that holds the content before `begin`, if any.
        path: place in the case folder, or None when the content was left where it is.
        stored_bytes, sha256: of the stored file (0 and None without one).
        reference: absolute path of the file that was left where it is, or None.
    """

    evidence: str
    begin: int
    bytes: int
    continues: str | None
    path: str | None
    stored_bytes: int
    sha256: str | None
    reference: str | None

    @property
    def size(self) -> int:
        """Length of the whole content."""
        return self.begin + self.bytes


@dataclass
class LiveState:
    """Live parts by path, blobs by evidence, and the number of commits that led there."""

    commits: int = 0
    parts: dict[str, Part] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    schemas: dict[str, pa.Schema] = field(default_factory=dict)
    columns: dict[str, list[list[Any]]] = field(default_factory=dict)
    """The schemas again as JSON values, as the commits gave them."""
    superseded: dict[str, Part] = field(default_factory=dict)
    """Parts that the last commit removed.  Their files stay until the next commit, so that the case
    is whole again if the last line turns out to be torn and is cut."""
    tables: dict[str, str] = field(default_factory=dict)
    """Schema id of the newest part each table ever had."""

    def apply(self, commit: Mapping[str, Any]) -> None:
        """Fold one commit in.

        Raises:
            CaseDamaged: it names paths outside the case, or does not fit what came before.
        """
        try:
            self._apply(commit)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CaseDamaged(f"a commit cannot be read: {error!r}", where="custody.jsonl") from None

    def _apply(self, commit: Mapping[str, Any]) -> None:
        for name, columns in commit["schemas"].items():
            self.schemas[name], self.columns[name] = schema_from_json(columns), columns
        self.superseded = {}
        for path in commit["removed"]:
            if path not in self.parts:
                raise CaseDamaged("a commit removes a part that is not live", where=repr(path))
            self.superseded[path] = self.parts.pop(path)
        for entry in commit["added"]:
            part = _part(entry, self.schemas)
            if part.path in self.parts:
                raise CaseDamaged("a commit adds a part twice", where=part.path)
            self.parts[part.path] = part
            self.tables[part.table] = entry["schema"]
        for entry in commit["blobs"]:
            blob = _blob(entry)
            if blob.continues is not None and blob.begin != self.blobs[blob.continues].size:
                raise CaseDamaged("evidence does not begin where the evidence it continues ends", where=blob.evidence)
            self.blobs.setdefault(blob.evidence, blob)
        self.commits += 1

    def live_parts(self, table: str) -> list[Part]:
        """Live parts of a table in the order in which they were committed."""
        return [part for part in self.parts.values() if part.table == table]

    def schema(self, table: str) -> pa.Schema | None:
        """The newest schema of a table, then columns only older live parts have; None if it never had a part."""
        if table not in self.tables:
            return None
        schema = self.schemas[self.tables[table]]
        known = {name.lower() for name in schema.names}
        for part in self.live_parts(table):
            if part.schema is self.schemas[self.tables[table]]:
                continue
            for column in part.schema:
                if column.name.lower() not in known:
                    known.add(column.name.lower())
                    schema = schema.append(column.with_nullable(True))
        return schema

    def manifest(self) -> bytes:
        """The derived file ``manifest``: schema and live parts of every table, as JSON."""
        tables = {}
        for table in sorted(self.tables):
            newest, schema = self.tables[table], self.schema(table)
            assert schema is not None
            columns = self.columns[newest] if schema is self.schemas[newest] else schema_to_json(schema)
            parts = [
                {"path": part.path, "rows": part.rows, "bytes": part.bytes, "sha256": part.sha256}
                for part in self.live_parts(table)
            ]
            tables[table] = {"schema": columns, "parts": parts}
        return orjson.dumps({"commits": self.commits, "tables": tables}, option=orjson.OPT_INDENT_2) + b"\n"


def schema_id(schema: pa.Schema) -> str:
    """Name of a schema in commits: a hash of its columns."""
    return hashlib.sha256(orjson.dumps(schema_to_json(schema))).hexdigest()[:16]


def part_to_json(part: Part) -> dict[str, Any]:
    """A part as a commit names it."""
    return {
        "table": part.table,
        "path": part.path,
        "rows": part.rows,
        "bytes": part.bytes,
        "sha256": part.sha256,
        "schema": schema_id(part.schema),
    }


def blob_to_json(blob: Blob) -> dict[str, Any]:
    """A blob as a commit names it."""
    return asdict(blob)


def _part(entry: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> Part:
    matched = PART_PATH.fullmatch(entry["path"])
    if matched is None or matched[1] != entry["table"]:
        raise CaseDamaged("a part lies outside its table", where=repr(entry["path"]))
    return Part(
        table=entry["table"],
        path=entry["path"],
        rows=_count(entry["rows"]),
        bytes=_count(entry["bytes"]),
        sha256=_sha256(entry["sha256"]),
        schema=schemas[entry["schema"]],
    )


def _blob(entry: Mapping[str, Any]) -> Blob:
    blob = Blob(**entry)
    _sha256(blob.evidence)
    for number in (blob.begin, blob.bytes, blob.stored_bytes):
        _count(number)
    if blob.continues is None and blob.begin:
        raise CaseDamaged("evidence begins inside nothing", where=blob.evidence)
    if blob.path is not None:
        matched = BLOB_PATH.fullmatch(blob.path)
        if matched is None or matched[1] != blob.evidence or blob.reference is not None:
            raise CaseDamaged("a blob lies outside its folder", where=repr(blob.path))
        _sha256(blob.sha256)
    elif not isinstance(blob.reference, str) or not blob.reference.startswith("/") or "\x00" in blob.reference:
        raise CaseDamaged("evidence by reference has no absolute path", where=blob.evidence)
    return blob


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError(value)
    return value
