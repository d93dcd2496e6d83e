"""JSON that no other reader knows: one record per object, everything in ``rest``.

Nested objects are dotted names; arrays stay JSON.  The time is taken from the first well-known name
that the record has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_rows import read_json
from casemate.evidence.readers.json_shapes import is_documents, is_lines
from casemate.schema.native import NativeTable

JSON_RECORD = NativeTable("json_record", (), "JSON objects of a format that no reader knows.")

TIMES = (
    "@timestamp",
    "timestamp",
    "time",
    "TimeGenerated",
    "TimeCreated",
    "CreationTime",
    "eventTime",
    "EventTime",
    "event_time",
    "datetime",
    "date",
    "ts",
)
NOTE = "JSON of a format that no reader knows; kept record by record in the table 'json_record'"

_RANK = {name: rank for rank, name in enumerate(TIMES)}


def arrange(keys: Keys) -> Arrangement:
    """All fields into ``rest``, the time from the best name."""
    times = sorted((place for place, key in enumerate(keys) if key in _RANK), key=lambda place: _RANK[keys[place]])
    return Arrangement(JSON_RECORD.name, (None,) * len(keys), tuple(times))


def recognise(head: bytes) -> int:
    """10 for lines of JSON objects: any reader that knows their fields is more confident."""
    return 10 if is_lines(head) else 0


def recognise_documents(head: bytes) -> int:
    """9 for a JSON array or an object that spans lines."""
    return 9 if is_documents(head) else 0


def read(source: Source, context: ReadContext, *, documents: bool = False) -> Iterator[Rows | Reject | Tally]:
    """Every JSON object as one record."""
    for item in read_json(source, context, (JSON_RECORD,), arrange, documents=documents):
        yield Tally(item.records, item.structure, (NOTE, *item.notes)) if isinstance(item, Tally) else item


JSON_LINES = ReaderSpec("json", 1, (JSON_RECORD,), recognise, read, continues=True)
JSON_DOCUMENTS = ReaderSpec("json-documents", 1, (JSON_RECORD,), recognise_documents, partial(read, documents=True))
