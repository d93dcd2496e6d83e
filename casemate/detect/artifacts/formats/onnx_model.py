"""ONNX models.

Definition: ``onnx/onnx.proto`` (IR version 12).  Loaders: onnxruntime and others, which read tensors from the files
that ``external_data`` names (CVE-2022-25882, CVE-2024-27318), and load libraries for operators of their own.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.protobuf import LENGTH, VARINT, Field, Message, WireError, shape
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import look_for_encoded

# field numbers of onnx.proto
GRAPH, OPSET, METADATA, FUNCTIONS, TRAINING = 7, 8, 14, 25, 20
NODE, INITIALIZER, SPARSE = 1, 5, 15
OP_TYPE, ATTRIBUTE, DOMAIN = 4, 5, 7
EXTERNAL_DATA, RAW_DATA, STRING_DATA = 13, 9, 6
TOP_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26, 27})
DEEPEST = 40
MOST_HUNTED = 256 << 20
MOST_FILES = 64
KNOWN_DOMAINS = re.compile(
    r"$|ai\.onnx(?:\.ml|\.training|\.preview\.training|\.preview)?$|com\.microsoft(?:\.|$)|org\.pytorch\.|com\.ms\.internal|pkg\.(?:onnxscript|torch|transformers|onnx)|"
    r"onnxscript|torch|local|this$|com\.github\.onnx|ai\.graphcore|ai\.onnx\.contrib$|mmdeploy|trt|TRT|aten|quantization"
)
PYTHON_OPS = re.compile(
    r"^(?:PyOp|PythonOp|PyFunc|PyCustomOp\w*|PythonOpGrad|CustomPy\w*|PyFunction|ExternalPython\w*|TorchScriptOp)$"
)

FAR = Rule("onnx.external_path", "malicious", UNSAFE_ARTIFACT, "reads a file outside the model's folder as a tensor")
EXTERNAL = Rule("onnx.external_data", "note", None, "reads tensors from a file beside the model")
EXTERNAL_LIES = Rule("onnx.external_range", "suspicious", CORRUPT_MODEL, "reads beyond the file")
PYTHON = Rule("onnx.python_operator", "malicious", UNSAFE_ARTIFACT, "runs Python code that the operator names")
CUSTOM = Rule(
    "onnx.custom_domain", "suspicious", UNSAFE_ARTIFACT, "needs a library with operators of its own, and loads it"
)
CONTRIB = Rule("onnx.extensions", "note", None, "needs the library onnxruntime-extensions")
BROKEN = Rule("onnx.broken", "unscannable", CORRUPT_MODEL, "raises an error: it is no whole message")
ODD_FIELD = Rule(
    "onnx.unknown_field", "unscannable", CORRUPT_MODEL, "passes over a field that the definition does not know"
)
DEEP = Rule("onnx.deep", "unscannable", CORRUPT_MODEL, "raises an error: graphs are nested too deeply")
_FAR = re.compile(r"^(?:/|[A-Za-z]:|\\\\|~|\w+://|file:)|(?:^|[/\\])\.\.(?:[/\\]|$)|\0")


def recognise(content: Content) -> bool:
    """Whether it is a message with the fields of a model: an IR version and a graph."""
    head = content.head(2)
    if len(head) < 2 or head[0] != 8 or head[1] > 40:
        return content.name.lower().endswith(".onnx") and head[:1] in (b"\x12", b"\x1a", b"\x3a", b"\x42")
    fields = shape(content)
    if fields is None:
        return content.name.lower().endswith(".onnx")
    return (GRAPH in fields and fields[GRAPH] == {LENGTH} and fields.get(1) == {VARINT} and 2 not in fields.get(2, set()))or \
        bool(GRAPH in fields and fields[GRAPH] == {LENGTH} and set(fields) <= TOP_FIELDS)  # fmt: skip  # noqa: E501


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk graphs, nodes, tensors and functions."""
    walk = _Walk(content, inspection)
    try:
        walk.model(Message(content))
        inspection.own_all()
    except WireError as error:
        inspection.report(BROKEN, str(error)[:200])
        inspection.own_all()
        hunt(content, [(0, content.size)], inspection)
    walk.finish()


class _Walk:
    def __init__(self, content: Content, inspection: Inspection) -> None:
        self._content = content
        self._inspection = inspection
        self._domains: dict[str, str] = {}
        self._functions: set[str] = set()
        self._external: dict[str, tuple[int, int | None]] = {}

    def model(self, message: Message) -> None:
        """The whole file."""
        for field in message.fields():
            if field.number not in TOP_FIELDS:
                self._inspection.report(
                    ODD_FIELD, f"field {field.number} of {field.end - field.begin} bytes", field.begin
                )
                if field.kind == LENGTH:
                    hunt(self._content, [(field.begin, field.end)], self._inspection)
            elif field.kind != LENGTH:
                continue
            elif field.number == GRAPH:
                self._graph(message.inner(field), 0)
            elif field.number == TRAINING:
                for part in message.inner(field).fields():
                    if part.number in (1, 2) and part.kind == LENGTH:
                        self._graph(message.inner(part), 0)
            elif field.number == FUNCTIONS:
                self._function(message.inner(field))
            elif field.number == METADATA:
                look_for_encoded(message.text(field), self._inspection)

    def _function(self, message: Message) -> None:
        for field in message.fields():
            if field.number == 10 and field.kind == LENGTH:
                self._functions.add(message.text(field, 1024))
            elif field.number == 7 and field.kind == LENGTH:
                self._node(message.inner(field), 0)

    def _graph(self, message: Message, depth: int) -> None:
        if depth > DEEPEST:
            self._inspection.report(DEEP, f"graphs more than {DEEPEST} layers deep", message.begin)
            return
        for field in message.fields():
            if field.kind != LENGTH:
                continue
            if field.number == NODE:
                self._node(message.inner(field), depth)
            elif field.number == INITIALIZER:
                self._tensor(message.inner(field))
            elif field.number == SPARSE:
                for part in message.inner(field).fields():
                    if part.number in (1, 2) and part.kind == LENGTH:
                        self._tensor(message.inner(part))

    def _node(self, message: Message, depth: int) -> None:
        kind = domain = ""
        for field in message.fields():
            if field.number == OP_TYPE:
                kind = message.text(field, 1024)
            elif field.number == DOMAIN:
                domain = message.text(field, 1024)
            elif field.number == ATTRIBUTE and field.kind == LENGTH:
                self._attribute(message.inner(field), depth)
        if PYTHON_OPS.match(kind):
            self._inspection.report(PYTHON, f"an operator {domain or 'ai.onnx'}:{kind}"[:200], message.begin)
        elif domain not in self._domains:
            self._domains[domain] = kind

    def _attribute(self, message: Message, depth: int) -> None:
        for field in message.fields():
            if field.kind != LENGTH:
                continue
            if field.number in (5, 10):
                self._tensor(message.inner(field))
            elif field.number in (6, 11):
                self._graph(message.inner(field), depth + 1)
            elif field.number in (4, 9) and field.end - field.begin > 24:
                self._bytes(message, field)

    def _bytes(self, message: Message, field: Field) -> None:
        data = message.bytes(field, 16 << 20)
        look_for_encoded(data.decode("latin-1"), self._inspection)
        hunt(self._content, [(field.begin, field.end)], self._inspection)

    def _tensor(self, message: Message) -> None:
        external: dict[str, str] = {}
        for field in message.fields():
            if field.kind != LENGTH:
                continue
            if field.number == EXTERNAL_DATA:
                key = value = ""
                for part in message.inner(field).fields():
                    if part.number == 1:
                        key = message.text(part, 4096)
                    elif part.number == 2:
                        value = message.text(part, 65536)
                external[key] = value
            elif field.number == STRING_DATA and field.end - field.begin > 24:
                self._bytes(message, field)
            elif field.number == RAW_DATA:
                self._inspection.skip(field.end - field.begin)
                if field.end - field.begin <= MOST_HUNTED and (
                    self._inspection.options.full or self._starts_loaded(field)
                ):
                    hunt(self._content, [(field.begin, field.end)], self._inspection)
        if external:
            self._outside(external, message.begin)

    def _starts_loaded(self, field: Field) -> bool:
        return self._content.read(field.begin, 2) in (
            b"\x80\x02",
            b"\x80\x03",
            b"\x80\x04",
            b"\x80\x05",
            b"co",
            b"cp",
            b"cb",
            b"(c",
        )

    def _outside(self, external: dict[str, str], offset: int) -> None:
        location = external.get("location", "")
        if _FAR.search(location):
            self._inspection.report(FAR, f"external_data at {location!r}"[:200], offset)
        else:
            place, length = external.get("offset", "0"), external.get("length", "")
            end = int(place) + int(length) if place.isdigit() and length.isdigit() else None
            first, reached = self._external.get(location, (offset, 0))
            self._external[location] = first, None if end is None or reached is None else max(end, reached)
        for key in ("offset", "length"):
            value = external.get(key, "0")
            if not value.isdigit() or int(value) >= 1 << 63:
                self._inspection.report(EXTERNAL_LIES, f"external_data's {key} is {value!r}"[:200], offset)

    def finish(self) -> None:
        """Files beside it, and domains, known only once all functions are."""
        for location, (offset, end) in list(self._external.items())[:MOST_FILES]:
            far = "to its end" if end is None else f"up to byte {end}"
            self._inspection.report(EXTERNAL, f"external_data in {location!r} {far}"[:300], offset)
        for domain, kind in self._domains.items():
            if domain == "ai.onnx.contrib":
                self._inspection.report(CONTRIB, f"operators of {domain!r}")
            elif domain not in self._functions and not KNOWN_DOMAINS.match(domain):
                self._inspection.report(CUSTOM, f"operators of the domain {domain!r}, such as {kind!r}"[:200])


FORMAT = Format("onnx", recognise, inspect, (".onnx",))
