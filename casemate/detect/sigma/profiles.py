"""Rule packs: which rules of a rule set run, by level, status and purpose.

Each profile holds all rules of the one before it.  Sources: the packages that the public rule set is released in,
and its folders and tags for rules that hunt or follow one threat.  Correlations are chosen by their own level and
status and bring the rules they look at; filters are always kept.  A document that does not say its level and
status at the beginning of a line is kept, so nothing is left out unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from casemate.detect.sigma.rule_files import RuleFile
from casemate.errors import BadInput
from casemate.schema.findings import SEVERITIES


@dataclass(frozen=True)
class Profile:
    """Which rules run.

    Args:
        means: one line for people.
        level: lowest level; a rule without one counts as ``informational``.
        statuses: Sigma's status; a rule without one counts as ``experimental``.
        purposes: see :data:`PURPOSES`.
    """

    means: str
    level: str
    statuses: frozenset[str]
    purposes: frozenset[str]


SETTLED = frozenset({"stable", "test"})
KEPT_UP = SETTLED | {"experimental"}
PURPOSES: dict[str, tuple[str, ...]] = {
    # purpose -> folders and tags that say it; all other rules are "detection"
    "emerging": ("rules-emerging-threats", "detection.emerging-threats"),
    "hunting": ("rules-threat-hunting", "detection.threat-hunting"),
    "forensics": ("rules-dfir", "detection.dfir"),
}
PROFILES: dict[str, Profile | None] = {
    "core": Profile("sure and serious: an alert on each", "high", SETTLED, frozenset({"detection"})),
    "extended": Profile(
        "core, medium level, experimental rules, and rules for one threat",
        "medium",
        KEPT_UP,
        frozenset({"detection", "emerging", "forensics"}),
    ),
    "hunting": Profile(
        "all but deprecated and unsupported rules: much that is ordinary",
        "informational",
        KEPT_UP,
        frozenset({"detection", "emerging", "forensics", "hunting"}),
    ),
    "all": None,
}
"""By name; ``all`` is every rule that was given."""
DEFAULT = "all"

DOCUMENT_START = re.compile(rb"^---(?=[ \t\r\n]|$)", re.MULTILINE)
KIND = re.compile(rb"^(detection|correlation|filter)[ \t]*:", re.MULTILINE)
KEY = re.compile(rb"^(level|status|id|name)[ \t]*:[ \t]*['\"]?([^'\"#\r\n]*)", re.MULTILINE)
TAG = re.compile(rb"^[ \t]*-[ \t]*['\"]?(detection\.[a-z\-]+)", re.MULTILINE)
ACTION = re.compile(rb"^action[ \t]*:", re.MULTILINE)


@dataclass(frozen=True)
class _Document:
    """What decides whether a document is in a profile."""

    kind: str
    level: str
    status: str
    purpose: str
    names: frozenset[str]
    refers: frozenset[str] = frozenset()


def check_profile(name: str) -> str:
    """The name, if there is such a profile.

    Raises:
        BadInput: there is none.
    """
    if name not in PROFILES:
        raise BadInput(f"no profile '{name}'", where="--profile", hint="one of " + ", ".join(PROFILES))
    return name


def chosen_files(files: Sequence[RuleFile], name: str) -> list[RuleFile]:
    """The rule files with the documents that are in a profile.

    Raises:
        BadInput: there is no such profile.
    """
    profile = PROFILES[check_profile(name)]
    if profile is None:
        return list(files)
    read = [(file, *_documents(file)) for file in files]
    fed = {name for _, _, documents in read for one in documents if one and _fits(one, profile) for name in one.refers}
    kept: list[RuleFile] = []
    for file, parts, documents in read:
        wanted = [one is None or _fits(one, profile) or bool(one.names & fed) for one in documents]
        if all(wanted) or (any(wanted) and len(parts) != len(documents)):
            kept.append(file)
        elif any(wanted):
            texts = [part for part, is_wanted in zip(parts, wanted, strict=True) if is_wanted]
            kept.append(RuleFile(file.name, b"\n---\n".join(texts)))
    return kept


def profile_counts(files: Sequence[RuleFile]) -> dict[str, int]:
    """How many rules and correlations each profile has, those kept because they feed a correlation not counted."""
    found = [one for file in files for one in _documents(file)[1] if one is not None and one.kind != "filter"]
    return {name: sum(profile is None or _fits(one, profile) for one in found) for name, profile in PROFILES.items()}


def _documents(file: RuleFile) -> tuple[list[bytes], list[_Document | None]]:
    """The parts of a file and what each says; None for one that is kept whatever it is.

    A collection whose documents complete each other (``action``) is one part.
    """
    content = file.content or b""
    parts = [part for part in DOCUMENT_START.split(content) if part.strip()]
    documents = [_document(part, file.name) for part in parts]
    if ACTION.search(content):
        return [content], documents
    return parts, documents


def _document(text: bytes, path: str) -> _Document | None:
    kind = KIND.search(text)
    if kind is None:
        return None
    said: dict[str, str] = {}
    for key, value in KEY.findall(text):
        said.setdefault(key.decode(), value.decode("utf-8", "replace").strip().lower())
    words = {*PurePosixPath(path.replace("\\", "/")).parts, *(tag.decode() for tag in TAG.findall(text))}
    purpose = next((name for name, signs in PURPOSES.items() if words.intersection(signs)), "detection")
    return _Document(
        kind[1].decode(),
        said.get("level") or "informational",
        said.get("status") or "experimental",
        purpose,
        frozenset(said[key] for key in ("id", "name") if said.get(key)),
        frozenset(_references(text)) if kind[1] == b"correlation" else frozenset(),
    )


def _references(text: bytes) -> Iterable[str]:
    try:
        document: Any = yaml.safe_load(text)
        rules = document["correlation"].get("rules") or ()
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()
    return [str(rule).lower() for rule in ([rules] if isinstance(rules, str) else rules)]


def _fits(one: _Document, profile: Profile) -> bool:
    if one.kind == "filter":
        return True
    level = SEVERITIES.index(one.level) if one.level in SEVERITIES else 0
    return (
        level >= SEVERITIES.index(profile.level) and one.status in profile.statuses and one.purpose in profile.purposes
    )
