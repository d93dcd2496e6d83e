"""Model files that are known by their first bytes and not read: the verdict says what they are.

Sources: ggml's older magics (``ggml/docs/gguf.md``), MXNet (``src/ndarray/ndarray.cc``, ``kMXAPINDArrayListMagic``),
TensorRT's plans and Rockchip's RKNN as ``file(1)`` and their own tools name them.
"""

from __future__ import annotations

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection

MOST_HUNTED = 256 << 20
NAMES: dict[bytes, str] = {
    b"lmgg": "a ggml model, from before GGUF",
    b"fmgg": "a ggml model, from before GGUF",
    b"tjgg": "a ggml model (ggjt), from before GGUF",
    b"algg": "a ggml adapter, from before GGUF",
    b"\x12\x01\0\0\0\0\0\0": "MXNet arrays",
    b"ftrt": "a TensorRT plan, which holds machine code",
    b"ptrt": "a TensorRT plan, which holds machine code",
    b"RKNN": "an RKNN model",
}

NOT_READ = Rule("format.not_read", "unscannable", UNSAFE_ARTIFACT, "reads a format that is known here by name only")


def recognise(content: Content) -> bool:
    """Whether it begins like one of them."""
    return content.size > 16 and content.head(8).startswith(tuple(NAMES))


def inspect(content: Content, inspection: Inspection) -> None:
    """Say what it is; look for pickles in it."""
    inspection.own_all()
    name = next(text for magic, text in NAMES.items() if content.head(8).startswith(magic))
    inspection.report(NOT_READ, f"{name}: not read", 0)
    hunt(content, [(0, min(content.size, MOST_HUNTED))], inspection)


FORMAT = Format("named", recognise, inspect)
