"""One verdict per file.

:func:`inspect_file` looks at one content in this process; :func:`scan` finds files and has each looked at by a child
process behind limits (:mod:`casemate.detect.artifacts.child`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from casemate.detect.artifacts.child import Child
from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Reason, Rule, Verdict
from casemate.detect.artifacts.folders import judged_together
from casemate.detect.artifacts.identify import inspect_content
from casemate.detect.artifacts.inspection import REASONS_KEPT, Budget, Findings, Inspection, Options, TooMuchError
from casemate.detect.artifacts.judge import in_order, verdict_of
from casemate.errors import BadInput

HASHED_ANYWAY = 64 * 1024 * 1024
"""A file up to this size is hashed even where its tensors are not looked at."""

OUT_OF_MEMORY = Rule("limit.memory", "unscannable", None, "a loader may read what there was no memory for here")
NOT_A_FILE = Rule("file.special", "unscannable", None, "reads whatever stands behind it")
NOT_READABLE = Rule("file.unreadable", "unscannable", None, "reads it if it has the right to")
NOT_FOLLOWED = Rule("file.link", "unscannable", None, "follows the link")


def inspect_file(content: Content, options: Options | None = None) -> Verdict:
    """The verdict on one content, in this process; for hostile files use :func:`scan`.

    Never raises for any bytes.
    """
    options = options or Options()
    findings = Findings()
    inspection = Inspection(content, inspect_content, Budget(options), findings)
    try:
        inspect_content(content, inspection)
    except TooMuchError as limit:
        inspection.report(limit.rule, str(limit))
    except MemoryError:
        inspection.report(OUT_OF_MEMORY, "the memory allowed for one file is used up")
    except RecursionError:
        inspection.report(OUT_OF_MEMORY, "it is nested too deeply to be read")
    reasons = in_order(findings.reasons)
    return Verdict(
        path=content.name,
        verdict=verdict_of(reasons),
        reasons=tuple(reasons[:REASONS_KEPT]),
        format="+".join(dict.fromkeys(findings.formats)) or "unknown",
        sha256=_hash(content) if options.full or not findings.skipped or content.size <= HASHED_ANYWAY else None,
        bytes=content.size,
        bytes_skipped=findings.skipped,
        reasons_left_off=max(0, len(reasons) - REASONS_KEPT),
    )


def scan(paths: Sequence[Path], options: Options | None = None) -> Iterator[Verdict]:
    """The verdict on every file of `paths`, folders with all below them, in the order of their names.

    Raises:
        BadInput: a path does not exist.
        CannotFinish: the reading process cannot be started.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise BadInput("no such file or folder", where=str(path))
    with Child(options or Options()) as child:
        yield from judged_together(_verdict(child, file) for path in paths for file in _files(path))


def _verdict(child: Child, path: Path) -> Verdict:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _unread(
                path, NOT_FOLLOWED, "a link to a folder, or one that cannot be listed; name the folder itself"
            )
        if not stat.S_ISREG(mode):
            return _unread(path, NOT_A_FILE, "it is no regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return _unread(path, NOT_READABLE, error.strerror or "it cannot be opened")
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _unread(path, NOT_A_FILE, "it is no regular file")
        return child.verdict(str(path), descriptor)
    finally:
        os.close(descriptor)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=unlisted.append):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(folder, name)
    for error in unlisted:
        yield Path(error.filename)


def _unread(path: Path, rule: Rule, text: str) -> Verdict:
    reason = Reason(rule.code, text, rule.severity, "", None, rule.technique, rule.loader_effect)
    return Verdict(str(path), "unscannable", (reason,), "unknown", None, 0)


def _hash(content: Content) -> str:
    digest = hashlib.sha256()
    for block in content.blocks():
        digest.update(block)
    return digest.hexdigest()
