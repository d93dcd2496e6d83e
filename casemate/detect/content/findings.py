"""Matches of content rules as findings.

One finding for a rule and one direction of a connection, a transferred file or a file in evidence, with the packets
the matches stand in as its records.  A rule that holds for a stream and for a file inside it is told once, of the file.
The source is who sent the bytes: of a download that is the server, which says nothing about who wanted it.

What the authors of a rule say in its metadata is taken over where it can be: ``severity`` in words; ``score`` from 0 to
100 (75 and more is high, 50 and more medium, below low, as YARA-Forge and THOR count); techniques wherever their
numbers stand.  With neither, the severity is medium.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from casemate.detect.content.contents import EVIDENCE, FILE, STREAM, Place
from casemate.detect.content.scan import RuleMatch
from casemate.schema.findings import CONFIDENCES, SEVERITIES, finding_id

DETECTOR = "yara"
MOST_RECORDS = 1_000
TECHNIQUE = re.compile(r"\b(?:T\d{4}(?:\.\d{3})?|AML\.T\d{4}(?:\.\d{3})?)\b")
TITLE_KEYS = ("description", "title")
META_TOLD = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVIDENCE_VECTORS = "unknown"


@dataclass(frozen=True)
class Found:
    """A row of ``findings`` and the records it rests on."""

    row: dict[str, Any]
    records: tuple[int, ...]


Locate = Callable[[int, int], Iterable[Place]]
"""The records of a piece of evidence that hold its bytes from one offset to before another; none where it has none."""


def findings(evidence: str, path: str, matches: Iterable[RuleMatch], locate: Locate) -> list[Found]:
    """Findings of one piece of evidence.

    Args:
        evidence: its SHA-256.
        path: under which it was received.
        matches: of all its contents.
        locate: finds records, for contents that are the evidence itself.
    """
    grouped: dict[tuple[Any, ...], list[RuleMatch]] = {}
    for match in matches:
        content = match.content
        uid, direction = (content.talk.uid, content.talk.direction) if content.talk else ("", "")
        file = content.name if content.kind == FILE else ""
        grouped.setdefault((match.path, match.rule, content.kind, uid, direction, file), []).append(match)
    in_files = {(key[0], key[1], key[3], key[4]) for key in grouped if key[2] == FILE}
    found: dict[str, Found] = {}
    for key, several in sorted(grouped.items(), key=lambda one: one[0]):
        if key[2] == STREAM and (key[0], key[1], key[3], key[4]) in in_files:
            continue
        made = _finding(evidence, path, several, locate)
        found.setdefault(made.row["id"], made)
    return [found[identity] for identity in sorted(found)]


def _finding(evidence: str, path: str, several: Sequence[RuleMatch], locate: Locate) -> Found:
    match = several[0]
    content = match.content
    meta = {str(name): value for name, value in match.metadata}
    records, times = _records(several, locate)
    rule_id = f"yara.{match.path}.{match.rule}"
    talk = content.talk
    said = " ".join([*match.tags, *(str(value) for value in meta.values())])
    title = next((str(meta[key]) for key in TITLE_KEYS if meta.get(key)), match.rule)
    confidence = str(meta.get("confidence", "")).lower()
    return Found(
        {
            "id": finding_id(rule_id, [(evidence, record) for record in records or (0,)]),
            "time": _moment(min(times)) if times else None,
            "time_end": _moment(max(times)) if times else None,
            "detector": DETECTOR,
            "rule_id": rule_id,
            "rule_version": str(meta.get("version", meta.get("modified", meta.get("date", "")))),
            "title": title[:300],
            "severity": severity(meta),
            "techniques": sorted(set(TECHNIQUE.findall(said))),
            "tactics": [],
            "source": {"kind": "address", "value": talk.sender} if talk else {"kind": "unknown", "value": None},
            "target": {"kind": "address", "value": talk.receiver, "service": talk.service}
            if talk
            else {"kind": "resource", "value": path, "service": None},
            "vector": "network" if talk else EVIDENCE_VECTORS,
            "outcome": "unknown",
            "confidence": confidence if confidence in CONFIDENCES else "medium",
            "why": json.dumps(_why(several, meta), ensure_ascii=False, sort_keys=True),
        },
        tuple(records),
    )


def _records(several: Sequence[RuleMatch], locate: Locate) -> tuple[list[int], list[int]]:
    """Records the matches stand in (of a rule without patterns: the first of the content), and their times."""
    records: dict[int, int | None] = {}
    for match in several:
        for begin, end in match.spans or ((match.content.base, match.content.base + 1),):
            places = match.content.places
            for place in locate(begin, end) if places is None else places.between(begin, end):
                if len(records) < MOST_RECORDS:
                    records.setdefault(place.record, place.time)
    return sorted(records), [time for time in records.values() if time is not None]


def _why(several: Sequence[RuleMatch], meta: dict[str, Any]) -> dict[str, Any]:
    match = several[0]
    content = match.content
    told: dict[str, Any] = {
        "rule": match.rule,
        "file": match.path,
        "tags": list(match.tags),
        "meta": {name: meta[name] for name in list(meta)[:META_TOLD]},
        "in": content.kind,
        "name": content.name,
        "bytes": len(content.data),
        "whole": all(one.content.whole for one in several),
        "matches": sum(one.all_hits for one in several),
        "patterns": [
            {"pattern": hit.pattern, "offset": hit.offset, "length": hit.length, "begins": hit.excerpt.hex()}
            for one in several
            for hit in one.hits
        ][:META_TOLD],
        "means": "a content rule holds for these bytes; what it looks for stands in that rule",
    }
    if content.talk is not None:
        told["connection"] = {"uid": content.talk.uid, "direction": content.talk.direction}
    if content.notes:
        told["notes"] = sorted({note for one in several for note in one.content.notes})
    if content.kind == EVIDENCE:
        told["means"] += "; offsets are bytes of the evidence"
    return told


def severity(meta: dict[str, Any]) -> str:
    """The severity that a rule's metadata states."""
    said = str(meta.get("severity", "")).lower()
    if said in SEVERITIES:
        return said
    score = meta.get("score")
    if isinstance(score, int) and not isinstance(score, bool):
        return "high" if score >= 75 else "medium" if score >= 50 else "low"
    return "medium"


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
