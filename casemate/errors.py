"""Every error a user can meet, in one hierarchy.

A :class:`CasemateError` carries what happened, where, and what to do about it, and knows the
exit code of the design (2 bad usage or input, 3 could not finish).  Anything else that reaches
the command line is a bug of ours and exits with 4.

Errors at the level of a single record are values (:class:`casemate.evidence.readers.base.Reject`),
never exceptions.
"""

from __future__ import annotations


class CasemateError(Exception):
    """Base of all expected errors.

    Args:
        what: what went wrong, one clause without a full stop.
        where: the file, record, table or option concerned, if there is one.
        hint: what the user can do about it.
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.hint})" if self.hint else text


class BadInput(CasemateError):
    """The user asked for something that cannot be: exit code 2."""

    exit_code = 2


class UnreadableEvidence(BadInput):
    """A file could not be read as evidence at all (its records are not at fault)."""


class LimitReached(CasemateError):
    """A configured limit (see :mod:`casemate.limits`) stopped the work on one piece of evidence."""


class CaseLocked(CasemateError):
    """Another process is writing to this case."""


class CaseDamaged(CasemateError):
    """The case on disk is not what its custody log says it is."""


class CannotFinish(CasemateError):
    """Something from outside (disk, memory, a missing program) stopped the work."""


class MissingExtra(CannotFinish):
    """An optional dependency is needed for what was asked and is not installed."""
