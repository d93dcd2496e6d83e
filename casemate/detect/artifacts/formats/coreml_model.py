"""Core ML models (``.mlmodel``).

Definition: ``mlmodel/format/Model.proto`` and its neighbours of coremltools.  Loader: Core ML of Apple's systems, which
makes objects of classes that the app brings for custom models and layers, and opens linked models by their place.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.protobuf import LENGTH, VARINT, Field, Message, WireError, shape
from casemate.detect.artifacts.inspection import Inspection

NEURAL = (303, 403, 500)
PIPELINES = (200, 201)
PIPELINE, CUSTOM_MODEL, LINKED_MODEL, SERIALIZED = 202, 555, 556, 3000
KINDS = frozenset(
    {*NEURAL, *PIPELINES, PIPELINE, CUSTOM_MODEL, LINKED_MODEL, SERIALIZED, *range(300, 306), *range(400, 406)}
    | {501, 502, 560, *range(600, 611), 900, *range(2000, 2008)}
)
BESIDE = frozenset({1, 2, 10})
MOST_HUNTED = 64 << 20
DEEPEST = 8

CUSTOM = Rule("coreml.custom_class", "note", None, "refuses it unless the app brings the class")
LINKED = Rule("coreml.linked_model", "suspicious", UNSAFE_ARTIFACT, "opens another model by its place")
FAR = Rule("coreml.linked_path", "malicious", UNSAFE_ARTIFACT, "opens a model outside of this one's folder")
OPAQUE = Rule("coreml.serialized", "unscannable", UNSAFE_ARTIFACT, "reads a model in a form of Apple's own")
BROKEN = Rule("coreml.broken", "unscannable", CORRUPT_MODEL, "raises an error: it is no whole message")
_FAR = re.compile(r"^(?:/|~|\w+://)|(?:^|/)\.\.(?:/|$)")


def recognise(content: Content) -> bool:
    """Whether it is a message with a version, a description and one kind of model."""
    if content.head(1) != b"\x08":
        return False
    fields = shape(content)
    if fields is None or fields.get(1) != {VARINT} or fields.get(2) != {LENGTH}:
        return False
    rest = set(fields) - BESIDE
    return len(rest) == 1 and rest <= KINDS and fields[min(rest)] == {LENGTH}


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk the model and those inside it."""
    inspection.own_all()
    try:
        _model(Message(content), inspection, 0)
    except WireError as error:
        inspection.report(BROKEN, str(error))
    if content.size <= MOST_HUNTED or inspection.options.full:
        hunt(content, [(0, content.size)], inspection)
    else:
        inspection.skip(content.size)


def _model(message: Message, inspection: Inspection, depth: int) -> None:
    if depth > DEEPEST:
        raise WireError(f"models nested more than {DEEPEST} deep")
    for field in message.fields():
        if field.kind != LENGTH or field.number in BESIDE:
            continue
        inner = message.inner(field)
        if field.number == PIPELINE:
            _pipeline(inner, inspection, depth)
        elif field.number in PIPELINES:
            for part in inner.fields():
                if part.number == 1 and part.kind == LENGTH:
                    _pipeline(inner.inner(part), inspection, depth)
        elif field.number in NEURAL:
            _layers(inner, inspection)
        elif field.number == CUSTOM_MODEL:
            _class(inner, field, 10, inspection)
        elif field.number == LINKED_MODEL:
            _linked(inner, field, inspection)
        elif field.number == SERIALIZED:
            inspection.report(OPAQUE, "a serialised model", field.begin)


def _pipeline(message: Message, inspection: Inspection, depth: int) -> None:
    for field in message.fields():
        if field.number == 1 and field.kind == LENGTH:
            _model(message.inner(field), inspection, depth + 1)


def _layers(message: Message, inspection: Inspection) -> None:
    for field in message.fields():
        if field.number != 1 or field.kind != LENGTH:
            continue
        layer = message.inner(field)
        for part in layer.fields():
            if part.number == 500 and part.kind == LENGTH:
                _class(layer.inner(part), part, 10, inspection)


def _class(message: Message, place: Field, number: int, inspection: Inspection) -> None:
    for field in message.fields():
        if field.number == number and field.kind == LENGTH:
            inspection.report(CUSTOM, f"the class {message.text(field, 120)!r}", place.begin)


def _linked(message: Message, place: Field, inspection: Inspection) -> None:
    data = message.content.read(place.begin, min(4096, place.end - place.begin)).decode("latin-1")
    for text in re.findall(r"[\x20-\x7e]{3,}", data):
        inspection.report(FAR if _FAR.search(text) else LINKED, f"a linked model: {text[:120]!r}", place.begin)
        return
    inspection.report(LINKED, "a linked model", place.begin)


FORMAT = Format("coreml", recognise, inspect, (".mlmodel",))
