"""Sigma rules parsed by pySigma.

Nothing is dropped silently: every document is a rule, a correlation, a filter, or an entry of
:attr:`RuleSet.errors` with the reason.  A rule whose metadata alone is faulty (a tag, a date, an
id that is no UUID) is used, and the fault is noted.

YAML is read with pySigma's own loader (libyaml, duplicate keys refused).  The rule files are not
trusted: their size and the number of their nodes are bounded.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import yaml
from sigma.collection import deep_dict_update
from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaYAMLLoader
from sigma.rule.detection import EmptySigmaDetections
from sigma.rule.logsource import EmptyLogSource

from casemate.detect.sigma.correlation_bounds import prepare_document
from casemate.detect.sigma.modifiers import exact_modifiers
from casemate.detect.sigma.rule_files import RuleFile, hash_rule_files, read_rule_files

NODES = 200_000
"""Most values in one document, aliases counted as often as they are used."""
DEPTH = 40
"""Deepest nesting of a document."""
UNREADABLE = (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError)
"""What the YAML loader raises for what it cannot read."""
DOCUMENT_START = re.compile(rb"^---(?=[ \t\r\n]|$)", re.MULTILINE)
"""Between documents; at the beginning of a line these three cannot be part of any value (YAML 1.1, 5.4)."""
RULE_KEYS = ("detection", "correlation", "filter")
MAPPINGS = (*RULE_KEYS, "logsource")
"""Parts of a document that are mappings."""
STATUSES_NOTED = ("deprecated", "unsupported")
"""A rule that its authors gave up runs all the same, and says so."""


@dataclass(frozen=True)
class LoadedRule:
    """One parsed document.

    Args:
        id: the rule's id; ``sha256:`` and the first 32 digits of its hash where it has none.
        hash: SHA-256 of the rule as canonical JSON, so the layout of the YAML does not matter.
        path: file it came from.
        title: its title, or its id.
        parsed: pySigma's object.
        notes: faults of its metadata that do not touch what it matches.
    """

    id: str
    hash: str
    path: str
    title: str
    parsed: SigmaRule | SigmaCorrelationRule | SigmaFilter
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str | None:
        """The rule's ``name``, by which correlations may refer to it."""
        return self.parsed.name


@dataclass(frozen=True)
class RuleError:
    """A document that is not used, and why; `name` as for :class:`LoadedRule`."""

    path: str
    id: str | None
    title: str | None
    reason: str
    name: str | None = None


@dataclass(frozen=True)
class RuleSet:
    """Everything found under the given paths.

    Args:
        rules, correlations, filters: in order of path and place in the file.
        errors: documents that are not used, each with its reason.
        hash: SHA-256 over all files, the key of caches.
    """

    rules: tuple[LoadedRule, ...]
    correlations: tuple[LoadedRule, ...]
    filters: tuple[LoadedRule, ...]
    errors: tuple[RuleError, ...]
    hash: str


def load_rules(paths: Sequence[Path]) -> RuleSet:
    """Read and parse the Sigma rules under `paths`.

    Raises:
        BadInput: see :func:`read_rule_files`.
    """
    return parse_rule_files(read_rule_files(paths))


def parse_rule_files(files: Sequence[RuleFile]) -> RuleSet:
    """Parse rule files.  Of two documents with one id the first is used, the other listed."""
    collected = _Collected()
    with exact_modifiers():
        for file in files:
            _parse_file(file, collected)
    return RuleSet(
        tuple(collected.rules),
        tuple(collected.correlations),
        tuple(collected.filters),
        tuple(collected.errors),
        hash_rule_files(files),
    )


@dataclass
class _Collected:
    rules: list[LoadedRule] = field(default_factory=list)
    correlations: list[LoadedRule] = field(default_factory=list)
    filters: list[LoadedRule] = field(default_factory=list)
    errors: list[RuleError] = field(default_factory=list)
    by_id: dict[str, LoadedRule] = field(default_factory=dict)

    def add(self, rule: LoadedRule, *, shared_id: bool = False) -> None:
        first = self.by_id.get(rule.id)
        if first is not None and shared_id and first.path == rule.path and first.hash != rule.hash:
            number = next(number for number in itertools.count(2) if f"{rule.id}#{number}" not in self.by_id)
            note = f"it shares its id with other documents of its file: #{number} is added to it"
            rule = replace(rule, id=f"{rule.id}#{number}", notes=(*rule.notes, note))
            first = None
        if first is not None:
            same = "the same rule is" if first.hash == rule.hash else "another rule with this id is"
            self.errors.append(RuleError(rule.path, rule.id, rule.title, f"{same} already loaded from {first.path}"))
            return
        self.by_id[rule.id] = rule
        if isinstance(rule.parsed, SigmaCorrelationRule):
            self.correlations.append(rule)
        elif isinstance(rule.parsed, SigmaFilter):
            self.filters.append(rule)
        else:
            self.rules.append(rule)


def _parse_file(file: RuleFile, collected: _Collected) -> None:
    if file.content is None:
        collected.errors.append(RuleError(file.name, None, None, file.fault))
        return
    documents: list[Any] = []
    try:
        documents = _documents(file.content)
    except UNREADABLE as error:
        parts = DOCUMENT_START.split(file.content)
        if len(parts) == 1:
            collected.errors.append(RuleError(file.name, None, None, f"not readable as YAML: {_one_line(error)}"))
        for number, part in enumerate(parts if len(parts) > 1 else (), start=1):
            try:
                documents += _documents(part)
            except UNREADABLE as fault:
                reason = f"part {number} of the file is not readable as YAML: {_one_line(fault)}"
                collected.errors.append(RuleError(file.name, None, None, reason))
    template: dict[Any, Any] = {}
    previous: dict[Any, Any] = {}
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            collected.errors.append(RuleError(file.name, None, None, "not a Sigma rule: the document is no mapping"))
            continue
        if not _within_bounds(document):
            collected.errors.append(RuleError(file.name, None, None, f"more than {NODES} values or nested too deeply"))
            continue
        action = document.get("action")
        if action == "global":
            template = {key: value for key, value in document.items() if key != "action"}
            previous = template
        elif action == "reset":
            template = {}
        elif action == "repeat":
            document = {key: value for key, value in document.items() if key != "action"}
            own_id = "id" in document
            previous = deep_dict_update(copy.deepcopy(previous), document)
            _parse_document(previous, file.name, collected, shared_id=not own_id)
        elif action is not None:
            reason = f"unknown collection action {str(action)[:80]!r}"
            collected.errors.append(RuleError(file.name, None, None, reason))
        else:
            if "correlation" not in document and "filter" not in document:
                document = deep_dict_update(document, copy.deepcopy(template))
                previous = document
            _parse_document(document, file.name, collected, shared_id="id" in template)


def documents_of(file: RuleFile) -> list[dict[str, Any]]:
    """The documents of a rule file as plain values, within bounds; none of a file that cannot be read."""
    try:
        found = _documents(file.content or b"")
    except UNREADABLE:
        return []
    return [
        {str(key): value for key, value in one.items()}
        for one in found
        if isinstance(one, dict) and _within_bounds(one)
    ]


def _documents(content: bytes) -> list[Any]:
    """The documents of a file.

    Raises:
        ValueError, yaml.YAMLError and the others of :data:`UNREADABLE`: it is no YAML, or nested too deeply.
    """
    if not _shallow(content):
        raise ValueError(f"nested more than {DEPTH} deep")
    return list(yaml.load_all(content, Loader=SigmaYAMLLoader))


def _parse_document(document: dict[Any, Any], path: str, collected: _Collected, *, shared_id: bool = False) -> None:
    """Parse one document; `shared_id` says that its id comes from a part that several documents share."""
    title = document["title"] if isinstance(document.get("title"), str) else None
    name = document["name"] if isinstance(document.get("name"), str) else None
    if not any(key in document for key in RULE_KEYS):
        collected.errors.append(RuleError(path, None, title, "not a Sigma rule: it has no detection or correlation"))
        return
    digest = hashlib.sha256(
        orjson.dumps(_plain(document), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    ).hexdigest()
    given = document.get("id")
    rule_id = str(given).lower() if given is not None else f"sha256:{digest[:32]}"
    try:
        parsed = _parse(document)
    except Exception as error:  # pySigma meets hostile rules with whatever exception comes first
        collected.errors.append(RuleError(path, rule_id, title, _one_line(error), name))
        return
    faults = [_one_line(error) for error in parsed.errors]
    if not _usable(parsed):
        collected.errors.append(RuleError(path, rule_id, title, "; ".join(faults) or "not a Sigma rule", name))
        return
    status = str(document.get("status")).lower()
    if status in STATUSES_NOTED:
        faults.append(f"its status is {status}")
    collected.add(LoadedRule(rule_id, digest, path, title or rule_id, parsed, tuple(faults)), shared_id=shared_id)


def _parse(document: dict[Any, Any]) -> SigmaRule | SigmaCorrelationRule | SigmaFilter:
    for key in MAPPINGS:
        if key in document and not isinstance(document[key], dict):
            raise ValueError(f"its '{key}' is no mapping")
    if "correlation" in document:
        return SigmaCorrelationRule.from_dict(prepare_document(document), collect_errors=False)
    if "filter" in document:
        return SigmaFilter.from_dict(document, collect_errors=False)
    return SigmaRule.from_dict(document, collect_errors=True)


def _usable(parsed: SigmaRule | SigmaCorrelationRule | SigmaFilter) -> bool:
    if not isinstance(parsed, SigmaRule):
        return True
    return not isinstance(parsed.detection, EmptySigmaDetections) and not isinstance(parsed.logsource, EmptyLogSource)


def _shallow(content: bytes) -> bool:
    """Whether the YAML is nested no deeper than :data:`DEPTH`.

    libyaml's composer recurses in C: a file of a million opening brackets ends the process, so the
    depth is taken from its events first, where brackets and indentation make depth possible at all.
    """
    indentation = max((len(line) - len(line.lstrip(b" -?\t")) for line in content.splitlines()), default=0)
    if content.count(b"[") + content.count(b"{") + indentation <= DEPTH:
        return True
    depth = 0
    for event in yaml.parse(content, Loader=SigmaYAMLLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return True


def _within_bounds(value: object) -> bool:
    """Whether a document is of reasonable size, counting aliased values at every use."""
    pending: list[tuple[object, int]] = [(value, 0)]
    seen = 0
    while pending:
        current, depth = pending.pop()
        seen += 1
        if seen > NODES or depth > DEPTH:
            return False
        if isinstance(current, dict):
            pending.extend((item, depth + 1) for item in current.values())
        elif isinstance(current, (list, tuple, set)):
            pending.extend((item, depth + 1) for item in current)
    return True


def _plain(value: Any) -> Any:
    """The document with every value that JSON does not know (big numbers, bytes) as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:500]
