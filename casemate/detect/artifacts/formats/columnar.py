"""Parquet and Arrow files: data sets in columns.

Definition: parquet-format 2.11; Arrow columnar format 1.5.  Read by pyarrow.  Loaders: pandas, datasets, polars;
pyarrow before 14.0.1 unpickled the metadata of ``arrow.py_extension_type`` columns (CVE-2023-47248).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.hub_config import inspect_values
from casemate.detect.artifacts.formats.plain_text import judge_table
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.streams import harm_in
from casemate.detect.artifacts.sources.text import look_for_encoded

MOST_READ = 512 << 20
ROWS = 8192
CONTINUES = b"\xff\xff\xff\xff"
MOST_SCHEMA = 64 << 20
LOADED = (
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
    b"c",
    b"(",
    b"\x93NUMPY",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"x\x9c",
    b"\x28\xb5\x2f\xfd",
)

EXTENSION = Rule(
    "columns.pickled_type", "malicious", UNSAFE_ARTIFACT, "unpickles the metadata of the column's type (old pyarrow)"
)
PAYLOAD = Rule("columns.pickled_value", "malicious", EMBED_MALWARE, "a program that unpickles the column runs it")
PROGRAM = Rule("columns.program", "suspicious", EMBED_MALWARE, "a program gets machine code from the column")
BROKEN = Rule("columns.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads what comes before the damage")
TOO_MUCH = Rule("columns.too_much", "unscannable", None, "reads rows that were not read here")


def recognise(content: Content) -> bool:
    """Whether the magic stands at the beginning."""
    head = content.head(8)
    return head[:4] in (b"PAR1", b"PARE") or head[:6] == b"ARROW1" or _is_stream(content)


def _is_stream(content: Content) -> bool:
    """Whether it is a stream of Arrow messages (as the cache of ``datasets`` has them): a schema comes first."""
    head = content.head(8)
    size = int.from_bytes(head[4:], "little")
    if head[:4] != CONTINUES or not 16 <= size <= min(content.size - 8, MOST_SCHEMA):
        return False
    import pyarrow as pa

    try:
        pa.ipc.read_schema(pa.py_buffer(content.read(0, size + 8)))
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True


def inspect(content: Content, inspection: Inspection) -> None:
    """Judge metadata and all values that are text or bytes."""
    import pyarrow as pa

    at = content.find(b"arrow.py_extension_type")
    if at >= 0:
        inspection.report(EXTENSION, "a column whose type is a pickle", at)
    try:
        schema, batches = _open(content)
        _metadata(schema, inspection)
        read = 0
        for batch in batches:
            read += batch.nbytes
            inspection.budget.unpack(batch.nbytes)
            batch.validate(full=True)  # offsets that lead out of the buffers would end this process
            if read > MOST_READ and not inspection.options.full:
                inspection.report(TOO_MUCH, f"more than {MOST_READ} bytes of values")
                break
            for index, column in enumerate(batch.columns):
                _column(column, schema.names[index], inspection)
        inspection.own_all()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, NotImplementedError, SystemError) as error:
        inspection.own_all()
        inspection.report(BROKEN, f"{type(error).__name__}: {error}"[:200])
        hunt(content, [(0, content.size)], inspection)


def _open(content: Content) -> tuple[Any, Iterator[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.py_buffer(memoryview(content.buffer)[content.begin : content.end])
    if content.head(4) == b"PAR1":
        file = pq.ParquetFile(pa.BufferReader(buffer))
        return file.schema_arrow, file.iter_batches(ROWS, use_threads=False)
    if content.head(4) == CONTINUES:
        stream = pa.ipc.open_stream(pa.BufferReader(buffer))
        return stream.schema, iter(stream)
    reader = pa.ipc.open_file(pa.BufferReader(buffer))
    return reader.schema, (reader.get_batch(index) for index in range(reader.num_record_batches))


def _metadata(schema: Any, inspection: Inspection) -> None:
    tables = [("(schema)", schema.metadata or {}), *((field.name, field.metadata or {}) for field in schema)]
    for name, table in tables:
        for key, value in table.items():
            if b"extension:metadata" in key and value.startswith(LOADED):
                for reason in harm_in(Content.of(f"{name} metadata", bytes(value)), inspection)[:2]:
                    inspection.report(EXTENSION, reason.text, member=name, effect=reason.loader_effect)
            elif len(value) > 24 and key != b"ARROW:schema":
                if value[:1] == b"\x80":
                    _value(bytes(value), name, inspection)
                look_for_encoded(value.decode("latin-1"), inspection, name)


def _column(column: Any, name: str, inspection: Inspection) -> None:
    import pyarrow as pa

    for values in _leaves(column, 0):
        kind = values.type
        if pa.types.is_dictionary(kind):
            values, kind = values.dictionary, values.dictionary.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
            texts = [value for value in values.to_pylist() if value]
            look_for_encoded("\n".join(texts), inspection, name)
            _objects_in(texts, name, inspection)
            judge_table("\n".join(value.replace("\n", " ") for value in texts), inspection, name)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            for value in values.to_pylist():
                if value and value.startswith((*LOADED, b"\x7fELF", b"MZ")):
                    _value(value, name, inspection)


def _objects_in(texts: list[str], name: str, inspection: Inspection) -> None:
    """JSON in cells whose keys name objects to build, as jsonpickle writes it."""
    for text in texts:
        if '"py/' in text and text.lstrip()[:1] in ("{", "["):
            with suppress(orjson.JSONDecodeError, RecursionError):
                inspect_values(orjson.loads(text), inspection, f"{name} value")


def _leaves(column: Any, depth: int) -> Iterator[Any]:
    import pyarrow as pa

    if depth > 16:
        return
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        yield from _leaves(column.storage, depth + 1)
    elif pa.types.is_struct(kind):
        for part in column.flatten():
            yield from _leaves(part, depth + 1)
    elif pa.types.is_map(kind):
        yield from _leaves(column.keys, depth + 1)
        yield from _leaves(column.items, depth + 1)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(column.flatten(), depth + 1)
    else:
        yield column


def _value(value: bytes, name: str, inspection: Inspection) -> None:
    if value.startswith((b"\x7fELF\x01", b"\x7fELF\x02")) or (value.startswith(b"MZ") and b"PE\0\0" in value[:4096]):
        inspection.report(PROGRAM, f"machine code of {len(value)} bytes in the column {name!r}"[:200], member=name)
        return
    for reason in harm_in(Content.of(f"{name} value", value), inspection)[:1]:
        inspection.report(PAYLOAD, f"in the column {name!r}: {reason.text}", member=name, effect=reason.loader_effect)


FORMAT = Format("columns", recognise, inspect, (".parquet", ".arrow", ".arrows", ".feather"))
