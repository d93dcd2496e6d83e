"""joblib's arrays: raw bytes that stand in the file right after the BUILD of their wrapper.

Source: ``joblib/numpy_pickle.py`` (``NumpyArrayWrapper.read_array``), joblib 0.10 to 1.6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from casemate.detect.artifacts.content import Buffer
from casemate.detect.artifacts.pickle.machine import Trace
from casemate.detect.artifacts.pickle.opcodes import Call, Global, Mapping

WRAPPERS = frozenset({"joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"})
MOST_DEPTH = 20
_SIMPLE = re.compile(r"[<>|=]?([?bBhHiIlLqQefdgFDGOSUVMmcua])(\d*)")
_SIZES = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8, "q": 8, "Q": 8, "e": 2, "f": 4,
          "d": 8, "g": 16, "F": 8, "D": 16, "G": 32, "O": 8, "M": 8, "m": 8, "c": 1}  # fmt: skip


class ArrayFollower:
    """Goes on after each array.

    Args:
        data: the buffer.
        end: where the content ends in it.
        nested: interprets and judges the stream of an object array, given its position.

    Attributes:
        arrays: how many were met.
    """

    depth = 0

    def __init__(self, data: Buffer, end: int, nested: Callable[[int], Trace]) -> None:
        self._data = data
        self._end = end
        self._nested = nested
        self.arrays = 0

    def after_build(self, target: Any, position: int) -> int:
        """The position after the array of `target`; `position` itself when it is no array."""
        if not isinstance(target, Call):
            return position
        function = target.function
        if not isinstance(function, Global) or function.name != "NumpyArrayWrapper" or function.module not in WRAPPERS:
            return position
        state = target.changes[-1].value
        if not isinstance(state, Mapping):
            return position
        shape, dtype = state.get("shape"), state.get("dtype")
        if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
            return position
        self.arrays += 1
        size, has_objects = item_size(dtype)
        if has_objects:
            return self._nested(position).end
        if size is None:
            return position
        if isinstance(state.get("numpy_array_alignment_bytes"), int) and position < self._end:
            position += 1 + self._data[position]
        return min(position + size * math.prod(shape), self._end)


def item_size(dtype: Any, depth: int = 0) -> tuple[int | None, bool]:
    """Bytes of one item of an abstract ``numpy.dtype(...)``, None if it cannot be told; whether it holds objects."""
    if (
        not isinstance(dtype, Call)
        or not isinstance(dtype.arguments, tuple)
        or not dtype.arguments
        or depth > MOST_DEPTH
    ):
        return None, False
    said = dtype.arguments[0]
    if not isinstance(said, str):
        return None, False
    match = _SIMPLE.fullmatch(said)
    if match is None:
        return None, False
    letter, digits = match.groups()
    if letter == "O":
        return 8, True
    if letter == "V" and dtype.changes and isinstance(dtype.changes[-1].value, tuple):
        fields = [part for part in dtype.changes[-1].value if isinstance(part, Mapping)]
        inner = [value[0] for part in fields for value in part.items[1::2] if isinstance(value, tuple) and value]
        if any(item_size(field, depth + 1)[1] for field in inner):
            return int(digits or 0), True
    if letter == "U":
        return 4 * int(digits or 0), False
    if digits:
        return int(digits), False
    return _SIZES.get(letter), False
