"""Content that belongs to other content: a log that grew, the beginning of one, another copy of an event log.

What the case or this run has already is not read twice: of a log that grew only the new part is read,
of content that is all in other content nothing is counted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from casemate.engine.files import disk_errors
from casemate.engine.store import Store
from casemate.errors import UnreadableEvidence
from casemate.evidence.beginnings import Beginning, Beginnings
from casemate.evidence.blobs import (
    BlobSource,
    BlobWriter,
    ContinuedSource,
    FinishedBlob,
    First,
    content_hash,
    kept,
    source_of,
)
from casemate.evidence.continuing import LineStart, Superseded, line_start
from casemate.evidence.event_log_copies import EVTX, EventLogCopies
from casemate.evidence.identify import Identified
from casemate.evidence.known import Known, KnownEvidence
from casemate.evidence.readers.base import ReaderSpec, Source
from casemate.evidence.reading import IngestItem, IngestTask
from casemate.evidence.tasks import Place, Tasks
from casemate.limits import MIB, Limits


def hash_of(source: Source) -> str:
    """SHA-256 of a whole content.

    Raises:
        UnreadableEvidence: it cannot be read.
    """
    with source.open() as stream:
        return content_hash(stream)


class RelatedContent:
    """Tells which content of a run belongs to other content, and plans how it is taken.

    Args:
        store: the case's store, open for writing.
        known: what the case holds.
        readers: readers that formats were identified with.
        limits: limits of this run.
        tasks: what is planned so far.
    """

    def __init__(self, store: Store, known: Known, readers: Sequence[ReaderSpec], limits: Limits, tasks: Tasks) -> None:
        self._store, self._known, self._limits, self._tasks = store, known, limits, tasks
        self._beginnings = Beginnings(store, known, readers)
        self._event_logs = EventLogCopies(store, known)
        self.continued = 0
        """Pieces of evidence that continue older ones."""

    def add_new(self, item: IngestItem, head: bytes, size: int) -> Iterator[IngestTask]:
        content = Beginning(item.source.size, item.source, item.sha256, waits_in=self._tasks.current())
        self._beginnings.add(item.format, head, content)
        if item.format == EVTX:
            self._event_logs.add(head, content)
        yield from self._tasks.add(item, size)

    def take(
        self, place: Place, source: Source, seen: Identified, head: bytes, finished: tuple[FinishedBlob, Path] | None
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
        self, place: Place, source: Source, seen: Identified, head: bytes, whole: dict[str, Any]
    ) -> Generator[IngestTask, None, bool]:
        """Take an event log of which the case or this run has another copy; whether it is so."""
        copies = self._event_logs.of(head, source)
        if copies.held_by is not None:
            note = f"all its records are also in {copies.held_by.sha256}; they are counted there"
            yield from self._counted_elsewhere(place, source, seen, whole, note)
            return True
        if copies.holds is None:
            return False
        sha256 = whole["blob"].evidence if whole else hash_of(source)
        self._event_logs.forget(head, copies.holds)
        self.continued += 1
        yield from self._following(place, source, seen, head, copies.holds, sha256, whole)
        return True

    def _counted_elsewhere(
        self, place: Place, source: Source, seen: Identified, whole: dict[str, Any], note: str
    ) -> Iterator[IngestTask]:
        """Keep content of which no record is counted."""
        sha256 = whole["blob"].evidence if whole else hash_of(source)
        self._known.add(sha256, source.size)
        item = self._tasks.item(place, source, replace(seen, reader=None), sha256, **{**whole, "notes": (note,)})
        yield from self._tasks.add(item, source.size)

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
        place: Place,
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
        if superseded and self._tasks.is_current(older.waits_in):
            # the half of a line is taken out of evidence that is in already
            aside = None
            if whole:
                aside = self._tasks.scratch_file("member")
                with disk_errors(aside):
                    Path(whole["blob_file"]).replace(aside)
            yield self._tasks.flush()
            if aside is not None:
                file = self._tasks.current().stage.blob_path()
                with disk_errors(file):
                    aside.replace(file)
                whole = {**whole, "blob_file": str(file)}
                source = BlobSource(file, source.size)
        self._tasks.current().superseded.extend(superseded)
        self._known.add(sha256, source.size)
        item = self._tasks.item(
            place,
            source,
            seen,
            sha256,
            **{**whole, "notes": notes},
            continues=older.sha256,
            start_offset=start.offset,
            start_record=start.record,
        )
        yield from self.add_new(item, head, source.size)

    def _continuing(
        self, place: Place, source: Source, seen: Identified, head: bytes, older: KnownEvidence, digest: object
    ) -> Iterator[IngestTask]:
        """Keep and read only what was appended to `older`; `digest` has seen the bytes before."""
        blobs = self._store.state.blobs
        before = source_of(self._store.root, blobs, older.sha256)
        stage = self._tasks.current().stage
        file = stage.blob_path()
        with BlobWriter(file, digest) as writer, source.open() as stream:
            stream.seek(older.bytes)
            while data := stream.read(MIB):
                writer.write(data)
            finished = writer.finish()
        self._known.add(finished.sha256, older.bytes + finished.bytes)
        start, superseded, notes = self._start(seen, older.sha256, older, before, finished.sha256)
        self._tasks.current().superseded.extend(superseded)
        item = self._tasks.item(
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
        yield from self.add_new(item, head, finished.bytes)

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
