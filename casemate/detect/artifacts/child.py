"""The process that reads artefacts, and the parent's end of it.

It gets open files through a socket (``SCM_RIGHTS``), one or several at once, so that it needs no right to open any
itself, and answers one verdict (JSON) per line on its standard output; to the socket it writes one byte before it
begins with each of several.  It stays for many files; when one of them kills it, that file is ``unscannable`` and a
new process takes over.  Where the kernel has Landlock and seccomp it can write nowhere and has
no network; ``confined`` in the verdict says whether.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import casemate
from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Reason, Rule, Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.errors import CannotFinish

REQUEST_BYTES = 65536
FILES_TOGETHER = 50
"""Most files of one request."""
LABEL_BYTES = REQUEST_BYTES // 2
SILENT_SECONDS = 0.1
"""Answers to several files wait for each other so long."""
COLLECTED_EVERY = 50_000
"""Objects made between two collections of garbage."""
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
    from casemate.detect.artifacts.one_file import inspect_file
    from casemate.fence import limit_reader, no_network, read_only

    options = Options(**spec["options"])
    pipe = socket.socket(fileno=spec["socket"])
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not get between the answers
    limit_reader(memory_bytes=options.memory_bytes)
    folders = [*CODE_FOLDERS, sys.prefix, sys.base_prefix, *filter(None, spec["sys_path"])]
    confined = read_only(folders) & no_network()
    gc.freeze()  # what was imported stays; values of a pickle rarely hold each other
    gc.set_threshold(COLLECTED_EVERY)
    out.write(b"ready\n")
    out.flush()
    allowed = 0
    while True:
        data, descriptors, _, _ = socket.recv_fds(pipe, REQUEST_BYTES, FILES_TOGETHER)
        if not data or not descriptors:
            return
        labels = [data] if len(descriptors) == 1 else data.split(b"\0")
        answered = time.monotonic()
        for label, descriptor in zip(labels, descriptors, strict=True):
            if len(descriptors) > 1:
                os.write(pipe.fileno(), b"\n")
            allowed = _allow_seconds(options.seconds, allowed)
            verdict = _judge(label.decode("utf-8", "surrogateescape"), descriptor, options, inspect_file, confined)
            out.write(json.dumps(verdict.as_dict()).encode("ascii") + b"\n")
            if time.monotonic() - answered > SILENT_SECONDS:
                out.flush()
                answered = time.monotonic()
        out.flush()


def _judge(name: str, descriptor: int, options: Options, inspect: Any, confined: bool) -> Verdict:
    try:
        before = os.fstat(descriptor)
        content = Content.of(name, b"")
        if 0 < before.st_size <= READ_BYTES:  # bytes are read faster than a map, and cannot shrink
            content = Content.of(name, _bytes(descriptor, before.st_size))
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
    return replace(verdict, **changes)


def _bytes(descriptor: int, size: int) -> bytes:
    """The file's bytes, and one more where it has grown."""
    data = os.pread(descriptor, size + 1, 0)
    while len(data) < size and (more := os.pread(descriptor, size + 1 - len(data), len(data))):
        data += more
    return data


def _allow_seconds(seconds: int, allowed: int) -> int:
    """Processor time for the next file: the kernel ends this process when it is used up.

    Returns:
        The second up to which it may run now; `allowed` is what it was before.
    """
    until = int(time.process_time()) + seconds + 1
    if until != allowed:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (until, hard))
    return until


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
        return self.verdicts([(name, descriptor)])[0]

    def verdicts(self, files: Sequence[tuple[str, int]]) -> list[Verdict]:
        """The verdicts on open files, in their order, each by its name and descriptor; at most FILES_TOGETHER.

        Raises:
            CannotFinish: the process cannot be started.
        """
        found: list[Verdict | None] = [None] * len(files)
        left = list(range(len(files)))
        while left:
            asked = left[: self._fitting([files[index] for index in left])]
            lines, begun = self._ask([files[index] for index in asked])
            for index, line in zip(asked, lines, strict=False):
                told = Verdict.from_dict(json.loads(line))
                found[index] = replace(told, path=files[index][0])
            if len(lines) < len(asked):
                # answers of those before it may have been lost with it: they are asked for again
                index = asked[max(len(lines), begun - 1)]
                name, descriptor = files[index]
                why = self._ended()
                reason = Reason(DIED.code, why, DIED.severity, "", None, DIED.technique, DIED.loader_effect)
                size = os.fstat(descriptor).st_size
                found[index] = Verdict(name, "unscannable", (reason,), "unknown", None, size)
            left = [index for index in left if found[index] is None]
        return [verdict for verdict in found if verdict is not None]

    def _fitting(self, files: Sequence[tuple[str, int]]) -> int:
        """How many of the files one request holds; a name that a separator stands in goes alone."""
        size = 0
        for count, (name, _) in enumerate(files):
            size += len(os.fsencode(name)) + 1
            if size > LABEL_BYTES or "\0" in name:
                return max(1, count)
        return len(files)

    def _ask(self, files: Sequence[tuple[str, int]]) -> tuple[list[bytes], int]:
        """The answers that came, and how many of the files were begun with."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._pipe is not None
        label = b"\0".join(os.fsencode(name)[-LABEL_BYTES:] for name, _ in files)
        try:
            socket.send_fds(self._pipe, [label], [descriptor for _, descriptor in files])
            answer = self._answer(self._options.seconds * WALL_FACTOR, len(files))
        except (OSError, EOFError):
            answer = b""
        lines = answer.split(b"\n")[:-1]
        begun = 0
        if len(files) > 1:
            with contextlib.suppress(OSError):
                while begun < len(files) and self._pipe.recv(1, socket.MSG_DONTWAIT):
                    begun += 1
        return lines, begun

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

    def _answer(self, seconds: float, lines: int = 1) -> bytes:
        """So many lines, or what came of them before the process ended or time was up."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        blocks: list[bytes] = []
        left, size = lines, 0
        while left > 0 and size < ANSWER_BYTES * lines:
            ready, _, _ = select.select([descriptor], [], [], seconds)
            block = os.read(descriptor, 1 << 20) if ready else b""
            if not block:
                break
            blocks.append(block)
            left -= block.count(b"\n")
            size += len(block)
        return b"".join(blocks)

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
