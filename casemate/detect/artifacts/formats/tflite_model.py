"""TensorFlow Lite (LiteRT) models.

Definition: ``tensorflow/compiler/mlir/lite/schema/schema.fbs`` (identifier ``TFL3``).  Loaders: the interpreter of an
app or of Python.  Operators are built in, or come from the program that loads the model (*custom*), or are
TensorFlow's own by the name ``Flex...``, among them those that read and write files.  Files that belong to a model may
be packed behind it as a zip archive, which the zip format looks at.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.flatbuffer import Buffer, OffsetError, Table
from casemate.detect.artifacts.formats.tensorflow_graph import BAD_OPERATORS, MILD, READS_RECORDS
from casemate.detect.artifacts.inspection import Inspection

CUSTOM_OPERATOR = 32
PADDING = 16
"""Most bytes of zeros that fill up the end."""
MOST_HUNTED = 64 << 20
OPERATORS, SUBGRAPHS, BUFFERS, METADATA = 1, 2, 4, 6

BAD = Rule("tflite.operator", "malicious", UNSAFE_ARTIFACT, "runs TensorFlow's operator when the model is called")
ODD = Rule("tflite.odd_operator", "suspicious", UNSAFE_ARTIFACT, "runs TensorFlow's operator when the model is called")
CUSTOM = Rule("tflite.custom_operator", "note", None, "refuses it unless the program that loads it brings the operator")
BROKEN = Rule("tflite.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads beyond the file")
OPERAND = Rule("tflite.index", "suspicious", CORRUPT_MODEL, "reads beyond a list by an index that nothing checks")

_FLEX = re.compile(r"Flex(\w+)")


def recognise(content: Content) -> bool:
    """Whether the identifier stands where it belongs."""
    return content.size >= 16 and content.read(4, 4) == b"TFL3"


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk operators, graphs, buffers and metadata."""
    buffer = Buffer(content)
    try:
        _walk(buffer, inspection)
    except OffsetError as error:
        inspection.report(BROKEN, str(error))
        inspection.own_all()
        hunt(content, [(0, content.size)], inspection)
        return
    padding = content.read(buffer.reached, PADDING)
    inspection.own(0, buffer.reached + len(padding) - len(padding.lstrip(b"\0")))


def _walk(buffer: Buffer, inspection: Inspection) -> None:
    model = buffer.root()
    operators = list(model.tables(OPERATORS))
    for operator in operators:
        _operator(operator, inspection)
    buffers = [_buffer(one, buffer, inspection) for one in model.tables(BUFFERS)]
    for graph in model.tables(SUBGRAPHS):
        for tensor in graph.tables(0):
            tensor.text(3)
            if tensor.number(2) >= max(1, len(buffers)):
                inspection.report(OPERAND, f"a tensor in the buffer {tensor.number(2)} of {len(buffers)}", tensor.at)
        for call in graph.tables(3):
            if call.number(0) >= len(operators):
                inspection.report(OPERAND, f"the operator {call.number(0)} of {len(operators)}", call.at)
            call.bytes(5)
        graph.text(4)
    for entry in model.tables(METADATA):
        entry.text(0)
        if entry.number(1) >= max(1, len(buffers)):
            inspection.report(OPERAND, f"metadata in the buffer {entry.number(1)} of {len(buffers)}", entry.at)
    model.text(3)


def _operator(operator: Table, inspection: Inspection) -> None:
    name = operator.text(1)
    builtin = max(operator.number(0, 1), operator.number(3))
    if builtin != CUSTOM_OPERATOR and not name:
        return
    flex = _FLEX.fullmatch(name)
    if flex is None:
        inspection.report(CUSTOM, f"the operator {name[:120]!r}", operator.at)
        return
    effect = BAD_OPERATORS.get(flex.group(1))
    if effect is not None:
        mild = flex.group(1) in MILD or READS_RECORDS.match(flex.group(1))
        inspection.report(ODD if mild else BAD, f"{name}: {effect}"[:200], operator.at)


def _buffer(one: Table, buffer: Buffer, inspection: Inspection) -> tuple[int, int]:
    begin, size = one.bytes(0)
    offset, count = one.number(1, 8), one.number(2, 8)
    if offset > 1:  # a large buffer lies behind the FlatBuffer
        begin, size = offset, count
        buffer.span(begin, size)
    if size <= MOST_HUNTED or inspection.options.full:
        hunt(buffer.content, [(begin, begin + size)], inspection)
    else:
        inspection.skip(size)
    return begin, size


FORMAT = Format("tflite", recognise, inspect, (".tflite", ".lite"))
