"""HDF5: Keras' weights and old model files, PyTables, pandas.

Definition: HDF5 File Format Specification 3.0; read by h5py (metadata, attributes, small data sets; nothing is built).
Loaders: Keras (``model_config`` describes layers, see :mod:`.keras_config`), PyTables and pandas (pickled attributes
and objects), anything that follows external links, external storage and virtual data sets to other files.
"""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.json_document import judge_document
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.sources.text import look_for_encoded
from casemate.detect.artifacts.window import Window

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FIRST_PLACES = (0, 512, 1024, 2048, 4096, 8192)
MOST_OBJECTS = 200_000
PROBED_OPCODES = 10_000
MOST_ATTRIBUTE = 64 << 20
MOST_TEXTS = 10_000
MOST_DATA = 64 << 20
SPARSE = 1 << 30
LOADED = (b"\x80", b"(", b"c", b"]", b"}", b"\x93NUMPY", b"PK", b"\x1f\x8b", b"x\x9c", b"\x7fELF", b"MZ")
FILTERS = frozenset({1, 2, 3, 4, 5, 6, 257, 258, 307, 305, 32000, 32001, 32004, 32008, 32013, 32015, 32017, 32026})

EXTERNAL = Rule("hdf5.external_link", "suspicious", UNSAFE_ARTIFACT, "opens the other file and takes its content")
FAR_EXTERNAL = Rule("hdf5.external_path", "malicious", UNSAFE_ARTIFACT, "reads a file outside the model's folder")
DANGLING = Rule("hdf5.soft_link", "note", None, "follows the link inside the file, or finds nothing")
CONFIG = Rule("hdf5.config", "unscannable", CORRUPT_MODEL, "raises an error, or reads it if it forgives more")
FILTER = Rule("hdf5.filter", "suspicious", UNSAFE_ARTIFACT, "loads a plugin that can read the data")
HUGE = Rule("hdf5.huge_shape", "suspicious", CORRUPT_MODEL, "takes memory by the shape, for data that is not there")
MOST_HEAPS = 100_000
SMALLEST_HEAP = 4096
HEAP_HEADER = 16
USER_BLOCK = Rule("hdf5.user_block", "suspicious", EMBED_MALWARE, "passes over it; other programs read it")
BROKEN = Rule("hdf5.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads what comes before the damage")
LAMBDA_TEXT = Rule(
    "hdf5.lambda_text", "malicious", EMBED_MALWARE, "builds a function from the code in the file and calls it"
)
ENDLESS = Rule("hdf5.heap", "unscannable", CORRUPT_MODEL, "never comes back from a heap that leads nowhere")
TOO_MANY = Rule("hdf5.objects", "unscannable", None, "reads objects that were not read here")
_FAR = re.compile(r"^(?:/|[A-Za-z]:|\\\\|~|\w+://)|(?:^|[/\\])\.\.(?:[/\\]|$)")
_LAMBDA = re.compile(rb'"class_name"\s*:\s*"(?:Lambda|__lambda__|TFSMLayer)"')


def recognise(content: Content) -> bool:
    """Whether the signature stands where the library looks for it."""
    return _superblock(content) is not None


def _superblock(content: Content) -> int | None:
    if content.find(SIGNATURE, 0, FIRST_PLACES[-1] + 8) < 0:
        return None
    return next((place for place in FIRST_PLACES if content.read(place, 8) == SIGNATURE), None)


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk groups, links, attributes and small data sets."""
    start = _superblock(content) or 0
    end = _end_of_file(content, start)
    inspection.own(start, min(end, content.size) if end else content.size)
    if start:
        block = content.read(0, start)
        inspection.own(0, start)
        if block.strip(b"\0"):
            inspection.report(USER_BLOCK, f"{start} bytes before the file's beginning", 0)
            inspection.inner(content.part("(user block)", 0, start))
    at = _endless_heap(content, start)
    if at is not None:
        inspection.report(ENDLESS, f"the heap at {at} holds free space of no size", at)
    else:
        _walk(content, inspection)
    if content.size <= MOST_DATA or inspection.options.full:
        hunt(content, [(0, content.size)], inspection)
    match = _LAMBDA.search(content.buffer, content.begin, content.begin + min(content.size, 1 << 28))
    if match and not any(reason.severity == "malicious" for reason in inspection.findings.reasons):
        inspection.report(
            LAMBDA_TEXT, f"{match.group().decode()} in bytes that no object names", match.start() - content.begin
        )


def _walk(content: Content, inspection: Inspection) -> None:
    import h5py

    try:
        with h5py.File(Window(content), "r") as file:
            _Walk(file, inspection).walk()
    except MemoryError:
        raise
    except Exception as error:  # h5py passes on whatever the library stumbles over
        inspection.report(BROKEN, f"{type(error).__name__}: {error}"[:200])


def _endless_heap(content: Content, start: int) -> int | None:
    """Where a global heap stands that the library goes round in for ever: it steps over free space by its stated size.

    Definition: HDF5 File Format Specification 3.0, III.E; ``H5HG__cache_heap_deserialize`` in ``H5HGcache.c``.
    """
    place = {b"\0": 14, b"\1": 14, b"\2": 10, b"\3": 10}.get(content.read(start + 8, 1), 14)
    width = content.read(start + place, 1)[:1]
    count = width[0] if width and width[0] in (2, 4, 8) else 8
    found = -1
    for _ in range(MOST_HEAPS):
        found = content.find(b"GCOL\x01", found + 1)
        if found < 0:
            return None
        size = int.from_bytes(content.read(found + 8, count), "little")
        if size < SMALLEST_HEAP or found + size > content.size:
            continue
        heap = content.read(found, min(size, MOST_DATA))
        position = HEAP_HEADER
        while position + HEAP_HEADER <= len(heap):
            index = int.from_bytes(heap[position : position + 2], "little")
            length = int.from_bytes(heap[position + 8 : position + 8 + count], "little")
            if not index and length < HEAP_HEADER:
                return found
            position += length if not index else HEAP_HEADER + (length + 7) // 8 * 8
    return None


def _end_of_file(content: Content, start: int) -> int:
    version = content.read(start + 8, 1)
    place = {b"\0": 40, b"\1": 44, b"\2": 28, b"\3": 28}.get(version)
    return start + int.from_bytes(content.read(start + place, 8), "little") if place else 0


class _Walk:
    def __init__(self, file: Any, inspection: Inspection) -> None:
        self._file = file
        self._inspection = inspection
        self._seen: set[Any] = set()

    def walk(self) -> None:
        """Every object once, by the links that lead to it."""
        import h5py

        objects: Any = importlib.import_module("h5py.h5o")
        waiting = [(self._file["/"], "/")]
        while waiting:
            group, path = waiting.pop()
            self._attributes(group, path)
            for name in group:
                link = group.get(name, getlink=True)
                where = f"{path.rstrip('/')}/{name}"
                if isinstance(link, h5py.ExternalLink):
                    self._outside(f"the link {where!r} leads to {link.path!r} in", str(link.filename))
                    continue
                if isinstance(link, h5py.SoftLink):
                    self._inspection.report(DANGLING, f"the link {where!r} leads to {link.path!r}"[:200])
                    continue
                item = group.get(name)
                if item is None or item.id in self._seen:
                    continue
                info = objects.get_info(item.id)
                if (info.fileno, info.addr) in self._seen:
                    continue
                self._seen.add((info.fileno, info.addr))
                if len(self._seen) > MOST_OBJECTS:
                    self._inspection.report(TOO_MANY, f"more than {MOST_OBJECTS} objects")
                    return
                if isinstance(item, h5py.Group):
                    waiting.append((item, where))
                elif isinstance(item, h5py.Dataset):
                    self._attributes(item, where)
                    self._dataset(item, where)

    def _outside(self, what: str, name: str) -> None:
        rule = FAR_EXTERNAL if _FAR.search(name) else EXTERNAL
        self._inspection.report(rule, f"{what} the file {name!r}"[:300])

    def _attributes(self, item: Any, where: str) -> None:
        for name in item.attrs:
            identifier = item.attrs.get_id(name)
            if _stored(identifier) > MOST_ATTRIBUTE:
                self._inspection.report(CONFIG, f"the attribute {name!r} of {where!r} is too long to be read"[:200])
                continue
            try:
                value = item.attrs[name]
            except (TypeError, ValueError, OSError, KeyError) as error:
                self._inspection.report(CONFIG, f"the attribute {name!r} of {where!r} cannot be read: {error}"[:200])
                continue
            for part in _parts(value):
                self._text(part, f"{where}@{name}", name)

    def _text(self, value: bytes | str, where: str, name: str) -> None:
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        text = data.decode("utf-8", "replace")
        if text.lstrip()[:1] in ("{", "["):
            try:
                judge_document(json.loads(text), self._inspection, where)
            except (ValueError, RecursionError):
                if name in ("model_config", "training_config") or text.lstrip()[:1] == "{":
                    self._inspection.report(CONFIG, f"{where} is no JSON"[:200])
            look_for_encoded(text, self._inspection, where)
        elif len(data) > 16 and data.startswith(LOADED):
            self._bytes(data, where)
        elif len(data) > 24:
            look_for_encoded(text, self._inspection, where)

    def _bytes(self, data: bytes, where: str) -> None:
        from casemate.detect.artifacts.identify import possible_formats

        content = Content.of(where, data)
        formats = possible_formats(content)
        if formats and all(known.name == "pickle" for known in formats):
            trace = interpret(data, 0, len(data), PROBED_OPCODES)
            if trace.broken and not trace.events:  # numbers that begin like one
                return
        if any(known.runs_code for known in formats):
            self._inspection.inner(content)

    def _dataset(self, item: Any, where: str) -> None:
        for name, *_ in item.external or ():
            self._outside(f"the data set {where!r} lies in", str(name))
        if item.is_virtual:
            for source in item.virtual_sources():
                if source.file_name != ".":
                    self._outside(f"the data set {where!r} is put together from", str(source.file_name))
            return
        properties = item.id.get_create_plist()
        for index in range(properties.get_nfilters()):
            number, _, _, label = properties.get_filter(index)
            if number not in FILTERS:
                self._inspection.report(FILTER, f"the data set {where!r} needs the filter {number} {label!r}"[:200])
                return
        size = item.size or 0
        if size * item.dtype.itemsize > max(SPARSE, 64 * max(1, item.id.get_storage_size())):
            self._inspection.report(
                HUGE, f"{where!r} has the shape {item.shape}, {item.id.get_storage_size()} bytes are stored"[:200]
            )
            return
        if item.external or not size:
            return
        self._look_at_data(item, where, size)

    def _look_at_data(self, item: Any, where: str, size: int) -> None:
        """Texts and bytes that a program would load; numbers are only owned."""
        kind = item.dtype.kind
        if kind in "OSV" and item.dtype.names is None:
            if item.ndim == 0:
                values: Any = [item[()]]
            elif size * max(1, item.dtype.itemsize if kind != "O" else 1) <= MOST_DATA:
                values = item[:MOST_TEXTS] if item.ndim == 1 else item[()].ravel()[:MOST_TEXTS]
            else:
                self._inspection.report(TOO_MANY, f"{where!r} is too large to be read"[:200])
                return
            for value in values:
                for part in _parts(value):
                    self._text(part, where, "")
        elif kind in "ui" and item.dtype.itemsize == 1 and item.ndim == 1 and 16 < size <= MOST_DATA:
            head = item[:16].tobytes()
            if head.startswith(LOADED):
                self._bytes(item[()].tobytes(), where)
        else:
            self._inspection.skip(item.id.get_storage_size())


def _stored(identifier: Any) -> int:
    """How many bytes an attribute takes: the library calls it an error where there are none."""
    try:
        return identifier.get_storage_size()
    except RuntimeError:
        return 0


def _parts(value: Any) -> list[bytes | str]:
    """Texts and byte strings in what h5py gives for an attribute or element."""
    import numpy as np

    if isinstance(value, bytes | str):
        return [value]
    if isinstance(value, np.void):
        return [value.tobytes()]
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return [part for part in value.ravel()[:MOST_TEXTS].tolist() if isinstance(part, bytes | str)]
        if value.dtype.kind in "ui" and value.dtype.itemsize == 1:
            return [value.tobytes()]
    return []


FORMAT = Format("hdf5", recognise, inspect, (".h5", ".hdf5", ".keras_h5", ".hdf"))
