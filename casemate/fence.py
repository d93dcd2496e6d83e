"""A fence around the processes that answer queries and read artefacts: they read what they must and write nothing.

It is drawn by the kernel: resource limits (man 2 setrlimit) and, where the kernel has them, Landlock
(https://docs.kernel.org/userspace-api/landlock.html) and a filter of system calls
(https://docs.kernel.org/userspace-api/seccomp_filter.html).  Queries need it because DuckDB lets whoever may
read a file write it too: ``WITH x AS (COPY ... TO
part) SELECT 1`` is a SELECT to its parser and, to an allowed path, overwrites it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
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
_SET_SECCOMP, _SECCOMP_FILTER = 22, 2

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_FOREIGN_CALLS = 0x40000000  # the x32 calls of x86_64
_CALLS_BY_MACHINE: dict[str, tuple[int, tuple[int, ...]]] = {
    # socket connect bind listen accept sendto clone-less forks execve ptrace kill tkill mount process_vm_* execveat
    # io_uring_setup pidfd_open bpf keyctl userfaultfd perf_event_open
    "x86_64": (
        0xC000003E,
        (41, 42, 43, 44, 49, 50, 53, 57, 58, 59, 62, 101, 165, 200, 234, 250, 298, 310, 311, 321, 322, 323, 425, 434),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 200, 201, 202, 203, 206, 221, 117, 129, 130, 131, 40, 219, 241, 270, 271, 280, 281, 282, 425, 434),
    ),
}
"""By machine: how the kernel calls it, and the system calls that a reader of files has no use for."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


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


def limit_reader(*, memory_bytes: int) -> None:
    """Limit a process that maps files: memory of its own (maps do not count), no core dump, no byte written."""
    for name, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (value, value))


def no_network() -> bool:
    """Take from this process the calls for sockets, new programs and other processes; they fail with EPERM.

    Returns:
        Whether the kernel has taken them (a machine not in the table, or no seccomp: it has not).
    """
    machine = _CALLS_BY_MACHINE.get(platform.machine())
    if machine is None:
        return False
    architecture, calls = machine
    # seccomp_data: the call's number at 0, the architecture at 4
    program = [
        (_LOAD_WORD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD_WORD, 0, 0, 0),
        (_JUMP_AT_LEAST, len(calls) + 1, 0, _FOREIGN_CALLS),
        *((_JUMP_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    instructions = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    filtering = _Program(len(program), instructions)
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return library.prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(filtering), 0, 0) == 0


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
