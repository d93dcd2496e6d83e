"""Rule files from folders, zip archives and single files, not parsed yet."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from casemate.errors import BadInput

RULE_SUFFIXES = (".yml", ".yaml")
FILE_BYTES = 1024 * 1024
"""Largest rule file that is parsed."""
FILES = 200_000
"""Most rule files of one rule set."""


@dataclass(frozen=True)
class RuleFile:
    """One file of rules: the name a person finds it by, and its content (None: over the limit)."""

    name: str
    content: bytes | None


def read_rule_files(paths: Sequence[Path]) -> list[RuleFile]:
    """All rule files under `paths` (folders, zip archives, files), in a stable order.

    Raises:
        BadInput: a path does not exist, is no archive, or holds too many files.
    """
    found = [file for path in paths for file in _files_of(path)]
    if len(found) > FILES:
        raise BadInput(f"more than {FILES} rule files", where=str(paths[0]))
    return found


def hash_rule_files(files: Iterable[RuleFile]) -> str:
    """SHA-256 over the contents of a rule set, whatever the files are called."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.content if file.content is not None else file.name.encode()).digest())
    return digest.hexdigest()


def _files_of(path: Path) -> Iterator[RuleFile]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in RULE_SUFFIXES and file.is_file():
                yield _read(file, file.relative_to(path).as_posix())
    elif not path.is_file():
        raise BadInput("no such rule file, folder or archive", where=str(path))
    elif zipfile.is_zipfile(path):
        yield from _members_of(path)
    else:
        yield _read(path, path.name)


def _read(path: Path, name: str) -> RuleFile:
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read the rule file: {error.strerror}", where=str(path)) from error
    return RuleFile(name, content if len(content) <= FILE_BYTES else None)


def _members_of(path: Path) -> Iterator[RuleFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
            if len(members) > FILES:
                raise BadInput(f"more than {FILES} files in the archive of rules", where=str(path))
            for member in members:
                name = member.filename
                if member.is_dir() or not name.lower().endswith(RULE_SUFFIXES) or "__MACOSX/" in name:
                    continue
                if member.file_size > FILE_BYTES:
                    yield RuleFile(name, None)
                    continue
                with archive.open(member) as stream:
                    content = stream.read(FILE_BYTES + 1)
                yield RuleFile(name, content if len(content) <= FILE_BYTES else None)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise BadInput(f"cannot read the archive of rules: {error}", where=str(path)) from error
