"""``casemate intel``: rule sets, ATT&CK, ATLAS and origin data: what is installed, and newer versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.intel_origins import (
    named_origins,
    origin_json,
    origin_status_json,
    print_origin,
    print_origin_status,
    update_both,
)
from casemate.cli.options import JsonOption
from casemate.cli.output import console, visible, write_json, write_table
from casemate.detect.sigma.placeholders import given_placeholders
from casemate.detect.sigma.profiles import PROFILES, profile_counts
from casemate.detect.sigma.rule_files import read_rule_files
from casemate.engine.duckdb import DuckDBEngine
from casemate.intel.crosswalk import STATUSES
from casemate.intel.diff import MATCHING, Difference
from casemate.intel.rule_tags import TagCounts, count_tags
from casemate.intel.store import DATASETS, OWN_RULES, home, knowledge
from casemate.intel.update import Outcome, Status
from casemate.intel.update import status as installed_status
from casemate.investigate.rule_update import CaseEffect, RuleSide, case_effect, differences, read_side

CHANGES = {"added": "added", "changed": "changed", "removed": "removed", "metadata": "in metadata only"}
DIFFERENCES_SHOWN = 30
RULE_SETS = (OWN_RULES, "sigma")
UNMAPPED_SHOWN = 6
"""Most ids that a line names."""

app = typer.Typer(help="Rule sets, ATT&CK, ATLAS and origin data.", no_args_is_help=True)


@app.command("update", epilog="Example: casemate intel update sigma --from ~/Downloads/sigma_all_rules.zip")
def update(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"What to update: {', '.join(DATASETS)}, origins (or one source: origins/amazon); all when none.",
            metavar="NAME...",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="File, folder or URL (also a mirror) instead of the public release.", metavar="SOURCE"
        ),
    ] = None,
    dated: Annotated[
        str | None,
        typer.Option("--dated", help="Origins: the day these files are from, where they do not say.", metavar="DAY"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Install the newest versions; older ones are kept, and cases keep the version they are pinned to."""
    datasets, origins = named_origins(names or ())
    outcomes, found = update_both(datasets, origins, source, dated, now=dt.datetime.now(dt.UTC))
    if as_json:
        write_json([*(_outcome(outcome) for outcome in outcomes), *(origin_json(outcome) for outcome in found)])
    else:
        for outcome in outcomes:
            _print_outcome(outcome)
        for one in found:
            print_origin(one)
    failed = [outcome.error for outcome in (*outcomes, *found) if outcome.error is not None]
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))


@app.command("status", epilog="Example: casemate intel status")
def status(as_json: JsonOption = False) -> None:
    """What is installed, from when, and what is stale."""
    rows = installed_status(now=dt.datetime.now(dt.UTC))
    files = {row.name: read_rule_files([row.installed.path]) for row in rows if row.installed and row.name in RULE_SETS}
    counts = {row.name: profile_counts(files[row.name]) if row.name in files else None for row in rows}
    attack, atlas = knowledge("attack"), knowledge("atlas")
    tags = {
        name: count_tags((file.content for file in read if file.content is not None), attack, atlas)
        for name, read in (files.items() if attack is not None else ())
    }
    if as_json:
        datasets = [
            _status(row) | {"profiles": counts[row.name], "technique_tags": _tags(tags.get(row.name))} for row in rows
        ]
        write_json({"folder": str(home()), "datasets": datasets, "origins": origin_status_json()})
        return
    write_table(
        ("dataset", "version", "dated", "age", "holds", "state"),
        [
            (
                row.name,
                row.installed.version if row.installed else None,
                row.installed.dated if row.installed else None,
                f"{row.age_days} d" if row.age_days is not None else None,
                ", ".join(f"{count:,} {what}" for what, count in row.installed.counts.items() if count)
                if row.installed
                else None,
                "not installed" if row.installed is None else "stale" if row.stale else "ok",
            )
            for row in rows
        ],
    )
    print_origin_status()
    typer.echo(f"kept in {home()}")
    told = {name: found for name, found in counts.items() if found is not None}
    typer.echo("rules per profile (investigate --profile), each with those of the one before it:")
    write_table(
        ("profile", *told, "means"),
        [
            (name, *(found[name] for found in told.values()), profile.means if profile else "every rule that is given")
            for name, profile in PROFILES.items()
        ],
    )
    _print_tags(tags)


def _tags(found: TagCounts | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {"tags": found.tags, **found.by_status, "unmapped_ids": list(found.unmapped)}


def _print_tags(tags: dict[str, TagCounts]) -> None:
    if not tags:
        typer.echo("technique tags of the rules: not compared, ATT&CK is not installed")
        return
    typer.echo("technique tags of the rules, in the installed ATT&CK and ATLAS:")
    write_table(
        ("rules", "tags", *STATUSES, "unmapped are"),
        [
            (
                name,
                found.tags,
                *(found.by_status[status] for status in STATUSES),
                ", ".join(found.unmapped[:UNMAPPED_SHOWN]) + (" ..." if len(found.unmapped) > UNMAPPED_SHOWN else ""),
            )
            for name, found in tags.items()
        ],
    )


def _outcome(outcome: Outcome) -> dict[str, object]:
    found = outcome.installed
    return {
        "name": outcome.name,
        "new": outcome.new,
        "version": found.version if found else None,
        "sha256": found.sha256 if found else None,
        "counts": dict(found.counts) if found else None,
        "error": str(outcome.error) if outcome.error else None,
    }


def _status(row: Status) -> dict[str, object]:
    found = row.installed
    return {
        "name": row.name,
        "installed": found is not None,
        "version": found.version if found else None,
        "dated": found.dated if found else None,
        "source": found.source if found else None,
        "fetched_at": found.fetched_at if found else None,
        "sha256": found.sha256 if found else None,
        "counts": dict(found.counts) if found else None,
        "kept_versions": row.kept,
        "age_days": row.age_days,
        "stale": row.stale,
    }


@app.command("diff", epilog="Example: casemate intel diff old-rules.zip new-rules.zip --case CASE")
def diff(
    old: Annotated[str, typer.Argument(help="Path of rules, or an installed version.", show_default=False)],
    new: Annotated[
        str, typer.Argument(help="The same; 'current' is the version in use.", metavar="NEW", show_default=False)
    ],
    case: Annotated[
        Path | None,
        typer.Option("--case", help="Also: what it changes on this case.", metavar="DIR", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a rule update adds, changes and removes, and which findings a case gains and loses by it."""
    before, after = read_side(old), read_side(new)
    found = differences(before, after)
    effect = None
    if case is not None:
        engine = DuckDBEngine()
        with Case.open(case) as opened:
            placeholders = given_placeholders(opened.settings.placeholders)
            effect = case_effect(opened, engine, before, after, found, home() / "compiled", placeholders)
    if as_json:
        write_json(_difference_document(before, after, found, effect))
    else:
        _print_difference(before, after, found, effect)


def _difference_document(
    before: RuleSide, after: RuleSide, found: Sequence[Difference], effect: CaseEffect | None
) -> dict[str, object]:
    return {
        "old": {"name": before.name, "rules": len(before.rules)},
        "new": {"name": after.name, "rules": len(after.rules)},
        **{change: sum(one.change == change for one in found) for change in CHANGES},
        "rules": [vars(one) | {"parts": list(one.parts)} for one in found],
        "case": None
        if effect is None
        else vars(effect)
        | {
            "rules": [vars(one) for one in effect.rules],
            "not_compiled": [{"rule_id": rule, "reason": reason} for rule, reason in effect.not_compiled],
        },
    }


def _print_difference(
    before: RuleSide, after: RuleSide, found: Sequence[Difference], effect: CaseEffect | None
) -> None:
    out = console()
    counts = ", ".join(f"{sum(one.change == change for one in found):,} {what}" for change, what in CHANGES.items())
    out.print(f"{len(before.rules):,} rules before, {len(after.rules):,} now: {counts}", soft_wrap=True)
    order = list(CHANGES)
    shown = sorted(
        (one for one in found if one.change != "metadata"), key=lambda one: (order.index(one.change), one.id)
    )
    if shown:
        write_table(
            ("change", "rule", "title", "what"),
            [(one.change, one.id, one.title, _what(one)) for one in shown[:DIFFERENCES_SHOWN]],
        )
        if len(shown) > DIFFERENCES_SHOWN:
            out.print(f"(the first {DIFFERENCES_SHOWN} of {len(shown):,}; all of them: --json)", soft_wrap=True)
    if effect is None:
        return
    out.print(
        f"on this case: [bold]{effect.gained:,}[/] findings gained, [bold]{effect.lost:,}[/] lost, {effect.same:,} the "
        f"same ({effect.severity_changed:,} with another severity)",
        soft_wrap=True,
    )
    if effect.rules:
        write_table(
            ("gained", "lost", "change", "rule", "title"),
            [(one.gained, one.lost, one.change, one.rule_id, one.title) for one in effect.rules[:DIFFERENCES_SHOWN]],
        )
    for rule, reason in effect.not_compiled[:DIFFERENCES_SHOWN]:
        out.print(f"[yellow]cannot be compiled[/] {visible(rule)}: {visible(reason)}", soft_wrap=True)


def _what(one: Difference) -> str:
    told = [part for part in one.parts if part in MATCHING and part != "level"]
    if one.change == "changed" and one.level_before != one.level:
        told.append(f"level {one.level_before or 'none'} -> {one.level or 'none'}")
    return ", ".join(told)


def _print_outcome(outcome: Outcome) -> None:
    out = console()
    if outcome.installed is None:
        console(stderr=True).print(f"[red]{outcome.name}[/]: {visible(outcome.error)}", soft_wrap=True)
        return
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.installed.counts.items())
    word = "installed" if outcome.new else "already installed"
    out.print(
        f"[green]{outcome.name}[/]: {word}, version {visible(outcome.installed.version)} ({counts})", soft_wrap=True
    )
