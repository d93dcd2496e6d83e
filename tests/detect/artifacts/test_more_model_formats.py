"""TFLite, MessagePack, Core ML, and formats that are known by name: read, or said not to be."""

from __future__ import annotations

import base64
import struct

import pytest
from artifact_samples import BAD, codes, verdict, zipped

# built with the flatbuffers library after schema.fbs: one operator, one graph, one tensor, one buffer of four bytes
TFLITE = base64.b64decode(
    "GAAAAFRGTDMAAA4AGAAUABAADAAIAAQADgAAAJQAAAAQAAAAIAAAALQAAAADAAAADwAAAG1hZGUgZm9yIGEgdGVzdAABAAAAFAAAAAAADgAQ"
    "AAwAAAAAAAgABAAOAAAADAAAABQAAAAcAAAABAAAAG1haW4AAAAAAQAAAAQAAACs////AQAAABAAAAAMAAwAAAAAAAgABAAMAAAACAAAAAEA"
    "AAAFAAAAaW5wdXQAAAACAAAAJAAAAAwAAAAAAAYACAAEAAYAAAAEAAAABAAAAAECAwQEAAQABAAAAAEAAAAQAAAAAAAKAAgAAAAAAAQACgAA"
    "AAEAAAA="
)
# the same with the operator FlexWriteFile
TFLITE_WRITES = base64.b64decode(
    "GAAAAFRGTDMAAA4AGAAUABAADAAIAAQADgAAAJQAAAAQAAAAIAAAALQAAAADAAAADwAAAG1hZGUgZm9yIGEgdGVzdAABAAAAFAAAAAAADgAQ"
    "AAwAAAAAAAgABAAOAAAADAAAABQAAAAcAAAABAAAAG1haW4AAAAAAQAAAAQAAACs////AQAAABAAAAAMAAwAAAAAAAgABAAMAAAACAAAAAEA"
    "AAAFAAAAaW5wdXQAAAACAAAAJAAAAAwAAAAAAAYACAAEAAYAAAAEAAAABAAAAAECAwQEAAQABAAAAAEAAAAQAAAADAAUAA8AEAAIAAQADAAA"
    "ACAAAAABAAAAAAAAIAQAAAANAAAARmxleFdyaXRlRmlsZQAAAA=="
)


def packed(value: object) -> bytes:
    """MessagePack of texts, bytes, small numbers, extension types (as pairs of type and bytes) and maps."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">Bi", 0xD2, value)
    if isinstance(value, str):
        return struct.pack(">BH", 0xDA, len(value)) + value.encode()
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, tuple):
        return struct.pack(">BIb", 0xC9, len(value[1]), value[0]) + value[1]
    if isinstance(value, list):
        return struct.pack(">BH", 0xDC, len(value)) + b"".join(map(packed, value))
    assert isinstance(value, dict)
    return bytes([0x80 | len(value)]) + b"".join(packed(key) + packed(item) for key, item in value.items())


ARRAY = (1, packed([[2, 2], "float32", bytes(16)]))
CHECKPOINT = packed({"params": {"dense": {"kernel": ARRAY, "bias": ARRAY}}, "step": 3, "done": True})


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer."""
    head = number << 3 | (0 if isinstance(value, int) else 2)
    data = b""
    for each in (head, value if isinstance(value, int) else len(value)):
        while each > 127:
            data += bytes([each & 127 | 128])
            each >>= 7
        data += bytes([each])
    return data if isinstance(value, int) else data + value


def core_ml(kind: int, model: bytes) -> bytes:
    """A Core ML model of one kind."""
    return field(1, 4) + field(2, field(1, field(1, b"input"))) + field(kind, model)


def layers(*inside: bytes) -> bytes:
    """A neural network whose layers hold these."""
    return b"".join(field(1, field(1, b"layer") + part) for part in inside)


@pytest.mark.parametrize(
    ("name", "data", "format_name"),
    [
        ("model.tflite", TFLITE, "tflite"),
        ("model", TFLITE + bytes(8), "tflite"),
        ("flax_model.msgpack", CHECKPOINT, "msgpack"),
        ("checkpoint", CHECKPOINT, "msgpack"),
        ("net.mlmodel", core_ml(500, layers(field(140, b""))), "coreml"),
        ("pipe.mlmodel", core_ml(202, field(1, core_ml(303, layers(field(140, b""))))), "coreml"),
        ("custom.mlmodel", core_ml(500, layers(field(500, field(10, b"OwnLayer")))), "coreml"),
    ],
)
def test_harmless_models_are_safe(name: str, data: bytes, format_name: str) -> None:
    found = verdict(data, name)
    assert (found.format, found.verdict) == (format_name, "safe"), found.reasons


@pytest.mark.parametrize(
    ("name", "data", "expected", "code"),
    [
        ("w.tflite", TFLITE_WRITES, "malicious", "tflite.operator"),
        ("p.tflite", TFLITE + BAD, "malicious", "pickle.embedded"),
        ("t.tflite", TFLITE + b"more than a reader takes", "unscannable", "bytes.unowned"),
        ("z.tflite", TFLITE + zipped(("labels.pkl", BAD)), "malicious", "pickle.calls"),
        ("b.msgpack", packed({"w": {"nd": True, "kind": "O", "data": BAD}}), "malicious", "msgpack.object_array"),
        ("h.msgpack", packed({"w": BAD}), "suspicious", "msgpack.hidden"),
        ("e.msgpack", packed({"w": (42, bytes(9))}), "unscannable", "msgpack.extension"),
        ("c.msgpack", CHECKPOINT[:-3], "unscannable", "msgpack.broken"),
        ("m.msgpack", CHECKPOINT + BAD, "malicious", "pickle.embedded"),
        ("l.mlmodel", core_ml(556, field(1, b"../../else.mlmodelc")), "malicious", "coreml.linked_path"),
        ("s.mlmodel", core_ml(3000, b"whatever"), "unscannable", "coreml.serialized"),
        ("old.bin", b"tjgg" + bytes(64), "unscannable", "format.not_read"),
        ("net.params", b"\x12\x01" + bytes(64), "unscannable", "format.not_read"),
    ],
)
def test_what_is_wrong_is_told(name: str, data: bytes, expected: str, code: str) -> None:
    found = verdict(data, name)
    assert (found.verdict, code in codes(found)) == (expected, True), found.reasons


@pytest.mark.parametrize(
    "data", [TFLITE, CHECKPOINT, core_ml(500, layers(field(140, b"")))], ids=["tflite", "msgpack", "coreml"]
)
def test_every_cut_gives_a_verdict_that_is_not_made_up(data: bytes) -> None:
    for end in range(1, len(data)):
        found = verdict(data[:end], "model")
        assert "scan.failed" not in codes(found)


def test_operators_and_buffers_that_are_not_there_are_told() -> None:
    data = bytearray(TFLITE)
    at = data.index(struct.pack("<I", 1), data.index(b"input") - 12)
    data[at : at + 4] = struct.pack("<I", 77)
    assert "tflite.index" in codes(verdict(bytes(data), "m.tflite"))
