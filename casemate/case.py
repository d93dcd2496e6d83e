"""A case on disk: create, open, lock, resume.  docs/decisions/0002-commit-protocol.md

The truth is ``custody.jsonl``; the live parts and blobs are folded from it at each opening.  One
process writes at a time; readers never wait and never block it.  A folder that someone else made
is treated as hostile: nothing is followed out of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from casemate import __version__
from casemate.engine.files import check_folder, disk_errors, open_regular, read_regular, replace_file
from casemate.engine.parts import Part
from casemate.engine.state import Blob, LiveState
from casemate.engine.store import FOLDERS, MANIFEST_BYTES, Stage, Store
from casemate.errors import BadInput, CannotFinish, CaseDamaged, CaseLocked
from casemate.evidence.blobs import source_of
from casemate.evidence.custody import CustodyLog, TornTail, intact_lines, read_log
from casemate.evidence.readers.base import Source
from casemate.settings import Settings, format_settings, read_settings

CASE_VERSION = 1
SETTINGS, CUSTODY, MANIFEST, LOCK = "case.toml", "custody.jsonl", "manifest", "lock"
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Case:
    """One case.  Use :meth:`create` or :meth:`open`; it is a context manager.

    ``path`` is the case folder, ``settings`` what ``case.toml`` says, ``store`` the table store,
    ``resumed`` the parts and blobs of an interrupted run that were deleted at opening.
    """

    def __init__(self, path: Path, settings: Settings, store: Store, log: CustodyLog | None, lock: _Lock | None):
        self.path = path
        self.settings = settings
        self.store = store
        self.resumed: tuple[str, ...] = ()
        self._log = log
        self._lock = lock

    @classmethod
    def create(cls, path: Path, settings: Settings | None = None, *, clock: Clock = _now) -> Case:
        """Make a new case folder and open it for writing.

        Raises:
            BadInput: there is a case or something else already.
            CaseLocked: another process is making it.
            CannotFinish: the folder cannot be written.
        """
        path = Path(path).absolute()
        settings = settings or Settings(name=path.name or "case")
        with disk_errors(path):
            if path.exists() and not path.is_dir():
                raise BadInput("is not a folder", where=str(path))
            path.mkdir(parents=True, exist_ok=True)
            expected = {SETTINGS, CUSTODY, MANIFEST, LOCK, *FOLDERS, SETTINGS + ".new"}
            found = {entry.name for entry in path.iterdir()}
            if CUSTODY in found and any(not isinstance(item, TornTail) for item in read_log(path / CUSTODY)):
                raise BadInput("there is a case already", where=str(path))
            if found - expected:
                raise BadInput("the folder is not empty", where=str(path), hint="give a new folder for the case")
        lock = _Lock(path / LOCK)
        log = None
        try:
            with disk_errors(path):
                for name in FOLDERS:
                    (path / name).mkdir(exist_ok=True)
                    check_folder(path / name)
            log = CustodyLog(path / CUSTODY, clock)
            if list(log.replay()):
                raise BadInput("there is a case already", where=str(path))
            with disk_errors(path):
                replace_file(path / SETTINGS, format_settings(settings).encode())
            log.write("case", {"version": CASE_VERSION, "name": settings.name, "casemate": __version__})
            store = Store(path, LiveState(), log)
            store.clean()
            store.write_manifest()
        except BaseException:
            if log is not None:
                log.close()
            lock.release()
            raise
        return cls(path, settings, store, log, lock)

    @classmethod
    def open(cls, path: Path, *, write: bool = False, clock: Clock = _now) -> Case:
        """Open a case.

        Opening for writing takes the lock, cuts a torn last custody line, deletes what no line
        names and rebuilds the manifest if it is missing or wrong.

        Raises:
            BadInput: there is no case, or ``case.toml`` is wrong.
            CaseLocked: another process is writing (only with `write`).
            CaseDamaged: the folder is not what its custody log says, or is hostile.
        """
        path = Path(path).absolute()
        if not (path / CUSTODY).is_symlink() and not (path / CUSTODY).is_file():
            raise BadInput("there is no case here", where=str(path), hint="make one with 'casemate init'")
        for name in FOLDERS:
            check_folder(path / name)
        settings = read_settings(path / SETTINGS)
        if not write:
            return cls(path, settings, Store(path, _fold(intact_lines(path / CUSTODY)), None), None, None)
        lock = _Lock(path / LOCK)
        log = None
        try:
            log = CustodyLog(path / CUSTODY, clock)
            store = Store(path, _fold(log.replay()), log)
            case = cls(path, settings, store, log, lock)
            case.resumed = tuple(store.clean())
            with disk_errors(path):
                for name in (SETTINGS, MANIFEST):
                    (path / f"{name}.new").unlink(missing_ok=True)
                if _content(path / MANIFEST) != store.state.manifest():
                    store.write_manifest()
        except BaseException:
            if log is not None:
                log.close()
            lock.release()
            raise
        return case

    def __enter__(self) -> Case:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock; what was not committed is deleted when the case is next opened for writing."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def refresh(self) -> None:
        """Take up what a writer has committed meanwhile (readers only)."""
        if self._log is None:
            self.store.state = _fold(intact_lines(self.path / CUSTODY))

    # what is in the case

    def tables(self) -> tuple[str, ...]:
        """Names of the tables that hold rows, sorted."""
        return self.store.tables()

    def live_parts(self, table: str) -> list[Part]:
        """Live parts of a table, oldest first."""
        return self.store.live_parts(table)

    def part_paths(self, table: str) -> list[Path]:
        """Absolute paths of the live parts of a table, each checked to be a file inside the case."""
        return self.store.part_paths(table)

    def schema(self, table: str) -> pa.Schema | None:
        """Schema of a table, or None if it never had a part."""
        return self.store.schema(table)

    @property
    def blobs(self) -> Mapping[str, Blob]:
        """Where the content of each evidence lies, by its SHA-256."""
        return self.store.state.blobs

    def evidence(self, beginning: str) -> str:
        """The evidence id (SHA-256) that begins with these hex digits.

        Raises:
            BadInput: none does, or more than one.
        """
        wanted = beginning.lower()
        found = [name for name in self.blobs if name.startswith(wanted)] if len(wanted) < 64 else [wanted]
        if len(found) > 1:
            raise BadInput(f"{len(found)} pieces of evidence begin with '{beginning}'", hint="give more digits")
        if not wanted or not found or found[0] not in self.blobs:
            raise BadInput(f"no evidence '{beginning}' in this case")
        return found[0]

    def source(self, evidence: str) -> Source:
        """The whole content of an evidence, wherever it lies.

        Raises:
            BadInput: it is not in this case.
            CaseDamaged, UnreadableEvidence: its bytes are not there any more.
        """
        if evidence not in self.blobs:
            raise BadInput(f"no evidence '{evidence}' in this case")
        return source_of(self.path, self.blobs, evidence)

    def row_hash(self, table: str) -> str:
        """Hash of the rows of a table, whatever their order and storage (``rerun --diff``)."""
        return self.store.row_hash(table)

    # writing

    def stage(self) -> Stage:
        """Begin a stage; see :class:`casemate.engine.store.Stage`."""
        return self.store.stage()

    def commit(
        self, stage: Stage | None = None, *, remove: Sequence[Part] = (), facts: Mapping[str, Any] | None = None
    ) -> list[Part]:
        """Make a stage true; see :meth:`casemate.engine.store.Store.commit`."""
        return self.store.commit(stage, remove=remove, facts=facts)

    def log(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Append a custody line of kind ``registration`` or ``note``."""
        if self._log is None:
            raise CannotFinish("this case is not open for writing", where=str(self.path))
        if kind not in ("registration", "note"):
            raise ValueError(f"not a kind to log: {kind}")
        self._log.write(kind, facts)


def _fold(lines: Iterable[Any]) -> LiveState:
    state = LiveState()
    seen = 0
    for line in lines:
        seen += 1
        if line.sequence == 1:
            if line.kind != "case" or line.facts.get("version") != CASE_VERSION:
                raise CaseDamaged("was not made by this version of Casemate", where=CUSTODY)
        elif line.kind == "commit":
            state.apply(line.facts)
    if not seen:
        raise BadInput("the case was not completely made", where=CUSTODY, hint="make it again with 'casemate init'")
    return state


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, MANIFEST_BYTES)
    except (OSError, CaseDamaged):
        return None


class _Lock:
    """An exclusive ``flock`` that dies with this process, and not with children forked from it."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path):
            self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise CaseLocked(
                f"another process (pid {holder}) is writing to this case",
                where=str(path.parent),
                hint="wait until it has ended; reading is possible meanwhile",
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; a full disk does not matter
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        # A forked worker that outlives a killed writer would keep the lock: it closes its copy.
        mine = weakref.ref(self)

        def forget_in_child() -> None:
            lock = mine()
            if lock is not None:
                lock.release()

        os.register_at_fork(after_in_child=forget_in_child)

    def release(self) -> None:
        """Let go.  In a forked child this closes only the child's copy."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
