"""Sigma correlations over a case: matches of their base rules in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from casemate.detect.sigma.cache import InstalledRules
from casemate.detect.sigma.correlation import evaluate
from casemate.detect.sigma.correlation_endpoints import with_endpoints
from casemate.detect.sigma.correlation_events import ENDPOINTS
from casemate.detect.sigma.correlation_findings import findings
from casemate.detect.sigma.correlation_needs import needed_fields, silent_rules
from casemate.detect.sigma.correlation_rules import Correlation
from casemate.detect.sigma.endpoints import endpoints_of
from casemate.detect.sigma.kernel import SigmaMatches, split_matches
from casemate.detect.sigma.variants import MatchesWithDecoded
from casemate.engine.protocol import Engine, StoredTables
from casemate.explore.tables import native_filled
from casemate.limits import Limits
from casemate.schema.findings import FINDINGS_WITH_RECORDS

Thin = Callable[[Mapping[str, pa.Table]], dict[str, pa.Table]]
"""Takes out of the matches per base rule what is not to be looked at."""


def detect_correlations(
    engine: Engine,
    installed: InstalledRules,
    stored: StoredTables,
    thin: Thin | None = None,
    limits: Limits | None = None,
) -> pa.Table:
    """Findings of all correlations of a rule set, as ``FINDINGS_WITH_RECORDS``.

    Args:
        thin: applied to the matches of base rules first.
        limits: of decoding: a record of which decoded text matches is looked at like any other match.
    """
    correlations, _ = correlations_of(installed)
    if not correlations:
        return FINDINGS_WITH_RECORDS.empty_table()
    needed = needed_fields(correlations)
    matches = _matches(engine, installed, stored, needed, limits or Limits())
    if thin is not None:
        matches = thin(matches)
    evaluated, evidences = evaluate(correlations, matches)
    return findings(evaluated, evidences, silent=silent_rules(correlations))


def correlations_of(installed: InstalledRules) -> tuple[list[Correlation], dict[str, str]]:
    """The correlations of a rule set, each after those it refers to, and the file each stands in (by id)."""
    if not installed.correlation_files:
        return [], {}
    # pySigma is needed only for rule sets with correlations
    from casemate.detect.sigma.correlation_compile import compile_correlations
    from casemate.detect.sigma.load import parse_rule_files

    wanted = set(installed.correlation_files)
    rule_set = parse_rule_files([file for file in installed.files if file.name in wanted])
    paths = {rule.id: rule.path for rule in rule_set.correlations}
    known = {one.id for one in (*installed.rules.rules, *installed.rules.unread)}
    unusable = {rule.id: "it is not compiled" for rule in rule_set.rules if rule.id not in known}
    return compile_correlations([*rule_set.rules, *rule_set.correlations], unusable)[0], paths


def _matches(
    engine: Engine,
    installed: InstalledRules,
    stored: StoredTables,
    needed: Mapping[str, tuple[str, ...]],
    limits: Limits,
) -> dict[str, pa.Table]:
    """Per base rule its matches in all tables, with the fields correlations need."""
    fields = tuple(sorted({name for names in needed.values() for name in names}))
    found: dict[str, list[pa.Table]] = {}
    for table in native_filled(stored):
        if table not in installed.tables:
            continue
        asked = tuple(sorted({*fields, *endpoints_of(table).columns}))
        kernel = MatchesWithDecoded(SigmaMatches(str(installed.folder), table, tuple(sorted(needed)), asked), limits)
        columns = kernel.columns(stored[table].schema.names)
        batches = list(engine.map_batches(table, kernel, kernel.schema(), columns=columns))
        if batches:
            rows = pa.Table.from_batches(batches, kernel.schema())
            for rule, matches in split_matches(rows, asked).items():
                said = with_endpoints(matches, table)
                found.setdefault(rule, []).append(said.select(["evidence", "record", "time", *fields, ENDPOINTS]))
    return {rule: pa.concat_tables(tables) for rule, tables in found.items()}
