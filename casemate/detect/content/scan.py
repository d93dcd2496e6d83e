"""Contents held against compiled rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from casemate.detect.content.contents import Content
from casemate.detect.content.yara_rules import CompiledRules, library

SECONDS = 60
"""Longest time one content may take; far above what bounded contents need, so that results do not depend on it."""
MATCHES_A_PATTERN = 100
HITS_TOLD = 20
EXCERPT = 16


@dataclass(frozen=True)
class Hit:
    """One place where one pattern matched: offset in the whole content, length, the first bytes."""

    pattern: str
    offset: int
    length: int
    excerpt: bytes


@dataclass(frozen=True)
class RuleMatch:
    """A rule that holds for a content."""

    rule: str
    path: str
    tags: tuple[str, ...]
    metadata: tuple[tuple[str, Any], ...]
    content: Content
    hits: tuple[Hit, ...]
    all_hits: int
    spans: tuple[tuple[int, int], ...] = field(default=())
    """Begin and end of every match, in the whole content."""


def scan(compiled: CompiledRules, contents: Iterable[Content], notes: dict[str, int]) -> Iterator[RuleMatch]:
    """Matches in the order of contents and rules; `notes` counts what could not be done."""
    if compiled.rules is None:
        return
    yara = library()
    scanner = yara.Scanner(compiled.rules)
    scanner.set_timeout(SECONDS)
    scanner.max_matches_per_pattern(MATCHES_A_PATTERN)
    for content in contents:
        try:
            results = scanner.scan(content.data)
        except yara.TimeoutError:
            note = f"a content took longer than {SECONDS} seconds and was given up"
            notes[note] = notes.get(note, 0) + 1
            continue
        except yara.ScanError as error:
            note = f"a content could not be scanned: {error}"
            notes[note] = notes.get(note, 0) + 1
            continue
        for rule in results.matching_rules:
            found = [
                Hit(
                    pattern.identifier,
                    content.base + match.offset,
                    match.length,
                    content.data[match.offset : match.offset + min(match.length, EXCERPT)],
                )
                for pattern in rule.patterns
                for match in pattern.matches
            ]
            found.sort(key=lambda hit: (hit.offset, hit.pattern))
            yield RuleMatch(
                rule.identifier,
                rule.namespace,
                tuple(rule.tags),
                tuple(rule.metadata),
                content,
                tuple(found[:HITS_TOLD]),
                len(found),
                tuple((hit.offset, hit.offset + hit.length) for hit in found),
            )
