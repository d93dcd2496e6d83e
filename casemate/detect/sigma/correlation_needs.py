"""What correlations ask of the rules they refer to, and of those that did not run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from casemate.detect.sigma.correlation_rules import Correlation, Uncompiled


def needed_fields(correlations: Sequence[Correlation]) -> dict[str, tuple[str, ...]]:
    """Which event fields of which base rules' matches the correlations need.

    Returns:
        key of a base rule to sorted field names, as the rules write them (Sigma names).
    """
    by_key = {correlation.key: correlation for correlation in correlations}
    needed: dict[str, set[str]] = {}

    def ask(correlation: Correlation, carried: frozenset[str]) -> None:
        for reference in correlation.references:
            wanted = {*reference.group_fields, *reference.value_fields, *carried}
            if reference.correlation:
                below = by_key[reference.key]
                ask(below, frozenset(wanted - set(below.group_by)))
            else:
                needed.setdefault(reference.key, set()).update(wanted)

    for correlation in correlations:
        ask(correlation, frozenset())
    return {key: tuple(sorted(names)) for key, names in sorted(needed.items())}


def silent_rules(correlations: Sequence[Correlation]) -> frozenset[str]:
    """Keys of rules (and correlations) that feed correlations only and give no findings themselves.

    That is the specification's default; one correlation with ``generate: true`` is enough to let
    the rules it names speak.
    """
    fed: set[str] = set()
    spoken: set[str] = set()
    for correlation in correlations:
        names = {reference.key for reference in correlation.references}
        fed |= names
        if correlation.generate:
            spoken |= names
    return frozenset(fed - spoken)


def unfed(correlations: Sequence[Correlation], ran: Collection[str]) -> list[Uncompiled]:
    """Correlations that cannot find all they look for because a base rule did not run.

    Args:
        correlations: as compiled.
        ran: ids of the single-event rules that ran on some records.
    """
    told: list[Uncompiled] = []
    missing: dict[str, tuple[str, ...]] = {}
    for correlation in correlations:  # each after those it refers to
        lacking = [
            title
            for reference in correlation.references
            for title in (
                missing[reference.key]
                if reference.correlation
                else (() if reference.key in ran else (reference.title,))
            )
        ]
        missing[correlation.key] = tuple(dict.fromkeys(lacking))
        if lacking:
            named = "', '".join(missing[correlation.key])
            told.append(Uncompiled(correlation.key, correlation.title, f"its rule did not run: '{named}'"))
    return told
