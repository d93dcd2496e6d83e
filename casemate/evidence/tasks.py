"""The tasks of one run while they fill up: items, registrations, and the stage they are committed from."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from casemate.engine.store import Stage, Store
from casemate.evidence.continuing import Superseded
from casemate.evidence.identify import Identified
from casemate.evidence.readers.base import Source
from casemate.evidence.reading import IngestItem, IngestTask
from casemate.limits import MIB, Limits

TASK_BYTES = 64 * MIB
TASK_ITEMS = 1_000


@dataclass(frozen=True)
class Registration:
    """That known content was received (again)."""

    sha256: str
    path: str
    parent: str | None = None
    member_path: str | None = None
    dated: datetime | None = None


@dataclass
class Pending:
    """A task on its way, and what is committed together with its result."""

    stage: Stage
    items: list[IngestItem] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
    bytes: int = 0
    top_level_bytes: int = 0


@dataclass(frozen=True)
class Place:
    """Where a content comes from."""

    path: str
    dated: datetime
    name: str
    parent: str | None = None
    member_path: str | None = None

    @property
    def shown(self) -> str:
        return f"{self.path}!/{self.member_path}" if self.member_path is not None else self.path


class Tasks:
    """Tasks that are given one by one as they fill up.

    Args:
        store: the case's store, open for writing.
        limits: limits of this run.
        in_place: leave top-level files where they are.
        task_bytes: content of one task.
    """

    def __init__(self, store: Store, limits: Limits, *, in_place: bool, task_bytes: int) -> None:
        self._store, self._limits = store, limits
        self._in_place, self._task_bytes = in_place, task_bytes
        self._next: Pending | None = None
        self._scratch: Stage | None = None
        self._numbers = itertools.count()
        self.pending: deque[Pending] = deque()

    def current(self) -> Pending:
        """The task that is being filled."""
        if self._next is None:
            self._next = Pending(self._store.stage())
        return self._next

    def is_current(self, pending: object) -> bool:
        """Whether `pending` is the task that is being filled."""
        return pending is self._next

    def scratch_folder(self) -> Path:
        """A folder for what is only needed while planning."""
        if self._scratch is None:
            self._scratch = self._store.stage()
        return self._scratch.folder

    def scratch_file(self, kind: str) -> Path:
        """A name that is not taken in that folder."""
        return self.scratch_folder() / f"{kind}-{next(self._numbers)}.zst"

    def item(self, place: Place, source: Source, seen: Identified, sha256: str | None, **more: object) -> IngestItem:
        """One piece of evidence as it is to be read."""
        notes = (seen.note,) if seen.note is not None else ()
        return IngestItem(
            sha256=sha256,
            source=source,
            path=place.path,
            dated=place.dated,
            format=seen.format,
            reader=seen.reader,
            parent=place.parent,
            member_path=place.member_path,
            **{"notes": notes, "in_place": self._in_place and place.parent is None, **more},  # type: ignore[arg-type]
        )

    def add(self, item: IngestItem, size: int) -> Iterator[IngestTask]:
        """Put an item into the current task; the task, if it is full with it."""
        current = self.current()
        current.items.append(item)
        current.bytes += size
        if current.bytes >= self._task_bytes or len(current.items) >= TASK_ITEMS:
            yield self.flush()

    def flush(self) -> IngestTask:
        """The current task as it is; the next one begins."""
        current = self.current()
        self._next = None
        self.pending.append(current)
        return IngestTask(str(current.stage.folder), tuple(current.items), self._limits)

    def rest(self) -> Iterator[IngestTask]:
        """The last task, if there is anything in it."""
        if self._next is not None and (self._next.items or self._next.registrations):
            yield self.flush()

    def close(self) -> None:
        """Delete what was only needed while planning."""
        for stage in (self._scratch, self._next):
            if stage is not None:
                self._store.discard(stage if isinstance(stage, Stage) else stage.stage)
        self._scratch = self._next = None
