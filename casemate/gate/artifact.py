"""What stands at the gate: the files, their digests, and one digest for all of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from casemate.engine.files import read_regular
from casemate.errors import BadInput, CaseDamaged

BLOCK = 1 << 20
MOST_FILES = 1_000_000
SIGNATURE_NAMES = ("model.sig", "model.sigstore.json", "claims.jsonl")
PROVENANCE_NAMES = ("provenance.intoto.jsonl", "provenance.json", "attestation.intoto.jsonl")


@dataclass(frozen=True)
class File:
    """One file: its name below the artefact (``/`` between parts), size and digest."""

    name: str
    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """All files, and a digest over their names and digests; of a single file it is that file's own.

    Papers (a signature or attestation kept inside a folder) are no part of it.
    """

    path: Path
    files: tuple[File, ...]
    digest: str
    odd: tuple[str, ...] = ()
    """Links and special files in the folder, which are never let through."""

    @property
    def bytes(self) -> int:
        """All sizes together."""
        return sum(file.bytes for file in self.files)


def papers(path: Path, given: Path | None, names: tuple[str, ...], suffixes: tuple[str, ...]) -> Path | None:
    """Where a signature or attestation lies: as given, inside the folder, or beside the file."""
    if given is not None:
        return given
    places = [path / name for name in names] if path.is_dir() else [path.with_name(path.name + end) for end in suffixes]
    return next((place for place in places if place.is_file() and not place.is_symlink()), None)


def read_artifact(path: Path, without: tuple[Path | None, ...] = ()) -> Artifact:
    """Read and hash every file.

    Raises:
        BadInput: there is no such file or folder, or a file cannot be read.
    """
    if not path.exists():
        raise BadInput("no such file or folder", where=str(path))
    skipped = {paper.resolve() for paper in without if paper is not None}
    files: list[File] = []
    odd: list[str] = []
    for file in _below(path):
        name = file.name if file == path else file.relative_to(path).as_posix()
        if file.is_symlink() or not stat.S_ISREG(file.lstat().st_mode):
            odd.append(name)
            continue
        if path.is_dir() and file.resolve() in skipped:
            continue
        files.append(_hashed(name, file))
        if len(files) > MOST_FILES:
            raise BadInput(f"more than {MOST_FILES} files", where=str(path))
    if path.is_dir():
        lines = "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))
        digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    else:
        digest = files[0].sha256 if files else hashlib.sha256().hexdigest()
    return Artifact(path, tuple(files), digest, tuple(odd))


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted([*names, *(inner for inner in folders if Path(folder, inner).is_symlink())]):
            yield Path(folder, name)


def _hashed(name: str, path: Path) -> File:
    digest, count = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                count += len(block)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    return File(name, path, count, digest.hexdigest())


def read_small(path: Path, limit: int) -> bytes:
    """The content of a small file that the gate itself needs.

    Raises:
        BadInput: it cannot be read, is no regular file, or is longer than `limit` bytes.
    """
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    except CaseDamaged as error:
        raise BadInput(error.what, where=str(path)) from None
