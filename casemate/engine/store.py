"""The table store of a case: staging, commits, live parts.  docs/decisions/0002-commit-protocol.md

Parts and blobs are written into a stage, brought to the disk, moved into place, and become true by
one line that a :class:`Ledger` appends.  The store does not know what kind of ledger that is.
Whatever no commit names is deleted when the case is next opened for writing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from casemate.engine.canonical import hash_of_parts
from casemate.engine.files import (
    TABLE_NAME,
    check_folder,
    disk_errors,
    inside,
    replace_file,
    sync_file,
    sync_folder,
    uninterrupted,
)
from casemate.engine.parts import Part, StagedPart, schema_to_json, write_parts
from casemate.engine.state import Blob, LiveState, blob_to_json, part_to_json, schema_id
from casemate.errors import CannotFinish, CasemateError

FOLDERS = ("evidence", "tables", "staging")
INTENT = "intent"
"""File in a stage that holds the very line about to be appended, so that `verify` can tell what an
interrupted commit left behind from what someone added."""
MANIFEST_BYTES = 256 * 1024 * 1024


class Ledger(Protocol):
    """Keeps commits, durably and in order."""

    def prepare(self, commit: Mapping[str, Any]) -> bytes:
        """The line that will record `commit`; nothing is written yet."""
        ...

    def append(self, line: bytes) -> None:
        """Write and fsync a prepared line.  When this raises, the line is not there."""
        ...


@dataclass
class Stage:
    """Files that wait for a commit.  ``folder`` may be given to worker processes."""

    folder: Path
    parts: list[StagedPart] = field(default_factory=list)
    blobs: list[tuple[Blob, Path | None]] = field(default_factory=list)

    def write(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> list[StagedPart]:
        """Write rows of one table; rows of many pieces of evidence may share a part.

        Raises:
            CannotFinish: the disk is full.
        """
        with disk_errors(self.folder):
            written = write_parts(self.folder, table, schema, batches)
        self.parts.extend(written)
        return written

    def add_parts(self, parts: Iterable[StagedPart]) -> None:
        """Take parts that a worker wrote into ``folder`` with ``write_parts``."""
        self.parts.extend(parts)

    def blob_path(self) -> Path:
        """A new file in the stage for a blob writer."""
        with disk_errors(self.folder):
            descriptor, name = tempfile.mkstemp(prefix="blob-", suffix=".zst", dir=self.folder)
            os.close(descriptor)
        return Path(name)

    def add_blob(self, blob: Blob, file: Path | None) -> None:
        """Take a finished blob file (None for evidence that is left where it is)."""
        self.blobs.append((blob, file))


class Store:
    """Tables and blobs of one case folder.

    Args:
        root: the case folder.
        state: what is live, folded from the ledger.
        ledger: where commits go; None for a store that only reads.
    """

    def __init__(self, root: Path, state: LiveState, ledger: Ledger | None) -> None:
        self.root = root
        self.state = state
        self._ledger = ledger
        self._broken = False
        self._outlived: list[str] = []
        self._finished: list[Stage] = []

    def tables(self) -> tuple[str, ...]:
        """Names of the tables that have live parts with rows, sorted."""
        return tuple(sorted({part.table for part in self.state.parts.values() if part.rows}))

    def live_parts(self, table: str) -> list[Part]:
        """Live parts of a table, oldest first; paths are relative to the case folder."""
        return self.state.live_parts(table)

    def part_paths(self, table: str) -> list[Path]:
        """Absolute paths of the live parts of a table.

        Raises:
            CaseDamaged: a part is missing, a link, or lies outside the case.
        """
        return [inside(self.root, part.path) for part in self.live_parts(table)]

    def schema(self, table: str) -> pa.Schema | None:
        """Schema of a table, or None if it never had a part."""
        return self.state.schema(table)

    def stage(self) -> Stage:
        """Begin a new stage.

        Raises:
            CannotFinish: the folder cannot be made.
        """
        with disk_errors(self.root):
            return Stage(Path(tempfile.mkdtemp(prefix="stage-", dir=self.root / "staging")))

    def discard(self, stage: Stage) -> None:
        """Forget a stage and what it holds."""
        shutil.rmtree(stage.folder, ignore_errors=True)

    def commit(
        self, stage: Stage | None = None, *, remove: Sequence[Part] = (), facts: Mapping[str, Any] | None = None
    ) -> list[Part]:
        """Make the stage's parts and blobs true and the removed parts untrue, in one step.

        Args:
            stage: what to add; it cannot be used afterwards.
            remove: live parts that these replace.  Their files are deleted with the next commit;
                whoever has one open keeps it until closing it.
            facts: JSON values that say what this commit is (evidence, phase, rule set, settings).

        Returns:
            The added parts.

        Raises:
            CannotFinish: disk full or the like; nothing changed, the stage is still there.  Once the
                ledger holds the commit nothing is raised: what cannot be tidied up then waits for
                the next commit or the next opening.
        """
        if self._ledger is None or self._broken:
            raise CasemateError("this case is not open for writing", where=str(self.root))
        stage = stage or self.stage()
        parts, moves = self._placed(stage)
        commit = self._describe(parts, stage, remove, facts or {})
        line = self._ledger.prepare(commit)
        with uninterrupted():
            self._make_true(stage, moves, line)
            self._outlived.extend(self.state.superseded)
            self.state.apply(commit)
            self._finished.append(stage)
            self._tidy_up()
        return parts

    def _tidy_up(self) -> None:
        """Delete what commits left behind and write the manifest, as far as the disk lets us.

        The commit is true already, and to say that it failed would be wrong: the manifest is derived,
        and the next opening deletes what nobody names.
        """
        try:
            while self._outlived:
                (self.root / self._outlived[-1]).unlink(missing_ok=True)
                self._outlived.pop()
            self.write_manifest()
        except (OSError, CannotFinish):
            return
        while self._finished:  # last: the intent in a stage explains to `verify` whatever is not tidied up yet
            self.discard(self._finished.pop())

    def _make_true(self, stage: Stage, moves: Sequence[tuple[Path, Path]], line: bytes) -> None:
        assert self._ledger is not None
        done: list[Path] = []
        try:
            with disk_errors(self.root):
                self._move(stage, moves, line, done)
            self._ledger.append(line)
        except BaseException:
            self._broken = not _take_back(moves, done)
            raise

    def _placed(self, stage: Stage) -> tuple[list[Part], list[tuple[Path, Path]]]:
        """The parts under their final names, and which file goes where."""
        parts: list[Part] = []
        moves: list[tuple[Path, Path]] = []
        number = self.state.commits + 1
        for position, staged in enumerate(stage.parts):
            if not TABLE_NAME.fullmatch(staged.table):
                raise ValueError(f"not a table name: {staged.table!r}")
            path = f"tables/{staged.table}/part-{number:06d}-{position:03d}.parquet"
            parts.append(Part(staged.table, path, staged.rows, staged.bytes, staged.sha256, staged.schema))
            moves.append((Path(staged.file), self.root / path))
        for blob, file in stage.blobs:
            if file is not None and blob.path is not None and blob.evidence not in self.state.blobs:
                moves.append((file, self.root / blob.path))
        return parts, moves

    def _describe(
        self, parts: Sequence[Part], stage: Stage, remove: Sequence[Part], facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        for part in remove:
            if part.path not in self.state.parts:
                raise ValueError(f"not a live part: {part.path}")
        schemas = {schema_id(part.schema): schema_to_json(part.schema) for part in parts}
        blobs: dict[str, Blob] = {}
        for blob, _ in stage.blobs:
            if blob.evidence not in self.state.blobs:
                blobs.setdefault(blob.evidence, blob)
        return {
            "commit": self.state.commits + 1,
            "added": [part_to_json(part) for part in parts],
            "removed": [part.path for part in remove],
            "blobs": [blob_to_json(blob) for blob in blobs.values()],
            "schemas": {name: columns for name, columns in schemas.items() if name not in self.state.schemas},
            "facts": dict(facts),
        }

    def _move(self, stage: Stage, moves: Sequence[tuple[Path, Path]], line: bytes, done: list[Path]) -> None:
        for file, _ in moves:
            sync_file(file)
        replace_file(stage.folder / INTENT, line)  # and fsyncs the folder
        folders = {target.parent for _, target in moves}
        for folder in folders:
            if not folder.exists():
                folder.mkdir()
                sync_folder(folder.parent)
            check_folder(folder)
        for file, target in moves:
            file.replace(target)
            done.append(target)
        for folder in folders:
            sync_folder(folder)

    def row_hash(self, table: str) -> str:
        """Hash of the rows of a table that depends on neither order nor storage."""
        return hash_of_parts(self.part_paths(table))

    def write_manifest(self) -> None:
        """Write the derived file ``manifest`` (not fsynced: it can always be rebuilt)."""
        with disk_errors(self.root / "manifest"):
            replace_file(self.root / "manifest", self.state.manifest(), durable=False)

    def clean(self) -> list[str]:
        """Delete what no commit names: stages, parts and blobs of interrupted commits.

        Returns:
            Paths of the deleted parts and blobs, relative to the case folder, sorted.
        """
        named = {*self.state.parts, *self.state.superseded} | {
            blob.path for blob in self.state.blobs.values() if blob.path
        }
        deleted = []
        with disk_errors(self.root):
            for entry in (self.root / "staging").iterdir():
                _delete(entry)
            for table in (self.root / "tables").iterdir():
                if table.is_symlink() or not table.is_dir():
                    _delete(table)
                    deleted.append(f"tables/{table.name}")
                    continue
                deleted.extend(_clean_folder(table, f"tables/{table.name}", named))
            deleted.extend(_clean_folder(self.root / "evidence", "evidence", named))
        return sorted(deleted)


def _clean_folder(folder: Path, prefix: str, named: set[str]) -> list[str]:
    deleted = []
    for entry in folder.iterdir():
        relative = f"{prefix}/{entry.name}"
        if relative not in named:
            _delete(entry)
            deleted.append(relative)
    return deleted


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _take_back(moves: Sequence[tuple[Path, Path]], done: Sequence[Path]) -> bool:
    """Move files of a failed commit back into the stage; whether that worked."""
    placed = set(done)
    try:
        for file, target in moves:
            if target in placed:
                target.replace(file)
    except OSError:
        return False
    return True
