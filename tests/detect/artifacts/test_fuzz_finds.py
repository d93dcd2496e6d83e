"""What changed bytes did to the parsers: each find of the fuzzing, made small."""

from __future__ import annotations

import io

import h5py
import pyarrow as pa
import pytest
from artifact_samples import BAD, codes, verdict, zipped


def keras_file() -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file.attrs.create("model_config", '{"class_name": "Sequential"}', dtype=h5py.string_dtype())
    return data.getvalue()


def test_a_heap_that_the_library_never_comes_back_from_is_not_walked() -> None:
    data = bytearray(keras_file())
    assert verdict(bytes(data), "model.h5").verdict == "safe"
    heap = data.index(b"GCOL\x01")
    free = data.index(b"}", heap)  # the text's end; the free space that follows begins at the next multiple of eight
    free = heap + (free + 1 - heap + 7) // 8 * 8
    data[free : free + 16] = bytes(16)
    found = verdict(bytes(data), "model.h5")
    assert found.verdict == "unscannable"
    assert "hdf5.heap" in codes(found)


def test_a_wheel_whose_directory_lies_is_told_as_such() -> None:
    data = zipped(("x-1.dist-info/WHEEL", b"Wheel-Version: 1.0\n"), ("x-1.dist-info/RECORD", b""), ("x.py", b""))
    at = data.rindex(b"x-1.dist-info/RECORD")
    found = verdict(data[:at] + b"y" + data[at + 1 :], "x-1-py3-none-any.whl")
    assert found.verdict != "safe"
    assert "scan.failed" not in codes(found)


@pytest.mark.parametrize("encoding", ["UTF-18", "nobody's", "x" * 300])
def test_xml_in_an_encoding_that_nobody_knows_is_not_read(encoding: str) -> None:
    found = verdict(f'<?xml version="1.0" encoding="{encoding}"?><PMML version="4.4"/>'.encode(), "model.pmml")
    assert codes(found) == {"xml.broken"}


def test_an_mbox_whose_first_line_has_no_date_is_read_from_its_beginning() -> None:
    fields = b"From: a@example.org\nTo: b@example.org\nSubject: x\nContent-Type: application/x\n\n"
    found = verdict(b"From somebody\n" + fields + BAD, "all.mbox")
    assert found.verdict == "malicious"
    assert "scan.failed" not in codes(found)


@pytest.mark.parametrize("end", [0x7FFFFFFF, -1, 0x00FFFFFF])
def test_texts_of_an_arrow_stream_that_end_outside_of_it_are_not_followed(end: int) -> None:
    sink = io.BytesIO()
    table = pa.table({"text": pa.array(["first", "second"], pa.string())})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue()
    assert verdict(data, "cache.arrow").verdict == "safe"
    ends = b"".join(place.to_bytes(4, "little") for place in (0, 5, 11))
    assert data.count(ends) == 1
    damaged = data.replace(ends, ends[:8] + (end & 0xFFFFFFFF).to_bytes(4, "little"))
    found = verdict(damaged, "cache.arrow")
    assert found.verdict == "unscannable"
    assert "scan.failed" not in codes(found)
