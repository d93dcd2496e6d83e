"""One export: a target, what goes out, and a file that appears only when it is whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from casemate.errors import BadInput, CannotFinish
from casemate.export import ecs, ocsf, splunk, tabular, timesketch
from casemate.export.content import Content, ExportedEvent, ExportedFinding, json_line
from casemate.export.navigator import layer
from casemate.intel.store import knowledge

SCOPES: tuple[str, ...] = ("findings", "annotated", "window")
LINE_TARGETS: dict[str, tuple[Callable[[ExportedFinding], Any], Callable[[ExportedEvent], Any] | None]] = {
    "timesketch": (timesketch.finding, timesketch.event),
    "ecs": (ecs.finding, ecs.event),
    "ocsf": (ocsf.finding, None),
    "splunk": (splunk.finding, splunk.event),
}
"""Targets of one JSON document per line: how a finding and how a record is written (None: it holds no records)."""
TARGETS: tuple[str, ...] = ("timesketch", "navigator", "ecs", "ocsf", "splunk", "csv", "parquet")


@dataclass(frozen=True)
class WrittenFile:
    """A file that an export wrote."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Exported:
    """What an export did: how many findings and records went out, into which files, and what is to be known."""

    target: str
    only: str
    findings: int
    records: int
    files: tuple[WrittenFile, ...]
    notes: tuple[str, ...] = ()


def export(content: Content, target: str, only: str, out: Path) -> Exported:
    """Write `content` for `target` to `out`.

    Args:
        content: of an open case, with its time window.
        target: one of :data:`TARGETS`.
        only: ``findings``; ``annotated``: those that people marked (`content` is made so); or ``window``: the
            records of the window as well (for CSV and Parquet, which have one kind of row, the records alone,
            with the ids of their findings).
        out: the file; one that is there is replaced as a whole, or not at all.

    Raises:
        BadInput: no such target or scope, a window that is open at both ends, or a target that holds no records.
        CannotFinish: the disk.
    """
    if target not in TARGETS:
        raise BadInput(f"no target '{target}'", hint="one of " + ", ".join(TARGETS))
    if only not in SCOPES:
        raise BadInput(f"cannot export only '{only}'", hint="one of " + ", ".join(SCOPES))
    if only == "window":
        if content.window.is_open:
            raise BadInput("a window needs a beginning or an end", hint="--from TIME, --until TIME or both")
        if target == "navigator" or LINE_TARGETS.get(target, (None, True))[1] is None:
            raise BadInput(f"{target} holds findings, no records", hint="leave --only out; --from and --until stay")
    if out.is_dir():
        raise BadInput("is a folder", where=str(out), hint="give the name of a file")
    counted = _Counted(content, records=only == "window")
    notes: tuple[str, ...] = ()
    with replaced(out) as stream:
        if target == "navigator":
            attack = knowledge("attack")
            made, _ = layer(counted.findings(whole=False), content.case.settings.name, attack)
            stream.write(orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            if attack is None:
                notes = ("ATT&CK is not installed, so the layer names no version of it: casemate intel update attack",)
        elif target in ("csv", "parquet"):
            write = tabular.write_csv if target == "csv" else tabular.write_parquet
            if only == "window":
                write(stream, tabular.EVENT_COLUMNS, map(tabular.event_row, counted.events()))
            else:
                write(stream, tabular.FINDING_COLUMNS, map(tabular.finding_row, counted.findings()))
        else:
            finding, event = LINE_TARGETS[target]
            for found in counted.findings():
                stream.write(json_line(finding(found)))
            if event is not None:
                for record in counted.events():
                    stream.write(json_line(event(record)))
    files = [_written(out)]
    if target == "ecs":
        template = out.with_name(out.name + ".index-template.json")
        with replaced(template) as stream:
            stream.write(orjson.dumps(ecs.index_template(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        files.append(_written(template))
    return Exported(target, only, counted.found, counted.read, tuple(files), notes)


class _Counted:
    """Counts what goes by."""

    def __init__(self, content: Content, *, records: bool) -> None:
        self._content = content
        self._records = records
        self.found = self.read = 0

    def findings(self, *, whole: bool = True) -> Iterator[ExportedFinding]:
        for one in self._content.findings(whole=whole):
            self.found += 1
            yield one

    def events(self) -> Iterator[ExportedEvent]:
        if self._records:
            for one in self._content.events():
                self.read += 1
                yield one


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once it is whole; readable by its owner alone.

    Raises:
        BadInput: it cannot be made there.
        CannotFinish: the disk is full or fails.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CannotFinish(f"could not be written: {error.strerror or error}", where=str(path)) from error
        raise


def _written(path: Path) -> WrittenFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return WrittenFile(path, path.stat().st_size, digest)
