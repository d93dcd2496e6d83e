"""What the command line spares itself when it starts and while it works on much: it owns the whole process."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.abc import MetaPathFinder

COLLECTED_EVERY = (5_000, 10, 10)
"""Objects, and collections of the younger generation, between two collections (CPython's own: 700, 10, 10)."""


def start_light() -> None:
    """Start without libraries and threads that nothing here uses.

    NumPy starts a thread of linear algebra per core, and pyarrow imports pandas at its first array where pandas is
    installed (a quarter of a second, for recognising its series).  pyarrow asks once; whoever imports pandas later,
    as Spark does, gets it.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        return
    absent = _Absent("pandas")
    sys.meta_path.insert(0, absent)
    try:
        import_module("pyarrow").array([])
    finally:
        sys.meta_path.remove(absent)


class _Absent(MetaPathFinder):
    """Answers as if a module were not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Nothing found; none of the other finders is asked for the module.

        Raises:
            ModuleNotFoundError: it is the module.
        """
        if fullname == self._name:
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import without looking for cycles of garbage meanwhile: modules stay (a tenth of the start)."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles of garbage more seldom, and never among what was there before.

    Rules, libraries and plans of queries are some hundred thousand objects that stay; walking them again and again
    took a twentieth of a whole run.  A higher number than :data:`COLLECTED_EVERY` saves little more and lets batches
    of records live longer.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTED_EVERY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
