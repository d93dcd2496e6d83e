"""Pickle streams: one or several in a row, as ``pickle.load`` reads them.

Definition: PEP 307, 3154 and 574, and CPython's ``Modules/_pickle.c``.  Loaders: ``pickle``, ``joblib`` (raw arrays
stand between the opcodes, ``joblib/numpy_pickle.py``), ``pandas``, ``torch.load`` of files from before 1.6 (five
streams, then the storages: ``torch/serialization.py``, ``_legacy_save``), ``cloudpickle``, ``dill``.  A loader takes
the file for a pickle whatever stands in it, so any content whose beginning can be carried out is one.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import TOO_MUCH, Inspection, TooMuchError
from casemate.detect.artifacts.pickle.arrays import ArrayFollower
from casemate.detect.artifacts.pickle.callables import Standing, known, renamed
from casemate.detect.artifacts.pickle.machine import Trace
from casemate.detect.artifacts.pickle.opcodes import Event, Extension, Global, Persistent
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.pickle.storages import TORCH_MAGIC, legacy_storages
from casemate.detect.artifacts.pickle.streams import harm_in, judge_trace
from casemate.detect.artifacts.pickle.verdicts import PASSED_ON

IMPORTABLE = re.compile(r"[^\s,;:=()\[\]{}'\"#]+")
PROBED_OPCODES = 64
MOST_STREAMS = 100_000
COPIED_BYTES = 256 * 1024 * 1024
LOOKED_LIKE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x78", b"\x1f\x8b", b"BZh", b"\xfd7zXZ",
               b"\x28\xb5\x2f\xfd", b"\x93NUMPY", b"PK\x03\x04")  # fmt: skip
"""Beginnings of byte strings inside a pickle that are looked into: a second load of them is one call away."""

BROKEN = Rule("pickle.broken", "unscannable", CORRUPT_MODEL, "runs up to the break, then raises an error")
HIDDEN = Rule("pickle.hidden", "suspicious", EMBED_MALWARE, "keeps it as data; a second load, one call away, runs it")
LOADED = Rule("pickle.loaded_later", "malicious", EMBED_MALWARE, "hands one that does harm to a function that loads it")
AFTER = Rule("pickle.after", "note", None, "stops before it; a loader that reads on gets these bytes")
PADDED = b"\0\r\n\t "


def recognise(content: Content) -> bool:
    """Whether an unpickler gets anywhere with the bytes."""
    head = content.head(2)
    if head[:1] == b"\x80" and head[1:] <= b"\x05":
        return True
    trace = interpret(content.buffer, content.begin, content.end, PROBED_OPCODES)
    if (trace.broken is None and trace.opcodes > 1) or trace.spent:
        return True
    return any(_does_something(event) for event in trace.events)


def _does_something(event: Event) -> bool:
    """Whether an event is more than a list of words can look like (``cat``, ``dog`` is GLOBAL at.dog).

    An extension code is a name that the loading program chose itself, and every map of MessagePack begins like one.
    """
    if isinstance(event, Extension | Persistent):
        return False
    if not isinstance(event, Global):
        return True
    if not (IMPORTABLE.fullmatch(event.module) and IMPORTABLE.fullmatch(event.name)):  # lines of a text
        return False
    return known(*renamed(event.module, event.name)).standing is not Standing.UNKNOWN


def inspect(content: Content, inspection: Inspection) -> None:
    """Interpret every stream, and judge what it would do."""
    content = content.copied(COPIED_BYTES)
    position = content.begin
    for count in range(MOST_STREAMS):
        trace = _stream(content, inspection, position)
        inspection.own(position - content.begin, trace.end - content.begin)
        if trace.broken:
            inspection.report(BROKEN, trace.broken, trace.end - content.begin)
            return
        position = trace.end
        if count == 0 and trace.result == TORCH_MAGIC:
            legacy_storages(content, inspection, position, lambda at: _stream(content, inspection, at))
            return
        position = _after_padding(content, position)
        if position >= content.end:
            inspection.own(trace.end - content.begin, content.size)
            return
        if not recognise(content.part(content.name, position - content.begin, content.size)):
            inspection.report(AFTER, f"{content.end - position} bytes after the last stream", position - content.begin)
            return
        inspection.own(trace.end - content.begin, position - content.begin)
    raise TooMuchError(TOO_MUCH, f"more than {MOST_STREAMS} pickle streams in one file")


def _after_padding(content: Content, position: int) -> int:
    while position < content.end:
        block = content.read(position - content.begin, 1 << 20)
        left = block.lstrip(PADDED)
        position += len(block) - len(left)
        if left:
            return position
    return content.end


def _stream(content: Content, inspection: Inspection, position: int) -> Trace:
    """One stream, with joblib's arrays where they stand, judged."""
    follower = ArrayFollower(content.buffer, content.end, lambda at: _stream(content, inspection, at))
    left = inspection.options.opcodes - inspection.budget.opcodes
    if left <= 0:
        raise TooMuchError(TOO_MUCH, f"more than {inspection.options.opcodes} pickle opcodes in one file")
    trace = interpret(content.buffer, position, content.end, left, follower.after_build)
    inspection.budget.opcodes += trace.opcodes
    if trace.spent:
        judge_trace(trace, content, inspection)
        raise TooMuchError(TOO_MUCH, f"more than {inspection.options.opcodes} pickle opcodes in one file")
    judge_trace(trace, content, inspection)
    if follower.arrays:  # a plain pickle.load takes the bytes of the arrays for opcodes
        other = interpret(content.buffer, position, content.end, left)
        if len(other.events) > 1:
            judge_trace(other, content, inspection, only_harm=True)
    for begin, size in trace.blobs:
        if size < 1 << 28 and content.buffer[begin : begin + 6].startswith(LOOKED_LIKE):
            _look_into(content, inspection, begin, size)
    return trace


def _look_into(content: Content, inspection: Inspection, begin: int, size: int) -> None:
    """Bytes that the pickle carries: no loader decodes them by itself, so only what would do harm counts."""
    label = f"bytes at {begin - content.begin}"
    rule = LOADED if any(reason.code == PASSED_ON.code for reason in inspection.findings.reasons) else HIDDEN
    for reason in harm_in(content.part(label, begin - content.begin, size), inspection):
        inspection.report(rule, f"{label}: {reason.text}", begin - content.begin, effect=reason.loader_effect)


FORMAT = Format("pickle", recognise, inspect, (".pkl", ".pickle", ".p", ".joblib", ".dill"), runs_code=True)
