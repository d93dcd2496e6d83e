"""Pickle streams: one or several in a row, as ``pickle.load`` reads them.

Definition: PEP 307, 3154 and 574, and CPython's ``Modules/_pickle.c``.  Loaders: ``pickle``, ``joblib``, ``pandas``,
``torch`` (legacy), ``cloudpickle``, ``dill``.  A loader takes the file for a pickle whatever stands in it, so any
content whose beginning can be carried out is one.
"""

from __future__ import annotations

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.machine import interpret

PROBED_OPCODES = 64

BROKEN = Rule("pickle.broken", "unscannable", CORRUPT_MODEL, "runs up to the break, then raises an error")


def recognise(content: Content) -> bool:
    """Whether an unpickler gets anywhere with the bytes."""
    trace = interpret(content.buffer, content.begin, content.end, PROBED_OPCODES)
    return trace.broken is None or trace.spent or bool(trace.events) or content.head(1) == b"\x80"


def inspect(content: Content, inspection: Inspection) -> None:
    """Interpret every stream."""
    trace = interpret(content.buffer, content.begin, content.end, inspection.options.opcodes)
    inspection.own(0, trace.end - content.begin)
    if trace.broken:
        inspection.report(BROKEN, trace.broken, trace.end - content.begin)
    # TODO: verdicts.py


FORMAT = Format("pickle", recognise, inspect, (".pkl", ".pickle", ".p", ".joblib"), runs_code=True)
