"""Every format: bad samples are never safe and what runs at load is malicious; good samples are safe."""

from __future__ import annotations

from time import process_time

import pytest
from artifact_samples import codes, verdict
from format_samples import BAD_FILES, GOOD_FILES
from format_samples_good import MORE_GOOD_FILES
from format_samples_more import MORE_BAD_FILES
from hypothesis import given, settings
from hypothesis import strategies as st

ALL_BAD = [*BAD_FILES, *MORE_BAD_FILES]
ALL_GOOD = [*GOOD_FILES, *((name, data, "safe") for name, data in MORE_GOOD_FILES)]
WHOLE = [data for _, data, _ in (*ALL_BAD, *ALL_GOOD) if len(data) < 20_000]


@pytest.mark.parametrize(("name", "data", "expected"), ALL_BAD, ids=[name for name, _, _ in ALL_BAD])
def test_bad_files_are_never_safe(name: str, data: bytes, expected: str) -> None:
    found = verdict(data, name)
    assert found.verdict != "safe"
    if expected == "M":
        assert found.verdict == "malicious", codes(found)
    assert found.reasons
    assert all(reason.loader_effect for reason in found.reasons)


@pytest.mark.parametrize(("name", "data", "expected"), ALL_GOOD, ids=[name for name, _, _ in ALL_GOOD])
def test_good_files_are_safe(name: str, data: bytes, expected: str) -> None:
    found = verdict(data, name)
    assert found.verdict == "safe", [(reason.code, reason.text) for reason in found.reasons]


@pytest.mark.parametrize(("name", "data", "expected"), ALL_BAD, ids=[name for name, _, _ in ALL_BAD])
def test_a_byte_cut_from_the_end_gives_a_verdict(name: str, data: bytes, expected: str) -> None:
    assert verdict(data[:-1], name).verdict in ("safe", "suspicious", "malicious", "unscannable")


@settings(max_examples=60)
@given(
    st.sampled_from(WHOLE),
    st.integers(0, 10_000),
    st.binary(max_size=8),
    st.sampled_from(["", ".gguf", ".onnx", ".h5"]),
)
def test_changed_bytes_never_raise(data: bytes, at: int, new: bytes, suffix: str) -> None:
    at %= max(1, len(data))
    found = verdict(data[:at] + new + data[at + len(new) :], "model" + suffix)
    assert not any(reason.code == "scan.failed" and "internal" in reason.text for reason in found.reasons)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Dockerfile", b"FROM x\nRUN curl " + b"curl a " * 3000),
        ("aliases.yaml", b"&a [*a, *a]\n"),
        ("deep.yaml", b"a: " + b"[" * 20_000),
        ("deep.json", b"[" * 20_000),
        ("template.jinja", b"{#" * 10_000),
        ("deep.py", b"x = " + b"(" * 20_000),
        ("calls.py", b"def f(x):\n    return f(x) + f(x)\nf(1)\n" * 50),
        ("wide.py", b"x = " + b"a + " * 10_000 + b"a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_made_to_take_long_does_not(name: str, data: bytes) -> None:
    began = process_time()
    assert verdict(data, name).verdict in ("safe", "suspicious", "malicious", "unscannable")
    assert process_time() - began < 10
