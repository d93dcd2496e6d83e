"""Marking: one custody line that says who says what of which findings, attempts and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from casemate.case import Case
from casemate.errors import BadInput
from casemate.triage.annotations import Annotation, annotations_of, rebuild, sharing
from casemate.triage.marks import Change, facts_of, who_word
from casemate.triage.subjects import Subject, find_subject, keys_of

SUBJECTS = 10_000
"""Most subjects of one mark."""
BESIDE = 1_000
"""Most findings that are remembered as having stood beside a marked one."""


@dataclass(frozen=True)
class Marked:
    """What a mark came to: its subjects, what now holds of each (None: nothing), and how many others follow one."""

    subjects: tuple[Subject, ...]
    annotations: tuple[Annotation | None, ...]
    following: int


def mark(case: Case, names: Sequence[str], change: Change, by: str) -> Marked:
    """Mark what `names` name.

    Args:
        case: open for writing.
        names: ids (or unique beginnings) of findings and attempts, addresses of records.
        change: what is said of each.
        by: who says so.

    Raises:
        BadInput: a name names nothing or more than one thing, or the change cannot be; nothing was written.
        CannotFinish: the disk is full.
    """
    change = change.checked()
    who = who_word(by)
    if len(names) > SUBJECTS:
        raise BadInput(f"more than {SUBJECTS:,} at once")
    subjects = tuple({(one.kind, one.id): one for one in (find_subject(case, name) for name in names)}.values())
    if change.of is not None:
        change = replace(change, of=_original(case, change.of, subjects))
    before = annotations_of(case)
    for one in subjects:
        followed = before.get(one.id)
        if followed is not None and followed.inherited_from is not None and not change.cleared:
            # what it followed holds on: said of it alone from now on
            kept = Change(followed.verdict, followed.duplicate_of, followed.note, followed.tags)
            case.log("note", facts_of(who, kept, [(one, _beside(case, one))]) | {"adopted": followed.inherited_from})
    case.log("note", facts_of(who, change, [(one, _beside(case, one)) for one in subjects]))
    rebuild(case)
    now = annotations_of(case)
    following = sum(one.inherited_from in {subject.id for subject in subjects} for one in now.values())
    return Marked(subjects, tuple(now.get(one.id) for one in subjects), following)


def _original(case: Case, name: str, subjects: Sequence[Subject]) -> str:
    """The id of what the subjects are duplicates of."""
    original = find_subject(case, name)
    if any(one.id == original.id for one in subjects):
        raise BadInput("nothing is a duplicate of itself", where=original.id)
    other = next((one for one in subjects if one.kind != original.kind), None)
    if other is not None:
        raise BadInput(f"a {other.kind} is no duplicate of a {original.kind}", where=other.id)
    return original.id


def _beside(case: Case, subject: Subject) -> frozenset[str]:
    """What shares a record with the subject now, has the same key, and could have been marked as well."""
    if subject.key is None:
        return frozenset()
    near = sharing(case, subject) - {subject.id}
    keys = keys_of(case, subject.kind, near) if near else {}
    return frozenset(sorted(name for name, key in keys.items() if key == subject.key)[:BESIDE])
