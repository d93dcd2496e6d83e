"""Sigma filters: conditions that are ANDed to the rules they are for.

Definition: Sigma Filters Specification 2.1 and ``rules: any`` of 2.2.  pySigma can apply a filter
itself, but names the parts at random (so one rule set would compile to two), and forgets what was
filtered out.  Here each filtered rule comes back twice: ``R and F`` in the place of the rule, and
``R and not F``, whose matches are the suppressed ones.

A filter never applies to a correlation; one for its base rules thins out what feeds it.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule
from sigma.rule.detection import SigmaDetection, SigmaDetections

from casemate.detect.sigma.compiled import SUPPRESSED_SUFFIX
from casemate.detect.sigma.load import LoadedRule, RuleSet

PREFIX = "_filt_{}_"
"""Names of a filter's parts inside a rule: selectors such as ``1 of them`` pass names with ``_`` over."""
TOKEN = re.compile(r"[A-Za-z0-9_*-]+")
QUANTIFIERS = ("1", "any", "all")
OWN_UNDERSCORE_PATTERN = re.compile(r"\bof\s+_[A-Za-z0-9_]*\*")


@dataclass(frozen=True)
class UnusedFilter:
    """A filter that changed no rule, or not all of those it names, and why."""

    id: str
    title: str
    path: str
    reason: str


@dataclass(frozen=True)
class FilteredRules:
    """A rule set with its filters applied.

    Args:
        rules: all rules, filtered ones replaced; ids, titles and order are kept.
        suppressed: for each filtered rule one that finds what was taken out; its id is the
            rule's with :data:`SUPPRESSED_SUFFIX`.
        applied: id of a rule to the titles of its filters.
        unused: what could not be applied, each with its reason.
    """

    rules: tuple[LoadedRule, ...]
    suppressed: tuple[LoadedRule, ...]
    applied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unused: tuple[UnusedFilter, ...] = ()


def apply_filters(rule_set: RuleSet) -> FilteredRules:
    """Apply the filters of a rule set to its rules."""
    rules: list[LoadedRule] = []
    suppressed: list[LoadedRule] = []
    applied: dict[str, tuple[str, ...]] = {}
    fitted: dict[str, set[str]] = {one.id: set() for one in rule_set.filters}
    refused: list[UnusedFilter] = []
    for rule in rule_set.rules:
        fitting = [one for one in rule_set.filters if fits(one, rule)]
        for one in fitting:
            fitted[one.id].add(rule.id)
        if fitting and _has_own_underscore_pattern(rule):
            reason = f"'{rule.title}' selects its own parts by a name that begins with '_'"
            refused += [UnusedFilter(one.id, one.title, one.path, reason) for one in fitting]
            fitting = []
        if not fitting:
            rules.append(rule)
            continue
        rules.append(_combined(rule, fitting, "({rule}) and {filters}", rule.id))
        suppressed.append(_combined(rule, fitting, "({rule}) and not ({filters})", rule.id + SUPPRESSED_SUFFIX))
        applied[rule.id] = tuple(one.title for one in fitting)
    for one in rule_set.filters:
        refused += _missing(one, rule_set, fitted[one.id])
    return FilteredRules(tuple(rules), tuple(suppressed), applied, tuple(refused))


def as_rule(loaded: LoadedRule) -> SigmaRule:
    """A filter's condition as a rule of its log source."""
    one = loaded.parsed
    assert isinstance(one, SigmaFilter)
    detections = SigmaDetections(dict(one.filter.detections), list(one.filter.condition), one.filter.source)
    return SigmaRule(title=loaded.title, logsource=one.logsource, detection=detections)


def fits(loaded: LoadedRule, rule: LoadedRule) -> bool:
    """Whether a filter is for a rule: its log source says nothing else, and it names the rule."""
    one, target = loaded.parsed, rule.parsed
    assert isinstance(one, SigmaFilter)
    if not isinstance(target, SigmaRule):
        return False
    if target.logsource not in one.logsource:
        return False
    names = _named(one)
    return names is None or bool(names & {rule.id.lower(), (rule.name or rule.id).lower()})


def _named(one: SigmaFilter) -> set[str] | None:
    """Lower-cased ids and names a filter is for; None for any."""
    if isinstance(one.filter.rules, str):
        return None
    return {str(reference.reference).lower() for reference in one.filter.rules}


def _missing(loaded: LoadedRule, rule_set: RuleSet, fitted: set[str]) -> list[UnusedFilter]:
    one = loaded.parsed
    assert isinstance(one, SigmaFilter)
    names = _named(one)
    if names is None:
        reasons = [] if fitted else ["no rule has its log source"]
    else:
        known = {name.lower(): rule.id for rule in rule_set.rules for name in (rule.id, rule.name) if name}
        others = {
            name.lower(): f"'{name}' is a correlation: a filter is for the rules it refers to"
            for rule in rule_set.correlations
            for name in (rule.id, rule.name)
            if name
        } | {
            name.lower(): f"the rule '{name}' cannot be used: {error.reason}"
            for error in rule_set.errors
            for name in (error.id, error.name)
            if name
        }
        reasons = [
            others.get(name, f"the rule '{name}' is not installed")
            if name not in known
            else f"its log source does not fit the rule '{name}'"
            for name in sorted(names)
            if known.get(name) not in fitted
        ]
    return [UnusedFilter(loaded.id, loaded.title, loaded.path, reason) for reason in reasons]


def _has_own_underscore_pattern(rule: LoadedRule) -> bool:
    assert isinstance(rule.parsed, SigmaRule)
    return any(OWN_UNDERSCORE_PATTERN.search(condition) for condition in rule.parsed.detection.condition)


def _combined(rule: LoadedRule, fitting: Sequence[LoadedRule], form: str, rule_id: str) -> LoadedRule:
    parsed = rule.parsed
    assert isinstance(parsed, SigmaRule)
    parts: dict[str, SigmaDetection] = dict(parsed.detection.detections)
    wanted: list[str] = []
    digest = hashlib.sha256(f"{form}\n{rule.hash}".encode())
    for number, loaded in enumerate(fitting):
        one = loaded.parsed
        assert isinstance(one, SigmaFilter)
        prefix = PREFIX.format(number)
        parts |= {prefix + name: part for name, part in one.filter.detections.items()}
        wanted.append(f"({renamed(one.filter.condition[0], prefix)})")
        digest.update(loaded.hash.encode())
    conditions = [form.format(rule=condition, filters=" and ".join(wanted)) for condition in parsed.detection.condition]
    result = copy.copy(parsed)
    result.detection = SigmaDetections(parts, conditions, parsed.detection.source)
    return replace(rule, id=rule_id, hash=digest.hexdigest(), parsed=result)


def renamed(condition: str, prefix: str) -> str:
    """A filter's condition with the names of its parts, and patterns of them, prefixed."""
    words = [found.group() for found in TOKEN.finditer(condition)]
    written: list[str] = []
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        before = words[index - 1] if index else ""
        of_selector = (word in QUANTIFIERS and following == "of") or (word == "of" and before in QUANTIFIERS)
        if of_selector or word in ("and", "or", "not"):
            written.append(word)
        else:
            written.append(prefix + ("*" if word == "them" else word))
    remaining = iter(written)
    return TOKEN.sub(lambda _: next(remaining), condition)
