"""The compiled library: where it lies and how its functions are called."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

VERSION = 2  # of json_kernel.c; a library of another version is not used
LIBRARY = "json_kernel.so"

_POINTER, _NUMBER, _WIDE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_FUNCTIONS = {
    "kernel_version": (_NUMBER, ()),
    "kernel_new": (_POINTER, (ctypes.c_uint64,)),
    "kernel_free": (None, (_POINTER,)),
    "kernel_column": (_NUMBER, (_POINTER,)),
    "kernel_insert": (_NUMBER, (_POINTER, _NUMBER, ctypes.c_char_p, _POINTER, _POINTER, _WIDE, _WIDE)),
    "kernel_read": (_NUMBER, (_POINTER, ctypes.c_char_p, _POINTER, _POINTER, _WIDE, _POINTER)),
    "kernel_shapes": (_NUMBER, (_POINTER,)),
    "shape_fields": (_NUMBER, (_POINTER, _NUMBER)),
    "shape_keys": (_WIDE, (_POINTER, _NUMBER, _POINTER, _POINTER)),
    "kernel_plan": (
        _NUMBER,
        (_POINTER, _NUMBER, _POINTER, _POINTER, _NUMBER, _NUMBER, _NUMBER, ctypes.c_char_p, _POINTER),
    ),
    "kernel_fill": (_NUMBER, (_POINTER, ctypes.c_char_p, _POINTER, _WIDE, _WIDE)),
    "column_count": (_NUMBER, (_POINTER, _NUMBER)),
    "column_bytes": (_WIDE, (_POINTER, _NUMBER)),
    "column_apart": (_NUMBER, (_POINTER, _NUMBER)),
    "column_take": (None, (_POINTER, _NUMBER, _POINTER, _POINTER, _POINTER, _WIDE)),
}
"""Name -> what it returns and takes; `json_kernel.c` says what they do."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library, or None if it was not compiled or is of another version."""
    path = Path(__file__).with_name(LIBRARY)
    if not path.is_file():
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):  # of another machine, or older than this source
        return None
    return loaded if loaded.kernel_version() == VERSION else None
