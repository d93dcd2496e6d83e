"""Containers taken apart: one call gives the members of any of them, in bounded memory.

Nothing is ever written to a name that an archive chose: members are streams with a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from casemate.evidence.archives.budget import Broken, Budget, BudgetSpent, Member, Unpacking
from casemate.evidence.archives.sevenzip import sevenzip_members
from casemate.evidence.archives.streams import DECODERS, stream_member
from casemate.evidence.archives.tars import tar_members
from casemate.evidence.archives.zips import zip_members

__all__ = ["Broken", "Budget", "BudgetSpent", "Member", "Unpacking", "members"]


def members(container: str, path: Path, name: str, unpacking: Unpacking) -> Iterator[Member]:
    """The members of the container at `path`.

    Args:
        container: its format as :func:`casemate.evidence.identify.identify` names it.
        path: where its content lies.
        name: its own name, from which the member of a compressed stream gets one.
        unpacking: where notes gather and bytes are counted.

    Raises:
        BudgetSpent: a limit was reached (also out of a member's ``read``).
    """
    if container == "7z":
        yield from sevenzip_members(path, unpacking)
        return
    with path.open("rb") as stream:
        if container in DECODERS:
            yield from stream_member(container, stream, name, unpacking)
        elif container == "zip":
            yield from zip_members(stream, unpacking)
        elif container == "tar":
            yield from tar_members(stream, unpacking)
        else:
            raise ValueError(f"not a container: {container}")
