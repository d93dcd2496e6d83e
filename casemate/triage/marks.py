"""What one ``casemate mark`` says, as the facts of a custody line and back.

```
{"about": "mark", "by": WHO, "verdict": V, "of": ID, "note": TEXT, "tags": [...], "untags": [...], "cleared": true,
 "subjects": [{"kind", "id", "key", "records": [[EVIDENCE, [[FIRST, LAST], ...]], ...], "record_count",
               "beside": [ID, ...]}, ...]}
```
Only what was given is there.  A line is never changed: a later one corrects it.  A case may come from anybody,
so lines that are not of this form are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from casemate.case import CUSTODY, Case
from casemate.errors import BadInput
from casemate.evidence.custody import intact_lines
from casemate.schema.annotations import SUBJECT_KINDS, VERDICTS
from casemate.triage.subjects import Subject

ABOUT = "mark"
NOTE_CHARACTERS = 10_000
WORD_CHARACTERS = 200
"""Longest tag, and longest name of who marked."""
TAGS = 50
"""Most tags given at once."""


@dataclass(frozen=True)
class Change:
    """What a mark changes; None leaves as it is, an empty note takes the note away.

    Args:
        verdict: one of :data:`casemate.schema.annotations.VERDICTS`.
        of: the subject that a duplicate is one of.
        note: replaces the note.
        tags, untags: added and taken away.
        cleared: everything said before is taken back first.
    """

    verdict: str | None = None
    of: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()
    untags: tuple[str, ...] = ()
    cleared: bool = False

    def checked(self) -> Change:
        """The same with texts that can be kept.

        Raises:
            BadInput: it says nothing, or something that cannot be.
        """
        if self == Change():
            raise BadInput("nothing is said", hint="give --verdict, --note, --tag, --untag or --clear")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise BadInput(f"no verdict '{self.verdict[:40]}'", hint="one of " + ", ".join(VERDICTS))
        if (self.verdict == "duplicate") != (self.of is not None):
            raise BadInput("a duplicate is one of something", hint="--verdict duplicate --of ID, both or neither")
        note = None if self.note is None else plain(self.note)
        if note is not None and len(note) > NOTE_CHARACTERS:
            raise BadInput(f"a note has at most {NOTE_CHARACTERS:,} characters, this one has {len(note):,}")
        tags, untags = (tuple(sorted({_word(tag, "tag") for tag in given})) for given in (self.tags, self.untags))
        if len(tags) > TAGS:
            raise BadInput(f"more than {TAGS} tags at once")
        return Change(self.verdict, self.of, note, tags, untags, self.cleared)


@dataclass(frozen=True)
class MarkLine:
    """One mark as the custody log tells it: line number, time (UTC), who, what about what.

    `beside` are findings or attempts that shared records with a subject when it was marked, by subject: they
    were there to be marked as well, so the mark is not about them.
    """

    line: int
    time: datetime
    by: str
    change: Change
    subjects: tuple[Subject, ...]
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)


def plain(text: str) -> str:
    """Text as UTF-8 can keep it: bytes of the command line that are no text become ``\\xNN``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _word(text: str, what: str) -> str:
    word = plain(text).strip()
    if not word or not word.isprintable() or len(word) > WORD_CHARACTERS:
        raise BadInput(f"not a {what}: '{word[:40]}'", hint=f"1 to {WORD_CHARACTERS} visible characters on one line")
    return word


def who_word(text: str) -> str:
    """Who marks, as it is kept.

    Raises:
        BadInput: it is empty, too long or not visible.
    """
    return _word(text, "name")


def facts_of(by: str, change: Change, subjects: Sequence[tuple[Subject, frozenset[str]]]) -> dict[str, Any]:
    """The facts of the custody line; each subject with what stood beside it."""
    facts: dict[str, Any] = {"about": ABOUT, "by": by}
    if change.cleared:
        facts["cleared"] = True
    facts |= {name: value for name in ("verdict", "of", "note") if (value := getattr(change, name)) is not None}
    facts |= {name: list(value) for name in ("tags", "untags") if (value := getattr(change, name))}
    facts["subjects"] = [_subject_facts(subject, beside) for subject, beside in subjects]
    return facts


def _subject_facts(subject: Subject, beside: frozenset[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": subject.kind, "id": subject.id}
    if subject.key is not None:
        facts["key"] = subject.key
        facts["records"] = [[evidence, [list(run) for run in runs]] for evidence, runs in subject.records.items()]
        facts["record_count"] = subject.record_count
    if beside:
        facts["beside"] = sorted(beside)
    return facts


def mark_lines(case: Case) -> Iterator[MarkLine]:
    """All marks of a case, oldest first."""
    for line in intact_lines(case.path / CUSTODY):
        if line.kind == "note" and line.facts.get("about") == ABOUT:
            try:
                yield _line(line.sequence, line.time, line.facts)
            except (KeyError, TypeError, ValueError, AttributeError, BadInput):
                continue  # not written by `casemate mark`


def _line(sequence: int, time: str, facts: Mapping[str, Any]) -> MarkLine:
    change = Change(
        facts.get("verdict"),
        facts.get("of"),
        facts.get("note"),
        tuple(facts.get("tags", ())),
        tuple(facts.get("untags", ())),
        facts.get("cleared") is True,
    ).checked()
    subjects = tuple(_subject(one) for one in facts["subjects"])
    beside = {
        str(one["id"]): frozenset(str(name) for name in one["beside"]) for one in facts["subjects"] if one.get("beside")
    }
    return MarkLine(
        sequence, datetime.fromisoformat(time).astimezone(UTC), who_word(facts["by"]), change, subjects, beside
    )


def _subject(facts: Mapping[str, Any]) -> Subject:
    kind, name, key = facts["kind"], facts["id"], facts.get("key")
    if kind not in SUBJECT_KINDS or not isinstance(name, str) or not isinstance(key, str | None):
        raise ValueError(kind)
    records = {
        str(evidence): tuple((int(first), int(last)) for first, last in runs)
        for evidence, runs in facts.get("records", ())
    }
    return Subject(kind, name, key, records, int(facts.get("record_count", 0)))
