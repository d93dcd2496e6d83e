"""What people said of findings, attempts and records, as it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from casemate.case import Case
from casemate.triage import annotations_of, mark_lines


def annotation_text(annotation: Mapping[str, Any]) -> str:
    """An annotation in one line: verdict, tags, who and when, note; whether it was inherited."""
    verdict = annotation["verdict"]
    of = annotation["duplicate_of"]
    words = {None: "", "duplicate": f"duplicate of {str(of)[:12]}"}.get(verdict, str(verdict))
    tags = " ".join(f"#{tag}" for tag in annotation["tags"])
    said = " ".join(word for word in (words, tags) if word) or "noted"
    when = annotation["marked_at"]
    text = f"{said}, by {annotation['marked_by']} {when:%Y-%m-%d %H:%M}"
    if annotation["inherited_from"]:
        text += f", inherited from {str(annotation['inherited_from'])[:8]}"
    return f"{text}: {annotation['note']}" if annotation["note"] else text


def history_text(row: Mapping[str, Any]) -> str:
    """One row of :func:`history_rows` in one line."""
    said = ["cleared"] if row["cleared"] else []
    if row["verdict"]:
        said.append(row["verdict"] + (f" of {row['duplicate_of'][:12]}" if row["duplicate_of"] else ""))
    said += [f"+#{tag}" for tag in row["tags"]] + [f"-#{tag}" for tag in row["untags"]]
    note = "" if row["note"] is None else f": {row['note'] or '(note taken away)'}"
    return f"line {row['line']}, {row['time']:%Y-%m-%d %H:%M}, by {row['by']}: {' '.join(said) or 'noted'}{note}"


def annotation_rows(case: Case) -> Iterator[dict[str, Any]]:
    """What holds now, by kind and subject."""
    for one in annotations_of(case).values():
        yield asdict(one) | {"tags": list(one.tags)}


def history_rows(case: Case) -> Iterator[dict[str, Any]]:
    """Everything that was ever said, oldest first."""
    for line in mark_lines(case):
        change = line.change
        yield {
            "line": line.line,
            "time": line.time,
            "by": line.by,
            "cleared": change.cleared,
            "verdict": change.verdict,
            "duplicate_of": change.of,
            "note": change.note,
            "tags": list(change.tags),
            "untags": list(change.untags),
            "subjects": [{"kind": one.kind, "subject": one.id} for one in line.subjects],
        }
