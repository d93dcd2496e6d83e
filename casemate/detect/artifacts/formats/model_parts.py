"""Files beside models that hold numbers and words and nothing that runs: TensorFlow checkpoints, SentencePiece.

Definitions: ``tensorflow/core/util/tensor_bundle`` (the index is a LevelDB table, the data file is raw bytes, told by
its name alone), ``sentencepiece_model.proto``.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.protobuf import LENGTH, VARINT, Message, WireError, shape
from casemate.detect.artifacts.inspection import Inspection

TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
MOST_HUNTED = 64 << 20
FINGERPRINT_BYTES = 1024


def recognise(content: Content) -> bool:
    """Whether it is part of a checkpoint, or a SentencePiece model."""
    return (
        bool(_DATA.search(content.name))
        or (content.size > 48 and content.read(content.size - 8, 8) == TABLE_MAGIC)
        or _pieces(content)
        or _fingerprint(content)
    )


def _fingerprint(content: Content) -> bool:
    """TensorFlow's ``fingerprint.pb`` (``fingerprint.proto``): five numbers, a version and a number as text."""
    if content.name.rpartition("/")[2] != "fingerprint.pb" or content.size > FINGERPRINT_BYTES:
        return False
    fields = shape(content)
    return fields is not None and all(
        kinds == ({VARINT} if number < 6 else {LENGTH}) and number <= 7 for number, kinds in fields.items()
    )


def _pieces(content: Content) -> bool:
    if content.head(1) != b"\x0a":
        return False
    fields = shape(content)
    if fields is None or not set(fields) <= {1, 2, 3, 4, 5} or fields.get(1) != {LENGTH}:
        return False
    message = Message(content)
    try:
        first = next(message.fields())
        parts = {part.number: part for part in message.inner(first).fields()}
    except (WireError, StopIteration):
        return False
    return 1 in parts and parts.keys() <= {1, 2, 3} and message.text(parts[1], 64) in ("<unk>", "<pad>", "<s>", "</s>")


def inspect(content: Content, inspection: Inspection) -> None:
    """Own it; look for pickles in what is not too large."""
    inspection.own_all()
    if content.size <= MOST_HUNTED or inspection.options.full:
        hunt(content, [(0, content.size)], inspection)
    else:
        inspection.skip(content.size)


FORMAT = Format("model_part", recognise, inspect, ())
