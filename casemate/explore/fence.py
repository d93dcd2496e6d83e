"""A fence around the process that answers a query: it can read what it must and write nothing.

DuckDB's own settings are one fence; this is the other, drawn by the kernel: resource limits (man 2
setrlimit) and, where the kernel has it, Landlock (https://docs.kernel.org/userspace-api/landlock.html).
It is needed because DuckDB lets whoever may read a file write it too: ``WITH x AS (COPY ... TO
part) SELECT 1`` is a SELECT to its parser and, to an allowed path, overwrites it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Sequence
from pathlib import Path

# linux/landlock.h; the numbers of the system calls are the same on all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}  # how many of the bits each version knows
_NETWORK_RIGHTS = 0b11  # bind and connect of TCP, from version 4
_SET_NO_NEW_PRIVILEGES = 38


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def limit_resources(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process: address space, CPU time, no core dump, no byte written to any file."""
    for name, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (value, value))


def read_only(readable: Sequence[str]) -> bool:
    """Let this thread and those it starts read beneath `readable` and nothing else, and write nowhere.

    Returns:
        Whether the kernel has drawn the fence (it cannot before Linux 5.13, or where switched off).
    """
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    if version < 1:
        return False
    bits = max(count for since, count in _FILE_RIGHTS_BY_ABI.items() if since <= version)
    network = _NETWORK_RIGHTS if version >= 4 else 0
    rules = _Ruleset((1 << bits) - 1, network)
    size = ctypes.sizeof(rules) if version >= 4 else 8
    ruleset = library.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for path in readable:
            if not _allow_reading(library, ruleset, path):
                return False
        library.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return library.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0
    finally:
        os.close(ruleset)


def _allow_reading(library: ctypes.CDLL, ruleset: int, path: str) -> bool:
    try:
        parent = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return True  # what is not there needs no right
    try:
        allowed = _READ_FILE | (_EXECUTE | _READ_DIR if Path(path).is_dir() else 0)
        rule = _PathBeneath(allowed, parent)
        return library.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)) == 0
    finally:
        os.close(parent)
