"""Windows events exported as JSON, into ``windows_event``, whatever tool wrote them.

Forms: flat records (NXLog, OTRF's Security-Datasets, Azure Monitor, ``Get-WinEvent | ConvertTo-Json``),
Winlogbeat (``winlog.*`` of ECS, nested or with dots in its keys; ``event_data.*`` before version 7; also below the
``_source`` of a document out of Elasticsearch), and the event's XML as JSON (``Event.System``, ``Event.EventData``;
see :mod:`windows_xml_json`).  One record a line, or arrays and pretty-printed documents.  The vocabulary is that of
:mod:`windows_fields`.

Time: the first of ``TIMES`` the record has, as recorded: no zone means UTC and the flag
``zone_assumed_utc``.  Exporters are known to write local time as UTC: where records also carry Sysmon's
``UtcTime`` and the two differ by more than ten minutes, a note says so.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_rows import read_json
from casemate.evidence.readers.json_shapes import first_objects, is_documents, is_lines
from casemate.evidence.readers.timestamps import read_iso
from casemate.evidence.readers.windows_fields import FIELD_PREFIXES, NAMES, NAMES_BESIDE, TIMES, WINDOWS_EVENT
from casemate.evidence.readers.windows_xml_json import rewriter

_COLUMNS = {name.lower(): name for name in WINDOWS_EVENT.columns}
_TIMES = {name: rank for rank, name in enumerate(TIMES)}
ARRANGEMENTS_REMEMBERED = 4_096
CLOCK_DIFFERENCE = 600_000_000  # microseconds
CLOCKS_COMPARED = 200  # records of a batch


@functools.lru_cache(maxsize=ARRANGEMENTS_REMEMBERED)
def arrange(keys: Keys) -> Arrangement:
    """Where the fields of a record with these keys go; files of one exporter share their lists of keys."""
    rewrite = rewriter(frozenset(keys))
    if rewrite is not None:
        return Arrangement(WINDOWS_EVENT.name, rewrite=rewrite)
    inner = [key.removeprefix(STORED_BELOW) for key in keys]
    names = [_own_name(key) for key in inner]
    place_of: dict[str, int] = {}
    for place, name in enumerate(names):
        place_of.setdefault(name, place)
    column_of = {place: name for name, place in place_of.items() if _COLUMNS.get(name.lower()) == name}
    filled = set(column_of.values())
    for column, aliases in NAMES.items():
        if column in filled:
            continue
        known = (*aliases, *(alias for alias, beside in NAMES_BESIDE.get(column, ()) if beside <= place_of.keys()))
        best = next((place_of[alias] for alias in known if alias in place_of), None)
        if best is not None:
            filled.discard(column_of.get(best, ""))
            column_of[best] = column
            filled.add(column)
    for place, name in enumerate(names):
        column = _COLUMNS.get(name.replace(" ", "").lower())
        if column is not None and place not in column_of and column not in filled:
            column_of[place] = column
            filled.add(column)
    times = sorted((place for place, key in enumerate(inner) if key in _TIMES), key=lambda place: _TIMES[inner[place]])
    return Arrangement(
        WINDOWS_EVENT.name,
        tuple(column_of.get(place) for place in range(len(keys))),
        tuple(times),
        _rest_names(keys, names, column_of),
    )


def _own_name(key: str) -> str:
    for prefix in FIELD_PREFIXES:
        if key.startswith(prefix) and len(key) > len(prefix):
            return key[len(prefix) :]
    return key


def _rest_names(keys: Keys, names: list[str], column_of: dict[int, str]) -> Keys:
    """Names in ``rest``: the field's own, or the whole path where two fields share one."""
    left = [place for place in range(len(keys)) if place not in column_of]
    counts = Counter(names[place] for place in left)
    return tuple(names[p] if counts[names[p]] == 1 or names[p] == keys[p] else keys[p] for p in range(len(keys)))


def recognise(head: bytes) -> int:
    """90 if the lines are JSON objects that look like Windows events."""
    return _confidence(head) if is_lines(head, ENVELOPE_KEYS) else 0


def recognise_documents(head: bytes) -> int:
    """The same for arrays and documents that span lines."""
    return _confidence(head) if is_documents(head, ENVELOPE_KEYS) else 0


def _confidence(head: bytes) -> int:
    seen = [looks_like_windows(record) for record in first_objects(head, LOOKED_AT, ENVELOPE_KEYS)]
    return 90 if seen and 2 * sum(seen) >= len(seen) else 0


LOOKED_AT = 8  # records
ENVELOPE_KEYS = ("Events", "events", "records", "value")
STORED_BELOW = "_source."
"""Prefix (after flattening) of the fields of a document as Elasticsearch gives it out."""


def looks_like_windows(record: dict[str, Any]) -> bool:
    """Whether one parsed record is an event of a Windows channel in any of the known forms."""
    stored = record.get("_source")
    if isinstance(stored, dict):
        record = stored
    event = record.get("Event", record)
    if isinstance(event, dict) and isinstance(event.get("System"), dict):
        system = event["System"]
        return "EventID" in system and "Linux" not in str(system.get("Channel"))
    winlog = record.get("winlog")
    if isinstance(winlog, dict):
        return bool(winlog.keys() & {"event_id", "channel", "event_data", "provider_name"})
    keys = {key.lower() for key in record}
    has_number = keys & {"eventid", "event_id", "winlog.event_id", "id"}
    has_log = keys & {"channel", "log_name", "logname", "winlog.channel", "eventlog"}
    has_source = keys & {
        "sourcename",
        "provider",
        "providername",
        "providerguid",
        "source_name",
        "eventsourcename",
        "provider_name",
        "winlog.provider_name",
    }
    if not has_number or not (has_log or has_source & {"eventsourcename", "providerguid", "source_name"}):
        return False
    return "Linux" not in str(record.get("Channel")) and (bool(has_source) or "hostname" in keys or "computer" in keys)


def read(source: Source, context: ReadContext, *, documents: bool = False) -> Iterator[Rows | Reject | Tally]:
    """Read Windows events; see the head of this file."""
    compared = differing = 0
    for item in read_json(source, context, (WINDOWS_EVENT,), arrange, documents=documents, envelope_keys=ENVELOPE_KEYS):
        if isinstance(item, Rows):
            more, apart = _compare_clocks(item.batch)
            compared, differing = compared + more, differing + apart
        if isinstance(item, Tally) and differing:
            item = replace(item, notes=(*item.notes, clock_note(compared, differing)))
        yield item


def clock_note(compared: int, differing: int) -> str:
    """What to say when the exporter's time and Sysmon's own UTC differ."""
    return (
        f"In {differing} of {compared} records compared, the time differs by more than ten minutes from Sysmon's "
        "UtcTime in the same record: the exporter seems to have written another zone's time as UTC."
    )


def _compare_clocks(batch: pa.RecordBatch) -> tuple[int, int]:
    if "UtcTime" not in batch.schema.names:
        return 0, 0
    texts, times = batch.column("UtcTime"), batch.column("time").cast(pa.int64())
    places = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    chosen = pa.array(places[:: max(1, len(places) // CLOCKS_COMPARED)])
    compared = differing = 0
    for text, time in zip(_texts_at(texts, chosen), times.take(chosen).to_pylist(), strict=True):
        own, _ = read_iso(text)
        if own is not None and time is not None:
            compared += 1
            differing += abs(own - time) > CLOCK_DIFFERENCE
    return compared, differing


def _texts_at(column: pa.Array, places: pa.Array) -> list[str]:
    """Values of a text column, of which only those asked for become Python objects."""
    taken = column.take(places)
    return (taken.dictionary_decode() if pa.types.is_dictionary(taken.type) else taken).to_pylist()


WINDOWS_JSON = ReaderSpec("windows-json", 2, (WINDOWS_EVENT,), recognise, read, continues=True)
WINDOWS_JSON_DOCUMENTS = ReaderSpec(
    "windows-json-documents", 2, (WINDOWS_EVENT,), recognise_documents, functools.partial(read, documents=True)
)
