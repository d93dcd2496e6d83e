"""The pickle machine for the bytes at hand.

Compiled, the machine is faster by half where it knows that it reads ``bytes`` and no map of a file:
``scripts/compiled`` makes ``machine_of_bytes`` of the same source for them.  A source install has one for both.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from casemate.detect.artifacts.pickle import machine

if TYPE_CHECKING:
    from casemate.detect.artifacts.content import Buffer

_COMPILED = "casemate.detect.artifacts.pickle.machine_of_bytes"
_of_bytes = import_module(_COMPILED).interpret if find_spec(_COMPILED) else machine.interpret


def interpret(
    data: Buffer, begin: int, end: int, most_opcodes: int = 1 << 62, after_build: machine.AfterBuild | None = None
) -> machine.Trace:
    """Interpret one stream, as :func:`casemate.detect.artifacts.pickle.machine.interpret` does."""
    run = _of_bytes if isinstance(data, bytes) else machine.interpret
    return run(data, begin, end, most_opcodes, after_build)
