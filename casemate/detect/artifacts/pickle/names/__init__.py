"""Exact names that real files of each framework need, one table per framework.

A table maps a module to the names in it that an unpickler may take from there, call with any data and build with any
state without running anything the file chose.  A name is here because a real file needs it and because its
constructor, ``__setstate__`` and item methods were looked at; never because of its module.
"""

from __future__ import annotations

from casemate.detect.artifacts.pickle.names import (
    boosting,
    columnar,
    distributions,
    language,
    numerical,
    scikit_learn,
    standard_library,
    tables,
    torch_library,
    vision,
)

TABLES: tuple[dict[str, str], ...] = (
    standard_library.NAMES,
    numerical.NAMES,
    tables.NAMES,
    columnar.NAMES,
    torch_library.NAMES,
    torch_library.CLASSES,
    vision.NAMES,
    scikit_learn.NAMES,
    boosting.NAMES,
    distributions.NAMES,
    language.NAMES,
)


def _all() -> frozenset[tuple[str, str]]:
    named = {(module, name) for table in TABLES for module, names in table.items() for name in names.split()}
    for old, new in scikit_learn.MOVED.items():
        named |= {(old, name) for name in scikit_learn.NAMES.get(new, "").split()}
    return frozenset(named)


ALLOWED: frozenset[tuple[str, str]] = _all()
"""(module, name) of every callable or value that may be taken."""
