"""The work on one file: reasons gather here, inner content is handed on, limits are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from casemate.detect.artifacts.content import Content, Ownership
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Reason, Rule
from casemate.masking import mask_quoted

MIB = 1024 * 1024
REASONS_KEPT = 100
REASONS_GATHERED = 5000
TEXT_LENGTH = 500

TOO_DEEP = Rule("limit.depth", "unscannable", None, "a loader may open what lies deeper; it was not read")
TOO_MUCH = Rule("limit.unpacked", "unscannable", None, "a loader may unpack more than was read here")
TOO_MANY = Rule("limit.members", "unscannable", None, "a loader may read members that were not read here")
UNOWNED = Rule(
    "bytes.unowned", "unscannable", CORRUPT_MODEL, "bytes that belong to no part of the format; a loader may use them"
)
FAILED = Rule("scan.failed", "unscannable", CORRUPT_MODEL, "a loader may accept what could not be read here")


class TooMuchError(Exception):
    """A limit of the scan was reached; the text says which.  What was found before stays."""

    def __init__(self, rule: Rule, text: str) -> None:
        super().__init__(text)
        self.rule = rule


@dataclass(frozen=True)
class Options:
    """Settings of a scan.  Sizes are bytes, times seconds.

    Args:
        full: also read and hash what cannot run code (tensor data).
        depth: contents inside contents.
        unpacked_bytes: most bytes unpacked from one file, all layers together.
        member_bytes: largest single unpacked member.
        members: most inner contents of one file.
        opcodes: most pickle opcodes interpreted for one file.
        memory_bytes: memory of the reading process.
        seconds: processor time for one file.
    """

    full: bool = False
    depth: int = 8
    unpacked_bytes: int = 4096 * MIB
    member_bytes: int = 512 * MIB
    members: int = 100_000
    opcodes: int = 200_000_000
    memory_bytes: int = 2048 * MIB
    seconds: int = 300


@dataclass
class Budget:
    """What one file may still cost, shared by all its layers."""

    options: Options
    unpacked: int = 0
    members: int = 0
    opcodes: int = 0

    def unpack(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            TooMuchError: more came out than may.
        """
        self.unpacked += count
        if self.unpacked > self.options.unpacked_bytes:
            raise TooMuchError(TOO_MUCH, f"more than {self.options.unpacked_bytes} bytes came out of one file")


@dataclass
class Findings:
    """Everything that one file's inspection said."""

    reasons: list[Reason] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    skipped: int = 0


Inspector = Callable[[Content, "Inspection"], None]


class Inspection:
    """One content being looked at.

    Args:
        content: what is looked at.
        path_inside: where it lies in the file.
        inspector: looks at inner content (:func:`casemate.detect.artifacts.identify.inspect_content`).
        budget: shared by the whole file.
        findings: shared by the whole file.
        depth: layers above.
    """

    def __init__(
        self,
        content: Content,
        inspector: Inspector,
        budget: Budget,
        findings: Findings,
        path_inside: tuple[str, ...] = (),
    ) -> None:
        self.content = content
        self.options = budget.options
        self.budget = budget
        self.findings = findings
        self.path_inside = path_inside
        self.ownership = Ownership(content.size)
        self._inspector = inspector

    def report(
        self, rule: Rule, text: str, offset: int | None = None, *, effect: str | None = None, member: str | None = None
    ) -> None:
        """Report that `rule` holds here.

        Args:
            rule: from the format's table.
            text: what was seen, one clause; may hold evidence text (secrets in it are masked here, it is escaped
                when printed).
            offset: the byte in this content.
            effect: what a loader would do, where it can be said more exactly than the rule does.
            member: the member of this content that it is about.
        """
        path = self.path_inside if member is None else (*self.path_inside, member)
        reason = Reason(
            rule.code,
            mask_quoted(text)[:TEXT_LENGTH],
            rule.severity,
            "!".join(path)[-TEXT_LENGTH:],
            offset,
            rule.technique,
            mask_quoted(effect or rule.loader_effect)[:TEXT_LENGTH],
        )
        # the first of many suffice, but a graver one is never left off
        if len(self.findings.reasons) < REASONS_GATHERED or rule.severity == "malicious":
            self.findings.reasons.append(reason)

    def own(self, begin: int, end: int) -> None:
        """The bytes from `begin` up to `end` of this content are understood."""
        self.ownership.own(begin, end)

    def own_all(self) -> None:
        """All bytes of this content are understood."""
        self.ownership.own(0, self.content.size)

    def skip(self, count: int) -> None:
        """Bytes that are owned and were not read (tensor data that nothing executes)."""
        self.findings.skipped += count

    def inner(self, content: Content) -> None:
        """Look at content that lies inside this one; its reasons name its place.

        For bytes that were unpacked, call ``inspection.budget.unpack`` while unpacking.
        """
        if len(self.path_inside) >= self.options.depth:
            self.report(TOO_DEEP, f"content more than {self.options.depth} layers deep was not read")
            return
        self.budget.members += 1
        if self.budget.members > self.options.members:
            raise TooMuchError(TOO_MANY, f"more than {self.options.members} members in one file")
        path = (*self.path_inside, content.name)
        self._inspector(content, Inspection(content, self._inspector, self.budget, self.findings, path))

    def aside(self, content: Content, findings: Findings | None = None) -> Inspection:
        """An inspection of `content` whose findings are kept apart; it shares the budget."""
        path = (*self.path_inside, content.name)
        return Inspection(content, self._inspector, self.budget, findings or Findings(), path)

    def look(self) -> None:
        """Look at this inspection's content, not deeper than allowed."""
        if len(self.path_inside) <= self.options.depth:
            self._inspector(self.content, self)
