"""Containers taken apart: one call gives the members of any of them, in bounded memory.

Nothing is ever written to a name that an archive chose: members are streams with a label.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casemate.evidence.archives.budget import Broken, Budget, BudgetSpent, Member, Unpacking
from casemate.evidence.archives.sevenzip import sevenzip_members
from casemate.evidence.archives.streams import DECODERS, stream_member
from casemate.evidence.archives.tars import tar_members
from casemate.evidence.archives.zips import zip_members
from casemate.evidence.readers.base import Source

__all__ = ["Broken", "Budget", "BudgetSpent", "Member", "Unpacking", "members"]


def members(container: str, source: Source, name: str, unpacking: Unpacking, scratch: Path) -> Iterator[Member]:
    """The members of a container.

    Args:
        container: its format as :func:`casemate.evidence.identify.identify` names it.
        source: its content.
        name: its own name, from which the member of a compressed stream gets one.
        unpacking: where notes gather and bytes are counted.
        scratch: folder for a plain copy where the unpacking needs a file (7z).

    Raises:
        BudgetSpent: a limit was reached (also out of a member's ``read``).
    """
    if container == "7z":
        with _as_file(source, scratch) as path:
            yield from sevenzip_members(path, unpacking)
        return
    with source.open() as stream:
        if container in DECODERS:
            yield from stream_member(container, stream, name, unpacking)
        elif container == "zip":
            yield from zip_members(stream, unpacking)
        elif container == "tar":
            yield from tar_members(stream, unpacking)
        else:
            raise ValueError(f"not a container: {container}")


@contextmanager
def _as_file(source: Source, scratch: Path) -> Iterator[Path]:
    """The content as a file of its own (a growing file must not change under the child)."""
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="plain-") as copy:
        with source.open() as stream:
            shutil.copyfileobj(stream, copy, 1024 * 1024)
        copy.flush()
        yield Path(copy.name)
