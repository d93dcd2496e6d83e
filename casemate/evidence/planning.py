"""From files to tasks: what is new, what is known, what continues, what has to be unpacked first.

The planner is the only part of ingest that looks at the file system and takes containers apart.
It gives tasks one by one as they fill up, each with the stage its results will be committed from,
so that unpacked content never waits in large amounts.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from casemate.engine.files import disk_errors
from casemate.engine.store import Stage, Store
from casemate.errors import UnreadableEvidence
from casemate.evidence.archives import Broken, Budget, BudgetSpent, Member, Unpacking, members
from casemate.evidence.beginnings import Beginning, Beginnings
from casemate.evidence.blobs import (
    BlobSource,
    BlobWriter,
    ContinuedSource,
    FileSource,
    FinishedBlob,
    First,
    content_hash,
    kept,
    source_of,
)
from casemate.evidence.continuing import LineStart, Superseded, line_start
from casemate.evidence.event_log_copies import EVTX, EventLogCopies
from casemate.evidence.identify import HEAD_BYTES, Identified, identify
from casemate.evidence.intake import Found, Problem
from casemate.evidence.known import Known, KnownEvidence
from casemate.evidence.readers.base import ReaderSpec, Source
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
class _Place:
    """Where a content comes from."""

    path: str
    dated: datetime
    name: str
    parent: str | None = None
    member_path: str | None = None

    @property
    def shown(self) -> str:
        return f"{self.path}!/{self.member_path}" if self.member_path is not None else self.path


class Planner:
    """Plans one run over `found` files.

    Args:
        store: the case's store, open for writing.
        known: what the case holds.
        readers: readers to choose from.
        limits: limits of this run.
        in_place: leave top-level files where they are.
        task_bytes: content of one task.
    """

    def __init__(
        self,
        store: Store,
        known: Known,
        readers: Sequence[ReaderSpec],
        limits: Limits,
        *,
        in_place: bool = False,
        task_bytes: int = TASK_BYTES,
    ) -> None:
        self._store, self._known, self._readers, self._limits = store, known, readers, limits
        self._in_place, self._task_bytes = in_place, task_bytes
        self._next: Pending | None = None
        self._scratch: Stage | None = None
        self._numbers = itertools.count()
        self._unhashed: dict[int, list[Source]] = {}
        self._shared_sizes: set[int] = set()
        self._beginnings = Beginnings(store, known, readers)
        self._event_logs = EventLogCopies(store, known)
        self.pending: deque[Pending] = deque()
        self.problems: list[Problem] = []
        self.known_again = 0
        """Pieces of evidence that were in the case already."""
        self.continued = 0
        """Pieces of evidence that continue older ones."""

    def tasks(self, found: Sequence[Found]) -> Iterator[IngestTask]:
        """Tasks in the order of the files; after each one `pending` has one more entry."""
        sizes: set[int] = set()
        for file in found:
            (self._shared_sizes if file.size in sizes else sizes).add(file.size)
        for file in found:
            try:
                yield from self._file(file)
            except UnreadableEvidence as error:
                self.problems.append(Problem(str(file.path), f"{error.what}; not taken"))
            self._current().top_level_bytes += file.size
        if self._next is not None and (self._next.items or self._next.registrations):
            yield self._flush()

    def close(self) -> None:
        """Delete what was only needed while planning."""
        for stage in (self._scratch, self._next):
            if stage is not None:
                self._store.discard(stage if isinstance(stage, Stage) else stage.stage)
        self._scratch = self._next = None

    # one file, one member

    def _file(self, file: Found) -> Iterator[IngestTask]:
        place = _Place(str(file.path), file.dated, file.path.name)
        if file.size > self._limits.evidence_bytes:
            self.problems.append(Problem(place.shown, f"limit evidence_bytes reached: {file.size:,} bytes; not taken"))
            return
        source = file.source or FileSource(file.path, file.size)
        sha256: str | None = None
        if file.size in self._known.sizes or file.size in self._shared_sizes:
            sha256 = self._hash(source)
            if self._again(sha256, place):
                return
        with source.open() as stream:
            head = stream.read(HEAD_BYTES)
        seen = identify(head, self._readers)
        if not seen.container and (yield from self._related(place, source, seen, head, None)):
            return
        if seen.container and sha256 is None:
            sha256 = self._hash(source)
        if sha256 is None:
            self._unhashed.setdefault(file.size, []).append(source)
        else:
            self._known.add(sha256, file.size)
        if seen.container:
            assert sha256 is not None
            yield from self._container(place, source, seen, sha256, Budget(self._limits), 0, None)
        else:
            yield from self._new(self._item(place, source, seen, sha256), head, file.size)

    def _new(self, item: IngestItem, head: bytes, size: int) -> Iterator[IngestTask]:
        content = Beginning(item.source.size, item.source, item.sha256, waits_in=self._current())
        self._beginnings.add(item.format, head, content)
        if item.format == EVTX:
            self._event_logs.add(head, content)
        yield from self._add(item, size)

    def _hash(self, source: Source) -> str:
        with source.open() as stream:
            return content_hash(stream)

    def _again(self, sha256: str, place: _Place) -> bool:
        """Register known content once more; whether it is known."""
        if sha256 not in self._known.hashes:
            return False
        self.known_again += 1
        if place.parent is not None and (
            sha256, place.path, place.parent, place.member_path,
        ) in self._known.registrations:  # fmt: skip
            return True  # an interrupted run got as far as this member
        self._current().registrations.append(
            Registration(sha256, place.path, place.parent, place.member_path, place.dated)
        )
        return True

    def _item(self, place: _Place, source: Source, seen: Identified, sha256: str | None, **more: object) -> IngestItem:
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

    # logs that grew

    def _related(
        self, place: _Place, source: Source, seen: Identified, head: bytes, finished: tuple[FinishedBlob, Path] | None
    ) -> Generator[IngestTask, None, bool]:
        """Take content that is the beginning of other content, or begins with it; whether it is so.

        `finished` is the blob of a member, which lies in the current stage.
        """
        whole = {"blob": kept(finished[0]), "blob_file": str(finished[1])} if finished is not None else {}
        if seen.format == EVTX and seen.reader is not None:
            return (yield from self._event_log(place, source, seen, head, whole))
        longer = self._beginnings.longer(seen.format, head, source)
        if longer is not None:
            note = f"is the beginning of {longer.sha256}; its records are counted there"
            yield from self._counted_elsewhere(place, source, seen, whole, note)
            return True
        same_place = self._known.before((place.path, place.member_path), place.parent, source.size)
        match = self._beginnings.longest_shorter(seen.format, head, source, same_place)
        if match is None or (finished is None and match[1].whole in self._known.hashes):
            return False
        older, hashed = match
        if older.known is not None and self._readable(older.known):
            yield from self._continuing(place, source, seen, head, older.known, hashed.digest)
        else:
            yield from self._following(place, source, seen, head, older, hashed.whole, whole)
        self.continued += 1
        return True

    def _event_log(
        self, place: _Place, source: Source, seen: Identified, head: bytes, whole: dict[str, Any]
    ) -> Generator[IngestTask, None, bool]:
        """Take an event log of which the case or this run has another copy; whether it is so."""
        copies = self._event_logs.of(head, source)
        if copies.held_by is not None:
            note = f"all its records are also in {copies.held_by.sha256}; they are counted there"
            yield from self._counted_elsewhere(place, source, seen, whole, note)
            return True
        if copies.holds is None:
            return False
        sha256 = whole["blob"].evidence if whole else self._hash(source)
        self._event_logs.forget(head, copies.holds)
        self.continued += 1
        yield from self._following(place, source, seen, head, copies.holds, sha256, whole)
        return True

    def _counted_elsewhere(
        self, place: _Place, source: Source, seen: Identified, whole: dict[str, Any], note: str
    ) -> Iterator[IngestTask]:
        """Keep content of which no record is counted."""
        sha256 = whole["blob"].evidence if whole else self._hash(source)
        self._known.add(sha256, source.size)
        item = self._item(place, source, replace(seen, reader=None), sha256, **{**whole, "notes": (note,)})
        yield from self._add(item, source.size)

    def _readable(self, older: KnownEvidence) -> bool:
        """Whether evidence that was left in place still is what it was."""
        if self._store.state.blobs[older.sha256].path is not None:
            return True
        try:
            source_of(self._store.root, self._store.state.blobs, older.sha256).open().close()
        except UnreadableEvidence:
            return False
        return True

    def _following(
        self,
        place: _Place,
        source: Source,
        seen: Identified,
        head: bytes,
        older: Beginning,
        sha256: str,
        whole: dict[str, Any],
    ) -> Iterator[IngestTask]:
        """Read only what follows `older`, whose bytes this run is still bringing in (or lost): all of them are kept."""
        before = First(source, older.size)
        start, superseded, notes = self._start(seen, older.sha256, older.known, before, sha256)
        if superseded and older.waits_in is self._next:
            # the half of a line is taken out of evidence that is in already
            aside = None
            if whole:
                aside = self._scratch_folder() / f"member-{next(self._numbers)}.zst"
                with disk_errors(aside):
                    Path(whole["blob_file"]).replace(aside)
            yield self._flush()
            if aside is not None:
                file = self._current().stage.blob_path()
                with disk_errors(file):
                    aside.replace(file)
                whole = {**whole, "blob_file": str(file)}
                source = BlobSource(file, source.size)
        self._current().superseded.extend(superseded)
        self._known.add(sha256, source.size)
        item = self._item(
            place,
            source,
            seen,
            sha256,
            **{**whole, "notes": notes},
            continues=older.sha256,
            start_offset=start.offset,
            start_record=start.record,
        )
        yield from self._new(item, head, source.size)

    def _continuing(
        self, place: _Place, source: Source, seen: Identified, head: bytes, older: KnownEvidence, digest: object
    ) -> Iterator[IngestTask]:
        """Keep and read only what was appended to `older`; `digest` has seen the bytes before."""
        blobs = self._store.state.blobs
        before = source_of(self._store.root, blobs, older.sha256)
        stage = self._current().stage
        file = stage.blob_path()
        with BlobWriter(file, digest) as writer, source.open() as stream:
            stream.seek(older.bytes)
            while data := stream.read(MIB):
                writer.write(data)
            finished = writer.finish()
        self._known.add(finished.sha256, older.bytes + finished.bytes)
        start, superseded, notes = self._start(seen, older.sha256, older, before, finished.sha256)
        self._current().superseded.extend(superseded)
        item = self._item(
            place,
            ContinuedSource((before, BlobSource(file, finished.bytes))),
            seen,
            finished.sha256,
            notes=notes,
            in_place=False,
            blob=kept(finished, continues=blobs[older.sha256]),
            blob_file=str(file),
            continues=older.sha256,
            start_offset=start.offset,
            start_record=start.record,
        )
        yield from self._new(item, head, finished.bytes)

    def _start(
        self, seen: Identified, older: str | None, known: KnownEvidence | None, before: Source, by: str
    ) -> tuple[LineStart, list[Superseded], tuple[str, ...]]:
        """Where reading goes on behind `older` whose content is `before`, what counts in `by` instead, and notes."""
        assert older is not None
        notes = [f"continues {older}", *([seen.note] if seen.note is not None else [])]
        reader = seen.reader
        if reader is not None and reader.continues and (known is None or known.format == seen.format):
            start = line_start(before, self._limits.line_bytes)
            return start, [Superseded(older, start.record, by)] if start.unfinished else [], tuple(notes)
        chain = self._chain(known) if known is not None else [older]
        notes.append("read again from its beginning; the records of what it continues are counted here")
        return LineStart(0, 1, False), [Superseded(item, 1, by) for item in chain], tuple(notes)

    def _chain(self, older: KnownEvidence) -> list[str]:
        """Older evidence with records and all it continues."""
        chain, at = [], older
        while True:
            if at.records:
                chain.append(at.sha256)
            if at.continues is None or at.continues not in self._known.evidence:
                return chain
            at = self._known.evidence[at.continues]

    # containers

    def _container(
        self,
        place: _Place,
        source: Source,
        seen: Identified,
        sha256: str,
        budget: Budget,
        depth: int,
        blob: tuple | None,
    ) -> Iterator[IngestTask]:
        """The members of a container, then the container itself: when it is in, all of it is."""
        unpacking = Unpacking(source.size, budget)
        if depth >= self._limits.archive_depth:
            unpacking.note(f"limit archive_depth reached: nested more than {depth} deep; not unpacked")
        else:
            scratch = self._scratch_folder()
            try:
                for member in members(seen.format, source, place.name, unpacking, scratch):
                    yield from self._member(member, place, sha256, unpacking, depth)
            except BudgetSpent as error:
                unpacking.note(f"{error}; what came out before is kept")
            except RecursionError:
                unpacking.note("its headers are nested too deeply; what came out before is kept")
        self.problems.extend(Problem(place.shown, note) for note in unpacking.notes)
        more: dict[str, object] = {}
        if blob is not None:
            entry, file = blob
            moved = self._current().stage.blob_path()
            with disk_errors(moved):
                file.replace(moved)
            more = {"blob": entry, "blob_file": str(moved)}
            source = BlobSource(moved, source.size)
        item = self._item(place, source, seen, sha256, notes=tuple(unpacking.notes), **more)
        yield from self._add(item, source.size if blob is None else 0)

    def _member(
        self, member: Member, container: _Place, parent: str, unpacking: Unpacking, depth: int
    ) -> Iterator[IngestTask]:
        shown = member.name.encode("utf-8", "backslashreplace").decode()
        inside = f"{container.member_path}!/{shown}" if container.member_path is not None else shown
        place = _Place(container.path, member.dated or container.dated, shown, parent, inside)
        file = self._current().stage.blob_path()
        notes: list[str] = []
        spent: BudgetSpent | None = None
        head = bytearray()
        with BlobWriter(file) as writer:
            size = 0
            try:
                while block := member.read():
                    if size + len(block) > self._limits.evidence_bytes:
                        raise BudgetSpent("limit evidence_bytes reached inside this member")
                    writer.write(block)
                    size += len(block)
                    if len(head) < HEAD_BYTES:
                        head += block[: HEAD_BYTES - len(head)]
            except Broken as error:
                notes.append(str(error))
            except BudgetSpent as error:
                spent = error
                notes.append(f"{error}; what came out before is kept")
            finished = writer.finish()
        self.problems.extend(Problem(place.shown, note) for note in notes)
        if notes and not finished.bytes:
            unpacking.note(f"member {shown!r}: {notes[0]}")
            file.unlink()
        else:
            self._hash_same_size(finished.bytes)
            if self._again(finished.sha256, place):
                file.unlink()
            else:
                self._known.add(finished.sha256, finished.bytes)
                seen = identify(bytes(head), self._readers)
                yield from self._new_member(place, file, finished, seen, bytes(head), notes, unpacking, depth)
        if spent is not None:
            raise spent

    def _new_member(
        self,
        place: _Place,
        file: Path,
        finished: FinishedBlob,
        seen: Identified,
        head: bytes,
        notes: list[str],
        unpacking: Unpacking,
        depth: int,
    ) -> Iterator[IngestTask]:
        source = BlobSource(file, finished.bytes)
        if seen.container:
            aside = self._scratch_folder() / f"container-{next(self._numbers)}.zst"
            with disk_errors(aside):
                file.replace(aside)
            source = BlobSource(aside, finished.bytes)
            yield from self._container(
                place, source, seen, finished.sha256, unpacking.budget, depth + 1, (kept(finished), aside)
            )
            return
        if (yield from self._related(place, source, seen, head, (finished, file))):
            return
        if seen.note is not None:
            notes = [*notes, seen.note]
        item = self._item(
            place, source, seen, finished.sha256, notes=tuple(notes), blob=kept(finished), blob_file=str(file)
        )
        yield from self._new(item, head, finished.bytes)

    def _hash_same_size(self, size: int) -> None:
        """Hash files of this size that were taken on the strength of having a size of their own."""
        for source in self._unhashed.pop(size, []):
            with contextlib.suppress(UnreadableEvidence):
                self._known.add(self._hash(source), size)

    # filling tasks

    def _current(self) -> Pending:
        if self._next is None:
            self._next = Pending(self._store.stage())
        return self._next

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = self._store.stage()
        return self._scratch.folder

    def _add(self, item: IngestItem, size: int) -> Iterator[IngestTask]:
        current = self._current()
        current.items.append(item)
        current.bytes += size
        if current.bytes >= self._task_bytes or len(current.items) >= TASK_ITEMS:
            yield self._flush()

    def _flush(self) -> IngestTask:
        current = self._current()
        self._next = None
        self.pending.append(current)
        return IngestTask(str(current.stage.folder), tuple(current.items), self._limits)
