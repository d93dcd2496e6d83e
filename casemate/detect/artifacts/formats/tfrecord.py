"""TFRecord: data sets of TensorFlow, one message after the other.

Definition: ``tensorflow/core/lib/io/record_writer.h``: a length of eight bytes, its masked CRC-32C, the data, their
masked CRC-32C.  Loaders hand the data on as bytes; what reads like a pickle in them is looked for.
"""

from __future__ import annotations

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection

HEADER_BYTES = 12
FRAME_BYTES = 16
MOST_HUNTED = 256 << 20
_POLYNOMIAL = 0x82F63B78

CUT = Rule("tfrecord.cut", "unscannable", CORRUPT_MODEL, "reads the records before the break")


def _masked(data: bytes) -> int:
    """The masked CRC-32C (Castagnoli) of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def recognise(content: Content) -> bool:
    """Whether the first length is one: its checksum is right."""
    length = int.from_bytes(content.read(0, 8), "little")
    return length + FRAME_BYTES <= content.size and _length(content, 0) is not None


def _length(content: Content, at: int) -> int | None:
    head = content.read(at, HEADER_BYTES)
    if len(head) < HEADER_BYTES or _masked(head[:8]) != int.from_bytes(head[8:], "little"):
        return None
    return int.from_bytes(head[:8], "little")


def inspect(content: Content, inspection: Inspection) -> None:
    """Step from record to record; look for pickles in all of them."""
    at = 0
    while at < content.size:
        length = _length(content, at)
        if length is None or at + FRAME_BYTES + length > content.size:
            inspection.report(CUT, "a record is cut off or its length is not what its checksum says", at)
            break
        at += FRAME_BYTES + length
    inspection.own(0, at)
    if content.size <= MOST_HUNTED or inspection.options.full:
        hunt(content, [(0, at)], inspection)
    else:
        inspection.skip(at)


FORMAT = Format("tfrecord", recognise, inspect, (".tfrecord", ".tfrecords"))
