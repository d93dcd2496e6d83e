"""The process that reads artefacts, and the parent's end of it.

It gets open files through a socket (``SCM_RIGHTS``), so that it needs no right to open any itself, and answers one
verdict (JSON) per line on its standard output.  It stays for many files; when one of them kills it, that file is
``unscannable`` and a new process takes over.  Where the kernel has Landlock and seccomp it can write nowhere and has
no network; ``confined`` in the verdict says whether.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import casemate
from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Reason, Rule, Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.errors import CannotFinish

REQUEST_BYTES = 65536
READ_BYTES = 32 * 1024 * 1024
"""Larger files are mapped."""
ANSWER_BYTES = 64 * 1024 * 1024
STARTING_SECONDS = 60
WALL_FACTOR = 4
"""Seconds of wall clock per second of processor time that a file is given."""
COMMAND = (
    "import sys, json; spec = json.loads(sys.argv[1]); sys.path[:] = spec['sys_path'];"
    "from casemate.detect.artifacts.child import serve; serve(spec)"
)
CODE_FOLDERS = ("/usr", "/lib", "/lib64")

DIED = Rule("scan.died", "unscannable", CORRUPT_MODEL, "a loader may accept what the reading process did not survive")
CHANGED = Rule("scan.changed", "unscannable", None, "a loader reads other bytes than were judged here")


def serve(spec: dict[str, Any]) -> None:
    """Answer until the parent hangs up."""
    from casemate.detect.artifacts.scan import inspect_file
    from casemate.fence import limit_reader, no_network, read_only

    options = Options(**spec["options"])
    pipe = socket.socket(fileno=spec["socket"])
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not get between the answers
    limit_reader(memory_bytes=options.memory_bytes)
    folders = [*CODE_FOLDERS, sys.prefix, sys.base_prefix, *filter(None, spec["sys_path"])]
    confined = read_only(folders) & no_network()
    out.write(b"ready\n")
    out.flush()
    while True:
        data, descriptors, _, _ = socket.recv_fds(pipe, REQUEST_BYTES, 1)
        if not data or not descriptors:
            return
        _allow_seconds(options.seconds)
        name = data.decode("utf-8", "surrogateescape")
        verdict = _judge(name, descriptors[0], options, inspect_file, confined)
        out.write(json.dumps(verdict.as_dict()).encode("ascii") + b"\n")
        out.flush()


def _judge(name: str, descriptor: int, options: Options, inspect: Any, confined: bool) -> Verdict:
    try:
        before = os.fstat(descriptor)
        content = Content.of(name, b"")
        if 0 < before.st_size <= READ_BYTES:  # bytes are read faster than a map, and cannot shrink
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                content = Content.of(name, stream.read(READ_BYTES))
        elif before.st_size:
            content = Content.of(name, mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        verdict = inspect(content, options)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if isinstance(content.buffer, mmap.mmap):
        with contextlib.suppress(BufferError):
            content.buffer.close()
    changes: dict[str, Any] = {"confined": confined}
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        reason = Reason(
            CHANGED.code, "it changed while it was read", "unscannable", "", None, None, CHANGED.loader_effect
        )
        changes |= {"reasons": (reason, *verdict.reasons), "sha256": None}
        if verdict.verdict == "safe":
            changes["verdict"] = "unscannable"
    return Verdict(**{**vars(verdict), **changes})


def _allow_seconds(seconds: int) -> None:
    """Processor time for the next file: the kernel ends this process when it is used up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


class Child:
    """The parent's end: one process, started again when it dies.  Close it, or use it in ``with``."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: socket.socket | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verdict(self, name: str, descriptor: int) -> Verdict:
        """The verdict on an open file; `descriptor` stays the caller's.

        Raises:
            CannotFinish: the process cannot be started.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._pipe is not None
        size = os.fstat(descriptor).st_size
        label = os.fsencode(name)[-REQUEST_BYTES // 2 :]
        try:
            socket.send_fds(self._pipe, [label], [descriptor])
            line = self._answer(self._options.seconds * WALL_FACTOR)
        except (OSError, EOFError):
            line = b""
        if not line:
            why = self._ended()
            reason = Reason(DIED.code, why, DIED.severity, "", None, DIED.technique, DIED.loader_effect)
            return Verdict(name, "unscannable", (reason,), "unknown", None, size)
        told = Verdict.from_dict(json.loads(line))
        return Verdict(**{**vars(told), "path": name})

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _start(self) -> None:
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spec = {
            "options": vars(self._options),
            "socket": theirs.fileno(),
            "sys_path": [*filter(None, sys.path), str(Path(casemate.__file__).parents[1])],
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", COMMAND, json.dumps(spec)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={"LANG": "C.UTF-8", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
                cwd="/",
            )
        except OSError as error:
            raise CannotFinish(f"the process that reads artefacts cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._pipe = ours
        try:
            ready = self._answer(STARTING_SECONDS)
        except (OSError, EOFError):
            ready = b""
        if ready.strip() != b"ready":
            self.close()
            raise CannotFinish("the process that reads artefacts did not start")

    def _answer(self, seconds: float) -> bytes:
        """One line; empty when the process ended or time is up."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        blocks: list[bytes] = []
        while sum(map(len, blocks)) < ANSWER_BYTES:
            ready, _, _ = select.select([descriptor], [], [], seconds)
            block = os.read(descriptor, 1 << 20) if ready else b""
            if not block:
                return b""
            blocks.append(block)
            if block.endswith(b"\n"):
                return b"".join(blocks)
        return b""

    def _ended(self) -> str:
        """Why there was no answer; the process is gone afterwards."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        code = self._process.poll()
        self.close()
        if code is None:
            return f"no verdict after {self._options.seconds * WALL_FACTOR} seconds"
        if code == -24:
            return f"more than {self._options.seconds} seconds of processor time"
        if code == -7:
            return "it shrank while it was read"
        return f"the reading process ended ({'signal' if code < 0 else 'code'} {abs(code)}): too much memory or a fault"
