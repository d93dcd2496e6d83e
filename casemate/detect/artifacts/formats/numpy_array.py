"""numpy's .npy: a header that Python's literal syntax describes, then the array, as bytes or as a pickle.

Definition: ``numpy/lib/format.py`` (format versions 1 to 3).  Loader: ``numpy.load``; it unpickles an array of objects
only with ``allow_pickle``, which old versions and much code set.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection

MAGIC = b"\x93NUMPY"
HEADER_BYTES = 65536
MOST_DEPTH = 32
_SIMPLE = re.compile(r"[<>|=]?([?bBhHiIlLqQefdgFDGOSUVMmcua])(\d*)(\[\w+\])?")
_SIZES = {"?": 1, "b": 1, "B": 1, "O": 8}

HEADER = Rule("numpy.header", "unscannable", CORRUPT_MODEL, "reads the header otherwise, or raises an error")
SIZE = Rule("numpy.size", "unscannable", CORRUPT_MODEL, "raises an error: bytes are missing")


def recognise(content: Content) -> bool:
    """Whether it begins with the magic."""
    return content.head(6) == MAGIC


def inspect(content: Content, inspection: Inspection) -> None:
    """Read the header; hand an object array's pickle on."""
    version = content.read(6, 1)
    wide = 2 if version == b"\x01" else 4
    length = int.from_bytes(content.read(8, wide), "little")
    start = 8 + wide + length
    if version not in (b"\x01", b"\x02", b"\x03") or length > HEADER_BYTES or start > content.size:
        inspection.report(HEADER, f"version {version.hex()}, a header of {length} bytes", 6)
        return
    header = _header(content.read(8 + wide, length))
    if header is None:
        inspection.report(HEADER, "the header is no dictionary with descr, fortran_order and shape", 8 + wide)
        return
    inspection.own(0, start)
    size, has_objects = _item(header["descr"], 0)
    shape = header["shape"]
    if has_objects:
        inspection.inner(content.part("(objects)", start, content.size - start))
        inspection.own_all()
        return
    if size is None:
        inspection.report(HEADER, f"a type that is not known here: {header['descr']!r}"[:200], 8 + wide)
        return
    end = start + size * math.prod(shape)
    if end > content.size:
        inspection.report(SIZE, f"{content.size - start} bytes where {end - start} are due", start)
    inspection.own(start, min(end, content.size))
    inspection.skip(min(end, content.size) - start)


def _header(text: bytes) -> dict[str, Any] | None:
    try:
        header = ast.literal_eval(text.decode("utf-8", "replace").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        return None
    shape = header["shape"]
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        return None
    return header


def _item(descr: Any, depth: int) -> tuple[int | None, bool]:
    """Bytes of one item, None if unknown, and whether it holds objects."""
    if depth > MOST_DEPTH:
        return None, True
    if isinstance(descr, str):
        match = _SIMPLE.fullmatch(descr)
        if match is None:
            return None, "O" in descr
        letter, digits, _ = match.groups()
        if letter == "O":
            return 8, True
        size = int(digits) if digits else _SIZES.get(letter)
        return (4 * size if letter == "U" and size is not None else size), False
    if isinstance(descr, tuple) and len(descr) == 2:
        size, objects = _item(descr[0], depth + 1)
        sides = descr[1] if isinstance(descr[1], tuple) else (descr[1],)
        if size is None or not all(isinstance(side, int) and side >= 0 for side in sides):
            return None, objects
        return size * math.prod(sides), objects
    if isinstance(descr, list):
        total: int | None = 0
        objects = False
        for part in descr:
            if not isinstance(part, tuple) or len(part) not in (2, 3):
                return None, True
            size, inner = _item(part[1] if len(part) == 2 else (part[1], part[2]), depth + 1)
            objects = objects or inner
            total = None if total is None or size is None else total + size
        return total, objects
    return None, True


FORMAT = Format("numpy", recognise, inspect, (".npy",), runs_code=True)
