"""What may come out of one top-level file, and what a member of an archive is.

All nesting levels below one top-level file share one :class:`Budget`, so archives inside archives
cannot multiply past it.  Reaching it ends the unpacking with a note; what came out before is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from casemate.limits import Limits

READ_BYTES = 1024 * 1024


class Broken(Exception):  # noqa: N818 - named for what happened, like those in casemate.errors
    """The packed content breaks off or is not what it says; what came out before is good."""


class BudgetSpent(Exception):  # noqa: N818
    """A limit on unpacking was reached."""


@dataclass
class Budget:
    """Bytes and members one top-level file may still give.

    Args:
        limits: the limits of this run.
        unpacked: bytes that came out so far, all levels together.
    """

    limits: Limits
    unpacked: int = 0

    def take(self, count: int, *, container_bytes: int, container_unpacked: int) -> None:
        """Account for `count` more bytes out of a container.

        Raises:
            BudgetSpent: more came out than the limits allow.
        """
        self.unpacked += count
        if self.unpacked > self.limits.archive_bytes:
            raise BudgetSpent(f"limit archive_bytes reached: more than {self.limits.archive_bytes:,} bytes unpacked")
        allowed = max(self.limits.archive_ratio_floor, self.limits.archive_ratio * container_bytes)
        if container_unpacked > allowed:
            raise BudgetSpent(
                f"limit archive_ratio reached: {container_unpacked:,} bytes out of {container_bytes:,},"
                f" over {self.limits.archive_ratio:,} times as many"
            )


@dataclass
class Unpacking:
    """One container being unpacked: where its notes gather and its bytes are counted."""

    size: int
    budget: Budget
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0
    members: int = 0

    def note(self, text: str) -> None:
        """Add what a person should know about this container."""
        self.notes.append(text)

    def begin_member(self) -> None:
        """Account for one more member.

        Raises:
            BudgetSpent: the container has more members than allowed.
        """
        self.members += 1
        allowed = self.budget.limits.archive_members
        if self.members > allowed:
            raise BudgetSpent(f"limit archive_members reached: only the first {allowed:,} members were taken")

    def count(self, block: bytes) -> bytes:
        """Account for a block that came out, and give it back."""
        self.unpacked += len(block)
        self.budget.take(len(block), container_bytes=self.size, container_unpacked=self.unpacked)
        return block


@dataclass(frozen=True)
class Member:
    """One member of a container, to be read once, before the next one is asked for.

    Args:
        name: its name as recorded; never used as a path of ours.
        dated: its date as recorded (UTC), if there is a possible one.
        read: next bytes of the content, empty at its end.  Raises :class:`Broken` when the content
            breaks off and :class:`BudgetSpent` at a limit.
    """

    name: str
    dated: datetime | None
    read: Callable[[], bytes]
