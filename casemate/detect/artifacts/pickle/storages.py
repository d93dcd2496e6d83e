"""torch's storages: which bytes they own, told by the persistent ids of the pickle.

Source: ``torch/serialization.py``: a persistent id is ``("storage", type, key, location, elements[, view])``; the
legacy file holds magic number, protocol version, system information, the object, the list of keys, then per key the
number of elements (8 bytes) and the elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.machine import Trace
from casemate.detect.artifacts.pickle.opcodes import Global, Persistent
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.pickle.streams import judge_trace

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
HEADER_STREAMS = 3
ITEM_BYTES: dict[str, int] = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8, "QUInt8Storage": 1, "QInt8Storage": 1, "QInt32Storage": 4, "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1, "UntypedStorage": 1, "_UntypedStorage": 1, "Float8_e4m3fnStorage": 1,
    "Float8_e5m2Storage": 1,
}  # fmt: skip

STORAGE_CUT = Rule("torch.storage_cut", "unscannable", CORRUPT_MODEL, "raises an error or reads other bytes as tensors")
BROKEN = Rule("torch.broken", "unscannable", CORRUPT_MODEL, "runs up to the break, then raises an error")


@dataclass(frozen=True)
class Storage:
    """A storage that the pickle refers to."""

    key: str
    bytes: int | None


def storage_of(pid: Any) -> Storage | None:
    """The storage that a persistent id means; None for any other id."""
    if not isinstance(pid, tuple) or len(pid) < 5:
        return None
    if pid[0] not in ("storage", b"storage") or not isinstance(pid[1], Global):
        return None
    key, elements = pid[2], pid[4]
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        return None
    size = ITEM_BYTES.get(pid[1].name)
    known = size is not None and isinstance(elements, int) and elements >= 0
    return Storage(str(key), size * elements if known and size is not None else None)


def storages_of(events: Iterable[Any]) -> dict[str, Storage]:
    """Every storage that the events refer to, by key; of several sizes the largest counts."""
    found: dict[str, Storage] = {}
    for event in events:
        if isinstance(event, Persistent):
            storage = storage_of(event.pid)
            if storage is not None:
                before = found.get(storage.key)
                if before is None or (storage.bytes or 0) > (before.bytes or 0):
                    found[storage.key] = storage
    return found


def legacy_storages(content: Content, inspection: Inspection, position: int, stream: Callable[[int], Trace]) -> None:
    """The streams after the magic number, and the storages behind them."""
    traces: list[Trace] = []
    for _ in range(HEADER_STREAMS + 1):
        trace = stream(position)
        inspection.own(position - content.begin, trace.end - content.begin)
        if trace.broken:
            inspection.report(BROKEN, trace.broken, trace.end - content.begin)
            return
        traces.append(trace)
        position = trace.end
    storages = storages_of(event for trace in traces for event in trace.events)
    keys = traces[-1].result if isinstance(traces[-1].result, list) else []
    for key in keys:
        storage = storages.get(str(key))
        header = content.read(position - content.begin, 8)
        elements = int.from_bytes(header, "little", signed=True)
        if storage is None or storage.bytes is None or len(header) < 8 or elements < 0:
            inspection.report(STORAGE_CUT, f"storage {key!r} is not one the pickle names", position - content.begin)
            return
        end = position + 8 + storage.bytes
        if end > content.end:
            inspection.report(STORAGE_CUT, f"storage {key!r} is cut off", position - content.begin)
            return
        inspection.own(position - content.begin, end - content.begin)
        inspection.skip(storage.bytes)
        position = end


class StreamReader:
    """Reads pickles and numbers that follow each other in one content, and judges the pickles.

    Attributes:
        position: where the next read begins, in the content.
    """

    def __init__(self, content: Content, inspection: Inspection, member: str) -> None:
        self._content = content
        self._inspection = inspection
        self._member = member
        self.position = 0

    def stream(self) -> Any:
        """The object of the next pickle; None when it breaks (which is reported)."""
        content = self._content
        trace = interpret(content.buffer, content.begin + self.position, content.end, self._inspection.options.opcodes)
        aside = self._inspection.aside(content, self._inspection.findings)
        judge_trace(trace, content, aside)
        if trace.broken:
            self._inspection.report(BROKEN, trace.broken, trace.end - content.begin, member=self._member)
            return None
        self.position = trace.end - content.begin
        return trace.result

    def number(self, width: int) -> int | None:
        """The next little-endian number, None at the end or when it is negative."""
        data = self._content.read(self.position, width)
        self.position += width
        value = int.from_bytes(data, "little", signed=True)
        return value if len(data) == width and value >= 0 else None

    def skip(self, count: int) -> bool:
        """Go over bytes that nobody reads; False when there are not so many."""
        self.position += count
        self._inspection.skip(count)
        return self.position <= self._content.size
