"""From files to tasks: what is new, what is known, what continues, what has to be unpacked first.

The planner is the only part of ingest that looks at the file system and takes containers apart.
It gives tasks one by one as they fill up, each with the stage its results will be committed from,
so that unpacked content never waits in large amounts.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from casemate.engine.files import disk_errors
from casemate.engine.store import Store
from casemate.errors import UnreadableEvidence
from casemate.evidence.archives import Broken, Budget, BudgetSpent, Member, Unpacking, members
from casemate.evidence.blobs import BlobSource, BlobWriter, FileSource, FinishedBlob, kept
from casemate.evidence.identify import HEAD_BYTES, Identified, identify
from casemate.evidence.intake import Found, Problem
from casemate.evidence.known import Known
from casemate.evidence.readers.base import ReaderSpec, Source
from casemate.evidence.reading import IngestTask
from casemate.evidence.related_content import RelatedContent, hash_of
from casemate.evidence.tasks import TASK_BYTES, Pending, Place, Registration, Tasks
from casemate.limits import Limits


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
        self._known, self._readers, self._limits = known, readers, limits
        self._tasks = Tasks(store, limits, in_place=in_place, task_bytes=task_bytes)
        self._related = RelatedContent(store, known, readers, limits, self._tasks)
        self._unhashed: dict[int, list[Source]] = {}
        self._shared_sizes: set[int] = set()
        self.problems: list[Problem] = []
        self.known_again = 0
        """Pieces of evidence that were in the case already."""

    @property
    def pending(self) -> deque[Pending]:
        """Tasks that were given and whose results are not committed yet."""
        return self._tasks.pending

    @property
    def continued(self) -> int:
        """Pieces of evidence that continue older ones."""
        return self._related.continued

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
            self._tasks.current().top_level_bytes += file.size
        yield from self._tasks.rest()

    def close(self) -> None:
        """Delete what was only needed while planning."""
        self._tasks.close()

    # one file, one member

    def _file(self, file: Found) -> Iterator[IngestTask]:
        place = Place(str(file.path), file.dated, file.path.name)
        if file.size > self._limits.evidence_bytes:
            self.problems.append(Problem(place.shown, f"limit evidence_bytes reached: {file.size:,} bytes; not taken"))
            return
        source = file.source or FileSource(file.path, file.size)
        sha256: str | None = None
        if file.size in self._known.sizes or file.size in self._shared_sizes:
            sha256 = hash_of(source)
            if self._again(sha256, place):
                return
        with source.open() as stream:
            head = stream.read(HEAD_BYTES)
        seen = identify(head, self._readers)
        if not seen.container and (yield from self._related.take(place, source, seen, head, None)):
            return
        if seen.container and sha256 is None:
            sha256 = hash_of(source)
        if sha256 is None:
            self._unhashed.setdefault(file.size, []).append(source)
        else:
            self._known.add(sha256, file.size)
        if seen.container:
            assert sha256 is not None
            yield from self._container(place, source, seen, sha256, Budget(self._limits), 0, None)
        else:
            yield from self._related.add_new(self._tasks.item(place, source, seen, sha256), head, file.size)

    def _again(self, sha256: str, place: Place) -> bool:
        """Register known content once more; whether it is known."""
        if sha256 not in self._known.hashes:
            return False
        self.known_again += 1
        if place.parent is not None and (
            sha256, place.path, place.parent, place.member_path,
        ) in self._known.registrations:  # fmt: skip
            return True  # an interrupted run got as far as this member
        self._tasks.current().registrations.append(
            Registration(sha256, place.path, place.parent, place.member_path, place.dated)
        )
        return True

    # containers

    def _container(
        self,
        place: Place,
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
            scratch = self._tasks.scratch_folder()
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
            moved = self._tasks.current().stage.blob_path()
            with disk_errors(moved):
                file.replace(moved)
            more = {"blob": entry, "blob_file": str(moved)}
            source = BlobSource(moved, source.size)
        item = self._tasks.item(place, source, seen, sha256, notes=tuple(unpacking.notes), **more)
        yield from self._tasks.add(item, source.size if blob is None else 0)

    def _member(
        self, member: Member, container: Place, parent: str, unpacking: Unpacking, depth: int
    ) -> Iterator[IngestTask]:
        shown = member.name.encode("utf-8", "backslashreplace").decode()
        inside = f"{container.member_path}!/{shown}" if container.member_path is not None else shown
        place = Place(container.path, member.dated or container.dated, shown, parent, inside)
        file = self._tasks.current().stage.blob_path()
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
        place: Place,
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
            aside = self._tasks.scratch_file("container")
            with disk_errors(aside):
                file.replace(aside)
            source = BlobSource(aside, finished.bytes)
            yield from self._container(
                place, source, seen, finished.sha256, unpacking.budget, depth + 1, (kept(finished), aside)
            )
            return
        if (yield from self._related.take(place, source, seen, head, (finished, file))):
            return
        if seen.note is not None:
            notes = [*notes, seen.note]
        item = self._tasks.item(
            place, source, seen, finished.sha256, notes=tuple(notes), blob=kept(finished), blob_file=str(file)
        )
        yield from self._related.add_new(item, head, finished.bytes)

    def _hash_same_size(self, size: int) -> None:
        """Hash files of this size that were taken on the strength of having a size of their own."""
        for source in self._unhashed.pop(size, []):
            with contextlib.suppress(UnreadableEvidence):
                self._known.add(hash_of(source), size)
