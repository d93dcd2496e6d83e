"""Small artefacts for the tests: streams assembled from opcodes, never loaded."""

from __future__ import annotations

import io
import struct
import zipfile

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.one_file import inspect_file

BAD = b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00echo canary\x85R."
GOOD = b"\x80\x02}X\x01\x00\x00\x00aK\x01s."


def verdict(data: bytes, name: str = "model.pkl", **options: object) -> Verdict:
    """The verdict on bytes, in this process."""
    return inspect_file(Content.of(name, data), Options(**options))  # type: ignore[arg-type]


def codes(found: Verdict) -> set[str]:
    """The codes of its reasons."""
    return {reason.code for reason in found.reasons}


def text(word: str) -> bytes:
    """A string."""
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def named(module: str, name: str) -> bytes:
    """``module.name``."""
    return text(module) + text(name) + b"\x93"


def calls(module: str, name: str, *arguments: bytes) -> bytes:
    """A call of ``module.name`` with values given as opcodes."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def stream(body: bytes) -> bytes:
    """A whole pickle of protocol 4."""
    return b"\x80\x04" + body + b"."


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()
