"""How this process gets memory: what was given back is used again instead of asked for anew.

Reading evidence allocates and frees blocks of a few MiB all the time.  Arrow's own allocators and glibc
give such blocks back to the system at once and get zeroed pages for the next: on 1.3 GB of Windows
events this took 2.3 of 16 CPU seconds (measured), and none of it is needed; one place of free memory for
all threads saved another 0.7.
"""

from __future__ import annotations

import ctypes
import functools

import pyarrow as pa

KEPT_BYTES = 256 * 1024 * 1024
"""Free memory that is kept."""
LARGEST_KEPT = 32 * 1024 * 1024
"""Blocks up to this size come from what is kept; glibc takes no larger one."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3)


@functools.cache
def keep_memory() -> None:
    """Use freed memory again, in this process, from now on; nothing happens where there is no glibc."""
    library = _glibc()
    if library is None:
        return
    library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    library.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
    # what one thread frees another may use: batches are read by some threads, written and given back by others
    library.mallopt(_ARENA_MAX, 1)
    pa.set_memory_pool(pa.system_memory_pool())


def give_back_memory() -> None:
    """Give freed memory back to the system, between phases."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):
        return None
