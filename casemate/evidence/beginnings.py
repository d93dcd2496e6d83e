"""Contents of which one is the beginning of another, whatever their paths and in whatever order they come.

A log that was read half and then rotated, or two copies of one log taken at different times, hold the
same records.  Candidates are found by hashes of the first 1, 2, 4, ... 65,536 bytes, and a candidate is
only believed when the hash of the whole shorter content agrees.  Asked are formats whose reader can go
on in the middle of a log; one whole line at least must be in common.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from casemate.engine.store import Store
from casemate.errors import CaseDamaged, UnreadableEvidence
from casemate.evidence.blobs import FileSource, content_hash, source_of
from casemate.evidence.continuing import Hashed, hash_with_beginnings
from casemate.evidence.known import Known, KnownEvidence
from casemate.evidence.readers.base import ReaderSpec, Source

HEAD_BYTES = 64 * 1024
MOST_COMPARED = 16
"""Longer contents with the same head that one content is compared with, longest first."""


@dataclass
class Beginning:
    """A content in the case or on its way into it.

    Args:
        size, source: its length and bytes.
        sha256: None for a planned file that nobody has hashed yet.
        known: its row, if it was in the case when the run began.
        waits_in: the task it waits in, if this run brings it.
    """

    size: int
    source: Source
    sha256: str | None
    known: KnownEvidence | None = None
    waits_in: object | None = None

    def hashed(self) -> str:
        """Its hash.  Raises UnreadableEvidence when its file cannot be read."""
        if self.sha256 is None:
            with self.source.open() as stream:
                self.sha256 = content_hash(stream)
        return self.sha256


class Beginnings:
    """What is known of the beginnings of all contents of a case and of a run.

    Args:
        store: the case's store.
        known: what the case held when the run began.
        readers: readers of the run.
    """

    def __init__(self, store: Store, known: Known, readers: Sequence[ReaderSpec]) -> None:
        self._store, self._known = store, known
        self._formats = {reader.format for reader in readers if reader.continues}
        self._loaded: set[str] = set()
        self._at_top: dict[tuple[str, int, bytes], list[Beginning]] = defaultdict(list)
        self._at_any: dict[tuple[str, int, bytes], list[Beginning]] = defaultdict(list)
        self._in_place: dict[str, list[Beginning]] = defaultdict(list)

    def add(self, form: str, head: bytes, content: Beginning) -> None:
        """Remember a content of format `form` that begins with `head`."""
        if form not in self._formats or not content.size:
            return
        key = (form, 0, b"")
        for key in _keys(form, head):
            self._at_any[key].append(content)
        self._at_top[key].append(content)

    def longer(self, form: str, head: bytes, source: Source) -> Beginning | None:
        """A longer content that begins with all of `source`."""
        keys = self._keys_of(form, head[: source.size])
        if not keys:
            return None
        found = [one for one in self._at_any.get(keys[-1], ()) if one.size > source.size]
        found.sort(key=lambda one: -one.size)
        if not found:
            return None
        with source.open() as stream:
            wanted = content_hash(stream)
        for one in found[:MOST_COMPARED]:
            with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                if hash_with_beginnings(self._content(one), [source.size], whole=False)[0].first == wanted:
                    one.hashed()
                    return one
        return None

    def longest_shorter(
        self, form: str, head: bytes, source: Source, same_place: KnownEvidence | None
    ) -> tuple[Beginning, Hashed] | None:
        """The longest shorter content that is the beginning of `source`, and the hashes of `source`.

        Args:
            form, head: format and first bytes of `source`.
            source: the content.
            same_place: what was seen last under its path, which is asked whatever its format.
        """
        found = [one for key in self._keys_of(form, head) for one in self._at_top.get(key, ())]
        found += self._in_place.get(form, ())
        found = [one for one in found if one.size < source.size and b"\n" in head[: one.size]]
        if same_place is not None and all(one.sha256 != same_place.sha256 for one in found):
            found.append(Beginning(same_place.bytes, source, same_place.sha256, same_place))
        if not found:
            return None
        sizes = sorted({one.size for one in found})
        hashes = dict(zip(sizes, hash_with_beginnings(source, sizes), strict=True))
        for one in sorted(found, key=lambda one: -one.size):
            with contextlib.suppress(UnreadableEvidence):
                if one.hashed() == hashes[one.size].first:
                    return one, hashes[one.size]
        return None

    def _keys_of(self, form: str, head: bytes) -> list[tuple[str, int, bytes]]:
        if form not in self._formats or b"\n" not in head:
            return []
        if form not in self._loaded:
            self._loaded.add(form)
            self._load(form)
        return list(_keys(form, head))

    def _load(self, form: str) -> None:
        for known in self._known.evidence.values():
            blob = self._store.state.blobs.get(known.sha256)
            if known.format != form or not known.records or blob is None:
                continue
            with contextlib.suppress(UnreadableEvidence, CaseDamaged):
                if blob.path is None:  # not checked yet: that would hash all of it
                    source: Source = FileSource(Path(str(blob.reference)), known.bytes)
                    # its file may have been moved or have grown: asked by its hash alone too, without its head
                    self._in_place[form].append(Beginning(known.bytes, source, known.sha256, known))
                else:
                    source = source_of(self._store.root, self._store.state.blobs, known.sha256)
                with source.open() as stream:
                    head = stream.read(HEAD_BYTES)
                self.add(form, head, Beginning(known.bytes, source, known.sha256, known))

    def _content(self, one: Beginning) -> Source:
        """Its bytes: what a stage held when it was planned has moved once it is committed."""
        if one.sha256 is not None and one.sha256 in self._store.state.blobs:
            return source_of(self._store.root, self._store.state.blobs, one.sha256)
        return one.source


def _keys(form: str, head: bytes) -> Iterator[tuple[str, int, bytes]]:
    digest = hashlib.blake2b(digest_size=16)
    length, level = 0, 1
    while level <= min(len(head), HEAD_BYTES):
        digest.update(head[length:level])
        yield form, level, digest.digest()
        length, level = level, level * 2
