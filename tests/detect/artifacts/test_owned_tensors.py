"""Bytes that belong to a format or to what names them, and what stays bad in their place."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
from artifact_samples import BAD, GOOD, verdict, zipped
from format_samples import field, hdf5, onnx_model

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.formats.tfrecord import _masked
from casemate.detect.artifacts.one_file import inspect_file
from casemate.detect.artifacts.scan import scan

NUMBERS = bytes(range(200, 248))


def _exported(weight: bytes, size: int = 12) -> bytes:
    meta = {"dtype": 7, "sizes": [{"as_int": size}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}}
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": False, "tensor_meta": meta}}}
    return zipped(
        ("m/data/weights/weight_0", weight),
        ("m/data/weights/model_weights_config.json", json.dumps(config).encode()),
        ("m/archive_format", b"pt2"),
    )


def _packaged(storage: bytes, model: bytes | None = None) -> bytes:
    pid = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x0ct"
    named = b"\x80\x04" + pid + b"Q."
    return zipped(
        ("p/.data/0.storage", storage), ("p/model/model.pkl", model or named), ("p/.data/extern_modules", b"torch\n")
    )


def test_tensors_of_exported_and_packaged_models_are_owned_by_their_size() -> None:
    assert verdict(_exported(NUMBERS), "m.pt2").verdict == "safe"
    assert verdict(_exported(NUMBERS + b"more"), "m.pt2").verdict == "unscannable"
    assert verdict(_packaged(NUMBERS), "p.pt").verdict == "safe"
    assert verdict(_packaged(NUMBERS[:-1]), "p.pt").verdict == "unscannable"
    assert verdict(_packaged(NUMBERS, BAD), "p.pt").verdict == "malicious"


def test_archives_of_a_distributed_checkpoint_are_judged_one_by_one() -> None:
    part = zipped(("archive/data.pkl", GOOD))
    assert verdict(part * 3, "__0_0.distcp").verdict == "safe"
    assert verdict(part + zipped(("archive/data.pkl", BAD)) + part, "__0_0.distcp").verdict == "malicious"
    assert verdict(part * 3, "model.pt").verdict == "suspicious"
    assert verdict(part + b"between" + part, "__0_0.distcp").verdict != "safe"


def test_an_onnx_models_tensors_beside_it_are_owned_by_it(tmp_path: Path) -> None:
    entries = (("location", "weights.data"), ("offset", "0"), ("length", str(len(NUMBERS))))
    external = b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries)
    (tmp_path / "weights.data").write_bytes(NUMBERS)
    (tmp_path / "other.data").write_bytes(NUMBERS)
    (tmp_path / "x.onnx").write_bytes(onnx_model(init=field(5, field(8, "w") + external + field(14, 1))))
    found = {Path(one.path).name: one.verdict for one in scan([tmp_path])}
    assert found == {"weights.data": "safe", "other.data": "unscannable", "x.onnx": "safe"}
    (tmp_path / "weights.data").write_bytes(BAD)
    assert {one.verdict for one in scan([tmp_path])} >= {"malicious"}


def test_an_empty_attribute_is_no_damage() -> None:
    import numpy as np

    def write(file) -> None:
        file.attrs["weight_names"] = np.zeros((0,), dtype="S1")
        file.create_dataset("w", data=np.zeros(3))

    assert verdict(hdf5(write), "model.h5").verdict == "safe"


def _ubj(*pairs: tuple[str, bytes]) -> bytes:
    return b"{" + b"".join(b"L" + struct.pack(">q", len(key)) + key.encode() + value for key, value in pairs) + b"}"


def _text(text: bytes) -> bytes:
    return b"SL" + struct.pack(">q", len(text)) + text


def test_ubjson_is_read_to_its_end() -> None:
    numbers = b"[$d#L" + struct.pack(">q", 4) + bytes(16)
    good = _ubj(("learner", _ubj(("name", _text(b"gbtree")), ("weights", numbers))), ("version", b"[i\x02i\x01]"))
    assert verdict(good, "model.ubj").verdict == "safe"
    assert verdict(_ubj(("_target_", _text(b"os.system")), ("n", b"i\x01")), "model.ubj").verdict == "malicious"
    assert verdict(good + b"behind", "model.ubj").verdict == "unscannable"
    assert verdict(_ubj(("a", b"[$d#L" + struct.pack(">q", 1 << 60))), "model.ubj").verdict == "unscannable"


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_ubjson_that_is_cut_is_never_safe(cut: int) -> None:
    whole = _ubj(("learner", _ubj(("name", _text(b"gbtree")), ("weights", b"[$U#U\x04abcd"))), ("v", b"Z"))
    assert verdict(whole[:-cut], "model.ubj").verdict != "safe"


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def test_records_are_stepped_through_and_searched() -> None:
    # the checksum of b"123456789" that RFC 3720 gives, masked
    assert _masked(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    good = _record(b"\x0a\x03abc") + _record(b"")
    assert verdict(good, "d.tfrecord").verdict == "safe"
    assert verdict(good + _record(BAD), "d.tfrecord").verdict == "malicious"
    assert verdict(good[:-1], "d.tfrecord").verdict == "unscannable"


def test_a_fingerprint_of_tensorflow_is_numbers_alone() -> None:
    content = b"".join(field(number, 1 << 60) for number in range(1, 6)) + field(6, field(1, 4)) + field(7, "123")
    assert verdict(content, "model/fingerprint.pb").verdict == "safe"
    assert inspect_file(Content.of("other.pb", content)).verdict != "safe"


def _pickled(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def test_what_holds_arrow_and_dill_is_allowed_by_name_only() -> None:
    given = b"(\x8c\x05int64t"
    assert verdict(_pickled(b"cpyarrow.lib\ntype_for_alias\n" + given + b"R")).verdict == "safe"
    assert verdict(_pickled(b"cpyarrow.lib\nmemory_map\n" + given + b"R")).verdict != "safe"
    made = b"cdill._dill\n_create_array\n(c%b(%bt(K\x01tNtR"
    array = made % (b"numpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n(K\x00tC\x01b")
    assert verdict(_pickled(array)).verdict == "safe"
    assert verdict(_pickled(made % (b"os\nsystem\n", b"\x8c\x0becho canary"))).verdict == "malicious"


def test_zip_members_of_an_exported_model_stay_judged() -> None:
    sink = io.BytesIO(_exported(NUMBERS))
    assert verdict(sink.getvalue() + BAD, "m.pt2").verdict == "malicious"
    script = zipped(("m/archive_format", b"pt2"), ("m/data/weights/a_config.json", b"{}"), ("m/data/weights/w", BAD))
    assert verdict(script, "m.pt2").verdict == "malicious"
