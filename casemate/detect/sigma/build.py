"""A rule set from its files to compiled rules: parse, apply filters, see what feeds correlations, compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.compiled import CompiledRules, Refused
from casemate.detect.sigma.correlation_compile import compile_correlations
from casemate.detect.sigma.correlation_needs import silent_rules
from casemate.detect.sigma.correlation_rules import Correlation
from casemate.detect.sigma.filters import apply_filters
from casemate.detect.sigma.load import RuleSet, parse_rule_files
from casemate.detect.sigma.rule_files import RuleFile


def build_rules(
    files: Sequence[RuleFile], placeholders: Mapping[str, tuple[str, ...]]
) -> tuple[CompiledRules, list[str]]:
    """Compile a rule set.

    Returns:
        the compiled rules, and the names of the files that hold correlations or rules they refer
        to (parsed again, and alone, where correlations are evaluated).
    """
    rule_set = parse_rule_files(files)
    filtered = apply_filters(rule_set)
    correlations, uncompiled = compile_correlations([*rule_set.rules, *rule_set.correlations])
    suppressed = frozenset(rule.id for rule in filtered.suppressed)
    rules = compile_rules(
        [*filtered.rules, *filtered.suppressed],
        errors=rule_set.errors,
        placeholders=placeholders,
        silent=silent_rules(correlations) | suppressed,
    )
    paths = {rule.id: rule.path for rule in (*rule_set.rules, *rule_set.correlations, *rule_set.filters)}
    rules.refused += [Refused(one.key, one.title, paths.get(one.key, ""), one.reason) for one in uncompiled]
    rules.refused += [Refused(one.id, one.title, one.path, one.reason) for one in filtered.unused]
    return rules, _correlation_files(rule_set, correlations, paths)


def _correlation_files(rule_set: RuleSet, correlations: Sequence[Correlation], paths: Mapping[str, str]) -> list[str]:
    named = {rule.path for rule in rule_set.correlations}
    for correlation in correlations:
        named.update(paths[reference.key] for reference in correlation.references if reference.key in paths)
    return sorted(named)
