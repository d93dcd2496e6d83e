"""Machine code: programs and libraries, which are not judged here.

Definitions: System V ABI (ELF), PE/COFF, Mach-O, WebAssembly and Java's class files.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import MASQUERADING, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection

NATIVE = Rule("native.code", "unscannable", UNSAFE_ARTIFACT, "runs machine code, which is not judged here")
MISPLACED = Rule("native.misnamed", "malicious", MASQUERADING, "runs machine code that its name denies")
_MACHO = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
DATA_NAME = re.compile(
    r"\.(?:pt|pth|ckpt|pkl|pickle|joblib|npy|npz|h5|hdf5|keras|onnx|pb|safetensors|gguf|ggml|json|yaml|yml|txt|md|csv|tsv|parquet|jpg|jpeg|png|gif|"
    r"webp|wav|tflite|model|weights|ipynb|pdf|msgpack|xml|html)$"
)


def kind_of(content: Content) -> str | None:
    """What machine it is for, by the first bytes."""
    head = content.head(64)
    if head[:4] == b"\x7fELF" and head[4:5] in (b"\1", b"\2"):
        return "ELF"
    if head[:2] == b"MZ" and content.size > 64:
        at = int.from_bytes(head[60:64], "little")
        if content.read(at, 4) == b"PE\0\0":
            return "PE"
    if head[:4] in _MACHO:
        return "Mach-O"
    if head[:4] == b"\0asm":
        return "WebAssembly"
    if head[:4] == b"\xca\xfe\xba\xbe" and content.size > 16:
        return "Mach-O or Java"
    return None


def recognise(content: Content) -> bool:
    """Whether it is a program or library."""
    return kind_of(content) is not None


def inspect(content: Content, inspection: Inspection) -> None:
    """Say what it is; a name of data makes it worse."""
    inspection.own_all()
    kind = kind_of(content)
    name = content.name.lower()
    if DATA_NAME.search(name):
        inspection.report(MISPLACED, f"{kind} under the name {content.name.rpartition('/')[2]!r}"[:200], 0)
    else:
        inspection.report(NATIVE, f"{kind}", 0)


FORMAT = Format("native", recognise, inspect, (".so", ".dll", ".pyd", ".exe", ".dylib", ".wasm"), runs_code=True)
