"""Formats are told by content, whatever the name; nothing is without a name of its own."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.evidence.identify import BINARIES, identify
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReaderSpec
from casemate.evidence.readers.text import LINES_READER


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"", "empty"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ", "apple_double"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", "pcapng"),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "pcap"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00", "pickle"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00" + b'{"a":{"dtype":"F32"}}', "safetensors"),
        (bytes(range(256)) * 20, "unknown_binary"),
        (bytes(5_000), "unknown_binary"),
        (b"MZ is how this note begins\n", "lines"),
        (b"BZh is no archive\n", "lines"),
        ("gr\u00fc\u00df\n".encode("latin-1"), "lines"),
        ("text\n".encode("utf-16"), "lines"),
        (b"text with one \x00 in it\n", "lines"),
    ],
)
def test_format(head: bytes, form: str) -> None:
    assert identify(head, [LINES_READER]).format == form


def test_a_format_without_a_reader_says_so() -> None:
    for signature in BINARIES:
        head = bytes(signature.offset) + signature.magic + bytes(range(256)) * 3
        seen = identify(head, READERS)
        assert seen.note, signature
        assert seen.reader is None


def test_a_tar_archive_without_magic_is_known_by_its_checksum() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    old = bytearray(out.getvalue())
    old[257:265] = bytes(8)
    old[148:156] = b"%06o\x00 " % (sum(old[:148]) + 8 * 32 + sum(old[156:512]))
    assert identify(bytes(old), READERS).format == "tar"


def test_a_reader_that_fails_to_look_does_not_stop_the_others() -> None:
    def fails(_head: bytes) -> int:
        raise ValueError

    broken = ReaderSpec("broken", 1, (), fails, LINES_READER.read)
    assert identify(b"text\n", [broken, LINES_READER]).format == "lines"


@given(st.binary(max_size=2_000))
def test_anything_has_a_format(head: bytes) -> None:
    assert identify(head, READERS).format
