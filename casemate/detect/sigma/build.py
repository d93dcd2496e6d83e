"""A rule set from its files to compiled rules: parse, apply filters, see what feeds correlations, compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sigma.rule import SigmaRule

from casemate.detect.sigma.compile import compile_rules, read_condition
from casemate.detect.sigma.compiled import CompiledRules, Refused
from casemate.detect.sigma.correlation_compile import compile_correlations, references
from casemate.detect.sigma.correlation_needs import silent_rules
from casemate.detect.sigma.correlation_rules import Correlation
from casemate.detect.sigma.filters import apply_filters, as_rule
from casemate.detect.sigma.load import LoadedRule, RuleSet, parse_rule_files
from casemate.detect.sigma.placeholders import Placeholders
from casemate.detect.sigma.rule_files import RuleFile


def build_rules(files: Sequence[RuleFile], placeholders: Placeholders) -> tuple[CompiledRules, list[str]]:
    """Compile a rule set.

    Returns:
        the compiled rules, and the names of the files that hold correlations or rules they refer
        to (parsed again, and alone, where correlations are evaluated).
    """
    rule_set, unusable = without_faulty_filters(parse_rule_files(files), placeholders)
    filtered = apply_filters(rule_set)
    correlations, uncompiled = compile_correlations(
        [*rule_set.rules, *rule_set.correlations], _not_for_correlations(rule_set, filtered.rules, placeholders)
    )
    suppressed = frozenset(rule.id for rule in filtered.suppressed)
    rules = compile_rules(
        [*filtered.rules, *filtered.suppressed],
        errors=rule_set.errors,
        placeholders=placeholders,
        silent=silent_rules(correlations) | suppressed,
    )
    paths = {rule.id: rule.path for rule in (*rule_set.rules, *rule_set.correlations, *rule_set.filters)}
    rules.refused += [Refused(one.key, one.title, paths.get(one.key, ""), one.reason) for one in uncompiled]
    rules.refused += [*unusable, *(Refused(one.id, one.title, one.path, one.reason) for one in filtered.unused)]
    return rules, _correlation_files(rule_set, correlations, paths)


def without_faulty_filters(rule_set: RuleSet, placeholders: Placeholders) -> tuple[RuleSet, list[Refused]]:
    """The rule set without filters that cannot be compiled: a rule must not fall with its filter."""
    usable, refused = [], []
    for loaded in rule_set.filters:
        condition = read_condition(as_rule(loaded), placeholders)
        if isinstance(condition, str):
            reason = f"{condition} (the rules it is for run without it)"
            refused.append(Refused(loaded.id, loaded.title, loaded.path, reason))
        else:
            usable.append(loaded)
    return replace(rule_set, filters=tuple(usable)), refused


def _not_for_correlations(rule_set: RuleSet, rules: Sequence[LoadedRule], placeholders: Placeholders) -> dict[str, str]:
    """Ids and names of what a correlation cannot refer to, with the reason.

    Args:
        rules: the rules, filters applied.
    """
    found: dict[str, str] = {}
    for error in rule_set.errors:
        found |= dict.fromkeys((name for name in (error.id, error.name) if name), error.reason)
    for one in rule_set.filters:
        found |= dict.fromkeys((name for name in (one.id, one.name) if name), "it is a filter")
    mentioned = {name.lower() for correlation in rule_set.correlations for name in references(correlation.parsed)}
    for rule in rules:
        names = [name for name in (rule.id, rule.name) if name]
        if not isinstance(rule.parsed, SigmaRule) or mentioned.isdisjoint(name.lower() for name in names):
            continue
        condition = read_condition(rule.parsed, placeholders)
        for name in names:
            if isinstance(condition, str):
                found[name] = condition
            else:
                found.pop(name, None)  # another document of this name is at fault
    return found


def _correlation_files(rule_set: RuleSet, correlations: Sequence[Correlation], paths: Mapping[str, str]) -> list[str]:
    named = {rule.path for rule in rule_set.correlations}
    for correlation in correlations:
        named.update(paths[reference.key] for reference in correlation.references if reference.key in paths)
    return sorted(named)
